//! The rows of given keys.

use super::row::Rows;
use super::statement::{Answer, Messages, Table};
use crate::Error;
use crate::connection::{Connection, Purpose, connect, is_fatal};
use crate::source::{Options, TableName};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const READING: &str = "reading rows";

/// How many keys are asked for before the answers are awaited.
const KEYS_AT_ONCE: usize = 1_000;

/// Reads rows by their keys, over a connection that it makes when it is first asked.
///
/// ```no_run
/// use pg_wal::query::Reader;
/// use pg_wal::source::{Options, TableName};
///
/// let mut reader = Reader::new(Options { database: "app".into(), ..Options::default() })?;
/// let table = TableName::new("public", "todos");
/// let keys = [vec![Some(b"42".as_slice())]];
/// let rows = reader.read(&table, &["id".to_owned()], &keys, None)?;
/// for row in &rows.rows {
///     println!("{:?} are {:?}", rows.columns, row.values().collect::<Vec<_>>());
/// }
/// # Ok::<(), pg_wal::Error>(())
/// ```
pub struct Reader {
    options: Options,
    runtime: Runtime,
    connection: Option<Connection>,
}

impl Reader {
    /// A reader of the database that the options name. It does not connect yet.
    ///
    /// # Errors
    /// [`Error::InvalidOption`], or [`Error::Thread`].
    pub fn new(options: Options) -> Result<Reader, Error> {
        options.check()?;
        Ok(Reader { options, runtime: runtime()?, connection: None })
    }

    /// The rows of a table whose `key` columns have the values of any of `keys`; what is not there does not
    /// come. They have the key's columns first, then the others of `columns`; without a list, all
    /// columns that the WAL carries.
    ///
    /// Waits at most the options' `timeout` for a lost connection to be made again, and as long for
    /// every step.
    ///
    /// # Errors
    /// [`Error::TableMissing`], [`Error::InvalidOption`] where a key has not as many values as `key` has
    /// columns, [`Error::Server`] with the SQLSTATE, and those of connecting.
    pub fn read(
        &mut self,
        table: &TableName,
        key: &[String],
        keys: &[Vec<Option<&[u8]>>],
        columns: Option<&[String]>,
    ) -> Result<Rows, Error> {
        if key.is_empty() || keys.iter().any(|values| values.len() != key.len()) {
            let reason = "must have a value for each column of the key, and the key one at least";
            return Err(Error::InvalidOption { option: "keys", reason: reason.into() });
        }
        let deadline = Instant::now() + self.options.timeout;
        let mut pause = self.options.backoff_min;
        loop {
            let Reader { options, runtime, connection } = self;
            let attempt = read(options, connection, table, key, keys, columns);
            let error = match runtime.block_on(attempt) {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            // Who knows what is still to come on it.
            if !matches!(&error, Error::Server { .. } | Error::TableMissing { .. })
                || is_fatal(&error)
            {
                self.connection = None;
            }
            if !error.is_transient() || Instant::now() + pause > deadline {
                return Err(error);
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(self.options.backoff_max).min(Duration::from_secs(1));
        }
    }
}

async fn read(
    options: &Options,
    connection: &mut Option<Connection>,
    table: &TableName,
    key: &[String],
    keys: &[Vec<Option<&[u8]>>],
    columns: Option<&[String]>,
) -> Result<Rows, Error> {
    let connection = match connection {
        Some(connection) => connection,
        none => none.insert(connect(options, Purpose::Queries).await?),
    };
    let sql = Table::look_up(connection, table).await?.select(columns, key);
    let mut answer = Answer::default();
    for keys in keys.chunks(KEYS_AT_ONCE) {
        let mut messages = Messages::new(READING);
        messages.prepare(&sql)?;
        for key in keys {
            messages.bind("", key)?;
            messages.execute("", 0)?;
        }
        messages.run(connection, &mut answer).await?;
    }
    Ok(answer.rows)
}

/// One thread's: whoever asks waits.
pub(super) fn runtime() -> Result<Runtime, Error> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Error::Thread { source })
}
