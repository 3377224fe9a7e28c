//! [`Schema`]: the columns a clause may use.

use crate::error::Error;
use crate::types::ColumnType;
use std::sync::atomic::{AtomicU64, Ordering};

/// A column's name and type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// The name, as the catalogue has it (not folded, not quoted).
    pub name: String,
    /// The type; `None` only in an open schema, for a column no clause has fixed yet.
    pub ty: Option<ColumnType>,
}

impl Column {
    /// A column of this type.
    #[must_use]
    pub fn new(name: &str, ty: ColumnType) -> Column {
        Column { name: name.to_owned(), ty: Some(ty) }
    }
}

/// One of several tables whose columns stand side by side in a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Relation {
    name: String,
    /// The database schema it is also called by; `None` under an alias.
    namespace: Option<String>,
    columns: std::ops::Range<usize>,
    /// 0 for a query of its own or for a subquery, more for the queries around it.
    level: usize,
}

/// A table as a part of [`Schema::joined`].
#[derive(Clone, Copy, Debug)]
pub struct Part<'s> {
    /// What the query calls it, if not by its own name.
    pub alias: Option<&'s str>,
    /// Its columns.
    pub schema: &'s Schema,
    /// 0 for the query at hand, 1 for the query around it, and so on: inner names hide outer ones.
    pub level: usize,
}

/// What a name leads to.
pub(crate) enum Found {
    Column(usize),
    NoTable,
    NoColumn,
    Ambiguous,
}

/// A table's columns in order. Everywhere else a column is named by its position.
///
/// A *closed* schema knows all columns. An *open* one starts empty: a column comes into being when a
/// clause first uses it, and its type is that of the literal it meets.
///
/// ```
/// use shape_expr::{Column, Schema};
/// let schema = Schema::new("todos", vec![Column::new("id", "int8".parse()?)])?;
/// assert_eq!(schema.position("id"), Some(0));
/// assert_eq!(schema.position("title"), None);
/// # Ok::<(), shape_expr::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Schema {
    table: String,
    columns: Vec<Column>,
    open: bool,
    /// The tables, where there are several.
    relations: Vec<Relation>,
    /// Schemas with one number have the same contents.
    number: u64,
}

impl PartialEq for Schema {
    fn eq(&self, other: &Schema) -> bool {
        let contents = |s: &Schema| (s.open, s.columns.len());
        self.number == other.number
            || contents(self) == contents(other)
                && self.table == other.table
                && self.columns == other.columns
                && self.relations == other.relations
    }
}

impl Eq for Schema {}

fn next_number() -> u64 {
    static NUMBERS: AtomicU64 = AtomicU64::new(0);
    NUMBERS.fetch_add(1, Ordering::Relaxed)
}

impl Schema {
    /// A closed schema. `table` (`todos` or `public.todos`) serves qualified column names.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`] when two columns have one name, or one has no type.
    pub fn new(table: &str, columns: Vec<Column>) -> Result<Schema, Error> {
        let invalid = |message: String| Err(Error::InvalidSchema { message });
        for (i, column) in columns.iter().enumerate() {
            if columns[..i].iter().any(|earlier| earlier.name == column.name) {
                return invalid(format!("column {} is there twice", column.name));
            }
            if column.ty.is_none() {
                return invalid(format!("column {} has no type", column.name));
            }
        }
        Ok(Schema {
            table: table.to_owned(),
            columns,
            open: false,
            relations: Vec::new(),
            number: next_number(),
        })
    }

    /// An open schema without columns.
    #[must_use]
    pub fn open(table: &str) -> Schema {
        let (table, columns) = (table.to_owned(), Vec::new());
        Schema { table, columns, open: true, relations: Vec::new(), number: next_number() }
    }

    /// An open schema with what its clauses taught before: how one that was stored comes back.
    ///
    /// # Errors
    /// [`Error::InvalidSchema`] when two columns have one name.
    pub fn learnt(table: &str, columns: Vec<Column>) -> Result<Schema, Error> {
        for (i, column) in columns.iter().enumerate() {
            if columns[..i].iter().any(|earlier| earlier.name == column.name) {
                let message = format!("column {} is there twice", column.name);
                return Err(Error::InvalidSchema { message });
            }
        }
        Ok(Schema { columns, ..Schema::open(table) })
    }

    /// The columns of a query in a table's place. Several may have one name, which then leads to none of
    /// them; each has its type.
    #[must_use]
    pub fn derived(columns: Vec<Column>) -> Schema {
        let (table, relations) = (String::new(), Vec::new());
        Schema { table, columns, open: false, relations, number: next_number() }
    }

