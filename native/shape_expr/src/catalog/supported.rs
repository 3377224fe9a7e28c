//! The rows that clauses may use, by name.

use super::{FUNCTIONS, FunctionRow, OPERATORS, Operator, casts};
use crate::coverage::{Kind, Row};
use crate::expr::Volatility;
use crate::types::{Category, TYPES, Type};

impl Operator {
    pub(crate) fn key(&self) -> String {
        let left = self.left.as_ref().map_or_else(String::new, |ty| format!("{ty} "));
        format!("operator {left}{} {}", self.name, self.right)
    }
}

impl FunctionRow {
    pub(crate) fn key(&self) -> String {
        let args: Vec<String> = self.args.iter().map(Type::to_string).collect();
        format!("function {}({})", self.name, args.join(", "))
    }

    /// Is its last argument VARIADIC? Called by its name it takes the elements one by one, and an
    /// array only under that keyword, which clauses may not use.
    pub(crate) fn is_variadic(&self) -> bool {
        self.name == "jsonb_delete" && matches!(self.args, [_, Type::Array(_)])
    }

    /// Can a clause that calls it be compiled?
    pub(super) fn is_supported(&self) -> bool {
        !matches!(self.volatility, Volatility::Volatile | Volatility::Missing)
            && !self.is_variadic()
            && !super::depends_on_machine(self.name, self.args)
    }
}

/// What a cast by a row of the tables, or by the text form, is called.
pub(crate) fn cast_key(from: &Type, to: &Type) -> String {
    format!("cast {from} -> {to}")
}

/// Functions that the resolver finds without a row, with arguments that they take.
const WITHOUT_ROW: &[(&str, &[Type], Type)] = &[
    ("concat", &[Type::Int4, Type::Text], Type::Text),
    ("concat_ws", &[Type::Text, Type::Int4, Type::Text], Type::Text),
    ("num_nonnulls", &[Type::Int4, Type::Text], Type::Int4),
    ("num_nulls", &[Type::Int4, Type::Text], Type::Int4),
    ("format", &[Type::Text, Type::Int4], Type::Text),
    ("json_extract_path", &[Type::Json, Type::Text], Type::Json),
    ("json_extract_path_text", &[Type::Json, Type::Text], Type::Text),
    ("jsonb_extract_path", &[Type::Jsonb, Type::Text], Type::Jsonb),
    ("jsonb_extract_path_text", &[Type::Jsonb, Type::Text], Type::Text),
];

/// All of them, and the casts by text forms.
pub(crate) fn supported() -> Vec<Row> {
    let names = |types: &[&Type]| types.iter().map(|ty| ty.to_string()).collect::<Vec<String>>();
    let mut rows = Vec::new();
    for row in OPERATORS.iter().flat_map(|family| family.iter()).flat_map(|rows| rows.iter()) {
        let args: Vec<&Type> = row.left.iter().chain([&row.right]).collect();
        rows.push(Row {
            key: row.key(),
            kind: Kind::Operator,
            name: row.name.to_owned(),
            args: names(&args),
            result: row.result.to_string(),
        });
    }
    let functions = FUNCTIONS.iter().flat_map(|family| family.iter());
    for row in functions.filter(|row| row.is_supported()) {
        rows.push(Row {
            key: row.key(),
            kind: Kind::Function,
            name: row.name.to_owned(),
            args: names(&row.args.iter().collect::<Vec<_>>()),
            result: row.result.to_string(),
        });
    }
    for (name, args, result) in WITHOUT_ROW {
        rows.push(Row {
            key: format!("function {name}"),
            kind: Kind::Function,
            name: (*name).to_owned(),
            args: names(&args.iter().collect::<Vec<_>>()),
            result: result.to_string(),
        });
    }
    let mut cast = |from: &Type, to: &Type| {
        rows.push(Row {
            key: cast_key(from, to),
            kind: Kind::Cast,
            name: String::new(),
            args: vec![from.to_string()],
            result: to.to_string(),
        });
    };
    for row in casts::all() {
        cast(&row.from, &row.to);
    }
    // By their text form: every type that has no row for it.
    let plain = |ty: &&Type| !matches!(ty.category(), Category::Pseudo | Category::Unknown);
    for ty in TYPES.iter().map(|row| &row.ty).filter(plain) {
        let has_row = |from: &Type, to: &Type| casts::all().any(|c| c.from == *from && c.to == *to);
        if !has_row(ty, &Type::Text) && *ty != Type::Text {
            cast(ty, &Type::Text);
        }
        if !has_row(&Type::Text, ty) && casts::text_to(&Type::Text, ty).is_some() {
            cast(&Type::Text, ty);
        }
    }
    rows
}
