//! From a SELECT to a relation: what is selected, and what tells its rows apart.

use shape_expr::sql::{Item, Select};
use shape_expr::{Analysed, Type};

use super::{Planner, unsupported};
use crate::error::Error;
use crate::graph::{NodeId, Operator, Output};
use crate::scope::Scope;
use crate::view::OutputColumn;

/// What a query gives. Rows with different ids are different rows, and no two have one id.
pub(crate) struct Relation {
    pub node: NodeId,
    /// What is shown: the first columns of the node's rows.
    pub columns: Vec<OutputColumn>,
    /// The types of all columns.
    pub types: Vec<Type>,
    /// Where the columns of the id stand.
    pub id: Vec<usize>,
}

impl Planner<'_> {
    /// A query on its own.
    pub fn view(&mut self, select: &Select) -> Result<Relation, Error> {
        let tables = self.tables;
        let scope = Scope::new(&select.tables, tables, None)?;
        let (rows, _) = self.rows(select, &scope)?;
        let (mut outputs, mut columns) = (Vec::new(), Vec::new());
        for (name, value) in self.items(select, &scope)? {
            if select.distinct {
                self.compiler.check_equality(&value)?;
            }
            columns.push(OutputColumn { name, ty: value.ty().clone() });
            outputs.push(self.output(value, &rows, &scope)?);
        }
        let mut types: Vec<Type> = columns.iter().map(|column| column.ty.clone()).collect();
        if select.distinct {
            let id: Vec<usize> = (0..types.len()).collect();
            let node = self.node(Operator::Map(outputs), &[rows.node]);
            let arranged = self.node(Operator::Arrange(id.clone()), &[node]);
            let node = self.node(Operator::Distinct, &[arranged]);
            return Ok(Relation { node, columns, types, id });
        }
        for source in &scope.sources {
            let table = &self.tables.all[source.table];
            for column in &table.key {
                outputs.push(Output::Column(rows.place(&scope, source.start + column)));
                types.push(table.types[*column].ty.clone());
            }
        }
        let node = self.node(Operator::Map(outputs), &[rows.node]);
        let id = (columns.len()..types.len()).collect();
        Ok(Relation { node, columns, types, id })
    }

    /// What is selected, with what it is called, stars written out.
    pub(super) fn items(
        &mut self,
        select: &Select,
        scope: &Scope<'_>,
    ) -> Result<Vec<(String, Analysed)>, Error> {
        let schema = scope.schema(None);
        let mut items = Vec::with_capacity(select.items.len());
        for item in &select.items {
            match item {
                Item::All { qualifiers, position } => {
                    let sources = scope.called(qualifiers);
                    if sources.is_empty() {
                        let table = qualifiers.join(".");
                        return Err(Error::UnknownTable { table, at: *position });
                    }
                    for source in sources.iter().map(|source| &scope.sources[*source]) {
                        let table = &self.tables.all[source.table];
                        let named = table.schema.columns().iter().zip(&table.types);
                        items.extend(named.enumerate().map(|(at, (column, ty))| {
                            let (ty, at) = (ty.ty.clone(), source.start + at);
                            (column.name.clone(), Analysed::column(at, ty, *position))
                        }));
                    }
                }
                Item::Value { value, name } => {
                    let value = self.compiler.analyse_value(value, &schema, self.params);
                    let value = value.map_err(as_item)?;
                    items.push((name.clone().unwrap_or_else(|| "?column?".to_owned()), value));
                }
            }
        }
        Ok(items)
    }
}

/// What a condition must not contain, SELECT could; it does not yet.
fn as_item(error: shape_expr::Error) -> Error {
    match error {
        shape_expr::Error::Aggregate { name, position } => {
            unsupported(&format!("aggregate function {name}"), position)
        }
        shape_expr::Error::WindowFunction { name, position } => {
            unsupported(&format!("window function {name}"), position)
        }
        other => other.into(),
    }
}
