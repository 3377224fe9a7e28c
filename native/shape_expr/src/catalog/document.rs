//! docs/where.md, made from the tables: what is not in the code cannot be in the page.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use super::casts::{self, Context};
use super::{FUNCTIONS, OPERATORS, refused};
use crate::types::{TYPES, Type};

/// What is no operator, function or cast, with an example of each that must compile, and how an index
/// may serve it.
const FORMS: &[(&str, &str, &str)] = &[
    ("`AND`, `OR`, `NOT`", "a = 1 AND NOT (b = 2 OR c)", "by their parts"),
    ("a boolean column by itself", "c", "equality"),
    ("`IS [NOT] NULL`", "a IS NOT NULL", "none"),
    ("`IS [NOT] TRUE`, `FALSE`, `UNKNOWN`", "(a = 1) IS NOT TRUE", "by its operand"),
    ("`IS [NOT] DISTINCT FROM`", "a IS DISTINCT FROM b", "none"),
    ("`[NOT] IN (...)`", "a IN (1, 2, 3)", "equality"),
    ("`[NOT] BETWEEN [SYMMETRIC]`", "a BETWEEN SYMMETRIC 5 AND 1", "none"),
    ("`[NOT] LIKE`", "t LIKE 'a%'", "none"),
    ("`[NOT] ILIKE`, `SIMILAR TO`, `ESCAPE`", "t ILIKE 'a!%%' ESCAPE '!'", "none"),
    ("`= ANY`, `op ANY`, `SOME`, `ALL` of an array", "a = ANY (l) AND 5 > ALL (l)", "equality"),
    ("`CASE`", "CASE a WHEN 1 THEN c ELSE CASE WHEN c THEN b = 2 END END", "none"),
    ("`COALESCE`, `NULLIF`", "COALESCE(NULLIF(a, 0), b) = 1", "none"),
    ("`GREATEST`, `LEAST`", "GREATEST(a, b, 5) < 7", "none"),
    ("`ARRAY[...]`", "l = ARRAY[a, b, 3]", "none"),
    ("subscripts and slices of an array", "l[1] = 2 AND l[2:] = l[:1]", "none"),
    ("subscripts of a `jsonb`", "j['tags'][0] = '1'", "none"),
    ("rows compared", "(a, b) = (1, 2) AND ROW(a, b) < (3, a)", "by their parts"),
    (
        "rows in a list or a range",
        "(a, b) IN ((1, 2), (3, 4)) OR (a, b) BETWEEN (1, 2) AND (3, 4)",
        "by their parts",
    ),
    ("rows within rows, and rows as values", "(a, (b, t)) = (1, (2::int8, 'x'::text))", "none"),
    ("the whole row, `t.*`", "todos IS NOT NULL AND ROW(todos.*) IS NOT NULL", "none"),
    ("`AT TIME ZONE`", "w AT TIME ZONE 'Europe/Vienna' < '2024-06-01'", "none"),
    ("`OVERLAPS`", "(w, w + interval '1 day') OVERLAPS (w, w)", "none"),
    (
        "`EXTRACT`, `POSITION`, `SUBSTRING`, `OVERLAY`, `TRIM`",
        "EXTRACT(year FROM w) = 2024 AND POSITION('a' IN t) = 1 AND SUBSTRING(t FROM 2 FOR 1) = TRIM(BOTH 'x' FROM t)",
        "none",
    ),
    ("`COLLATE` with C, POSIX, C.UTF-8 or ucs_basic", "t COLLATE \"C\" < 'b'", "none"),
    ("typed literals", "w > timestamptz '2024-01-01' AND w - w < interval '1' day", "as a literal"),
    ("`CAST`, `::`", "CAST(a AS text) = '1' OR t::int4 = 1", "none"),
    ("`$1` parameters", "a = $1", "as a literal"),
    ("qualified and quoted names", "todos.\"a\" = 1", "as the column"),
];

