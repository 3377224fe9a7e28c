//! [`Scope`]: the tables of one query, their columns side by side, and the columns of the query around
//! it.

use shape_expr::sql::TableRef;
use shape_expr::{Part, Schema};

use crate::error::Error;
use crate::table::Tables;

/// A table of the query.
pub(crate) struct Source {
    pub table: usize,
    pub reference: TableRef,
    /// Where its columns begin.
    pub start: usize,
    pub width: usize,
}

pub(crate) struct Scope<'s> {
    tables: &'s Tables,
    pub sources: Vec<Source>,
    /// How many columns the query's own tables have.
    pub width: usize,
    outer: Option<&'s Scope<'s>>,
}

impl<'s> Scope<'s> {
    pub fn new(
        references: &[TableRef],
        tables: &'s Tables,
        outer: Option<&'s Scope<'s>>,
    ) -> Result<Scope<'s>, Error> {
        let mut sources: Vec<Source> = Vec::with_capacity(references.len());
        let mut width = 0;
        for reference in references {
            let name = match &reference.namespace {
                Some(namespace) => format!("{namespace}.{}", reference.name),
                None => reference.name.clone(),
            };
            let at = reference.position;
            let table = tables.find(&name).ok_or(Error::UnknownTable { table: name, at })?;
            let is_same = |other: &&Source| called(&other.reference) == called(reference);
            // Only two tables of different schemas may go by one name, and they are told apart.
            if sources.iter().any(|other| is_same(&other)) {
                let name = called(reference).1.to_owned();
                return Err(Error::DuplicateName { name, at });
            }
            let columns = tables.all[table].types.len();
            let reference = reference.clone();
            sources.push(Source { table, reference, start: width, width: columns });
            width += columns;
        }
        Ok(Scope { tables, sources, width, outer })
    }

    fn parts(&self, sources: std::ops::Range<usize>, level: usize) -> Vec<Part<'_>> {
        let part = |source: &'_ Source| source.table;
        self.sources[sources]
            .iter()
            .map(|source| Part {
                alias: source.reference.alias.as_deref(),
                schema: &self.tables.all[part(source)].schema,
                level,
            })
            .collect()
    }

    /// The columns of some of the tables only: what an ON may speak of.
    pub fn schema_of(&self, sources: std::ops::Range<usize>) -> Schema {
        Schema::joined(&self.parts(sources, 0))
    }

    /// The query's own columns, those of `more` behind them, and then those of the query around it.
    pub fn schema(&self, more: Option<(&str, &Schema)>) -> Schema {
        let mut parts = self.parts(0..self.sources.len(), 0);
        parts.extend(more.map(|(name, schema)| Part { alias: Some(name), schema, level: 0 }));
        if let Some(outer) = self.outer {
            parts.extend(outer.parts(0..outer.sources.len(), 1));
        }
        Schema::joined(&parts)
    }

    /// The table that this column of the query is of.
    pub fn source_of(&self, column: usize) -> Option<usize> {
        self.sources.iter().position(|s| (s.start..s.start + s.width).contains(&column))
    }

    /// The tables that these names before a star mean.
    pub fn called(&self, qualifiers: &[String]) -> Vec<usize> {
        let is_called = |source: &Source| match (qualifiers, called(&source.reference)) {
            ([], _) => true,
            ([name], (_, own)) => name == own,
            ([namespace, name], (Some(own_namespace), own)) => {
                namespace == own_namespace && name == own
            }
            _ => false,
        };
        (0..self.sources.len()).filter(|at| is_called(&self.sources[*at])).collect()
    }
}

/// What a query calls the table: an alias, or its schema and name.
fn called(reference: &TableRef) -> (Option<&str>, &str) {
    match &reference.alias {
        Some(alias) => (None, alias),
        None => (Some(reference.namespace.as_deref().unwrap_or("public")), &reference.name),
    }
}
