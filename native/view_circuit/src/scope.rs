//! [`Scope`]: the tables of one query, their columns side by side, and the columns of the query around
//! it.

use std::sync::Arc;

use shape_expr::sql::TableRef;
use shape_expr::{Column, ColumnType, Part, Schema};

use crate::error::Error;
use crate::graph::NodeId;
use crate::plan::Relation;
use crate::table::Tables;

/// A table of the query, or a query in the place of one.
pub(crate) struct Source {
    pub origin: Origin,
    pub reference: TableRef,
    /// Where its columns begin.
    pub start: usize,
    /// How many columns there are; those behind `shown` no name leads to.
    pub width: usize,
    pub shown: usize,
    pub schema: Arc<Schema>,
    pub types: Vec<ColumnType>,
    /// Where the columns stand that tell its rows apart.
    pub key: Vec<usize>,
}

/// Where a source's rows come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Table(usize),
    Query(NodeId),
}

pub(crate) struct Scope<'s> {
    pub sources: Vec<Source>,
    /// How many columns the query's own tables have.
    pub width: usize,
    outer: Option<&'s Scope<'s>>,
}

impl<'s> Scope<'s> {
    /// The tables of a FROM; what its queries give was found out before.
    pub fn new(
        references: &[TableRef],
        mut queries: Vec<Option<Relation>>,
        tables: &Tables,
        outer: Option<&'s Scope<'s>>,
    ) -> Result<Scope<'s>, Error> {
        let mut sources: Vec<Source> = Vec::with_capacity(references.len());
        let mut width = 0;
        for (number, reference) in references.iter().enumerate() {
            let at = reference.position;
            let is_same = |other: &&Source| called(&other.reference) == called(reference);
            // Only two tables of different schemas may go by one name, and they are told apart.
            if sources.iter().any(|other| is_same(&other)) {
                let name = called(reference).1.to_owned();
                return Err(Error::DuplicateName { name, at });
            }
            let relation = queries.get_mut(number).and_then(Option::take);
            let source = match relation {
                Some(relation) => from_query(relation, reference.clone(), width),
                None => from_table(tables, reference.clone(), width)?,
            };
            width += source.width;
            sources.push(source);
        }
        Ok(Scope { sources, width, outer })
    }

    fn parts(&self, sources: std::ops::Range<usize>, level: usize) -> Vec<Part<'_>> {
        self.sources[sources]
            .iter()
            .map(|source| Part {
                alias: source.reference.alias.as_deref(),
                schema: &source.schema,
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

fn from_table(tables: &Tables, reference: TableRef, start: usize) -> Result<Source, Error> {
    let name = match &reference.namespace {
        Some(namespace) => format!("{namespace}.{}", reference.name),
        None => reference.name.clone(),
    };
    let at = reference.position;
    let number = tables.find(&name).ok_or(Error::UnknownTable { table: name, at })?;
    let table = &tables.all[number];
    Ok(Source {
        origin: Origin::Table(number),
        reference,
        start,
        width: table.types.len(),
        shown: table.types.len(),
        schema: table.schema.clone(),
        types: table.types.clone(),
        key: table.key.clone(),
    })
}

fn from_query(relation: Relation, reference: TableRef, start: usize) -> Source {
    let Relation { node, columns, types, id: key, .. } = relation;
    let shown = columns.len();
    let named = types.iter().enumerate().map(|(at, ty)| {
        let hidden = || format!("\0hidden {at}");
        let name = columns.get(at).map_or_else(hidden, |column| column.name.clone());
        Column::new(&name, ty.clone())
    });
    let schema = Arc::new(Schema::derived(named.collect()));
    Source {
        origin: Origin::Query(node),
        reference,
        start,
        width: types.len(),
        shown,
        schema,
        types,
        key,
    }
}

/// What a query calls the table: an alias, or its schema and name.
fn called(reference: &TableRef) -> (Option<&str>, &str) {
    match &reference.alias {
        Some(alias) => (None, alias),
        None => (Some(reference.namespace.as_deref().unwrap_or("public")), &reference.name),
    }
}
