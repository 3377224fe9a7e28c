//! Making publication and slot ready.

use super::options::{Options, TableName, Tables};
use crate::connection::{Connection, Row};
use crate::decode::Streaming;
use crate::{Error, Lsn};
use postgres_protocol::escape::{escape_identifier, escape_literal};
use std::time::Duration;

/// What a session starts from.
pub(super) struct Ready {
    pub(super) slot_created: bool,
    /// The slot's confirmed position, or its consistent point when it is new.
    pub(super) slot_lsn: Lsn,
    pub(super) system_id: String,
    pub(super) snapshot: Option<String>,
    /// How long the server waits for a sign of life; `None` when for ever.
    pub(super) sender_timeout: Option<Duration>,
}

/// What an earlier session of this source left behind.
pub(super) struct Earlier<'a> {
    pub(super) system_id: &'a str,
    pub(super) confirmed: Lsn,
}

/// Makes everything ready at the first connection; at later ones checks that it still is.
pub(super) async fn prepare(
    options: &Options,
    connection: &mut Connection,
    earlier: Option<Earlier<'_>>,
) -> Result<Ready, Error> {
    let system_id = identify(connection).await?;
    let sender_timeout = sender_timeout(connection).await?;
    if let Some(earlier) = &earlier {
        let slot_lsn = check_again(options, connection, earlier, &system_id).await?;
        return Ok(Ready {
            slot_created: false,
            slot_lsn,
            system_id,
            snapshot: None,
            sender_timeout,
        });
    }
    // First the publication: a slot decodes with the catalogue as it was, so a publication made
    // after it would not be seen by older WAL.
    prepare_publication(options, connection).await?;
    let (slot_created, slot_lsn, snapshot) = match find_slot(options, connection).await? {
        Some(slot) => (false, slot.usable(options)?, None),
        None if options.create_slot || options.temporary_slot => {
            let (lsn, snapshot) = create_slot(options, connection).await?;
            (true, lsn, snapshot)
        }
        None => return Err(Error::SlotMissing { slot: options.slot.clone() }),
    };
    Ok(Ready { slot_created, slot_lsn, system_id, snapshot, sender_timeout })
}

async fn identify(connection: &mut Connection) -> Result<String, Error> {
    let doing = "identifying the server";
    let rows = connection.query("IDENTIFY_SYSTEM", doing).await?;
    field(&rows, 0, doing)
}

async fn sender_timeout(connection: &mut Connection) -> Result<Option<Duration>, Error> {
    let doing = "asking for wal_sender_timeout";
    // In milliseconds; 0 turns it off.
    let sql = "SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'";
    let setting = field(&connection.query(sql, doing).await?, 0, doing)?;
    let milliseconds = setting.parse().map_err(|_| Error::Protocol { doing, found: setting })?;
    Ok((milliseconds > 0).then(|| Duration::from_millis(milliseconds)))
}

async fn check_again(
    options: &Options,
    connection: &mut Connection,
    earlier: &Earlier<'_>,
    system_id: &str,
) -> Result<Lsn, Error> {
    let lost = |reason| Error::SlotLost {
        slot: options.slot.clone(),
        reason,
        confirmed: earlier.confirmed,
    };
    if earlier.system_id != system_id {
        return Err(lost("the server is another cluster now"));
    }
    if options.temporary_slot {
        return Err(lost("it was temporary, and the connection was lost"));
    }
    let slot = find_slot(options, connection).await?.ok_or_else(|| lost("it was dropped"))?;
    let lsn = slot.usable(options)?;
    if lsn > earlier.confirmed {
        return Err(lost("somebody else moved it on"));
    }
    Ok(lsn)
}

/// A row of `pg_replication_slots`.
struct Slot {
    plugin: String,
    here: bool,
    temporary: bool,
    confirmed: Option<Lsn>,
    wal_lost: bool,
    two_phase: bool,
}

