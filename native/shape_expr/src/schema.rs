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
        Ok(Schema { table: table.to_owned(), columns, open: false, number: next_number() })
    }

    /// An open schema without columns.
    #[must_use]
    pub fn open(table: &str) -> Schema {
        Schema { table: table.to_owned(), columns: Vec::new(), open: true, number: next_number() }
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
