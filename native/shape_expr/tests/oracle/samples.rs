//! Values worth trying, by type: extremes, neighbours of extremes, and what looks alike but is not.

use crate::datetime;
use crate::random::Random;

/// The kinds of columns and expressions the generator knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Varchar,
    Bpchar,
    Name,
    Uuid,
    Bytea,
    Timestamptz,
    Oid,
    /// The enum `mood`.
    Mood,
    Array(&'static Kind),
    Json,
    Jsonb,
    Timestamp,
    Date,
    Time,
    Timetz,
    Interval,
}

pub const KINDS: &[Kind] = &[
    Kind::Bool,
    Kind::Int2,
    Kind::Int4,
    Kind::Int8,
    Kind::Float4,
    Kind::Float8,
    Kind::Numeric,
    Kind::Text,
    Kind::Varchar,
    Kind::Bpchar,
    Kind::Name,
    Kind::Uuid,
    Kind::Bytea,
    Kind::Timestamptz,
    Kind::Oid,
    Kind::Mood,
    Kind::Timestamp,
    Kind::Date,
    Kind::Time,
    Kind::Timetz,
    Kind::Interval,
];

/// Arrays of every kind.
pub const ARRAYS: &[Kind] = &[
    Kind::Array(&Kind::Bool),
    Kind::Array(&Kind::Int2),
    Kind::Array(&Kind::Int4),
    Kind::Array(&Kind::Int8),
    Kind::Array(&Kind::Float4),
    Kind::Array(&Kind::Float8),
    Kind::Array(&Kind::Numeric),
    Kind::Array(&Kind::Text),
    Kind::Array(&Kind::Varchar),
    Kind::Array(&Kind::Bpchar),
    Kind::Array(&Kind::Name),
    Kind::Array(&Kind::Uuid),
    Kind::Array(&Kind::Timestamptz),
    Kind::Array(&Kind::Timestamp),
    Kind::Array(&Kind::Date),
    Kind::Array(&Kind::Time),
    Kind::Array(&Kind::Timetz),
    Kind::Array(&Kind::Interval),
    Kind::Array(&Kind::Oid),
    Kind::Array(&Kind::Mood),
    Kind::Json,
    Kind::Jsonb,
];

impl Kind {
    pub fn name(self) -> &'static str {
        match self {
            Kind::Bool => "boolean",
            Kind::Int2 => "smallint",
            Kind::Int4 => "integer",
            Kind::Int8 => "bigint",
            Kind::Float4 => "real",
            Kind::Float8 => "double precision",
            Kind::Numeric => "numeric",
            Kind::Text => "text",
            Kind::Varchar => "varchar",
            Kind::Bpchar => "bpchar",
            Kind::Name => "name",
            Kind::Uuid => "uuid",
            Kind::Bytea => "bytea",
            Kind::Timestamptz => "timestamptz",
            Kind::Timestamp => "timestamp",
            Kind::Date => "date",
            Kind::Time => "time",
            Kind::Timetz => "timetz",
            Kind::Interval => "interval",
            Kind::Json => "json",
            Kind::Jsonb => "jsonb",
            Kind::Oid => "oid",
            Kind::Mood => "mood",
            Kind::Array(element) => match element {
                Kind::Bool => "boolean[]",
                Kind::Int2 => "smallint[]",
                Kind::Int4 => "integer[]",
                Kind::Int8 => "_int8",
                Kind::Float4 => "real[]",
                Kind::Float8 => "double precision[]",
                Kind::Numeric => "numeric[]",
                Kind::Text => "text[]",
                Kind::Varchar => "varchar[]",
                Kind::Bpchar => "bpchar[]",
                Kind::Name => "name[]",
                Kind::Uuid => "uuid[]",
                Kind::Timestamptz => "timestamptz[]",
                Kind::Timestamp => "timestamp[]",
                Kind::Date => "date[]",
                Kind::Time => "time[]",
                Kind::Timetz => "timetz[]",
                Kind::Interval => "interval[]",
                Kind::Oid => "oid[]",
                Kind::Mood => "mood[]",
                Kind::Bytea => "bytea[]",
                Kind::Json => "json[]",
                Kind::Jsonb => "jsonb[]",
                Kind::Array(_) => "an array of arrays",
            },
        }
    }

    /// Of an array its elements' kind, else the kind itself.
    pub fn element(self) -> Kind {
        match self {
            Kind::Array(element) => *element,
            kind => kind,
        }
    }

    /// The type of a column declared so.
    pub fn column_type(self, declared: &str) -> shape_expr::ColumnType {
        let mood = || shape_expr::ColumnType::enumeration(crate::arrays::MOODS).named("mood");
        match self {
            Kind::Mood => mood(),
            Kind::Array(Kind::Mood) => mood().array_of(),
            _ => declared.parse().expect(declared),
        }
    }

    pub fn is_number(self) -> bool {
        use Kind::*;
        matches!(self, Int2 | Int4 | Int8 | Float4 | Float8 | Numeric)
    }

    pub fn is_time(self) -> bool {
        use Kind::*;
        matches!(self, Timestamptz | Timestamp | Date | Time | Timetz | Interval)
    }

    pub fn is_string(self) -> bool {
        matches!(self, Kind::Text | Kind::Varchar | Kind::Bpchar | Kind::Name)
    }
}

