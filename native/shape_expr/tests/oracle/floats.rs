//! Floating-point numbers as text: each prints as PostgreSQL prints it, the ones half way between two
//! texts and those at powers of two included.

use pg_fixture::Server;
use postgres::{Client, NoTls};
use shape_expr::{Compiler, Options, Schema};

use crate::clauses::quote;
use crate::digits::ours;
use crate::random::Random;

/// Any bits; a power of two and its neighbours; a dyadic fraction of a few bits, which has ties.
fn float8(random: &mut Random) -> f64 {
    let bits = (random.below(1 << 32) as u64) << 32 | random.below(1 << 32) as u64;
    match random.below(3) {
        0 => f64::from_bits(bits),
        1 => {
            let power = (random.below(2047) as u64) << 52;
            f64::from_bits(power.wrapping_add(random.below(5) as u64).wrapping_sub(2))
        }
        _ => (bits >> 11) as f64 / (1u64 << random.below(60)) as f64,
    }
}

fn float4(random: &mut Random) -> f32 {
    let bits = random.below(1 << 32) as u32;
    match random.below(3) {
        0 => f32::from_bits(bits),
        1 => f32::from_bits((random.below(255) as u32) << 23).next_up(),
        _ => (bits >> 8) as f32 / (1u32 << random.below(30)) as f32,
    }
}

#[test]
fn floats_print_as_postgresqls() {
    let count = crate::pairs() / 10;
    let seed = crate::seed();
    println!("floats: seed {seed}");
    let server = Server::start().expect("PostgreSQL starts");
    let mut client = Client::connect(&server.url("postgres"), NoTls).expect("connect");
    let mut random = Random::new(seed);
    let schema = Schema::new("t", Vec::new()).expect("a schema");
    let mut compiler = Compiler::new(Options::default()).expect("default options");
    let mut bad = Vec::new();
    for _ in 0..count.div_ceil(500) {
        let mut literals = Vec::new();
        for _ in 0..500 {
            let (float, ty) = match random.below(3) {
                0 => (format!("{:e}", float4(&mut random)), "float4"),
                _ => (format!("{:e}", float8(&mut random)), "float8"),
            };
            literals.push(format!("'{float}'::{ty}"));
        }
        let list: Vec<String> = literals.iter().map(|literal| format!("{literal}::text")).collect();
        let query = format!("SELECT ARRAY[{}]", list.join(","));
        let theirs: Vec<String> = client.query_one(&query, &[]).expect("texts").get(0);
        for (literal, text) in literals.iter().zip(&theirs) {
            let clause = format!("({literal})::text = {}", quote(text));
            if ours(&clause, &mut compiler, &schema) != Ok(Some(true)) {
                println!("MISMATCH {clause}");
                bad.push(clause);
                assert!(bad.len() < 25, "seed {seed}");
            }
        }
    }
    assert!(bad.is_empty(), "seed {seed}: {bad:?}");
}
