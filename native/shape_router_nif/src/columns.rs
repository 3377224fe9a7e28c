//! How a table's columns are named in records: by atoms or by strings.

use crate::bare::Bare;
use crate::name_terms::NameTerms;
use rustler::Atom;
use shape_expr::{Column, Schema, Type};
use std::sync::OnceLock;

/// The names of a table's columns, as keys of records.
pub(crate) struct ColumnKeys {
    columns: Vec<ColumnKey>,
    /// The names as strings.
    terms: NameTerms,
    /// The table's columns are declared: a position means the same to everybody.
    declared: bool,
}

/// What a column's type says about how its values are read, where the term alone does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// The type is not known: a term is read as what it looks like.
    Any,
    Number,
    Time,
    Enum,
    Json,
    Other,
}

/// A column's family; of an array, that of its elements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    pub family: Family,
    pub array: bool,
}

impl Kind {
    /// Of a value that belongs to no column.
    pub const ANY: Kind = Kind { family: Family::Any, array: false };

    fn of(column: &Column) -> Kind {
        let Some(ty) = &column.ty else { return Kind::ANY };
        let family = match ty.ty.element().unwrap_or(&ty.ty) {
            Type::Int2 | Type::Int4 | Type::Int8 | Type::Oid => Family::Number,
            Type::Float4 | Type::Float8 | Type::Numeric => Family::Number,
            Type::Date | Type::Time | Type::Timetz => Family::Time,
            Type::Timestamp | Type::Timestamptz => Family::Time,
            Type::Enum(_) => Family::Enum,
            Type::Json | Type::Jsonb => Family::Json,
            _ => Family::Other,
        };
        Kind { family, array: ty.ty.element().is_some() }
    }
}

struct ColumnKey {
    name: String,
    kind: Kind,
    /// Looked up when a record first asks: an atom that nobody has made names no key of any record,
    /// and clauses (which clients write) must not make atoms.
    atom: OnceLock<Atom>,
}

impl ColumnKeys {
    pub fn new(schema: &Schema) -> Self {
        let key = |column: &Column| ColumnKey {
            name: column.name.clone(),
            kind: Kind::of(column),
            atom: OnceLock::new(),
        };
        let columns: Vec<ColumnKey> = schema.columns().iter().map(key).collect();
        let terms = NameTerms::new(columns.iter().map(|c| c.name.as_str()));
        Self { columns, terms, declared: !schema.is_open() }
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

    /// How the column's values are read.
    pub fn kind(&self, column: usize) -> Kind {
        self.columns.get(column).map_or(Kind::ANY, |c| c.kind)
    }

    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| c.name == name)
    }

    /// A column's value in a record with string keys.
    #[inline]
    pub fn get_by_string<'a>(&self, map: Bare<'a>, column: usize) -> Option<Bare<'a>> {
        self.terms.get_from(map, column)
    }

    /// A column's value in a record with atom keys.
    pub fn get_by_atom<'a>(&self, map: Bare<'a>, column: usize) -> Option<Bare<'a>> {
        let key = self.columns.get(column)?;
        let atom = match key.atom.get() {
            Some(atom) => *atom,
            None => {
                let atom = Atom::existing_from_str(map.env(), &key.name).ok()?;
                *key.atom.get_or_init(|| atom)
            }
        };
        map.get(atom)
    }
}
