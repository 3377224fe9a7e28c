//! What an evaluation and a compilation cost: `cargo run --release -p shape_expr --example cost`.

use std::hint::black_box;
use std::time::Instant;

use bumpalo::Bump;
use shape_expr::{Bulk, Column, Compiler, Datum, Error, Options, Row, Schema, Vm};

/// The median of rounds, in ns a call.
fn median(calls: u32, mut run: impl FnMut()) -> f64 {
    let mut rounds: Vec<f64> = (0..15)
        .map(|_| {
            let start = Instant::now();
            for _ in 0..calls {
                run();
            }
            start.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn main() -> Result<(), Error> {
    let schema = Schema::new(
        "todos",
        vec![
            Column::new("id", "int8".parse()?),
            Column::new("user_id", "int8".parse()?),
            Column::new("status", "text".parse()?),
            Column::new("title", "text".parse()?),
            Column::new("price", "numeric(10,2)".parse()?),
            Column::new("created", "timestamptz".parse()?),
        ],
    )?;
    let record = vec![
        Datum::Text(b"1"),
        Datum::Text(b"123"),
        Datum::Text(b"open"),
        Datum::Text(b"write the first test"),
        Datum::Text(b"19.99"),
        Datum::Text(b"2024-05-06 07:08:09.123456+00"),
    ];
    let mut compiler = Compiler::new(Options::default())?;
    let list: Vec<String> = (0..1000).map(|i| (i * 7).to_string()).collect();
    println!(
        "{:<48} {:>9} {:>9} {:>8} {:>8} {:>6}",
        "clause", "decoded", "from text", "cold", "again", "share"
    );
    println!("{:<48} {:>9} {:>9} {:>8} {:>8} {:>6}", "", "ns", "ns", "us", "us", "B");
    for clause in [
        "user_id = 123".to_owned(),
        "user_id = 123 AND status = 'open'".to_owned(),
        "user_id = 7 AND status = 'open'".to_owned(),
        "status IN ('a', 'b', 'open')".to_owned(),
        format!("user_id IN ({})", list.join(",")),
        "title LIKE 'write%'".to_owned(),
        "title LIKE '%first%'".to_owned(),
        "price > 10.5".to_owned(),
        "user_id > 1.5".to_owned(),
        "created >= '2024-01-01'".to_owned(),
        "length(title) > 30".to_owned(),
        "user_id = 123 OR (status = 'x' AND price < 3) OR title IS NULL".to_owned(),
    ] {
        let mut vm = Vm::default();
        let predicate = compiler.compile(&clause, &schema, &[])?.predicate;
        let mut arena = Bump::new();
        let decoded = {
            let row = Row::new(&arena, &schema, &record);
            median(20_000, || {
                black_box(predicate.eval(black_box(&row), &mut vm).is_ok());
            })
        };
        let from_text = median(20_000, || {
            arena.reset();
            let row = Row::new(&arena, &schema, &record);
            black_box(predicate.eval(black_box(&row), &mut vm).is_ok());
        });
        // From scratch, and as a text that differs from one seen before in its literals.
        let mut options = Options::default();
        options.text_cache_bytes = 0;
        let mut cold = Compiler::new(options)?;
        let from_scratch = median(200, || {
            black_box(cold.compile(black_box(&clause), &schema, &[]).is_ok());
        });
        let again = median(2_000, || {
            black_box(compiler.compile(black_box(&clause), &schema, &[]).is_ok());
        });
        let shown: String = clause.chars().take(46).collect();
        let (cold, again) = (from_scratch / 1000.0, again / 1000.0);
        let share = predicate.memory_bytes();
        println!("{shown:<48} {decoded:>9.1} {from_text:>9.1} {cold:>8.1} {again:>8.2} {share:>6}");
    }
    // Many clauses of one template that no index can hold.
    let title = compiler.compile("length(title) > 1000", &schema, &[])?;
    let mut shapes = vec![title.predicate];
    for i in 0..9_999 {
        shapes.push(compiler.compile(&format!("length(title) > {i}"), &schema, &[])?.predicate);
    }
    let arena = Bump::new();
    let row = Row::new(&arena, &schema, &record);
    let mut vm = Vm::default();
    let bulk = median(10, || {
        let mut bulk = Bulk::new(Row::new(&arena, &schema, &record));
        let answers = shapes.iter().map(|shape| bulk.eval(&shape.by_ref(), &mut vm));
        black_box(answers.filter(|a| a.is_ok_and(|truth| truth.is_true())).count());
    });
    let single = median(10, || {
        let answers = shapes.iter().map(|shape| shape.eval(&row, &mut vm));
        black_box(answers.filter(|a| a.is_ok_and(|truth| truth.is_true())).count());
    });
    println!(
        "10,000 x length(title) > K: {:.1} us at once, {:.1} us one by one",
        bulk / 1000.0,
        single / 1000.0
    );
    Ok(())
}
