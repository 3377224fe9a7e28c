//! Texts read as dates, times and intervals: whatever a text is made of, both sides make the same of
//! it, or refuse it with the same code.

use bumpalo::Bump;
use pg_fixture::Server;
use postgres::{Client, NoTls};
use shape_expr::{Column, Compiler, Datum, Options, Row, Schema, Vm};

use crate::datetime;
use crate::random::Random;
use crate::samples::Kind;
use crate::seed;

const KINDS: &[Kind] =
    &[Kind::Date, Kind::Time, Kind::Timetz, Kind::Timestamp, Kind::Timestamptz, Kind::Interval];

const PIECES: &[&str] = &[
    " ",
    " ",
    " ",
    " ",
    "-",
    "-",
    ":",
    ":",
    ".",
    "/",
    "+",
    ",",
    "T",
    "t",
    "P",
    "J",
    "j",
    "y",
    "m",
    "d",
    "h",
    "s",
    "mm",
    "Z",
    "1",
    "2",
    "12",
    "30",
    "24",
    "60",
    "00",
    "05",
    "99",
    "100",
    "366",
    "2024",
    "1999",
    "20240229",
    "240229",
    "101112",
    "1011",
    "2451187",
    "5874897",
    "0",
    "jan",
    "Feb",
    "mon",
    "sat",
    "september",
    "am",
    "PM",
    "bc",
    "AD",
    "at",
    "on",
    "dst",
    "est",
    "EDT",
    "utc",
    "msk",
    "infinity",
    "-infinity",
    "epoch",
    "allballs",
    "Europe/Berlin",
    "America/New_York",
    "EST5EDT",
    "day",
    "days",
    "hours",
    "min",
    "mons",
    "year",
    "ago",
    "@",
    "week",
    "weeks",
    "us",
    "decade",
    "dow",
    "julian",
    "1.5",
    "0.000001",
    "+02",
    "-03:30",
    "10:11:12",
    "10:11",
    "2024-02-29",
    "1-2",
    "ä",
    "'",
    "_",
    "(",
    "e5",
    "\t",
];

fn text(random: &mut Random, kind: Kind) -> String {
    match random.below(4) {
        // A good one, spoilt at one place.
        0 => {
            let mut text: Vec<char> = datetime::sample(random, kind).chars().collect();
            if !text.is_empty() {
                let at = random.below(text.len());
                match random.below(3) {
                    0 => {
                        text.remove(at);
                    }
                    1 => text.insert(at, random.pick(PIECES).chars().next().unwrap_or(' ')),
                    _ => text[at] = random.pick(PIECES).chars().next().unwrap_or(' '),
                }
            }
            text.into_iter().collect()
        }
        // Parts of two good ones.
        1 => {
            let (a, b) = (datetime::sample(random, kind), datetime::sample(random, kind));
            format!("{a}{}{b}", random.pick(&[" ", "", "-", "T"]))
        }
        _ => (0..1 + random.below(7)).map(|_| random.pick(PIECES)).collect(),
    }
}

#[test]
fn texts_are_read_as_postgresql_reads_them() {
    let count = crate::pairs() / 3;
    let seed = seed();
    println!("literals: seed {seed}, {count} texts");
    let server = Server::start().expect("PostgreSQL starts");
    let mut client = Client::connect(&server.url("postgres"), NoTls).expect("connect");
    let mut readers = String::from("SET TimeZone = 'UTC';");
    for kind in KINDS {
        let name = kind.name();
        readers.push_str(&format!(
            "CREATE FUNCTION read_{name}(t text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
             RETURN t::{name}::text; EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$;"
        ));
    }
    client.batch_execute(&readers).expect("the readers");
    let schema = Schema::new("t", vec![Column::new("s", "text".parse().expect("text"))]);
    let schema = schema.expect("a schema");
    let mut compiler = Compiler::new(Options::default()).expect("options");
    let mut random = Random::new(seed);
    let mut wrong = Vec::new();
    let mut good = 0;
    for _ in 0..count {
        let kind = KINDS[random.below(KINDS.len())];
        let text = text(&mut random, kind);
        let query = format!("SELECT read_{}($1)", kind.name());
        let row = client.query_one(&query, &[&text]).expect("a row");
        let theirs: String = row.get(0);
        let clause = format!("s::{}::text = $1", kind.name());
        let params = [shape_expr::Param::Text(&theirs)];
        let predicate = compiler.compile(&clause, &schema, &params).expect("a clause").predicate;
        let arena = Bump::new();
        let data = vec![Datum::Text(text.as_bytes())];
        let row = Row::new(&arena, &schema, &data);
        match predicate.eval(&row, &mut Vm::default()) {
            Ok(truth) if truth.is_true() => good += 1,
            Err(error) if error.sqlstate() == theirs => {}
            // A zone's abbreviation whose offset is today's: refused here.
            Err(error) if kind == Kind::Timetz && error.sqlstate() == "0A000" => {}
            other => {
                let ours = other.map_err(|error| error.sqlstate());
                println!("MISMATCH {} {text:?}: {theirs}, here {ours:?}", kind.name());
                wrong.push(text);
            }
        }
        assert!(wrong.len() < 40, "seed {seed}: {wrong:?}");
    }
    println!("literals: {count} texts agreed, {good} of them values");
    assert!(wrong.is_empty(), "seed {seed}: {wrong:?}");
}
