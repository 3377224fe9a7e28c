//! A record's term as a row: columns are read when they are asked for.

use crate::columns::ColumnKeys;
use crate::value;
use bumpalo::Bump;
use rustler::Term;
use shape_expr::{Datum, RowSource};
use std::cell::Cell;

/// A map with string or atom keys.
pub(crate) struct MapRow<'r, 't> {
    map: Term<'t>,
    keys: &'r ColumnKeys,
    arena: &'r Bump,
    /// Which kind of key was found last: the one to try first.
    atoms: Cell<bool>,
}

impl<'r, 't> MapRow<'r, 't> {
    pub fn new(map: Term<'t>, keys: &'r ColumnKeys, arena: &'r Bump) -> Self {
        Self { map, keys, arena, atoms: Cell::new(false) }
    }

    fn find(&self, column: usize) -> Option<Term<'t>> {
        let by_string = || self.keys.get_by_string(self.map, column);
        let by_atom = || self.keys.get_by_atom(self.map.get_env(), self.map, column);
        if self.atoms.get() {
            return by_atom().or_else(by_string);
        }
        by_string().or_else(|| {
            let found = by_atom();
            self.atoms.set(found.is_some());
            found
        })
    }
}

impl<'r, 't: 'r> MapRow<'r, 't> {
    /// A column's value, as long as the term lives.
    pub fn value(&self, column: usize) -> Datum<'r> {
        let kind = self.keys.kind(column);
        self.find(column).map_or(Datum::Absent, |term| value::datum(term, kind, self.arena))
    }
}

impl RowSource for MapRow<'_, '_> {
    fn datum(&self, column: usize) -> Datum<'_> {
        self.value(column)
    }
}
