//! What the values of a subquery take: in the circuit that keeps them up to date, and in the router that
//! routes by them. However many shapes have the subquery, they are in both once.

use shape_expr::{Column, Datum, Options, Schema};
use shape_router::{Config, KeyParts, Router, ShapeSpec};
use view_circuit::{Cell, Circuit, Format, IngestBatch, TableSpec, ViewId};

use crate::memory::Memory;
use crate::ours::Result;

const SHAPES: u64 = 1_000;

fn uuid(n: usize) -> String {
    // Random ones have no order either.
    let mixed = (n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let hex = format!("{mixed:032x}");
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

fn amount(n: usize) -> String {
    format!("{}.{:02}", n / 7, n % 100)
}

fn row(n: usize) -> Vec<Cell> {
    let int = n as i64;
    let uuid = uuid(n);
    vec![
        int.into(),
        int.into(),
        uuid.as_str().into(),
        format!("member {n:09}").as_str().into(),
        amount(n).as_str().into(),
    ]
}

/// Bytes by the allocator for each of so many values.
pub fn run(count: usize) -> Result<()> {
    let columns = [
        ("id", "int8"),
        ("number", "int8"),
        ("unique_id", "uuid"),
        ("name", "text"),
        ("amount", "numeric"),
    ];
    let mut described = Vec::new();
    for (name, ty) in columns {
        described.push(Column::new(name, ty.parse()?));
    }
    let members = TableSpec::new("members", described, &["id"]);
    let mut circuit = Circuit::new(vec![members], Options::default())?;
    for start in (0..count).step_by(10_000) {
        let mut batch = IngestBatch::new();
        for n in start..count.min(start + 10_000) {
            batch.create("members", row(n));
        }
        circuit.step(&batch)?;
    }
    println!(
        "\nbytes a value of a subquery with {count} values, over which there are {SHAPES} shapes"
    );
    println!("{:<24} {:>8} {:>8} {:>8}", "values", "circuit", "router", "both");
    for (at, (column, ty)) in columns.into_iter().enumerate() {
        let subquery = format!("SELECT {column} FROM members WHERE id >= 0");
        let view = format!("SELECT DISTINCT {column} FROM members WHERE id >= 0");
        // Once before, so that what evaluation keeps for the next time is there.
        drop(circuit.register(ViewId(0), &view, &[], Format::Streaming)?);
        circuit.unregister(ViewId(0))?;
        let before = Memory::now();
        drop(circuit.register(ViewId(0), &view, &[], Format::Streaming)?);
        let [in_circuit, _] = Memory::now().since(before, count);

        let columns = vec![Column::new("id", "int8".parse()?), Column::new("member", ty.parse()?)];
        let schema = Schema::new("todos", columns)?;
        let key = vec!["id".to_owned()];
        let router = Router::new(Config { primary_key: key, ..Config::new(schema) })?;
        for id in 0..SHAPES {
            let clause = format!("member IN ({subquery}) AND id <> {id}");
            router.add_shape(ShapeSpec::new(id, Some(&clause)))?;
        }
        let texts: Vec<String> = match ty {
            "uuid" => (0..count).map(uuid).collect(),
            "text" => (0..count).map(|n| format!("member {n:09}")).collect(),
            "numeric" => (0..count).map(amount).collect(),
            _ => Vec::new(),
        };
        let with_texts = Memory::now();
        let values: Vec<_> = match texts.as_slice() {
            [] => (0..count).map(|n| KeyParts::one(Datum::Int(n as i64))).collect(),
            texts => texts.iter().map(|text| KeyParts::one(Datum::Text(text.as_bytes()))).collect(),
        };
        router.seed_values(&subquery, &values)?;
        drop(values);
        let [in_router, _] = Memory::now().since(with_texts, count);
        drop(texts);
        let what = if at == 0 { "the key, int8".to_owned() } else { ty.to_owned() };
        println!("{what:<24} {in_circuit:>8.1} {in_router:>8.1} {:>8.1}", in_circuit + in_router);
        circuit.unregister(ViewId(0))?;
    }
    Ok(())
}
