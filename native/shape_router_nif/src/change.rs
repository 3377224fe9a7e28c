//! A change's term -> a change.
//!
//! Three forms are read: the plain map of the documentation; structs with the fields of
//! `ShapeRouter.Changes` (a host's own structs have the same); a map without `op`, whose kind follows
//! from what it has.

use crate::atoms;
use crate::columns::{ColumnKeys, Kind};
use crate::error::NifError;
use crate::row::MapRow;
use crate::value;
use bumpalo::Bump;
use rustler::{Atom, Term, TermType};
use shape_expr::ColumnSet;
use shape_router::{Change, KeyParts, Op, Relation, RelationColumn, Router};

/// What reading needs to know of the router.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'r> {
    pub router: &'r Router,
    pub keys: &'r ColumnKeys,
    pub arena: &'r Bump,
}

/// A change whose rows are still terms.
pub(crate) struct TermChange<'r, 't> {
    op: Op,
    new: Option<MapRow<'r, 't>>,
    old: Option<MapRow<'r, 't>>,
    key: Option<KeyParts<'r>>,
    old_key: Option<KeyParts<'r>>,
    changed: Option<ColumnSet>,
    relation: Option<Relation>,
}

impl TermChange<'_, '_> {
    pub fn as_change(&self) -> Change<'_> {
        Change {
            op: self.op,
            new: self.new.as_ref().map(|row| row as _),
            old: self.old.as_ref().map(|row| row as _),
            key: self.key.clone(),
            old_key: self.old_key.clone(),
            changed: self.changed.clone(),
            relation: self.relation.as_ref(),
        }
    }

    fn of(op: Op) -> Self {
        Self { op, new: None, old: None, key: None, old_key: None, changed: None, relation: None }
    }
}

impl<'r> Reader<'r> {
    pub fn read<'t: 'r>(&self, term: Term<'t>) -> Result<TermChange<'r, 't>, NifError> {
        if term.get_type() != TermType::Map {
            return Err(NifError::new("invalid_change", "a change is a map or a struct"));
        }
        let get =
            |key: Atom| term.map_get(key).ok().filter(|t| *t != atoms::nil().to_term(t.get_env()));
        if let Some(op) = get(atoms::op()) {
            return self.read_op(op, get);
        }
        if get(atoms::__struct__()).is_some() {
            return self.read_struct(get);
        }
        let (new, old) = (get(atoms::new_record()), get(atoms::old_record()));
        let old_key = get(atoms::old_key());
        let op = Change::infer_op(new.is_some(), old.is_some(), old_key.is_some());
        let op = op.ok_or_else(|| {
            let message = "a change without op needs new_record, old_record or old_key";
            NifError::new("invalid_change", message)
        })?;
        self.read_rows(op, get)
    }

    fn read_op<'t: 'r>(
        &self,
        op: Term<'t>,
        get: impl Fn(Atom) -> Option<Term<'t>>,
    ) -> Result<TermChange<'r, 't>, NifError> {
        let op: Atom = op.decode().map_err(|_| unknown_op(op))?;
        if op == atoms::insert() {
            self.read_rows(Op::Insert, get)
        } else if op == atoms::update() {
            self.read_rows(Op::Update, get)
        } else if op == atoms::delete() {
            self.read_rows(Op::Delete, get)
        } else if op == atoms::truncate() {
            Ok(TermChange::of(Op::Truncate))
        } else if op == atoms::relation() {
            Ok(TermChange { relation: Some(relation(get)?), ..TermChange::of(Op::Relation) })
        } else {
            Err(NifError::new("invalid_change", format!("unknown op {op:?}")))
        }
    }

    fn read_rows<'t: 'r>(
        &self,
        op: Op,
        get: impl Fn(Atom) -> Option<Term<'t>>,
    ) -> Result<TermChange<'r, 't>, NifError> {
        let mut change = TermChange::of(op);
        if op != Op::Delete {
            change.new = get(atoms::new_record()).map(|t| self.row(t, "new_record")).transpose()?;
        }
        change.key = get(atoms::pk()).map(|t| self.key(t)).transpose()?;
        if op != Op::Insert {
            change.old = get(atoms::old_record()).map(|t| self.row(t, "old_record")).transpose()?;
            change.old_key = get(atoms::old_key()).map(|t| self.key(t)).transpose()?;
        }
        if op == Op::Update {
            let changed = get(atoms::changed_columns());
            change.changed = changed.map(|t| self.changed(t)).transpose()?.flatten();
        }
        Ok(change)
    }

    /// The structs of `ShapeRouter.Changes`, known by their fields.
    fn read_struct<'t: 'r>(
        &self,
        get: impl Fn(Atom) -> Option<Term<'t>>,
    ) -> Result<TermChange<'r, 't>, NifError> {
        let (record, old_record) = (get(atoms::record()), get(atoms::old_record()));
        let new = record.map(|t| self.row(t, "record")).transpose()?;
        let old = old_record.map(|t| self.row(t, "old_record")).transpose()?;
        // Elsewhere `old_key` is a text that stands for the key; only its values can be used.
        let old_key = get(atoms::old_key()).filter(|t| t.get_type() != TermType::Binary);
        let old_key = old_key.map(|t| self.key(t)).transpose()?;
        if get(atoms::columns()).is_some() {
            return Ok(TermChange {
                relation: Some(relation(get)?),
                ..TermChange::of(Op::Relation)
            });
        }
        let is_update = get(atoms::__struct__())
            .and_then(|t| t.atom_to_string().ok())
            .is_some_and(|name| name.ends_with(".UpdatedRecord"));
        let op = match (new.is_some(), old.is_some() || old_key.is_some()) {
            (true, false) if !is_update => Op::Insert,
            (true, _) => Op::Update,
            (false, true) => Op::Delete,
            (false, false) => Op::Truncate,
        };
        Ok(TermChange { new, old, old_key, ..TermChange::of(op) })
    }

