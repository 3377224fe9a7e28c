//! Operators of bool alone (comparison is in `compare`).

use super::Operator;

pub(super) static OPERATORS: &[&[Operator]] = &[];
