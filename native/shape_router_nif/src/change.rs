//! A change's term -> a change.
//!
//! Three forms are read: the plain map of the documentation; structs with the fields of
//! `ShapeRouter.Changes` (a host's own structs have the same); a map without `op`, whose kind follows
//! from what it has.

use crate::atoms;
use crate::bare::Bare;
use crate::columns::{ColumnKeys, Kind};
use crate::error::NifError;
use crate::list;
use crate::row::MapRow;
use crate::value;
use bumpalo::Bump;
use rustler::{Atom, Term, TermType};
use shape_expr::ColumnSet;
use shape_router::{Change, KeyParts, Op, Relation, RelationColumn, Router};

/// What reading needs to know of the router.
#[derive(Clone, Copy)]
pub(crate) struct Reader<'r> {
    router: &'r Router,
    keys: &'r ColumnKeys,
    pub arena: &'r Bump,
    with_keys: bool,
}

/// A change whose rows are still terms. It is filled in place, field by field: as a value that
/// functions hand on it would be copied at every return, which takes longer than the rest of reading.
#[derive(Default)]
pub(crate) struct TermChange<'r, 't> {
    op: Option<Op>,
    new: Option<MapRow<'r, 't>>,
    old: Option<MapRow<'r, 't>>,
    key: Option<KeyParts<'r>>,
    old_key: Option<KeyParts<'r>>,
    changed: Option<ColumnSet>,
    /// In a box, since it is large and rare.
    relation: Option<Box<Relation>>,
}

impl<'r, 't> TermChange<'r, 't> {
    /// The change, for a router. Its keys move into it: to be asked for once.
    #[inline]
    pub fn as_change(&mut self) -> Change<'_> {
        let mut change = Change::new(self.op.unwrap_or(Op::Truncate));
        change.new = self.new.as_ref().map(|row| row as _);
        change.old = self.old.as_ref().map(|row| row as _);
        change.relation = self.relation.as_deref();
        if self.key.is_some() {
            change.key = self.key.take();
        }
        if self.old_key.is_some() {
            change.old_key = self.old_key.take();
        }
        if self.changed.is_some() {
            change.changed = self.changed.take();
        }
        change
    }
}

/// A map's fields: no more are looked up than the map has.
struct Fields<'t> {
    map: Bare<'t>,
    taken: usize,
    /// How many there are, once that is asked.
    size: Option<usize>,
}

impl<'t> Fields<'t> {
    fn new(map: Bare<'t>) -> Self {
        Self { map, taken: 0, size: None }
    }

    /// A field's value; `None` also for nil. Each field is asked for once.
    #[inline]
    fn take(&mut self, key: Atom) -> Option<Bare<'t>> {
        let value = self.map.get(key)?;
        self.taken += 1;
        if value.is(atoms::nil()) { None } else { Some(value) }
    }

    /// The same of a field that mostly is not there: a map of which all fields were taken is not
    /// searched.
    fn take_rare(&mut self, key: Atom) -> Option<Bare<'t>> {
        let size = *self.size.get_or_insert_with(|| self.map.term().map_size().unwrap_or(0));
        if self.taken < size { self.take(key) } else { None }
    }
}

impl<'r> Reader<'r> {
    pub fn new(router: &'r Router, keys: &'r ColumnKeys, arena: &'r Bump) -> Self {
        Self { router, keys, arena, with_keys: false }
    }

    /// Reads the keys of inserts too: they matter only to membership, and so only to transactions.
    pub fn with_keys(self) -> Self {
        Self { with_keys: true, ..self }
    }

    /// Reads a change into `out`, which is empty before.
    #[inline]
    pub fn read<'t: 'r>(
        &self,
        term: Bare<'t>,
        out: &mut TermChange<'r, 't>,
    ) -> Result<(), NifError> {
        let mut fields = Fields::new(term);
        if let Some(op) = fields.take(atoms::op()) {
            return self.read_op(op, &mut fields, out);
        }
        if !term.is_map() {
            return Err(NifError::new("invalid_change", "a change is a map or a struct"));
        }
        if let Some(name) = fields.take(atoms::__struct__()) {
            return self.read_struct(name, &mut fields, out);
        }
        let new = fields.take(atoms::new_record());
        let old = fields.take(atoms::old_record());
        let old_key = fields.take_rare(atoms::old_key());
        let Some(op) = Change::infer_op(new.is_some(), old.is_some(), old_key.is_some()) else {
            let message = "a change without op needs new_record, old_record or old_key";
            return Err(NifError::new("invalid_change", message));
        };
        self.read_rows(op, [new, old, old_key], &mut fields, out)
    }

    #[inline]
    fn read_op<'t: 'r>(
        &self,
        op: Bare<'t>,
        fields: &mut Fields<'t>,
        out: &mut TermChange<'r, 't>,
    ) -> Result<(), NifError> {
        let is = |atom: Atom| op.is(atom);
        let op = if is(atoms::insert()) {
            let new = fields.take(atoms::new_record());
            return self.read_rows(Op::Insert, [new, None, None], fields, out);
        } else if is(atoms::update()) {
            Op::Update
        } else if is(atoms::delete()) {
            Op::Delete
        } else if is(atoms::truncate()) {
            out.op = Some(Op::Truncate);
            return Ok(());
        } else if is(atoms::relation()) {
            out.op = Some(Op::Relation);
            out.relation = Some(Box::new(relation(|key| fields.take(key).map(Bare::term))?));
            return Ok(());
        } else {
            return Err(unknown_op(op.term()));
        };
        let new = if op == Op::Delete { None } else { fields.take(atoms::new_record()) };
        let old = fields.take(atoms::old_record());
        let old_key = fields.take_rare(atoms::old_key());
        self.read_rows(op, [new, old, old_key], fields, out)
    }

