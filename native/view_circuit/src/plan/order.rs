//! ORDER BY, and the ways in which ORDER BY and GROUP BY name what is selected.

use std::cmp::Ordering;

use shape_expr::sql::{SortBy, SqlExpr};
use shape_expr::{Analysed, Owned};

use super::{Planner, Relation};
use crate::error::Error;

/// A column that rows are sorted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct SortColumn {
    pub column: usize,
    pub descending: bool,
    pub nulls_first: bool,
}

impl SortColumn {
    pub fn new(column: usize, by: &SortBy) -> SortColumn {
        SortColumn { column, descending: by.descending, nulls_first: by.nulls_first }
    }

    /// The order of two values of the column.
    pub fn compare(&self, a: &Owned, b: &Owned) -> Ordering {
        match (a.is_null(), b.is_null()) {
            (true, true) => Ordering::Equal,
            (true, false) if self.nulls_first => Ordering::Less,
            (true, false) => Ordering::Greater,
            (false, true) if self.nulls_first => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => {
                let order = a.value().compare(&b.value());
                if self.descending { order.reverse() } else { order }
            }
        }
    }
}

/// The item that a number means, if it is one.
pub(super) fn by_place(
    value: &SqlExpr,
    count: usize,
    clause: &str,
) -> Result<Option<usize>, Error> {
    let position = value.position();
    match value.as_integer() {
        Some(place) => {
            let at = usize::try_from(place).ok().and_then(|place| place.checked_sub(1));
            match at.filter(|at| *at < count) {
                Some(at) => Ok(Some(at)),
                None => {
                    let message = format!("{clause} position {place} is not in select list");
                    let sqlstate = "42P10";
                    let error = shape_expr::Error::InvalidQuery { message, sqlstate, position };
                    Err(error.into())
                }
            }
        }
        None if value.is_literal() => {
            let message = format!("non-integer constant in {clause}");
            Err(shape_expr::Error::Syntax { message, position }.into())
        }
        None => Ok(None),
    }
}

/// The item of this name, if it is a name and there is one. Two of one name are one only if they are
/// the same.
pub(super) fn by_name(
    value: &SqlExpr,
    items: &[(String, Analysed)],
    clause: &str,
) -> Result<Option<usize>, Error> {
    let Some(name) = value.as_name() else { return Ok(None) };
    let mut named = (0..items.len()).filter(|at| items[*at].0 == name);
    let Some(first) = named.next() else { return Ok(None) };
    match named.all(|other| items[other].1.is_same(&items[first].1)) {
        true => Ok(Some(first)),
        false => {
            let (message, position) =
                (format!("{clause} \"{name}\" is ambiguous"), value.position());
            let sqlstate = "42702";
            Err(shape_expr::Error::InvalidQuery { message, sqlstate, position }.into())
        }
    }
}

impl Planner<'_> {
    /// ORDER BY of queries put together, which knows nothing but the columns they give.
    pub(super) fn order_of_set(
        &mut self,
        order: &[SortBy],
        relation: &Relation,
    ) -> Result<Vec<SortColumn>, Error> {
        let mut sorted = Vec::with_capacity(order.len());
        let column =
            |at: usize, position| Analysed::column(at, relation.types[at].ty.clone(), position);
        for by in order {
            let position = by.value.position();
            let named = |at: usize| (relation.columns[at].name.clone(), column(at, position));
            let items: Vec<_> = (0..relation.columns.len()).map(named).collect();
            let found = match by_place(&by.value, items.len(), "ORDER BY")? {
                Some(at) => Some(at),
                None => by_name(&by.value, &items, "ORDER BY")?,
            };
            let Some(at) = found else {
                let message = "invalid UNION/INTERSECT/EXCEPT ORDER BY clause".to_owned();
                let sqlstate = "0A000";
                return Err(shape_expr::Error::InvalidQuery { message, sqlstate, position }.into());
            };
            let schema = relation.schema();
            self.compiler.check_order(&column(at, position), &schema, self.params)?;
            sorted.push(SortColumn::new(at, by));
        }
        Ok(sorted)
    }
}
