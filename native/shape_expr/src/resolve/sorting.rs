//! What DISTINCT, GROUP BY and ORDER BY ask of a value: that its type has an equality, or an order; and
//! which type values have together.

use super::forms::common_of;
use super::{Resolver, candidates};
use crate::catalog::CastContext;
use crate::compiler::{Options, Param};
use crate::error::Error;
use crate::expr::Expr;
use crate::schema::Schema;
use crate::types::{Category, Collation, Type};
use crate::values::datetime::Zone;

/// Can values of this type be told apart by `=`? An array's by its elements' `=`.
pub(crate) fn has_equality(ty: &Type, position: usize) -> Result<(), Error> {
    has_operator("=", ty, position)
}

fn has_operator(name: &str, ty: &Type, position: usize) -> Result<(), Error> {
    let of = ty.element().unwrap_or(ty);
    if matches!(of, Type::Unknown) {
        return Ok(());
    }
    let found = candidates::operator(name, &[of.clone(), of.clone()], position);
    found
        .map(|_| ())
        .map_err(|_| Error::UnknownOperator { signature: format!("{ty} {name} {ty}"), position })
}

/// Has the value an order, and is it one by bytes if it is a text?
pub(crate) fn has_order(
    expr: &Expr,
    schema: &Schema,
    params: &[Param<'_>],
    (options, zone): (&Options, &Zone),
) -> Result<(), Error> {
    has_operator("<", &expr.ty, expr.position)?;
    let is_text = expr.ty.element().unwrap_or(&expr.ty).category() == Category::String;
    if is_text && !options.order_any_collation_by_bytes {
        let resolver = Resolver::new(schema, params, options, zone);
        if resolver.collated(expr) {
            let what = "ordering text by a collation other than C";
            return Err(Error::unsupported(what, expr.position));
        }
    }
    Ok(())
}

/// The collation that the value has where it becomes a column of its own.
pub(crate) fn collation(expr: &Expr, schema: &Schema, options: &Options, zone: &Zone) -> Collation {
    let resolver = Resolver::new(schema, &[], options, zone);
    match resolver.collated(expr) {
        true => Collation::Other,
        false => resolver.collation(expr).flatten().unwrap_or_default(),
    }
}

/// The type of a column that one query gives as this type, the other as that.
pub(crate) fn common(
    left: &Type,
    right: &Type,
    what: &str,
    position: usize,
) -> Result<Type, Error> {
    match common_of([left, right].into_iter()) {
        Some(Type::Unknown) => Ok(Type::Text),
        Some(ty) => Ok(ty),
        None => {
            let message = format!("{what} types {left} and {right} cannot be matched");
            Err(Error::mismatch(message, position))
        }
    }
}

/// The value cast to this type, as PostgreSQL does unasked.
pub(crate) fn cast(
    expr: Expr,
    ty: &Type,
    (options, zone): (&Options, &Zone),
) -> Result<Expr, Error> {
    let schema = Schema::open("");
    Resolver::new(&schema, &[], options, zone).coerce(expr, ty, CastContext::Implicit)
}
