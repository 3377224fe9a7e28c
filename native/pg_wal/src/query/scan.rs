//! All rows of a table, from one snapshot.

use super::reader::runtime;
use super::row::Rows;
use super::statement::{Answer, Messages, Table};
use crate::connection::{Connection, Purpose, connect};
use crate::source::{Options, TableName};
use crate::{Error, Lsn};
use postgres_protocol::escape::escape_literal;
use tokio::runtime::Runtime;

const BEGINNING: &str = "beginning to read a table";
const READING: &str = "reading a table";
const PORTAL: &str = "rows";

/// How many rows come in the first portion, and at most in a later one.
const FIRST: i32 = 50;
const MOST: usize = 1_000;
/// About how many bytes a portion has.
const PORTION: usize = 1 << 20;

/// Which transactions are shown: what `pg_current_snapshot()` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The oldest transaction that was still running.
    pub xmin: u64,
    /// One past the newest that had ended.
    pub xmax: u64,
    /// Those in between that were still running.
    pub xip: Vec<u64>,
    /// Every transaction that is shown has committed before this place of the WAL.
    pub lsn: Lsn,
}

/// A table that is being read, over a connection of its own, which ends with it.
pub struct Scan {
    runtime: Runtime,
    connection: Connection,
    snapshot: Snapshot,
    columns: Vec<String>,
    portion: i32,
    done: bool,
}

impl Scan {
    /// Connects and begins: what is read is the table as it is now, however long it takes; or as an exported
    /// `snapshot` shows it.
    ///
    /// # Errors
    /// [`Error::TableMissing`], [`Error::InvalidOption`], [`Error::Server`], and those of connecting.
    pub fn begin(
        options: &Options,
        table: &TableName,
        snapshot: Option<&str>,
    ) -> Result<Scan, Error> {
        options.check()?;
        let runtime = runtime()?;
        let begun = runtime.block_on(begin(options, table, snapshot))?;
        let (connection, snapshot, columns) = begun;
        Ok(Scan { runtime, connection, snapshot, columns, portion: FIRST, done: false })
    }

    /// What is shown.
    pub fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// The next rows; none at the end. About a megabyte of them, or one row that is larger.
    ///
    /// # Errors
    /// [`Error::Server`], and those of a connection that was lost: the scan has to begin again then.
    pub fn next_rows(&mut self) -> Result<Rows, Error> {
        let columns = self.columns.clone();
        if self.done {
            return Ok(Rows { columns, rows: Vec::new() });
        }
        let mut messages = Messages::new(READING);
        messages.execute(PORTAL, self.portion)?;
        let mut answer = Answer { rows: Rows { columns, rows: Vec::new() }, suspended: false };
        // After an error there is nothing to go on with.
        self.done = true;
        self.runtime.block_on(messages.run(&mut self.connection, &mut answer))?;
        self.done = !answer.suspended;
        let rows = &answer.rows.rows;
        let bytes: usize = rows.iter().map(super::Row::bytes).sum();
        let fit = PORTION * rows.len().max(1) / bytes.max(1);
        self.portion = fit.clamp(1, MOST) as i32;
        Ok(answer.rows)
    }
}

async fn begin(
    options: &Options,
    table: &TableName,
    snapshot: Option<&str>,
) -> Result<(Connection, Snapshot, Vec<String>), Error> {
    let mut connection = connect(options, Purpose::Queries).await?;
    connection.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", BEGINNING).await?;
    if let Some(name) = snapshot {
        let sql = format!("SET TRANSACTION SNAPSHOT {}", escape_literal(name).trim_start());
        connection.query(&sql, BEGINNING).await?;
    }
    // The name that all versions know it by.
    let sql = "SELECT txid_current_snapshot(), CASE WHEN pg_is_in_recovery() \
        THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END";
    let row = connection.query(sql, BEGINNING).await?.pop().unwrap_or_default();
    let snapshot = match row.as_slice() {
        [Some(snapshot), Some(lsn)] => parse(snapshot, lsn.parse()?),
        _ => None,
    };
    let snapshot = snapshot.ok_or_else(|| Error::Protocol {
        doing: BEGINNING,
        found: format!("the snapshot {row:?}"),
    })?;
    let sql = Table::look_up(&mut connection, table).await?.select(None, &[]);
    let mut messages = Messages::new(BEGINNING);
    messages.prepare(&sql)?;
    messages.bind(PORTAL, &[])?;
    let mut answer = Answer::default();
    messages.run(&mut connection, &mut answer).await?;
    Ok((connection, snapshot, answer.rows.columns))
}

/// `xmin:xmax:xip,xip`
fn parse(text: &str, lsn: Lsn) -> Option<Snapshot> {
    let mut parts = text.splitn(3, ':');
    let xmin = parts.next()?.parse().ok()?;
    let xmax = parts.next()?.parse().ok()?;
    let running = parts.next()?.split(',').filter(|xid| !xid.is_empty());
    let xip = running.map(str::parse).collect::<Result<_, _>>().ok()?;
    Some(Snapshot { xmin, xmax, xip, lsn })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snapshots_are_read() {
        let lsn = Lsn(7);
        let parse = |text| super::parse(text, lsn);
        let snapshot =
            |xmin, xmax, xip: &[u64]| Some(Snapshot { xmin, xmax, xip: xip.to_vec(), lsn });
        assert_eq!(parse("10:10:"), snapshot(10, 10, &[]));
        assert_eq!(
            parse("4294967300:4294967320:4294967300,4294967310"),
            snapshot(4_294_967_300, 4_294_967_320, &[4_294_967_300, 4_294_967_310])
        );
        for broken in ["", "10", "10:20", "a:20:", "10:20:x", "10:20:11,,x"] {
            assert_eq!(parse(broken), None, "{broken}");
        }
    }
}