fn page() -> String {
    let mut page = String::from(
        "# WHERE clauses\n\n\
         What a clause may say. This page is made from the tables that the code resolves names by \
         (a test compares them, and those tables with PostgreSQL's own catalogue). What is not here \
         is refused when the shape is added, with an error that names the token and its position.\n\n\
         Answers are PostgreSQL 15's under these settings: TimeZone UTC (an option), DateStyle ISO, \
         IntervalStyle postgres, bytea_output hex, extra_float_digits 1, UTF-8, text ordered by \
         bytes.\n\n## Types\n\n| type | other names | OID |\n|---|---|---|\n",
    );
    for row in TYPES.iter().filter(|row| row.ty != Type::Unknown) {
        let aliases: Vec<String> = row.aliases.iter().map(|a| format!("`{a}`")).collect();
        let _ = writeln!(page, "| `{}` | {} | {} |", row.name, aliases.join(", "), row.oid);
    }

    page += "\n## Forms\n\n| form | example | index |\n|---|---|---|\n";
    for (form, example, index) in FORMS {
        let _ = writeln!(page, "| {form} | `{}` | {index} |", example.replace('|', "\\|"));
    }

    page += "\nAn equality (also inside `AND`, and an `OR` of equalities) files a shape in an index; \
             `=` between a column and a constant is one, for every type. Everything else is looked \
             at for each change of its table.\n\n## Operators\n\n| operator | operands | result |\n\
             |---|---|---|\n";
    let mut operators: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for row in OPERATORS.iter().flat_map(|f| f.iter()).flat_map(|r| r.iter()) {
        let left = row.left.as_ref().map_or(String::new(), |t| format!("{t} "));
        operators
            .entry(row.name)
            .or_default()
            .push(format!("{left}· {} → {}", row.right, row.result));
    }
    for (name, rows) in &operators {
        let mut by_result: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for row in rows {
            if let Some((operands, result)) = row.split_once(" → ") {
                by_result.entry(result).or_default().push(operands);
            }
        }
        for (result, operands) in by_result {
            let name = name.replace('|', "\\|");
            let _ = writeln!(page, "| `{name}` | {} | {result} |", operands.join("; "));
        }
    }

    page += "\n## Functions\n\n| function | result |\n|---|---|\n";
    let mut functions: Vec<String> = Vec::new();
    for row in FUNCTIONS.iter().flat_map(|f| f.iter()).filter(|row| row.is_supported()) {
        let args: Vec<String> = row.args.iter().map(Type::to_string).collect();
        functions.push(format!("| `{}({})` | {} |", row.name, args.join(", "), row.result));
    }
    functions.sort();
    page += &functions.join("\n");

    page += "\n\n## Casts\n\nImplicit casts happen unasked, the others where `CAST` or `::` is written. \
             Besides these, every type can be cast to and from the string types by its text form.\n\n\
             | from | implicitly to | when written, to |\n|---|---|---|\n";
    for from in TYPES {
        let to = |explicit: bool| -> Vec<String> {
            let wanted = |c: &&casts::Cast| {
                c.from == from.ty && (c.context == Context::Implicit) != explicit
            };
            casts::all().filter(wanted).map(|c| c.to.to_string()).collect()
        };
        if !(to(false).is_empty() && to(true).is_empty()) {
            let _ = writeln!(
                page,
                "| {} | {} | {} |",
                from.name,
                to(false).join(", "),
                to(true).join(", ")
            );
        }
    }

    page += "\n## Refused\n\n";
    // The lists say how a name is refused where no row fits; a name with rows is not refused.
    let has_rows = |name: &str| {
        !super::named_functions(name).is_empty()
            || [true, false].iter().any(|prefix| !super::named_operators(name, *prefix).is_empty())
    };
    for (why, names) in refused::lists() {
        let names: Vec<&str> = names.iter().copied().filter(|name| !has_rows(name)).collect();
        let names: Vec<String> =
            names.iter().map(|n| format!("`{}`", n.replace('|', "\\|"))).collect();
        let _ = writeln!(page, "- **{why}**: {}.", names.join(", "));
    }
    page += "- **Always**: sub-selects, columns that are not declared, ordering text under a collation \
             other than C, POSIX or C.UTF-8, clauses over 64 KiB or nested over 256 deep, syntax newer \
             than PostgreSQL 15's.\n";
    page
}

#[test]
fn the_page_says_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/where.md");
    let page = page();
    if std::env::var_os("SHAPE_EXPR_WRITE_DOCS").is_some() {
        std::fs::write(&path, &page).expect("docs/where.md can be written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/where.md is not what the tables say; write it with SHAPE_EXPR_WRITE_DOCS=1"
    );
}

#[test]
fn every_form_of_the_page_compiles() {
    use crate::{Column, Compiler, Options, Param, Schema};
    let column =
        |name: &str, ty: &str| Column { name: name.into(), ty: Some(ty.parse().expect("a type")) };
    let columns = [
        ("a", "int8"),
        ("b", "int8"),
        ("c", "bool"),
        ("t", "text"),
        ("l", "int8[]"),
        ("j", "jsonb"),
        ("w", "timestamptz"),
    ]
    .map(|(name, ty)| column(name, ty))
    .to_vec();
    let schema = Schema::new("todos", columns).expect("a schema");
    let mut compiler = Compiler::new(Options::default()).expect("a compiler");
    for (form, example, _) in FORMS {
        let compiled = compiler.compile(example, &schema, &[Param::Int(1)]);
        assert!(compiled.is_ok(), "{form}: {example}: {compiled:?}");
    }
}
