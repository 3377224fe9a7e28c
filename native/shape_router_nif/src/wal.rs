//! A transaction of the WAL as terms: the structs of `ShapeRouter.Changes`.

use crate::atoms;
use pg_wal::decode::{Column, Message, OldTuple, ReplicaIdentity, Tuple};
use pg_wal::transaction::Fragment;
use pg_wal::{Error, Relation};
use rustler::{Atom, Encoder, Env, NewBinary, Term};
use std::collections::HashMap;

mod names {
    rustler::atoms! {
        transaction = "Elixir.ShapeRouter.Changes.Transaction",
        new_record = "Elixir.ShapeRouter.Changes.NewRecord",
        updated_record = "Elixir.ShapeRouter.Changes.UpdatedRecord",
        deleted_record = "Elixir.ShapeRouter.Changes.DeletedRecord",
        truncated_relation = "Elixir.ShapeRouter.Changes.TruncatedRelation",
        relation_struct = "Elixir.ShapeRouter.Changes.Relation",
        iso = "Elixir.Calendar.ISO", calendar,
        time_zone, zone_abbr,
        xid, lsn, end_lsn, commit_timestamp, changes, num_changes, fragment,
        last_question = "last?", last_log_offset, log_offset, affected_columns,
        default, nothing, full, index,
    }
}

/// A table, with the terms that its rows share.
struct Table<'a> {
    relation: Term<'a>,
    columns: Vec<Term<'a>>,
    /// Which columns make the key, as far as the WAL tells.
    key: Vec<bool>,
}

/// `%Transaction{}`.
pub(crate) fn transaction<'a>(env: Env<'a>, fragment: &Fragment) -> Result<Term<'a>, Error> {
    let mut tables: HashMap<u32, Table<'a>> = HashMap::new();
    let mut changes = Vec::with_capacity(fragment.messages.len());
    for relation in &fragment.relations {
        tables.insert(relation.oid, table(env, relation));
        changes.push(definition(env, relation));
    }
    for message in fragment.decode() {
        let index = changes.len();
        let offset = (fragment.commit_lsn.0, offset(fragment.index, index)).encode(env);
        match message? {
            Message::Relation(told) => {
                let relation = Relation::from(&told);
                tables.insert(relation.oid, table(env, &relation));
                changes.push(definition(env, &relation));
            }
            Message::Insert(insert) => {
                let table = known(&tables, insert.relation)?;
                let record = record(env, table, insert.new, |_| true);
                changes.push(new_struct(
                    env,
                    names::new_record(),
                    &[
                        (atoms::relation(), table.relation),
                        (atoms::record(), record),
                        (names::log_offset(), offset),
                        (atoms::key(), atoms::nil().to_term(env)),
                    ],
                ));
            }
            Message::Update(update) => {
                let table = known(&tables, update.relation)?;
                let (old_record, old_key) = old(env, table, update.old.as_ref());
                changes.push(new_struct(
                    env,
                    names::updated_record(),
                    &[
                        (atoms::relation(), table.relation),
                        (atoms::record(), record(env, table, update.new, |_| true)),
                        (atoms::old_record(), old_record),
                        (atoms::old_key(), old_key),
                        (names::log_offset(), offset),
                        (atoms::key(), atoms::nil().to_term(env)),
                        (atoms::changed_columns(), atoms::nil().to_term(env)),
                    ],
                ));
            }
            Message::Delete(delete) => {
                let table = known(&tables, delete.relation)?;
                let (old_record, old_key) = old(env, table, Some(&delete.old));
                changes.push(new_struct(
                    env,
                    names::deleted_record(),
                    &[
                        (atoms::relation(), table.relation),
                        (atoms::old_record(), old_record),
                        (atoms::old_key(), old_key),
                        (names::log_offset(), offset),
                        (atoms::key(), atoms::nil().to_term(env)),
                    ],
                ));
            }
            Message::Truncate(truncate) => {
                for oid in truncate.relations() {
                    let table = known(&tables, oid)?;
                    changes.push(new_struct(
                        env,
                        names::truncated_relation(),
                        &[(atoms::relation(), table.relation), (names::log_offset(), offset)],
                    ));
                }
            }
            // Type, Origin and logical messages concern no row.
            _ => {}
        }
    }
    let count = changes.len();
    Ok(new_struct(
        env,
        names::transaction(),
        &[
            (names::xid(), fragment.xid.encode(env)),
            (names::lsn(), fragment.commit_lsn.0.encode(env)),
            (names::end_lsn(), fragment.end_lsn.map(|lsn| lsn.0).encode(env)),
            (names::commit_timestamp(), timestamp(env, fragment.commit_time)),
            (names::num_changes(), count.encode(env)),
            (names::fragment(), fragment.index.encode(env)),
            (names::last_question(), fragment.last.encode(env)),
            (
                names::last_log_offset(),
                (fragment.commit_lsn.0, offset(fragment.index, count.saturating_sub(1)))
                    .encode(env),
            ),
            (names::changes(), changes.encode(env)),
        ],
    ))
}

/// A change's place in its transaction: ascending over all fragments.
fn offset(fragment: u32, index: usize) -> u64 {
    (u64::from(fragment) << 32) + index as u64
}