impl Slot {
    fn usable(&self, options: &Options) -> Result<Lsn, Error> {
        let mismatch = |reason: String| Error::SlotMismatch { slot: options.slot.clone(), reason };
        if self.plugin != "pgoutput" {
            return Err(mismatch(format!("its plugin is `{}`, not `pgoutput`", self.plugin)));
        }
        if !self.here {
            return Err(mismatch(format!("it is not of the database `{}`", options.database)));
        }
        if self.temporary || options.temporary_slot {
            let reason = "a temporary slot was asked for, or is there, and one of its name exists";
            return Err(mismatch(reason.into()));
        }
        if self.two_phase {
            return Err(mismatch("it was created for two-phase commit".into()));
        }
        if self.wal_lost {
            return Err(Error::SlotLost {
                slot: options.slot.clone(),
                reason: "the WAL it needs has been removed",
                confirmed: self.confirmed.unwrap_or_default(),
            });
        }
        // Without a confirmed position the slot is still being created, or is physical.
        self.confirmed.ok_or_else(|| mismatch("it is not ready".into()))
    }
}

async fn find_slot(options: &Options, connection: &mut Connection) -> Result<Option<Slot>, Error> {
    let doing = "looking for the slot";
    // Columns that older servers lack are read through jsonb.
    let sql = format!(
        "SELECT coalesce(plugin, ''), coalesce(database = current_database(), false), temporary, \
         confirmed_flush_lsn, coalesce(to_jsonb(s)->>'wal_status', '') = 'lost', \
         coalesce(to_jsonb(s)->>'two_phase', 'false') = 'true' \
         FROM pg_catalog.pg_replication_slots s WHERE slot_name = {}",
        escape_literal(&options.slot)
    );
    let rows = connection.query(&sql, doing).await?;
    if rows.is_empty() {
        return Ok(None);
    }
    let flag = |column| field(&rows, column, doing).map(|text| text == "t");
    let confirmed = rows.first().and_then(|row| row.get(3)).and_then(Option::as_deref);
    Ok(Some(Slot {
        plugin: field(&rows, 0, doing)?,
        here: flag(1)?,
        temporary: flag(2)?,
        confirmed: confirmed.map(str::parse).transpose()?,
        wal_lost: flag(4)?,
        two_phase: flag(5)?,
    }))
}

async fn create_slot(
    options: &Options,
    connection: &mut Connection,
) -> Result<(Lsn, Option<String>), Error> {
    let doing = "creating the slot";
    // The syntax that all versions since 10 know. It waits for transactions that run now.
    let sql = format!(
        "CREATE_REPLICATION_SLOT {}{} LOGICAL pgoutput {}",
        escape_identifier(&options.slot),
        if options.temporary_slot { " TEMPORARY" } else { "" },
        if options.export_snapshot { "EXPORT_SNAPSHOT" } else { "NOEXPORT_SNAPSHOT" },
    );
    let rows = connection.patient_query(&sql, doing).await?;
    let snapshot = rows.first().and_then(|row| row.get(2)).and_then(Option::clone);
    Ok((field(&rows, 1, doing)?.parse()?, snapshot))
}

/// The command that starts the stream.
pub(super) fn start_replication(options: &Options, from: Lsn) -> String {
    let names = escape_literal(&escape_identifier(&options.publication));
    let streaming = match options.streaming {
        Streaming::Off => "",
        Streaming::On => ", streaming 'on'",
        Streaming::Parallel => ", streaming 'parallel'",
    };
    format!(
        "START_REPLICATION SLOT {} LOGICAL {from} \
         (proto_version '{}', publication_names {}{}{streaming})",
        escape_identifier(&options.slot),
        options.protocol_version(),
        names.trim_start(),
        if options.logical_messages { ", messages 'true'" } else { "" },
    )
}