const BOOLS: &[&str] =
    &["t", "f", "true", "FALSE", " yes", "no", "on", "off", "1", "0", "tru", "of"];
const INT2: &[&str] =
    &["0", "1", "-1", "5", "7", "42", "100", "32767", "-32768", "32766", " 3 ", "+8", "-0"];
const INT4: &[&str] = &[
    "0",
    "1",
    "-1",
    "5",
    "7",
    "42",
    "100",
    "2147483647",
    "-2147483648",
    "32768",
    "-32769",
    "65536",
    "16777217",
];
const INT8: &[&str] = &[
    "0",
    "1",
    "-1",
    "5",
    "7",
    "42",
    "100",
    "9223372036854775807",
    "-9223372036854775808",
    "2147483648",
    "-2147483649",
    "9007199254740993",
    "9007199254740992",
    "123456789012345678",
];
const FLOATS: &[&str] = &[
    "0",
    "-0",
    "1",
    "-1",
    "0.1",
    "0.5",
    "1.5",
    "2.5",
    "-2.5",
    "3.14159",
    "1e10",
    "1e-5",
    "0.0001",
    "123456",
    "1234567",
    "1e15",
    "1e16",
    "123456789012345",
    "NaN",
    "Infinity",
    "-Infinity",
    "inf",
    "42",
    "100",
    "1e30",
    "-1e-30",
    "16777216",
    "9007199254740993",
    "1e20",
    "0.30000001",
];
const DOUBLES: &[&str] =
    &["1e308", "-1.7976931348623157e308", "5e-324", "2.2250738585072014e-308", "1e-300", "1e39"];
const NUMERICS: &[&str] = &[
    "0",
    "-0",
    "1",
    "1.0",
    "1.00",
    "-1",
    "0.1",
    "0.10",
    "1.5",
    "2.5",
    "-2.5",
    "0.5",
    "-0.5",
    "NaN",
    "Infinity",
    "-Infinity",
    "12345678901234567890",
    "0.00000000000000000001",
    "99999.9999",
    "9999.99995",
    "10000",
    "10000.0001",
    "-9999",
    "123.456",
    "42",
    "100",
    "9223372036854775807",
    "9223372036854775807.5",
    "9223372036854775808",
    "32767.5",
    "2147483647.4",
    "1e10",
    "1.5e-7",
    "1e100",
    "-1e-100",
    "0.99999",
    "4.5",
    "1234.5678",
    "1e400",
];
const TEXTS: &[&str] = &[
    "",
    " ",
    "a",
    "a ",
    "A",
    "ab",
    "abc",
    "abc  ",
    "b",
    "open",
    "done",
    "%",
    "_",
    "a%",
    "a_c",
    "\\",
    "a\\b",
    "ä",
    "äö",
    "日本",
    "e\u{301}",
    "\u{1F600}x",
    "true",
    "42",
    "-1",
    "1.5",
    "'",
    "\"",
    "NaN",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ba",
    "bab",
    "2024-02-29 12:00:00+00",
    "a\tb",
    "a\nb",
    "äbc",
    "z",
    "ÄÖÜ",
    "İi",
    "ſS",
    "Straße",
    "ǅ",
    "hello wORLD",
    "foo_bar-1x",
    "x y\nz ä",
    "Σας",
    "a,b,,c",
    "a\u{a0}b",
    "[a]",
    "(a|b)*",
    "\\d+",
];
const BYTES: &[&str] = &[
    "",
    "a",
    "abc",
    "ab",
    "\\x",
    "\\x00",
    "\\xff",
    "\\x616263",
    "\\x61 62",
    "\\xDeadBeef",
    "a\\\\b",
    "\\001\\344",
    "ä",
    "%_",
    "aa",
];
const UUIDS: &[&str] = &[
    "00000000-0000-0000-0000-000000000000",
    "ffffffff-ffff-ffff-ffff-ffffffffffff",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
    "{a0eebc99-9c0b4ef8-bb6d6bb9-bd380a11}",
    "a0eebc999c0b4ef8bb6d6bb9bd380a12",
];
const TIMES: &[&str] = &[
    "2000-01-01 00:00:00+00",
    "1999-12-31 23:59:59.999999+00",
    "2024-02-29 12:34:56.789+02",
    "2024-02-29T10:34:56.789Z",
    "infinity",
    "-infinity",
    "epoch",
    "0044-03-15 12:00:00+00 BC",
    "4713-01-01 00:00:00+00 BC",
    "294276-12-31 23:59:59.999999+00",
    "2024-06-01",
    "20240601",
    "2024-06-01 00:00",
    "2024-06-01 24:00:00",
    "2024-06-01 10:00:60",
    "2024-12-31 23:59:59-12:30",
    "2024-06-01 10:00:00.1234567+05:30",
    "2024-06-01 10:00 UTC",
    "20240601T101112",
    "20240601 101112+0200",
    "2024-06-01 01:02:03.5",
    "0001-01-01 00:00:00+00",
    "10000-01-01 00:00:00+00",
    "2024-06-01 00:00:00+15:59",
];
const OIDS: &[&str] = &[
    "0",
    "1",
    "5",
    "7",
    "42",
    "100",
    "4294967295",
    "2147483648",
    "2147483647",
    "-1",
    "-2147483648",
];
const BAD: &[&str] = &[
    "x",
    "",
    "1.5.5",
    "--1",
    "1e",
    "e5",
    ".",
    "+",
    "1 2",
    "0x10",
    "32768",
    "2147483648",
    "9223372036854775808",
    "99999999999999999999",
    "1e400",
    "1e-400",
    "1e39",
    "2024-13-01",
    "2024-02-30",
    "2024-01-01 25:00",
    "a0eebc99",
    "maybe",
    "o",
    "nan",
    "1_000",
    "1e1000000",
    "2024-01-01 10:61",
    "294277-01-01",
    "4714-01-01 BC",
    "0000-01-01",
    "1,5",
    "\u{a0}1",
    "2024-06-01 10:00+16",
    "2024-06-01 10:00:00+02:60",
];