    #[inline]
    fn read_rows<'t: 'r>(
        &self,
        op: Op,
        [new, old, old_key]: [Option<Bare<'t>>; 3],
        fields: &mut Fields<'t>,
        out: &mut TermChange<'r, 't>,
    ) -> Result<(), NifError> {
        out.op = Some(op);
        if let Some(term) = new {
            self.row(term, "new_record", &mut out.new)?;
        }
        if let Some(term) = old {
            self.row(term, "old_record", &mut out.old)?;
        }
        if let Some(term) = old_key {
            out.old_key = Some(self.key(term.term())?);
        }
        if (op != Op::Insert || self.with_keys)
            && let Some(term) = fields.take_rare(atoms::pk())
        {
            out.key = Some(self.key(term.term())?);
        }
        if op == Op::Update
            && let Some(term) = fields.take_rare(atoms::changed_columns())
        {
            out.changed = self.changed(term.term())?;
        }
        Ok(())
    }

    /// The structs of `ShapeRouter.Changes`, known by their fields.
    fn read_struct<'t: 'r>(
        &self,
        name: Bare<'t>,
        fields: &mut Fields<'t>,
        out: &mut TermChange<'r, 't>,
    ) -> Result<(), NifError> {
        if fields.map.get(atoms::columns()).is_some_and(|columns| !columns.is(atoms::nil())) {
            out.op = Some(Op::Relation);
            out.relation = Some(Box::new(relation(|key| fields.take(key).map(Bare::term))?));
            return Ok(());
        }
        if let Some(term) = fields.take(atoms::record()) {
            self.row(term, "record", &mut out.new)?;
        }
        if let Some(term) = fields.take(atoms::old_record()) {
            self.row(term, "old_record", &mut out.old)?;
        }
        // Elsewhere `old_key` is a text that stands for the key; only its values can be used.
        if let Some(term) = fields.take(atoms::old_key()).filter(|t| !t.term().is_binary()) {
            out.old_key = Some(self.key(term.term())?);
        }
        let is_update =
            || name.term().atom_to_string().is_ok_and(|name| name.ends_with(".UpdatedRecord"));
        out.op = Some(match (out.new.is_some(), out.old.is_some() || out.old_key.is_some()) {
            (true, true) => Op::Update,
            (true, false) if is_update() => Op::Update,
            (true, false) => Op::Insert,
            (false, true) => Op::Delete,
            (false, false) => Op::Truncate,
        });
        Ok(())
    }

    #[inline(always)]
    fn row<'t: 'r>(
        &self,
        term: Bare<'t>,
        name: &str,
        out: &mut Option<MapRow<'r, 't>>,
    ) -> Result<(), NifError> {
        if !term.is_map() {
            return Err(not_a_map(term.term(), name));
        }
        *out = Some(MapRow::new(term, self.keys, self.arena));
        Ok(())
    }

    /// A key: one value, a list (or tuple) of values in the primary key's order, or a map by name.
    pub fn key<'t: 'r>(&self, term: Term<'t>) -> Result<KeyParts<'r>, NifError> {
        match term.get_type() {
            TermType::List => {
                let items = list::items(term)
                    .ok_or_else(|| NifError::new("invalid_key", "an improper list"))?;
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
                let row = MapRow::new(Bare::new(term), self.keys, self.arena);
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
            list::items(term).ok_or_else(invalid)?.collect()
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

#[cold]
fn not_a_map(term: Term<'_>, name: &str) -> NifError {
    NifError::new("invalid_change", format!("{name} is not a map: {term:?}"))
}

#[cold]
fn unknown_op(op: Term<'_>) -> NifError {
    let what = if op.is_atom() { "unknown op" } else { "op is not an atom:" };
    NifError::new("invalid_change", format!("{what} {op:?}"))
}

/// `%{id:, schema:, table:, columns: [%{name:, type_oid:, typmod:, key?:}]}`.
fn relation<'a>(mut get: impl FnMut(Atom) -> Option<Term<'a>>) -> Result<Relation, NifError> {
    let invalid = |field: &str| {
        let message = format!("a relation's {field} is missing or of another type");
        NifError::new("invalid_change", message)
    };
    let text = |term: Option<Term<'a>>, field: &str| {
        term.and_then(|t| t.decode::<String>().ok()).ok_or_else(|| invalid(field))
    };
    let column = |term: Term<'a>| {
        let get = |key: Atom| term.map_get(key).ok();
        let type_oid = get(atoms::type_oid()).and_then(|t| t.decode::<u32>().ok());
        Ok::<_, NifError>(RelationColumn {
            name: text(get(atoms::name()), "column's name")?,
            type_oid: type_oid.ok_or_else(|| invalid("column's type_oid"))?,
            typmod: get(atoms::typmod()).and_then(|t| t.decode().ok()).unwrap_or(-1),
            key: get(atoms::key_question()).and_then(|t| t.decode().ok()).unwrap_or(false),
        })
    };
    let columns = get(atoms::columns()).and_then(list::items);
    let identity = get(atoms::replica_identity()).and_then(|t| t.atom_to_string().ok());
    Ok(Relation {
        oid: get(atoms::id()).and_then(|t| t.decode().ok()).ok_or_else(|| invalid("id"))?,
        schema: text(get(atoms::schema()), "schema")?,
        table: text(get(atoms::table()), "table")?,
        replica_identity: identity.and_then(|name| name.bytes().next()),
        columns: columns
            .ok_or_else(|| invalid("columns"))?
            .map(column)
            .collect::<Result<_, _>>()?,
    })
}
