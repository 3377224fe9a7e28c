//! A record's term as a row: columns are read when they are asked for.

use crate::bare::Bare;
use crate::columns::ColumnKeys;
use crate::value;
use bumpalo::Bump;
use rustler::Term;
use shape_expr::{Datum, RowSource};
use std::cell::Cell;

/// A map with string or atom keys.
pub(crate) struct MapRow<'r, 't> {
    map: Bare<'t>,
    keys: &'r ColumnKeys,
    arena: &'r Bump,
    /// Which kind of key was found last: the one to try first.
    atoms: Cell<bool>,
}

impl<'r, 't> MapRow<'r, 't> {
    #[inline(always)]
    pub fn new(map: Bare<'t>, keys: &'r ColumnKeys, arena: &'r Bump) -> Self {
        Self { map, keys, arena, atoms: Cell::new(false) }
    }

    #[inline]
    fn find(&self, column: usize) -> Option<Bare<'t>> {
        let by_string = || self.keys.get_by_string(self.map, column);
        let by_atom = || self.keys.get_by_atom(self.map, column);
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
    /// A column's term, if the record has it.
    pub fn term(&self, column: usize) -> Option<Term<'t>> {
        self.find(column).map(Bare::term)
    }

    /// A column's value, as long as the term lives.
    pub fn value(&self, column: usize) -> Datum<'r> {
        match self.find(column) {
            None => Datum::Absent,
            // By far the most are the WAL's text.
            Some(bare) => match bare.bytes() {
                Some(text) => Datum::Text(text),
                None => value::datum(bare.term(), self.keys.kind(column), self.arena),
            },
        }
    }
}

impl RowSource for MapRow<'_, '_> {
    #[inline]
    fn datum(&self, column: usize) -> Datum<'_> {
        self.value(column)
    }
}
