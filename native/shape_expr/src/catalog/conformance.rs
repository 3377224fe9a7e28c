//! The tables against PostgreSQL's own catalogue: every row of ours is there with the same result,
//! and of the names we know nothing is missing.

use std::collections::BTreeSet;

use pg_fixture::Server;

use super::{CastContext, cast, casts};
use crate::types::{TYPES, Type};

fn by_oid(oid: &str) -> Option<Type> {
    let oid: u32 = oid.parse().ok()?;
    // Pseudo-types too, which no column has.
    let row = TYPES.iter().find(|row| row.oid == oid && row.ty != Type::Unknown);
    row.map(|row| row.ty.clone()).or_else(|| Type::by_oid(oid))
}

/// PostgreSQL's rows for this query, those between types we know.
fn theirs(server: &Server, sql: &str) -> BTreeSet<Vec<String>> {
    let text = server.psql("postgres", sql).expect("the catalogue");
    let mut rows = BTreeSet::new();
    for line in text.lines() {
        // The name may hold bars of its own; what follows it are numbers, and a cast's source too.
        let digit = |at: usize| line[at + 1..].starts_with(|c: char| c.is_ascii_digit());
        let bar = line.match_indices('|').map(|(at, _)| at).find(|at| digit(*at)).expect("a bar");
        let fields: Vec<&str> = line[bar + 1..].split('|').collect();
        let mut row = vec![line[..bar].replace('¦', "|")];
        let types: Option<Vec<Type>> =
            fields.iter().filter(|oid| **oid != "0").map(|oid| by_oid(oid)).collect();
        if let Some(types) = types {
            row.extend(types.iter().map(Type::to_string));
            rows.insert(row);
        }
    }
    rows
}

#[test]
fn tables_are_postgresqls() {
    let server = Server::start().expect("PostgreSQL starts");

    let ours: BTreeSet<Vec<String>> = super::OPERATORS
        .iter()
        .flat_map(|family| family.iter())
        .flat_map(|rows| rows.iter())
        .map(|row| {
            let types = row.left.iter().chain([&row.right, &row.result]);
            [row.name.to_owned()].into_iter().chain(types.map(Type::to_string)).collect()
        })
        .collect();
    // Prefix operators and the others are apart.
    let names: BTreeSet<(&String, usize)> = ours.iter().map(|row| (&row[0], row.len())).collect();
    let all = theirs(
        &server,
        "SELECT replace(oprname, '|', '¦'), oprleft, oprright, oprresult FROM pg_operator",
    );
    let known: BTreeSet<Vec<String>> =
        all.into_iter().filter(|row| names.contains(&(&row[0], row.len()))).collect();
    let odd: Vec<_> = ours.symmetric_difference(&known).collect();
    assert!(odd.is_empty(), "operators: {odd:?}");

    let ours: BTreeSet<Vec<String>> = super::FUNCTIONS
        .iter()
        .flat_map(|family| family.iter())
        .map(|row| {
            let types = row.args.iter().chain([&row.result]).map(Type::to_string);
            [row.name.to_owned()].into_iter().chain(types).collect()
        })
        .collect();
    let names: BTreeSet<&String> = ours.iter().map(|row| &row[0]).collect();
    let all = theirs(
        &server,
        "SELECT proname, array_to_string(proargtypes::oid[] || prorettype, '|') FROM pg_proc \
         WHERE prokind = 'f' AND NOT proretset",
    );
    let known: BTreeSet<Vec<String>> =
        all.into_iter().filter(|row| names.contains(&row[0])).collect();
    // The resolver serves this one: it casts its argument to text.
    let by_resolver = |row: &&Vec<String>| {
        matches!(&*row[0], "quote_literal" | "quote_nullable") && row[1] == "anyelement"
    };
    let odd: Vec<_> = ours.symmetric_difference(&known).filter(|row| !by_resolver(row)).collect();
    assert!(odd.is_empty(), "functions: {odd:?}");

    let contexts = [
        ("i", CastContext::Implicit),
        ("a", CastContext::Assignment),
        ("e", CastContext::Explicit),
    ];
    let all = theirs(
        &server,
        "SELECT castcontext, castsource, casttarget FROM pg_cast WHERE castsource <> casttarget",
    );
    for row in &all {
        let find = |name: &String| Type::by_name(name).expect("a type");
        let (from, to) = (find(&row[1]), find(&row[2]));
        for (letter, context) in contexts {
            let (name, wanted) =
                contexts.into_iter().find(|(letter, _)| *letter == row[0]).expect("i, a or e");
            let found = cast(&from, &to, context).is_some();
            assert_eq!(found, context >= wanted, "{from} -> {to}: {name}, asked for {letter}");
        }
    }
    assert_eq!(all.len(), casts::all().count());

    for row in TYPES {
        let sql = format!(
            "SELECT format_type(oid, NULL), typcategory, typispreferred FROM pg_type WHERE oid = {}",
            row.oid
        );
        let line = server.psql("postgres", &sql).expect("the catalogue");
        let preferred = if row.preferred { "t" } else { "f" };
        let expected = format!("{}|{}|{preferred}", row.name, row.category.letter());
        assert_eq!(line.trim(), expected);
    }
}
