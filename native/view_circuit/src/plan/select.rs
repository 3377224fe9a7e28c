//! From a SELECT to a relation: what is selected, and what tells its rows apart.

use shape_expr::sql::{Item, Select, SortBy, SqlExpr};
use shape_expr::{Analysed, ColumnType, Schema, Type};

use super::group::{Grouped, invalid};
use super::order::{by_name, by_place};
use super::{Planner, Relation, Rows, SortColumn, unsupported};
use crate::error::Error;
use crate::graph::{Counted, NodeId, Operator, Output};
use crate::scope::Scope;
use crate::view::OutputColumn;

/// Something selected: a column that a star stands for, or a value to be read.
pub(super) enum Selected<'q> {
    Column(Analysed),
    Value(&'q SqlExpr),
}

/// Rows to select from, and how values over them are read.
struct From<'f> {
    rows: Rows,
    scope: &'f Scope<'f>,
    schema: Schema,
    grouped: Option<Grouped>,
}

impl Planner<'_> {
    /// One SELECT, with the ORDER BY that follows it.
    pub(super) fn select(
        &mut self,
        select: &Select,
        order: &[SortBy],
        outer: Option<&Scope<'_>>,
    ) -> Result<Relation, Error> {
        let scope = self.scope(select, outer)?;
        let (rows, correlated) = self.rows(select, &scope)?;
        if let Some(condition) = correlated.first() {
            return Err(unsupported(
                "a condition on the query around it, in a subquery that groups, counts, cuts or \
                 puts together,",
                condition.position(),
            ));
        }
        self.select_from(select, order, rows, &scope, Vec::new())
    }

    /// What is selected of these rows, and behind it columns of these values.
    pub(super) fn select_from(
        &mut self,
        select: &Select,
        order: &[SortBy],
        rows: Rows,
        scope: &Scope<'_>,
        links: Vec<Analysed>,
    ) -> Result<Relation, Error> {
        let selected = self.selected(select, scope)?;
        let mut from = self.from(select, &selected, rows, scope)?;
        let mut items: Vec<(String, Analysed)> = Vec::with_capacity(selected.len());
        for (name, item) in &selected {
            let value = self.value_of(item, &mut from)?;
            if select.distinct {
                self.compiler.check_equality(&value)?;
            }
            items.push((name.clone(), value));
        }
        let mut sorted = Vec::with_capacity(order.len());
        for by in order {
            let column = self.sort_item(by, select, &mut items, selected.len(), &mut from)?;
            sorted.push(SortColumn::new(column, by));
        }
        if let Some(having) = &select.having {
            self.having(having, &mut from)?;
        }
        items.extend(links.into_iter().map(|link| (String::new(), link)));
        self.relation(select, items, selected.len(), sorted, from)
    }

    /// The relation of these items, of which so many are shown and the others sorted by.
    fn relation(
        &mut self,
        select: &Select,
        items: Vec<(String, Analysed)>,
        shown: usize,
        mut order: Vec<SortColumn>,
        from: From<'_>,
    ) -> Result<Relation, Error> {
        let From { rows, scope, schema, grouped } = from;
        let rows_schema = grouped.as_ref().map(|grouped| grouped.output());
        let (mut columns, mut literals) = (Vec::new(), Vec::new());
        let (mut outputs, mut types) = (Vec::new(), Vec::new());
        for (at, (name, value)) in items.into_iter().enumerate() {
            let literal = (*value.ty() == Type::Unknown).then(|| value.clone());
            let value = match literal {
                Some(_) => self.compiler.cast(value, &Type::Text)?,
                None => value,
            };
            types.push(self.compiler.column_type(&value, rows_schema.as_ref().unwrap_or(&schema)));
            if at < shown {
                columns.push(OutputColumn { name, ty: value.ty().clone() });
                literals.push(literal);
            }
            outputs.push(match grouped {
                Some(_) => self.computed(value)?,
                None => self.output(value, &rows, scope)?,
            });
        }
        if select.distinct {
            // What is sorted by is selected: there are no others.
            let id: Vec<usize> = (0..shown).collect();
            let is_unique = grouped.is_none() && {
                let mut keys = scope.sources.iter().flat_map(|source| {
                    source.key.iter().map(|column| rows.place(scope, source.start + column))
                });
                // No two rows are alike in all that tells them apart.
                keys.all(|key| outputs.iter().any(|o| matches!(o, Output::Column(c) if *c == key)))
            };
            let node = match grouped {
                Some(grouped) => self.aggregated(grouped, rows, scope)?,
                None => rows.node,
            };
            let node = self.node(Operator::Map(outputs), &[node]);
            let node = if is_unique { node } else { self.distinct(node, &types) };
            return Ok(Relation { node, columns, types, id, order, literals });
        }
        // The id before what is only sorted by.
        let (mut id_outputs, mut id_types) = (Vec::new(), Vec::<ColumnType>::new());
        let node = match grouped {
            Some(grouped) => {
                for (at, ty) in grouped.keys().enumerate() {
                    id_outputs.push(Output::Column(at));
                    id_types.push(ty);
                }
                self.aggregated(grouped, rows, scope)?
            }
            None => {
                for source in &scope.sources {
                    for column in &source.key {
                        let column_of_row = rows.place(scope, source.start + column);
                        id_outputs.push(Output::Column(column_of_row));
                        id_types.push(source.types[*column].clone());
                    }
                }
                rows.node
            }
        };
        let count = id_outputs.len();
        outputs.splice(shown..shown, id_outputs);
        types.splice(shown..shown, id_types);
        for by in &mut order {
            if by.column >= shown {
                by.column += count;
            }
        }
        let node = self.node(Operator::Map(outputs), &[node]);
        let id = (shown..shown + count).collect();
        Ok(Relation { node, columns, types, id, order, literals })
    }

    /// Rows once each, of columns of these types.
    pub(super) fn distinct(&mut self, rows: NodeId, types: &[ColumnType]) -> NodeId {
        if let Some(kind) = Counted::of(types.iter().map(|ty| &ty.ty)) {
            return self.node(Operator::Counted(kind), &[rows]);
        }
        let arranged = self.node(Operator::Arrange((0..types.len()).collect()), &[rows]);
        self.node(Operator::Distinct, &[arranged])
    }

    /// The tables of a SELECT, those that are queries planned.
    pub(super) fn scope<'s>(
        &mut self,
        select: &Select,
        outer: Option<&'s Scope<'s>>,
    ) -> Result<Scope<'s>, Error> {
        let mut queries = Vec::with_capacity(select.tables.len());
        for table in &select.tables {
            let relation = table.query.as_ref().map(|query| self.query(query, None));
            queries.push(relation.transpose()?);
        }
        Scope::new(&select.tables, queries, self.tables, outer)
    }

    /// What is selected, with what it is called, stars written out.
    pub(super) fn selected<'q>(
        &self,
        select: &'q Select,
        scope: &Scope<'_>,
    ) -> Result<Vec<(String, Selected<'q>)>, Error> {
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
                        let named = source.schema.columns().iter().zip(&source.types);
                        items.extend(named.enumerate().take(source.shown).map(
                            |(at, (column, ty))| {
                                let (ty, at) = (ty.ty.clone(), source.start + at);
                                let column_of = Analysed::column(at, ty, *position);
                                (column.name.clone(), Selected::Column(column_of))
                            },
                        ));
                    }
                }
                Item::Branch { position, .. } => {
                    return Err(unsupported(
                        "ARRAY (SELECT ...) but in a view that is a tree",
                        *position,
                    ));
                }
                Item::Value { value, name } => {
                    let name = name.clone().unwrap_or_else(|| "?column?".to_owned());
                    items.push((name, Selected::Value(value)));
                }
            }
        }
        Ok(items)
    }

    /// The values that a subquery selects.
    pub(super) fn items(
        &mut self,
        select: &Select,
        scope: &Scope<'_>,
    ) -> Result<Vec<Analysed>, Error> {
        let schema = scope.schema(None);
        let mut items = Vec::new();
        for (_, item) in self.selected(select, scope)? {
            items.push(match item {
                Selected::Column(value) => value,
                Selected::Value(value) => {
                    let value = self.compiler.analyse_value(value, &schema, self.params);
                    value.map_err(as_item)?
                }
            });
        }
        Ok(items)
    }

    /// The rows to select from: groups, if it groups.
    fn from<'f>(
        &mut self,
        select: &Select,
        selected: &[(String, Selected<'_>)],
        rows: Rows,
        scope: &'f Scope<'f>,
    ) -> Result<From<'f>, Error> {
        let is_grouped =
            !select.group.is_empty() || select.having.is_some() || !select.aggregates.is_empty();
        let (grouped, schema) = match is_grouped {
            false => (None, scope.schema(None)),
            true => {
                let (grouped, schema) = self.grouped(select, selected, scope)?;
                (Some(grouped), schema)
            }
        };
        Ok(From { rows, scope, schema, grouped })
    }

    fn value_of(&mut self, item: &Selected<'_>, from: &mut From<'_>) -> Result<Analysed, Error> {
        let value = match item {
            Selected::Column(value) => value.clone(),
            Selected::Value(value) => {
                let value = self.compiler.analyse_item(value, &from.schema, self.params);
                value.map_err(as_item)?
            }
        };
        match &mut from.grouped {
            Some(grouped) => grouped.value(value, from.scope),
            None => match value.find_column(|column| column >= from.scope.width) {
                None => Ok(value),
                Some((_, position)) => {
                    let what = "a subquery that selects from the query around it";
                    Err(unsupported(what, position))
                }
            },
        }
    }

    /// Where among the items, new ones put behind, what is sorted by stands.
    fn sort_item(
        &mut self,
        by: &SortBy,
        select: &Select,
        items: &mut Vec<(String, Analysed)>,
        shown: usize,
        from: &mut From<'_>,
    ) -> Result<usize, Error> {
        let mut found = by_place(&by.value, shown, "ORDER BY")?;
        if found.is_none() {
            found = by_name(&by.value, &items[..shown], "ORDER BY")?;
        }
        let at = match found {
            Some(at) => at,
            None => {
                let value = self.value_of(&Selected::Value(&by.value), from)?;
                match items.iter().position(|(_, item)| item.is_same(&value)) {
                    Some(at) => at,
                    None if select.distinct => {
                        let message = "for SELECT DISTINCT, ORDER BY expressions must appear in \
                                       select list";
                        return Err(invalid(message, "42P10", by.value.position()));
                    }
                    None => {
                        items.push((String::new(), value));
                        items.len() - 1
                    }
                }
            }
        };
        let rows_schema = from.grouped.as_ref().map(Grouped::output);
        let schema = rows_schema.as_ref().unwrap_or(&from.schema);
        self.compiler.check_order(&items[at].1, schema, self.params)?;
        Ok(at)
    }

    fn having(&mut self, having: &SqlExpr, from: &mut From<'_>) -> Result<(), Error> {
        let Some(grouped) = &mut from.grouped else { return Ok(()) };
        for arm in having.clone().conjuncts() {
            let arm = self.compiler.analyse_condition(&arm, &from.schema, self.params)?;
            let arm = grouped.value(arm, from.scope)?;
            grouped.having.push(self.compiler.predicate(arm)?);
        }
        Ok(())
    }
}

/// What a condition must not contain, SELECT could; it does not yet.
fn as_item(error: shape_expr::Error) -> Error {
    match error {
        shape_expr::Error::WindowFunction { name, position } => {
            unsupported(&format!("window function {name}"), position)
        }
        shape_expr::Error::Aggregate { name, position } => {
            unsupported(&format!("aggregate function {name} here"), position)
        }
        other => other.into(),
    }
}

impl Relation {
    /// The columns shown, as names lead to them.
    pub fn schema(&self) -> Schema {
        let named = self.columns.iter().zip(&self.types);
        let column = |(column, ty): (&OutputColumn, &ColumnType)| {
            shape_expr::Column::new(&column.name, ty.clone())
        };
        Schema::derived(named.map(column).collect())
    }
}
