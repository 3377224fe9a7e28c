//! Tables a(id, x, n) and b(id, a_id, y) of bigints, and views of them as text.
#![allow(dead_code)]

use bumpalo::Bump;
use shape_expr::{Column, Options};
use view_circuit::{Cell, Circuit, Format, TableSpec, ViewId};

pub type Shown = Vec<Vec<String>>;

pub fn table(name: &str, columns: &[(&str, &str)], key: &[&str]) -> TableSpec {
    let columns = columns.iter().map(|(name, ty)| Column::new(name, ty.parse().expect(ty)));
    TableSpec::new(name, columns.collect(), key)
}

pub fn circuit() -> Circuit {
    let a = table("a", &[("id", "int8"), ("x", "int8"), ("n", "int8")], &["id"]);
    let b = table("b", &[("id", "int8"), ("a_id", "int8"), ("y", "int8")], &["id"]);
    Circuit::new(vec![a, b], Options::default()).expect("tables")
}

pub fn ints(values: &[i64]) -> Vec<Cell> {
    values.iter().map(|i| Cell::from(*i)).collect()
}

/// Registers a flat view under the next free id.
pub fn flat(circuit: &mut Circuit, sql: &str) -> ViewId {
    let id = (1..).map(ViewId).find(|id| circuit.columns(*id).is_err()).expect("an id");
    circuit.register(id, sql, &[], Format::Flat).unwrap_or_else(|error| panic!("{sql}: {error}"));
    id
}

/// The view's rows as text, in the order of their ids; NULL is `-`.
pub fn shown(circuit: &Circuit, view: ViewId) -> Shown {
    let types: Vec<_> = circuit.columns(view).expect("a view").iter().map(|c| &c.ty).collect();
    let arena = Bump::new();
    let row = |values: &[shape_expr::Owned]| {
        let text = |(value, ty): (&shape_expr::Owned, &&shape_expr::Type)| {
            value.text(ty, &arena).map_or_else(|| "-".to_owned(), str::to_owned)
        };
        values.iter().zip(&types).map(text).collect()
    };
    circuit.rows(view).expect("a view").map(|(_, values)| row(values)).collect()
}