    /// The columns of several tables side by side, in the order of the parts.
    #[must_use]
    pub fn joined(parts: &[Part<'_>]) -> Schema {
        let (mut columns, mut relations) = (Vec::new(), Vec::new());
        for part in parts {
            let start = columns.len();
            columns.extend_from_slice(&part.schema.columns);
            let (namespace, own) = match part.schema.table.rsplit_once('.') {
                Some((namespace, own)) => (namespace, own),
                None => ("public", part.schema.table.as_str()),
            };
            relations.push(Relation {
                name: part.alias.unwrap_or(own).to_owned(),
                namespace: part.alias.is_none().then(|| namespace.to_owned()),
                columns: start..columns.len(),
                level: part.level,
            });
        }
        let (table, number) = (String::new(), next_number());
        Schema { table, columns, open: false, relations, number }
    }

    /// Where the column of this name stands, if the name leads to just one.
    pub(crate) fn find(&self, name: &str, qualifiers: &[String]) -> Found {
        if self.relations.is_empty() {
            return match (self.is_called(qualifiers), self.position(name)) {
                (false, _) => Found::NoTable,
                (true, Some(column)) => Found::Column(column),
                (true, None) => Found::NoColumn,
            };
        }
        let is_called = |relation: &&Relation| match qualifiers {
            [] => true,
            [table] => relation.name == *table,
            [namespace, table] => {
                relation.name == *table && relation.namespace.as_ref() == Some(namespace)
            }
            _ => false,
        };
        let deepest = self.relations.iter().map(|relation| relation.level).max().unwrap_or(0);
        let mut known = false;
        for level in 0..=deepest {
            let on_level = self.relations.iter().filter(|relation| relation.level == level);
            let called: Vec<&Relation> = on_level.filter(is_called).collect();
            known |= !called.is_empty();
            let mut columns = called.iter().flat_map(|relation| relation.columns.clone());
            let mut named = columns.by_ref().filter(|at| self.columns[*at].name == name);
            match (named.next(), named.next()) {
                (Some(_), Some(_)) => return Found::Ambiguous,
                (Some(column), None) => return Found::Column(column),
                // A table of that name hides those further out.
                (None, _) if !called.is_empty() && !qualifiers.is_empty() => {
                    return Found::NoColumn;
                }
                (None, _) => {}
            }
        }
        if known { Found::NoColumn } else { Found::NoTable }
    }

    /// May clauses add columns?
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.open
    }

    /// The table's name as given.
    #[must_use]
    pub fn table(&self) -> &str {
        &self.table
    }

    /// The columns in order.
    #[must_use]
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// Where the column of this name stands.
    #[must_use]
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Do these qualifiers (`todos`, or `public`, `todos`) name this table?
    pub(crate) fn is_called(&self, qualifiers: &[String]) -> bool {
        let mut own = self.table.rsplit('.');
        match qualifiers {
            [] => true,
            [table] => own.next() == Some(table.as_str()),
            [schema, table] => {
                own.next() == Some(table.as_str())
                    && own.next().unwrap_or("public") == schema.as_str()
            }
            _ => false,
        }
    }

    /// What tells this schema's contents from others' without looking at them.
    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    /// Declares a column of an open schema before a clause uses it: then no literal decides its type.
    ///
    /// ```
    /// use shape_expr::{Column, Schema};
    /// let mut schema = Schema::open("todos");
    /// schema.declare(Column::new("user_id", "int4".parse()?))?;
    /// schema.declare(Column::new("user_id", "int4".parse()?))?;
    /// assert!(schema.declare(Column::new("user_id", "text".parse()?)).is_err());
    /// # Ok::<(), shape_expr::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidSchema`] if the column has another type already, or if the schema is closed and
    /// does not have it.
    pub fn declare(&mut self, column: Column) -> Result<(), Error> {
        let invalid = |message: String| Err(Error::InvalidSchema { message });
        let position = self.position(&column.name);
        match position.map(|p| &self.columns[p].ty) {
            Some(Some(known)) if column.ty.as_ref().is_none_or(|ty| ty == known) => Ok(()),
            Some(Some(_)) => invalid(format!("column {} has another type already", column.name)),
            _ if !self.open => invalid(format!("the table has no column {}", column.name)),
            _ => {
                let position = position.unwrap_or_else(|| self.push(&column.name));
                if let Some(ty) = column.ty {
                    self.fix(position, ty);
                }
                Ok(())
            }
        }
    }

    pub(crate) fn push(&mut self, name: &str) -> usize {
        self.number = next_number();
        self.columns.push(Column { name: name.to_owned(), ty: None });
        self.columns.len() - 1
    }

    pub(crate) fn fix(&mut self, column: usize, ty: ColumnType) {
        self.number = next_number();
        self.columns[column].ty = Some(ty);
    }
}