    fn row<'t: 'r>(&self, term: Term<'t>, name: &str) -> Result<MapRow<'r, 't>, NifError> {
        if term.get_type() != TermType::Map {
            return Err(NifError::new("invalid_change", format!("{name} is not a map: {term:?}")));
        }
        Ok(MapRow::new(term, self.keys, self.arena))
    }

    /// A key: one value, a list (or tuple) of values in the primary key's order, or a map by name.
    pub fn key<'t: 'r>(&self, term: Term<'t>) -> Result<KeyParts<'r>, NifError> {
        match term.get_type() {
            TermType::List => {
                let items = term.into_list_iterator();
                let items = items.map_err(|_| NifError::new("invalid_key", "an improper list"))?;
                Ok(items.map(|item| value::datum(item, Kind::ANY, self.arena)).collect())
            }
            TermType::Tuple => {
                let items = rustler::types::tuple::get_tuple(term);
                let items = items.map_err(|_| NifError::new("invalid_key", "not a tuple"))?;
                Ok(items
                    .into_iter()
                    .map(|item| value::datum(item, Kind::ANY, self.arena))
                    .collect())
            }
            TermType::Map if term.map_get(atoms::__struct__()).is_err() => {
                let row = MapRow::new(term, self.keys, self.arena);
                let positions = self.router.primary_key();
                let positions = positions.iter().filter_map(|name| self.keys.position(name));
                Ok(positions.map(|column| row.value(column)).collect())
            }
            _ => Ok(KeyParts::one(value::datum(term, Kind::ANY, self.arena))),
        }
    }

    /// Column names, or positions from 0; as a list or a `MapSet`. Where the table's columns are not
    /// declared, a position says nothing: then it is not known what changed.
    fn changed(&self, term: Term<'_>) -> Result<Option<ColumnSet>, NifError> {
        let invalid = || {
            let message = "changed_columns is not a list of column names or positions";
            NifError::new("invalid_change", format!("{message}: {term:?}"))
        };
        let items: Vec<Term<'_>> = if term.get_type() == TermType::Map {
            let map = term.map_get(atoms::map()).map_err(|_| invalid())?;
            let pairs = rustler::MapIterator::new(map).ok_or_else(invalid)?;
            pairs.map(|(item, _)| item).collect()
        } else {
            term.into_list_iterator().map_err(|_| invalid())?.collect()
        };
        let mut positions_tell = true;
        let mut changed = ColumnSet::default();
        for item in items {
            let position = match item.get_type() {
                TermType::Integer => {
                    positions_tell &= self.keys.is_declared();
                    item.decode::<usize>().ok().ok_or_else(invalid)?
                }
                TermType::Atom => {
                    let name = item.atom_to_string().map_err(|_| invalid())?;
                    let Some(position) = self.keys.position(&name) else { continue };
                    position
                }
                _ => {
                    let name = item.decode::<&str>().map_err(|_| invalid())?;
                    // A column that no clause reads concerns nobody.
                    let Some(position) = self.keys.position(name) else { continue };
                    position
                }
            };
            if position < self.keys.len() {
                changed.insert(position);
            }
        }
        Ok(positions_tell.then_some(changed))
    }
}

fn unknown_op(op: Term<'_>) -> NifError {
    NifError::new("invalid_change", format!("op is not an atom: {op:?}"))
}

/// `%{id:, schema:, table:, columns: [%{name:, type_oid:, typmod:, key?:}]}`.
fn relation<'a>(get: impl Fn(Atom) -> Option<Term<'a>>) -> Result<Relation, NifError> {
    let invalid = |field: &str| {
        NifError::new(
            "invalid_change",
            format!("a relation's {field} is missing or of another type"),
        )
    };
    let text = |key: Atom, field: &str| {
        let term = get(key).ok_or_else(|| invalid(field))?;
        term.decode::<String>().map_err(|_| invalid(field))
    };
    let columns = get(atoms::columns()).and_then(|t| t.into_list_iterator().ok());
    let column = |term: Term<'a>| {
        let get = |key: Atom| term.map_get(key).ok();
        let name = get(atoms::name()).and_then(|t| t.decode::<String>().ok());
        let type_oid = get(atoms::type_oid()).and_then(|t| t.decode::<u32>().ok());
        Ok::<_, NifError>(RelationColumn {
            name: name.ok_or_else(|| invalid("column's name"))?,
            type_oid: type_oid.ok_or_else(|| invalid("column's type_oid"))?,
            typmod: get(atoms::typmod()).and_then(|t| t.decode().ok()).unwrap_or(-1),
            key: get(atoms::key_question()).and_then(|t| t.decode().ok()).unwrap_or(false),
        })
    };
    let identity = get(atoms::replica_identity()).and_then(|t| t.atom_to_string().ok());
    Ok(Relation {
        oid: get(atoms::id()).and_then(|t| t.decode().ok()).ok_or_else(|| invalid("id"))?,
        schema: text(atoms::schema(), "schema")?,
        table: text(atoms::table(), "table")?,
        replica_identity: identity.and_then(|name| name.bytes().next()),
        columns: columns
            .ok_or_else(|| invalid("columns"))?
            .map(column)
            .collect::<Result<_, _>>()?,
    })
}
