//! What stands for functions of texts whose collations contradict each other: it raises where
//! PostgreSQL comes to ask for the collation.

use super::{strings, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::expr::{Function, Strategy};
use crate::program::Implementation;
use crate::value::{Eval, Value};
use crate::vm::Context;

/// What stands for this function there.
pub(crate) fn undetermined(function: &Function) -> Function {
    let implementation: Implementation = match function.name {
        "position" | "strpos" => position,
        "replace" => replace,
        "split_part" => split_part,
        _ => raise,
    };
    let strategy = match function.strategy {
        Strategy::Equal => Strategy::ClashingEqual,
        Strategy::NotEqual => Strategy::ClashingNotEqual,
        _ => Strategy::Plain,
    };
    Function { name: "undetermined", implementation, strategy, ..function.clone() }
}

fn raise<'a>(_: &mut Context<'a>, _: &[Value<'a>]) -> Eval<'a> {
    Err(EvalError::new(Raise::IndeterminateCollation))
}

/// What is empty or too long is not looked for.
fn position<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(whole), Value::Text(part)] = args else { return wrong_kind() };
    match part.is_empty() || whole.len() < part.len() {
        true => strings::position(context, args),
        false => raise(context, args),
    }
}

fn replace<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(whole), Value::Text(part), _] = args else { return wrong_kind() };
    match part.is_empty() || whole.is_empty() {
        true => strings::replace(context, args),
        false => raise(context, args),
    }
}

fn split_part<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(whole), Value::Text(separator), Value::Int(n)] = args else {
        return wrong_kind();
    };
    match separator.is_empty() || whole.is_empty() || *n == 0 {
        true => strings::split_part(context, args),
        false => raise(context, args),
    }
}
