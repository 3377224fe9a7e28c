//! Enums: a label, ordered by its place among the labels.

use crate::error::{EvalError, Raise};
use crate::types::EnumType;
use crate::value::{Eval, Value};

/// The input function: exactly a label.
pub(crate) fn parse<'a>(ty: &EnumType, text: &'a str) -> Eval<'a> {
    match ty.position(text) {
        Some(position) => Ok(Value::Enum(position, text)),
        None => Err(EvalError::new(Raise::InvalidText)),
    }
}
