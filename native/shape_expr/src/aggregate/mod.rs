//! Aggregate functions: which there are, and what they give.

mod accumulator;
mod exact_sum;

use crate::compiler::Compiler;
use crate::error::Error;
use crate::expression::Analysed;
use crate::types::Type;
pub use accumulator::Accumulator;

/// An aggregate function for arguments of one type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Aggregate {
    /// `count(*)`: how many rows.
    Rows,
    /// `count(x)`: how many values.
    Count,
    /// `sum` of integers that are no bigint; a bigint itself.
    SumOfInts,
    /// `sum` of bigints; a numeric.
    SumOfBigints,
    /// `sum` of numerics.
    SumOfNumerics,
    /// `sum` of reals.
    SumOfReals,
    /// `sum` of double precision.
    SumOfDoubles,
    /// `sum` of intervals.
    SumOfIntervals,
    /// `avg` of integers of any size; a numeric.
    AverageOfInts,
    /// `avg` of numerics.
    AverageOfNumerics,
    /// `avg` of reals and double precision.
    AverageOfFloats,
    /// `avg` of intervals.
    AverageOfIntervals,
    /// `bool_and`, `every`.
    And,
    /// `bool_or`.
    Or,
    /// `min`, for which the values must be kept in order: no [`Accumulator`] has it.
    Min,
    /// `max`, the same.
    Max,
}

impl Compiler {
    /// The aggregate function of this name for this argument (`None` for `*`), and its result's type.
    ///
    /// # Errors
    /// There is no such function for the type, or it is not supported.
    pub fn aggregate(
        &self,
        name: &str,
        arg: Option<&Analysed>,
        position: usize,
    ) -> Result<(Aggregate, Type), Error> {
        let Some(arg) = arg else {
            return match name {
                "count" => Ok((Aggregate::Rows, Type::Int8)),
                _ => Err(Error::UnknownFunction { signature: format!("{name}(*)"), position }),
            };
        };
        resolve(name, &arg.expr.ty, position)
    }
}

fn resolve(name: &str, ty: &Type, position: usize) -> Result<(Aggregate, Type), Error> {
    let unknown = || Err(Error::UnknownFunction { signature: format!("{name}({ty})"), position });
    // Through a cast that PostgreSQL makes unasked.
    let by_cast = || Err(Error::unsupported(format!("{name} of {ty} without a cast"), position));
    Ok(match (name, ty) {
        ("count", _) => (Aggregate::Count, Type::Int8),
        ("sum", Type::Int2 | Type::Int4) => (Aggregate::SumOfInts, Type::Int8),
        ("sum", Type::Int8) => (Aggregate::SumOfBigints, Type::Numeric),
        ("sum", Type::Numeric) => (Aggregate::SumOfNumerics, Type::Numeric),
        ("sum", Type::Float4) => (Aggregate::SumOfReals, Type::Float4),
        ("sum", Type::Float8) => (Aggregate::SumOfDoubles, Type::Float8),
        ("sum", Type::Interval) => (Aggregate::SumOfIntervals, Type::Interval),
        ("avg", Type::Int2 | Type::Int4 | Type::Int8) => (Aggregate::AverageOfInts, Type::Numeric),
        ("avg", Type::Numeric) => (Aggregate::AverageOfNumerics, Type::Numeric),
        ("avg", Type::Float4 | Type::Float8) => (Aggregate::AverageOfFloats, Type::Float8),
        ("avg", Type::Interval) => (Aggregate::AverageOfIntervals, Type::Interval),
        ("sum" | "avg", Type::Time | Type::Oid) => return by_cast(),
        ("bool_and" | "every", Type::Bool) => (Aggregate::And, Type::Bool),
        ("bool_or", Type::Bool) => (Aggregate::Or, Type::Bool),
        ("min" | "max", ty) => {
            let result = match ty {
                Type::Int2
                | Type::Int4
                | Type::Int8
                | Type::Float4
                | Type::Float8
                | Type::Numeric
                | Type::Text
                | Type::Bpchar
                | Type::Date
                | Type::Time
                | Type::Timetz
                | Type::Timestamp
                | Type::Timestamptz
                | Type::Interval
                | Type::Oid
                | Type::Array(_)
                | Type::Enum(_) => ty.clone(),
                Type::Varchar | Type::Name => Type::Text,
                _ => return unknown(),
            };
            (if name == "min" { Aggregate::Min } else { Aggregate::Max }, result)
        }
        ("sum" | "avg" | "bool_and" | "bool_or" | "every", _) => return unknown(),
        _ => return Err(Error::unsupported(format!("aggregate function {name}"), position)),
    })
}
