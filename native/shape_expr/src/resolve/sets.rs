//! `left IN (SELECT ...)`: what is compared, as the operator `=` has it.

use crate::catalog::CastContext;
use crate::error::Error;
use crate::expr::{Expr, Node, Strategy};
use crate::parse::subquery::Compared;
use crate::sets::FIRST_ITEM;
use crate::types::{ColumnType, Type};

use super::{Resolver, control::parts, rows};

/// A subquery of the clause, and the types that it selects, if they are known.
pub(crate) struct Known {
    pub compared: Compared,
    pub types: Option<Vec<ColumnType>>,
}

impl Resolver<'_> {
    /// The comparison with the subquery of this number.
    pub(super) fn in_subquery(&mut self, number: usize, position: usize) -> Result<Expr, Error> {
        let subqueries = self.subqueries;
        let Some(known) = subqueries.get(number) else {
            return Err(Error::unsupported("a subquery", position));
        };
        let left = self.fields(&known.compared.left)?;
        let selected = known.types.as_ref().map(Vec::len).or(known.compared.selects);
        match selected {
            Some(selected) if selected > left.len() => {
                return Err(Error::syntax("subquery has too many columns", position));
            }
            Some(selected) if selected < left.len() => {
                return Err(Error::syntax("subquery has too few columns", position));
            }
            _ => {}
        }
        if left.len() > crate::sets::MAX_SET_COLUMNS {
            let what = format!("a subquery of more than {} columns", crate::sets::MAX_SET_COLUMNS);
            return Err(Error::unsupported(what, position));
        }
        let types: Vec<Option<Type>> = match &known.types {
            Some(types) => types.iter().map(|ty| Some(ty.ty.clone())).collect(),
            None => vec![None; left.len()],
        };
        let (mut compared, mut items) = (Vec::new(), Vec::new());
        for (at, (left, ty)) in left.into_iter().zip(types).enumerate() {
            let Some((left, item)) = self.pair(left, ty, at, position)? else {
                // Another part of the clause settles its column's type, or nothing does.
                return Ok(Expr::constant(Type::Bool, position, crate::constants::Const::Null));
            };
            compared.push(left);
            items.push(item);
        }
        let node = Node::InSet { set: number as u32, left: compared, items };
        Ok(Expr::new(Type::Bool, position, node))
    }

    /// Both sides of one column's comparison, cast to what is compared.
    fn pair(
        &mut self,
        mut left: Expr,
        item: Option<Type>,
        at: usize,
        position: usize,
    ) -> Result<Option<(Expr, Expr)>, Error> {
        if left.ty == Type::Unknown {
            left = match (&left.node, &item) {
                (Node::Column(_), Some(ty)) => self.settle(left, ty)?,
                (Node::Column(column), None) => {
                    let name = self.schema.columns().get(*column);
                    let name = name.map_or_else(String::new, |c| c.name.clone());
                    let error = Error::UndeterminedType { name, position: left.position };
                    self.undetermined.get_or_insert(error);
                    return Ok(None);
                }
                (_, None) => self.coerce(left, &Type::Text, CastContext::Implicit)?,
                _ => left,
            };
        }
        if rows::is_row(&left.ty) {
            return Err(Error::unsupported("a row as a column of IN", left.position));
        }
        let ty = item.unwrap_or_else(|| left.ty.clone());
        let item = Expr::new(ty, position, Node::Column(FIRST_ITEM + at));
        let equal = self.operator("=", Some(left), item, position)?;
        let (function, [left, item]) = match parts(equal) {
            Ok(found) => found,
            Err(_) => return Err(Error::unsupported("comparing these types by IN", position)),
        };
        if function.strategy != Strategy::Equal || !is_one_kind(&left.ty, &item.ty) {
            let what = format!("comparing {} with {} by IN (SELECT ...)", left.ty, item.ty);
            return Err(Error::unsupported(what, position));
        }
        Ok(Some((left, item)))
    }
}

/// Are equal values of these two types the same value to a hash?
fn is_one_kind(left: &Type, right: &Type) -> bool {
    let kind = |ty: &Type| match ty {
        Type::Int2 | Type::Int4 | Type::Int8 => Type::Int8,
        Type::Float4 | Type::Float8 => Type::Float8,
        Type::Text | Type::Varchar | Type::Name => Type::Text,
        other => other.clone(),
    };
    kind(left) == kind(right)
}