/// A value of this kind, as text.
pub fn valid(random: &mut Random, kind: Kind) -> String {
    match kind {
        Kind::Bool => random.pick(BOOLS).to_owned(),
        Kind::Int2 => random.pick(INT2).to_owned(),
        Kind::Int4 => random.pick(INT4).to_owned(),
        Kind::Int8 => random.pick(INT8).to_owned(),
        Kind::Float4 => random.pick(FLOATS).to_owned(),
        Kind::Float8 if random.one_in(4) => random.pick(DOUBLES).to_owned(),
        Kind::Float8 => random.pick(FLOATS).to_owned(),
        Kind::Numeric if random.one_in(4) => {
            let scale = random.below(6);
            let digits = random.below(25) + 1;
            let mut text = String::from(if random.one_in(2) { "-" } else { "" });
            for _ in 0..digits {
                text.push(char::from(b'0' + random.below(10) as u8));
            }
            text.push('.');
            for _ in 0..=scale {
                text.push(char::from(b'0' + random.below(10) as u8));
            }
            text
        }
        Kind::Numeric => random.pick(NUMERICS).to_owned(),
        Kind::Text | Kind::Varchar | Kind::Bpchar | Kind::Name => {
            if random.one_in(3) {
                (0..random.below(8)).map(|_| random.pick(&["a", "b", "ä", " ", "%", "_"])).collect()
            } else {
                random.pick(TEXTS).to_owned()
            }
        }
        Kind::Uuid => random.pick(UUIDS).to_owned(),
        Kind::Bytea => random.pick(BYTES).to_owned(),
        Kind::Oid => random.pick(OIDS).to_owned(),
        Kind::Mood => random.pick(crate::arrays::MOODS).to_owned(),
        Kind::Array(element) => crate::arrays::text(random, *element),
        Kind::Json | Kind::Jsonb => crate::json::document(random, 3),
        Kind::Timestamptz if random.one_in(3) => random.pick(TIMES).to_owned(),
        kind => datetime::sample(random, kind),
    }
}

/// Mostly a value of this kind, sometimes none.
pub fn any(random: &mut Random, kind: Kind) -> String {
    match (random.one_in(25), kind) {
        (false, _) => valid(random, kind),
        (true, kind) if kind.is_time() => datetime::bad(random, kind),
        (true, Kind::Array(element)) => crate::arrays::broken(random, *element),
        (true, Kind::Json | Kind::Jsonb) => random.pick(crate::json::BAD).to_owned(),
        (true, Kind::Bytea) => {
            random.pick(&["\\xa", "\\xag", "\\", "a\\9", "\\x6 1", "\\400"]).to_owned()
        }
        (true, _) => random.pick(BAD).to_owned(),
    }
}
