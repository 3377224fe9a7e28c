//! GROUP BY, HAVING and aggregate functions.

use shape_expr::sql::{AGGREGATES, AggregateCall, Select, aggregate_name};
use shape_expr::{Aggregate, Analysed, ColumnType, Predicate, Schema};

use super::order::{by_name, by_place};
use super::select::Selected;
use super::{Planner, Rows, typed, unsupported};
use crate::error::Error;
use crate::graph::{Call, Grouping, NodeId, Operator};
use crate::scope::{Origin, Scope};

/// A query's groups. Their rows have the values grouped by, what the aggregate functions give, and
/// then columns that are the same for a whole group because its table's primary key is.
pub(super) struct Grouped {
    keys: Vec<(Analysed, ColumnType)>,
    calls: Vec<PlannedCall>,
    /// Which of the calls each one in the query's text is.
    places: Vec<usize>,
    /// Columns of the scope.
    carried: Vec<(usize, ColumnType)>,
    /// How many columns the schema has that values are read by.
    width: usize,
    pub having: Vec<Predicate>,
}

struct PlannedCall {
    aggregate: Aggregate,
    ty: ColumnType,
    arg: Option<Analysed>,
    filter: Option<Analysed>,
    distinct: bool,
}

/// Whether it is one that is called with one value and never with more.
fn takes_one(name: &str) -> bool {
    ["count", "sum", "avg", "min", "max", "bool_and", "bool_or", "every"].contains(&name)
}

pub(super) fn invalid(message: &str, sqlstate: &'static str, position: usize) -> Error {
    let message = message.to_owned();
    shape_expr::Error::InvalidQuery { message, sqlstate, position }.into()
}