fn known<'t, 'a>(tables: &'t HashMap<u32, Table<'a>>, oid: u32) -> Result<&'t Table<'a>, Error> {
    tables.get(&oid).ok_or(Error::UnknownRelation { oid })
}

fn table<'a>(env: Env<'a>, relation: &Relation) -> Table<'a> {
    Table {
        relation: (&relation.namespace, &relation.name).encode(env),
        columns: relation.columns.iter().map(|c| c.name.encode(env)).collect(),
        key: relation.columns.iter().map(|c| c.key).collect(),
    }
}

/// `%Relation{}`.
fn definition<'a>(env: Env<'a>, relation: &Relation) -> Term<'a> {
    let identity = match relation.replica_identity {
        ReplicaIdentity::Default => names::default(),
        ReplicaIdentity::Nothing => names::nothing(),
        ReplicaIdentity::Full => names::full(),
        ReplicaIdentity::Index => names::index(),
    };
    let column = |c: &pg_wal::relation::RelationColumn| {
        map(
            env,
            &[
                (atoms::name(), c.name.encode(env)),
                (atoms::type_oid(), c.type_oid.encode(env)),
                (atoms::typmod(), c.type_modifier.encode(env)),
                (atoms::key_question(), c.key.encode(env)),
            ],
        )
    };
    let columns: Vec<Term<'a>> = relation.columns.iter().map(column).collect();
    new_struct(
        env,
        names::relation_struct(),
        &[
            (atoms::id(), relation.oid.encode(env)),
            (atoms::schema(), relation.namespace.encode(env)),
            (atoms::table(), relation.name.encode(env)),
            (atoms::columns(), columns.encode(env)),
            (atoms::replica_identity(), identity.encode(env)),
            (names::affected_columns(), Term::list_new_empty(env)),
        ],
    )
}

/// The old row, if the WAL has it whole, and the old key, if that is all it has.
fn old<'a>(env: Env<'a>, table: &Table<'a>, old: Option<&OldTuple<'_>>) -> (Term<'a>, Term<'a>) {
    let nil = atoms::nil().to_term(env);
    match old {
        None => (nil, nil),
        Some(OldTuple::Full(tuple)) => (record(env, table, *tuple, |_| true), nil),
        // The other columns of a key tuple are unknown, not NULL.
        Some(OldTuple::Key(tuple)) => {
            let is_key = |c: usize| table.key.get(c).copied().unwrap_or(false);
            (nil, record(env, table, *tuple, is_key))
        }
    }
}

/// A row as a map: NULL is nil, an unchanged TOAST value has no key.
fn record<'a>(
    env: Env<'a>,
    table: &Table<'a>,
    tuple: Tuple<'_>,
    keep: impl Fn(usize) -> bool,
) -> Term<'a> {
    let mut names = Vec::with_capacity(table.columns.len());
    let mut values = Vec::with_capacity(table.columns.len());
    for (position, (name, column)) in table.columns.iter().zip(tuple.columns()).enumerate() {
        let value = match column {
            _ if !keep(position) => continue,
            Column::UnchangedToast => continue,
            Column::Null => atoms::nil().to_term(env),
            Column::Text(bytes) | Column::Binary(bytes) => NewBinary::from_slice(env, bytes).into(),
        };
        names.push(*name);
        values.push(value);
    }
    let map = Term::map_from_term_arrays(env, &names, &values);
    map.unwrap_or_else(|_| Term::map_new(env))
}

fn map<'a>(env: Env<'a>, fields: &[(Atom, Term<'a>)]) -> Term<'a> {
    // Only duplicate keys could fail; these are the names of different fields.
    Term::map_from_pairs(env, fields).unwrap_or_else(|_| Term::map_new(env))
}

fn new_struct<'a>(env: Env<'a>, name: Atom, fields: &[(Atom, Term<'a>)]) -> Term<'a> {
    let term = map(env, fields);
    term.map_put(atoms::__struct__(), name).unwrap_or(term)
}

/// `%DateTime{}` in UTC, of microseconds since 2000-01-01.
fn timestamp<'a>(env: Env<'a>, micros: i64) -> Term<'a> {
    const DAY: i64 = 86_400_000_000;
    let (days, rest) = (micros.div_euclid(DAY), micros.rem_euclid(DAY));
    let (year, month, day) = civil(days + 10_957);
    let seconds = rest / 1_000_000;
    let int = |value: i64| value.encode(env);
    new_struct(
        env,
        atoms::date_time(),
        &[
            (names::calendar(), names::iso().to_term(env)),
            (atoms::year(), int(year)),
            (atoms::month(), int(month)),
            (atoms::day(), int(day)),
            (atoms::hour(), int(seconds / 3600)),
            (atoms::minute(), int(seconds / 60 % 60)),
            (atoms::second(), int(seconds % 60)),
            (atoms::microsecond(), (rest % 1_000_000, 6).encode(env)),
            (names::time_zone(), "Etc/UTC".encode(env)),
            (names::zone_abbr(), "UTC".encode(env)),
            (atoms::utc_offset(), int(0)),
            (atoms::std_offset(), int(0)),
        ],
    )
}

/// The proleptic Gregorian date of a day counted from 1970-01-01.
fn civil(days: i64) -> (i64, i64, i64) {
    // Years are taken from March, so that the leap day is a year's last, in cycles of 400 years.
    let shifted = days + 719_468;
    let (era, day_of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
