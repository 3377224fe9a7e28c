//! Statements: looking a table up, and the text of what reads it.

use super::row::{Row, Rows};
use crate::Error;
use crate::connection::{Connection, unexpected};
use crate::source::TableName;
use bytes::{BufMut, BytesMut};
use fallible_iterator::FallibleIterator;
use postgres_protocol::IsNull;
use postgres_protocol::escape::escape_identifier;
use postgres_protocol::message::{backend, frontend};
use std::io;

const LOOKING: &str = "looking for the table's columns";

/// Messages of the extended protocol, one after the other.
pub(super) struct Messages {
    pub(super) bytes: BytesMut,
    doing: &'static str,
}

impl Messages {
    pub(super) fn new(doing: &'static str) -> Messages {
        Messages { bytes: BytesMut::new(), doing }
    }

    /// Takes a statement, whose parameters' types the server infers, and asks for its columns.
    pub(super) fn prepare(&mut self, sql: &str) -> Result<(), Error> {
        let bytes = &mut self.bytes;
        frontend::parse("", sql, [], bytes)
            .and_then(|()| frontend::describe(b'S', "", bytes))
            .map_err(|source| self.failed(source))
    }

    /// Opens a portal of the statement, with parameters in text form.
    pub(super) fn bind(&mut self, portal: &str, parameters: &[Option<&[u8]>]) -> Result<(), Error> {
        let serialize = |value: &Option<&[u8]>, bytes: &mut BytesMut| match value {
            None => Ok(IsNull::Yes),
            Some(value) => {
                bytes.put_slice(value);
                Ok(IsNull::No)
            }
        };
        frontend::bind(portal, "", [], parameters, serialize, [], &mut self.bytes).map_err(
            |error| {
                match error {
                    frontend::BindError::Serialization(source) => self.failed(source),
                    // Copying bytes does not fail.
                    frontend::BindError::Conversion(source) => {
                        self.failed(io::Error::other(source))
                    }
                }
            },
        )
    }

    /// Runs a portal for so many rows, 0 for all of them.
    pub(super) fn execute(&mut self, portal: &str, rows: i32) -> Result<(), Error> {
        frontend::execute(portal, rows, &mut self.bytes).map_err(|source| self.failed(source))
    }

    /// Sends them, and hears the answers up to their end.
    pub(super) async fn run(
        mut self,
        connection: &mut Connection,
        answer: &mut Answer,
    ) -> Result<(), Error> {
        frontend::sync(&mut self.bytes);
        connection
            .exchange(&self.bytes, self.doing, |message| answer.hear(message, self.doing))
            .await
    }

    #[cold]
    fn failed(&self, source: io::Error) -> Error {
        Error::Io { doing: self.doing, source }
    }
}

/// What came back of [`Messages`].
#[derive(Default)]
pub(super) struct Answer {
    pub(super) rows: Rows,
    /// Whether a portal has more rows than were asked for.
    pub(super) suspended: bool,
}

impl Answer {
    fn hear(&mut self, message: backend::Message, doing: &'static str) -> Result<(), Error> {
        match message {
            backend::Message::RowDescription(body) => {
                let names = body.fields().map(|field| Ok(field.name().to_owned())).collect();
                self.rows.columns = names.map_err(|_| unexpected(doing, b'T'))?;
            }
            backend::Message::DataRow(body) => {
                self.rows.rows.push(Row::new(body, self.rows.columns.len(), doing)?);
            }
            backend::Message::PortalSuspended => self.suspended = true,
            // Completions, notices, parameter changes.
            _ => {}
        }
        Ok(())
    }
}

/// A table as it is now.
pub(super) struct Table {
    /// Quoted, with `ONLY` where other tables' rows would come too.
    from: String,
    /// What the WAL carries of it: no generated columns.
    columns: Vec<String>,
}

impl Table {
    /// # Errors
    /// [`Error::TableMissing`].
    pub(super) async fn look_up(
        connection: &mut Connection,
        name: &TableName,
    ) -> Result<Table, Error> {
        let mut messages = Messages::new(LOOKING);
        messages.prepare(
            "SELECT c.relkind, a.attname FROM pg_class c \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 \
               AND NOT a.attisdropped AND a.attgenerated = '' \
             WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p') \
             ORDER BY a.attnum",
        )?;
        messages.bind("", &[Some(name.schema.as_bytes()), Some(name.name.as_bytes())])?;
        messages.execute("", 0)?;
        let mut answer = Answer::default();
        messages.run(connection, &mut answer).await?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut partitioned = None;
        let mut columns = Vec::new();
        for row in &answer.rows.rows {
            let mut values = row.values();
            partitioned = values.next().flatten().map(|kind| kind == b"p");
            columns.extend(values.next().flatten().map(text));
        }
        let Some(partitioned) = partitioned else {
            return Err(Error::TableMissing { table: name.clone() });
        };
        // The WAL tells rows of tables that inherit from it under their own names.
        let only = if partitioned { "" } else { "ONLY " };
        let from =
            format!("{only}{}.{}", escape_identifier(&name.schema), escape_identifier(&name.name));
        Ok(Table { from, columns })
    }

    /// Reads the rows of a key, whose values are parameters; of all columns without a list of them.
    pub(super) fn select(&self, columns: Option<&[String]>, key: &[String]) -> String {
        let list = |names: &mut dyn Iterator<Item = &String>| {
            names.map(|name| escape_identifier(name)).collect::<Vec<_>>().join(", ")
        };
        let columns = match columns {
            None => list(&mut self.columns.iter()),
            Some(columns) => {
                let wanted = columns.iter().filter(|column| !key.contains(column));
                list(&mut key.iter().chain(wanted))
            }
        };
        let mut sql = format!("SELECT {columns} FROM {}", self.from);
        for (number, column) in key.iter().enumerate() {
            sql.push_str(if number == 0 { " WHERE " } else { " AND " });
            sql.push_str(&format!("{} = ${}", escape_identifier(column), number + 1));
        }
        sql
    }
}
