//! Dates and times: comparison across types, arithmetic, casts and functions.

mod casts;
mod functions;
mod operators;
mod overlaps;

pub(super) use casts::{CASTS, STABLE_CASTS, input_is_stable, length_coercion, output_is_stable};
pub(super) use functions::{FUNCTIONS, MISSING_FUNCTIONS, STABLE_FUNCTIONS, VOLATILE_FUNCTIONS};
pub(super) use operators::{COMPARISONS, OPERATORS, operator_volatility, timetz};
pub(super) use overlaps::OVERLAPS;
