//! Which rows of the catalogue clauses are resolved to: for tests that must miss none.

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::catalog;
use crate::parse::ast::{Ast, AstKind, Subscript};

thread_local! {
    static SEEN: RefCell<Option<BTreeSet<String>>> = const { RefCell::new(None) };
}

/// What a row is a row of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Of the operators: one argument for a prefix operator, else two.
    Operator,
    /// Of the functions.
    Function,
    /// Of the casts, those by a type's text form among them: one argument.
    Cast,
}

/// A row of the catalogue, its types by their names.
#[derive(Clone, Debug)]
pub struct Row {
    /// What [`take`] names it by.
    pub key: String,
    /// What it is a row of.
    pub kind: Kind,
    /// The name; a cast has none.
    pub name: String,
    /// The argument types.
    pub args: Vec<String>,
    /// The result type.
    pub result: String,
}

/// All rows that clauses may use.
#[must_use]
pub fn rows() -> Vec<Row> {
    catalog::supported()
}

/// Starts to note rows on this thread.
pub fn start() {
    SEEN.with(|seen| *seen.borrow_mut() = Some(BTreeSet::new()));
}

/// The rows noted since this was last asked.
#[must_use]
pub fn take() -> BTreeSet<String> {
    SEEN.with(|seen| seen.borrow_mut().as_mut().map(std::mem::take)).unwrap_or_default()
}

/// Notes a row, if anybody asked for it.
pub(crate) fn note(key: impl FnOnce() -> String) {
    SEEN.with(|seen| {
        if let Some(seen) = seen.borrow_mut().as_mut() {
            seen.insert(key());
        }
    });
}

/// What is no operator, function or cast, as [`take`] names it.
pub const FORMS: &[&str] = &[
    "form column",
    "form NULL",
    "form boolean",
    "form integer",
    "form number",
    "form string",
    "form operator",
    "form AND",
    "form OR",
    "form NOT",
    "form test",
    "form DISTINCT",
    "form IN",
    "form NOT IN",
    "form BETWEEN",
    "form BETWEEN SYMMETRIC",
    "form cast",
    "form call",
    "form CASE",
    "form CASE operand",
    "form COALESCE",
    "form NULLIF",
    "form GREATEST",
    "form LEAST",
    "form row test",
    "form row comparison",
    "form row",
    "form whole row",
    "form COLLATE",
    "form ARRAY",
    "form ANY",
    "form ALL",
    "form subscript",
    "form slice",
];

/// Which of the forms this is.
pub(crate) fn form(kind: &AstKind) -> String {
    let is_row = |ast: &Ast| matches!(ast.kind, AstKind::Row(_));
    let form = match kind {
        AstKind::Column(_) => "column",
        AstKind::Null => "NULL",
        AstKind::Bool(_) => "boolean",
        AstKind::Integer(_) => "integer",
        AstKind::Number(_) => "number",
        AstKind::String(_) => "string",
        AstKind::Param(_) => "parameter",
        AstKind::Operator { right, .. } if is_row(right) => "row comparison",
        AstKind::Operator { .. } => "operator",
        AstKind::And(_) => "AND",
        AstKind::Or(_) => "OR",
        AstKind::Not(_) => "NOT",
        AstKind::Test(_, inner) if is_row(inner) => "row test",
        AstKind::Test(..) => "test",
        AstKind::Distinct { .. } => "DISTINCT",
        AstKind::In { negated: false, .. } => "IN",
        AstKind::In { .. } => "NOT IN",
        AstKind::Between { symmetric: false, .. } => "BETWEEN",
        AstKind::Between { .. } => "BETWEEN SYMMETRIC",
        AstKind::Cast { .. } => "cast",
        AstKind::Call { .. } => "call",
        AstKind::Case { operand: None, .. } => "CASE",
        AstKind::Case { .. } => "CASE operand",
        AstKind::Coalesce(_) => "COALESCE",
        AstKind::NullIf(_) => "NULLIF",
        AstKind::MinMax { greatest: true, .. } => "GREATEST",
        AstKind::MinMax { .. } => "LEAST",
        AstKind::Row(_) => "row",
        AstKind::WholeRow(_) => "whole row",
        AstKind::Collate { .. } => "COLLATE",
        AstKind::Array(_) => "ARRAY",
        AstKind::AnyArray { all: false, .. } => "ANY",
        AstKind::AnyArray { .. } => "ALL",
        AstKind::Subscript { subscripts, .. } => {
            match subscripts.iter().any(|s| matches!(s, Subscript::Slice(..))) {
                true => "slice",
                false => "subscript",
            }
        }
    };
    format!("form {form}")
}