async fn prepare_publication(options: &Options, connection: &mut Connection) -> Result<(), Error> {
    let doing = "looking for the publication";
    let refused =
        |reason: String| Error::Publication { publication: options.publication.clone(), reason };
    let name = escape_literal(&options.publication);
    let sql = format!(
        "SELECT pubviaroot OR NOT EXISTS (SELECT FROM pg_catalog.pg_publication_tables t \
           JOIN pg_catalog.pg_namespace n ON n.nspname = t.schemaname \
           JOIN pg_catalog.pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename \
           WHERE t.pubname = p.pubname AND c.relispartition) \
         FROM pg_catalog.pg_publication p WHERE pubname = {name}"
    );
    let mut found = connection.query(&sql, doing).await?;
    if found.is_empty() {
        if !options.create_publication {
            return Err(refused("it does not exist".into()));
        }
        if create_publication(options, connection).await? {
            return Ok(());
        }
        found = connection.query(&sql, doing).await?;
    }
    if field(&found, 0, doing)? != "t" {
        return Err(refused(
            "it publishes partitions under their own names; \
             set publish_via_partition_root = true, or use another publication"
                .into(),
        ));
    }
    let Tables::Only(wanted) = &options.tables else { return Ok(()) };
    let lacking = lacking_tables(options, connection, wanted).await?;
    if lacking.is_empty() {
        return Ok(());
    }
    if !options.create_publication {
        let names: Vec<String> = lacking.iter().map(|table| table.to_string()).collect();
        return Err(refused(format!("it does not have {}", names.join(", "))));
    }
    let sql = format!(
        "ALTER PUBLICATION {} ADD TABLE {}",
        escape_identifier(&options.publication),
        table_list(lacking.into_iter())
    );
    connection.query(&sql, "adding tables to the publication").await?;
    Ok(())
}

/// False when somebody else has just created it.
async fn create_publication(options: &Options, connection: &mut Connection) -> Result<bool, Error> {
    let tables = match &options.tables {
        Tables::All => "FOR ALL TABLES".to_owned(),
        Tables::Only(tables) => format!("FOR TABLE {}", table_list(tables.iter())),
    };
    let sql = format!(
        "CREATE PUBLICATION {} {tables} WITH (publish_via_partition_root = true)",
        escape_identifier(&options.publication)
    );
    match connection.query(&sql, "creating the publication").await {
        Ok(_) => Ok(true),
        Err(Error::Server { code, .. }) if code == "42710" || code == "23505" => Ok(false),
        Err(error) => Err(error),
    }
}

/// The wanted tables that the publication has neither by name nor in any other way.
async fn lacking_tables<'a>(
    options: &Options,
    connection: &mut Connection,
    wanted: &'a [TableName],
) -> Result<Vec<&'a TableName>, Error> {
    let name = escape_literal(&options.publication);
    let sql = format!(
        "SELECT schemaname, tablename FROM pg_catalog.pg_publication_tables \
           WHERE pubname = {name} \
         UNION SELECT n.nspname, c.relname FROM pg_catalog.pg_publication p \
           JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid \
           JOIN pg_catalog.pg_class c ON c.oid = r.prrelid \
           JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE p.pubname = {name}"
    );
    let rows = connection.query(&sql, "looking for the publication's tables").await?;
    let has = |table: &TableName| {
        rows.iter().any(|row| {
            matches!(row.as_slice(), [Some(schema), Some(name)]
                if *schema == table.schema && *name == table.name)
        })
    };
    Ok(wanted.iter().filter(|table| !has(table)).collect())
}

fn table_list<'a>(tables: impl Iterator<Item = &'a TableName>) -> String {
    let quoted = |table: &TableName| {
        format!("{}.{}", escape_identifier(&table.schema), escape_identifier(&table.name))
    };
    tables.map(quoted).collect::<Vec<_>>().join(", ")
}

/// A column of the first row that is there and not NULL.
fn field(rows: &[Row], column: usize, doing: &'static str) -> Result<String, Error> {
    rows.first()
        .and_then(|row| row.get(column))
        .and_then(Option::clone)
        .ok_or_else(|| Error::Protocol { doing, found: format!("no value in column {column}") })
}