impl Planner<'_> {
    /// What a query groups by and counts, and the columns that values over its groups may read.
    pub(super) fn grouped(
        &mut self,
        select: &Select,
        selected: &[(String, Selected<'_>)],
        scope: &Scope<'_>,
    ) -> Result<(Grouped, Schema), Error> {
        let schema = scope.schema(None);
        let mut keys: Vec<(Analysed, ColumnType)> = Vec::new();
        for value in &select.group {
            let key = match by_place(value, selected.len(), "GROUP BY")? {
                Some(at) => self.group_item(&selected[at].1, &schema)?,
                None => match self.compiler.analyse_value(value, &schema, self.params) {
                    Ok(key) => key,
                    // A name that no column has may be that of something selected.
                    Err(unknown @ shape_expr::Error::UnknownColumn { .. }) => {
                        match self.group_by_name(value, selected, &schema)? {
                            Some(key) => key,
                            None => return Err(unknown.into()),
                        }
                    }
                    Err(error) => return Err(in_group_by(error)),
                },
            };
            self.own(&key, scope)?;
            self.compiler.check_equality(&key)?;
            if !keys.iter().any(|(known, _)| known.is_same(&key)) {
                let ty = self.compiler.column_type(&key, &schema);
                keys.push((key, ty));
            }
        }
        let (mut calls, mut places) = (Vec::<PlannedCall>::new(), Vec::new());
        for call in &select.aggregates {
            let call = self.aggregate_call(call, scope, &schema)?;
            let known = calls.iter().position(|known| known.is_same(&call));
            places.push(known.unwrap_or(calls.len()));
            if known.is_none() {
                calls.push(call);
            }
        }
        let results = places.iter().enumerate();
        let results = results.map(|(at, place)| (aggregate_name(at), calls[*place].ty.clone()));
        let schema = scope.schema(Some((AGGREGATES, &typed(AGGREGATES, results.collect())?)));
        let width = schema.columns().len();
        let (carried, having) = (Vec::new(), Vec::new());
        Ok((Grouped { keys, calls, places, carried, width, having }, schema))
    }

    fn group_item(&mut self, item: &Selected<'_>, schema: &Schema) -> Result<Analysed, Error> {
        match item {
            Selected::Column(value) => Ok(value.clone()),
            Selected::Value(value) => {
                let position = value.position();
                if value.has_aggregates() {
                    let message = "aggregate functions are not allowed in GROUP BY";
                    return Err(invalid(message, "42803", position));
                }
                Ok(self.compiler.analyse_value(value, schema, self.params)?)
            }
        }
    }

    fn group_by_name(
        &mut self,
        value: &shape_expr::sql::SqlExpr,
        selected: &[(String, Selected<'_>)],
        schema: &Schema,
    ) -> Result<Option<Analysed>, Error> {
        let mut items = Vec::new();
        for (name, item) in selected {
            if value.as_name() == Some(name) {
                items.push((name.clone(), self.group_item(item, schema)?));
            }
        }
        Ok(by_name(value, &items, "GROUP BY")?.map(|at| items.swap_remove(at).1))
    }

    fn aggregate_call(
        &mut self,
        call: &AggregateCall,
        scope: &Scope<'_>,
        schema: &Schema,
    ) -> Result<PlannedCall, Error> {
        let position = call.position;
        let unknown = |signature: String| {
            Error::from(shape_expr::Error::UnknownFunction { signature, position })
        };
        let arg = match (call.args.as_slice(), call.star) {
            ([], true) => None,
            ([arg], false) => {
                let arg = self.compiler.analyse_value(arg, schema, self.params);
                Some(arg.map_err(nested)?)
            }
            ([], false) if call.name == "count" => {
                let message = "count(*) must be used to call a parameterless aggregate function";
                return Err(invalid(message, "42809", position));
            }
            // Those that there are take one value; of the others PostgreSQL has some that take two.
            (args, star) if args.len() > 1 && !star && !takes_one(&call.name) => {
                return Err(unsupported(&format!("aggregate function {}", call.name), position));
            }
            (args, _) => return Err(unknown(format!("{} of {} values", call.name, args.len()))),
        };
        let filter = call.filter.clone().map(|filter| {
            let filter = self.compiler.analyse_condition(&filter, schema, self.params);
            filter.map_err(in_filter)
        });
        let filter = filter.transpose()?;
        for value in arg.iter().chain(&filter) {
            self.own(value, scope)?;
        }
        let (aggregate, ty) = self.compiler.aggregate(&call.name, arg.as_ref(), position)?;
        let mut ty = ColumnType::new(ty);
        if let Some(arg) = &arg {
            if call.distinct {
                self.compiler.check_equality(arg)?;
            }
            if matches!(aggregate, Aggregate::Min | Aggregate::Max) {
                self.compiler.check_order(arg, schema, self.params)?;
                ty.collation = self.compiler.column_type(arg, schema).collation;
            }
        } else if call.distinct {
            let message = "DISTINCT specified, but count(*) has no value".to_owned();
            return Err(shape_expr::Error::Syntax { message, position }.into());
        }
        // Of these it makes no difference.
        let distinct = call.distinct
            && !matches!(
                aggregate,
                Aggregate::Min | Aggregate::Max | Aggregate::And | Aggregate::Or
            );
        Ok(PlannedCall { aggregate, ty, arg, filter, distinct })
    }

    /// Refuses what reads the query around this one.
    fn own(&self, value: &Analysed, scope: &Scope<'_>) -> Result<(), Error> {
        match value.find_column(|column| column >= scope.width) {
            None => Ok(()),
            Some((_, position)) => {
                let what = "a group or an aggregate function over the query around it";
                Err(super::unsupported(what, position))
            }
        }
    }

    /// The node that gives the groups, and those only of which HAVING is true.
    pub(super) fn aggregated(
        &mut self,
        grouped: Grouped,
        rows: Rows,
        scope: &Scope<'_>,
    ) -> Result<NodeId, Error> {
        let Grouped { keys, calls, carried, having, .. } = grouped;
        let count = keys.len();
        let mut outputs = Vec::new();
        for (key, _) in keys {
            outputs.push(self.output(key, &rows, scope)?);
        }
        let mut planned: Vec<Call> = Vec::with_capacity(calls.len());
        // One column for each value, however many functions take it.
        let mut inputs: Vec<(Analysed, usize)> = Vec::new();
        for PlannedCall { aggregate, arg, filter, distinct, .. } in calls {
            let mut column = |value: Option<Analysed>| -> Result<Option<usize>, Error> {
                let Some(value) = value else { return Ok(None) };
                if let Some((_, at)) = inputs.iter().find(|(known, _)| known.is_same(&value)) {
                    return Ok(Some(*at));
                }
                inputs.push((value.clone(), outputs.len()));
                outputs.push(self.output(value, &rows, scope)?);
                Ok(Some(outputs.len() - 1))
            };
            let (arg, filter) = (column(arg)?, column(filter)?);
            planned.push(Call { aggregate, arg, filter, distinct });
        }
        let first = outputs.len();
        for (column, ty) in &carried {
            let column = Analysed::column(*column, ty.ty.clone(), 0);
            outputs.push(self.output(column, &rows, scope)?);
        }
        let carried = (first..outputs.len()).collect();
        let input = self.node(Operator::Map(outputs), &[rows.node]);
        let grouping = Grouping { keys: count, calls: planned, carried };
        let mut node = self.node(Operator::Aggregate(grouping.into()), &[input]);
        for predicate in having {
            node = self.node(Operator::Filter(predicate), &[node]);
        }
        Ok(node)
    }
}

impl Grouped {
    /// A value over groups, of columns of their rows.
    pub fn value(&mut self, value: Analysed, scope: &Scope<'_>) -> Result<Analysed, Error> {
        let keys: Vec<Analysed> = self.keys.iter().map(|(key, _)| key.clone()).collect();
        let value = value.replaced(&keys, self.width);
        loop {
            let is_open = |column: usize| column < scope.width && self.carried(column).is_none();
            let Some((column, position)) = value.find_column(is_open) else { break };
            self.carry(column, position, scope)?;
        }
        let results = scope.width..scope.width + self.places.len();
        let read_outside = |column: usize| column >= results.end && column < self.width;
        if let Some((_, position)) = value.find_column(read_outside) {
            let what = "a subquery that selects from the query around it";
            return Err(super::unsupported(what, position));
        }
        let (keys, calls) = (self.keys.len(), self.calls.len());
        Ok(value.moved(|column| {
            if column >= self.width {
                column - self.width
            } else if results.contains(&column) {
                keys + self.places[column - results.start]
            } else {
                keys + calls + self.carried(column).unwrap_or_default()
            }
        }))
    }

    fn carried(&self, column: usize) -> Option<usize> {
        self.carried.iter().position(|(known, _)| *known == column)
    }

    /// A column that is not grouped by: it must be of a table whose primary key is.
    fn carry(&mut self, column: usize, position: usize, scope: &Scope<'_>) -> Result<(), Error> {
        let source = scope.source_of(column).map(|source| &scope.sources[source]);
        let Some(source) = source else { return Ok(()) };
        let is_key = |at: &usize| {
            let column = source.start + at;
            self.keys.iter().any(|(key, _)| key.as_column() == Some(column))
        };
        if matches!(source.origin, Origin::Query(_)) || !source.key.iter().all(is_key) {
            let name = &source.schema.columns()[column - source.start].name;
            let table = source.reference.alias.as_ref().unwrap_or(&source.reference.name);
            let message = format!(
                "column \"{table}.{name}\" must appear in the GROUP BY clause or be used in an \
                 aggregate function"
            );
            return Err(invalid(&message, "42803", position));
        }
        self.carried.push((column, source.types[column - source.start].clone()));
        Ok(())
    }

    /// The types of what is grouped by.
    pub fn keys(&self) -> impl Iterator<Item = ColumnType> {
        self.keys.iter().map(|(_, ty)| ty.clone())
    }

    /// The columns of the groups' rows.
    pub fn output(&self) -> Schema {
        let keys = self.keys.iter().map(|(_, ty)| ty);
        let types = keys.chain(self.calls.iter().map(|call| &call.ty));
        let types = types.chain(self.carried.iter().map(|(_, ty)| ty));
        let column =
            |(at, ty): (usize, &ColumnType)| shape_expr::Column::new(&at.to_string(), ty.clone());
        Schema::derived(types.enumerate().map(column).collect())
    }
}

impl PlannedCall {
    fn is_same(&self, other: &PlannedCall) -> bool {
        let same = |a: &Option<Analysed>, b: &Option<Analysed>| match (a, b) {
            (Some(a), Some(b)) => a.is_same(b),
            (None, None) => true,
            _ => false,
        };
        (self.aggregate, self.distinct) == (other.aggregate, other.distinct)
            && same(&self.arg, &other.arg)
            && same(&self.filter, &other.filter)
    }
}

/// An aggregate function where none may stand.
fn misplaced(error: shape_expr::Error, message: &str) -> Error {
    match error {
        shape_expr::Error::Aggregate { position, .. } => invalid(message, "42803", position),
        other => other.into(),
    }
}

fn nested(error: shape_expr::Error) -> Error {
    misplaced(error, "aggregate function calls cannot be nested")
}

fn in_group_by(error: shape_expr::Error) -> Error {
    misplaced(error, "aggregate functions are not allowed in GROUP BY")
}

fn in_filter(error: shape_expr::Error) -> Error {
    misplaced(error, "aggregate functions are not allowed in FILTER")
}
