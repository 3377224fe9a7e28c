//! The names of tables.

use crate::error::Error;
use std::str::FromStr;

/// A table's schema and name.
///
/// ```
/// use wal_change::TableName;
/// let name: TableName = "todos".parse()?;
/// assert_eq!((name.schema(), name.table()), ("public", "todos"));
/// let name: TableName = r#"app."Todo list""#.parse()?;
/// assert_eq!((name.schema(), name.table()), ("app", "Todo list"));
/// # Ok::<(), wal_change::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableName {
    schema: String,
    table: String,
}

impl TableName {
    /// A name of these parts.
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { schema: schema.into(), table: table.into() }
    }

    /// The schema.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    /// The table's name in it.
    pub fn table(&self) -> &str {
        &self.table
    }
}

/// `table` (in the schema `public`) or `schema.table`. Names are taken as they are written; within
/// double quotes they may have a dot, and a double quote as two.
impl FromStr for TableName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::InvalidName { text: text.chars().take(64).collect() };
        let (first, rest) = part(text).ok_or_else(invalid)?;
        let Some(rest) = rest else { return Ok(Self::new("public", first)) };
        match part(rest) {
            Some((second, None)) => Ok(Self::new(first, second)),
            _ => Err(invalid()),
        }
    }
}

/// The first part of a name, and what follows its dot.
fn part(text: &str) -> Option<(String, Option<&str>)> {
    let Some(mut quoted) = text.strip_prefix('"') else {
        let (name, rest) = text.split_once('.').map_or((text, None), |(n, r)| (n, Some(r)));
        return (!name.is_empty()).then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    loop {
        let (before, after) = quoted.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                quoted = more;
            }
            None if name.is_empty() => return None,
            None if after.is_empty() => return Some((name, None)),
            None => return Some((name, Some(after.strip_prefix('.')?))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_or_two_parts() {
        let parse = |text: &str| text.parse::<TableName>().ok();
        assert_eq!(parse("todos"), Some(TableName::new("public", "todos")));
        assert_eq!(parse("app.todos"), Some(TableName::new("app", "todos")));
        assert_eq!(parse(r#""a.b"."c""d""#), Some(TableName::new("a.b", "c\"d")));
        for wrong in ["", ".", "a.", ".a", "a.b.c", "\"a", "\"a\"b", "\"\"", "\"a\".\"\""] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
