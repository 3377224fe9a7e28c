//! How a table's columns are named in records: by atoms or by strings.

use rustler::{Atom, Env, NewBinary, Term};
use shape_expr::Schema;
use std::sync::OnceLock;

/// The names of a table's columns, as keys of records.
pub(crate) struct ColumnKeys {
    columns: Vec<ColumnKey>,
    /// The table's columns are declared: a position means the same to everybody.
    declared: bool,
}

struct ColumnKey {
    name: String,
    /// Looked up when a record first asks: an atom that nobody has made names no key of any record,
    /// and clauses (which clients write) must not make atoms.
    atom: OnceLock<Atom>,
}

impl ColumnKeys {
    pub fn new(schema: &Schema) -> Self {
        let key = |name: &String| ColumnKey { name: name.clone(), atom: OnceLock::new() };
        let columns = schema.columns().iter().map(|c| key(&c.name)).collect();
        Self { columns, declared: !schema.is_open() }
    }

    pub fn none() -> Self {
        Self { columns: Vec::new(), declared: true }
    }

    pub fn is_declared(&self) -> bool {
        self.declared
    }

    pub fn len(&self) -> usize {
        self.columns.len()
    }

    pub fn name(&self, column: usize) -> Option<&str> {
        self.columns.get(column).map(|c| c.name.as_str())
    }

    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// A column's value in a record with string keys.
    pub fn get_by_string<'a>(
        &self,
        env: Env<'a>,
        map: Term<'a>,
        column: usize,
    ) -> Option<Term<'a>> {
        let name = self.name(column)?.as_bytes();
        map.map_get(Term::from(NewBinary::from_slice(env, name))).ok()
    }

    /// A column's value in a record with atom keys.
    pub fn get_by_atom<'a>(&self, env: Env<'a>, map: Term<'a>, column: usize) -> Option<Term<'a>> {
        let key = self.columns.get(column)?;
        let atom = match key.atom.get() {
            Some(atom) => *atom,
            None => {
                let atom = Atom::existing_from_str(env, &key.name).ok()?;
                *key.atom.get_or_init(|| atom)
            }
        };
        map.map_get(atom).ok()
    }
}
