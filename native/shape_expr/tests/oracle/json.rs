//! Documents, and clauses of jsonb and json.

use crate::arrays::text;
use crate::clauses::{Generator, quote};
use crate::random::Random;
use crate::samples::Kind;

const KEYS: &[&str] = &["a", "b", "c", "aa", "", "ab", "ä", "0", "1", "-1", "a b", "null", "日"];

const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "1.0",
    "1.00",
    "-1",
    "2",
    "10",
    "1e2",
    "100",
    "0.1",
    "1E-3",
    "-0.0",
    "12345678901234567890",
    "1.5",
    "2.5",
    "32768",
    "99999999999",
    "1e50",
    "1e-50",
    "\"\"",
    "\"a\"",
    "\"b\"",
    "\"ab\"",
    "\"ä\"",
    "\"1\"",
    "\"1.0\"",
    "\"null\"",
    "\"true\"",
    "\"a b\"",
    "\"\\u00e4\"",
    "\"\\u0061\"",
    "\"\\ud83d\\ude00\"",
    "\"\\n\\t\\\"\\\\\\/\"",
    "\"\\u001f\"",
    "\"日本\"",
    "\"\\b\\f\\r\"",
    "\"\u{7f}\"",
    "\"0\"",
];

/// What json takes and jsonb does not, at times.
const ODD: &[&str] =
    &["\"\\u0000\"", "\"\\ud83d\"", "\"\\ude00\"", "1e200000", "\"\\ud83d\\u0061\""];

pub const BAD: &[&str] = &[
    "",
    " ",
    "{",
    "}",
    "[",
    "[1",
    "[1,]",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\":1,}",
    "{a:1}",
    "'a'",
    "01",
    "1.",
    ".5",
    "+1",
    "-",
    "1e",
    "tru",
    "TRUE",
    "nan",
    "\"a",
    "\"\\x\"",
    "\"\\u12\"",
    "\"\t\"",
    "1 2",
    "[1 2]",
    "{\"a\":1 \"b\":2}",
    "{1:2}",
    "[,1]",
    "1a",
    "\u{a0}1",
    "\"\\ud83d\"",
    "\"\\u0000\"",
    "[1e200000 x]",
    "[1e200000, \"\\u0000\"]",
    "{\"a\":\"\\u0000\" x",
    "]",
    "nullx",
    "[1]]",
    "\\",
    "ä",
];

fn blank(random: &mut Random) -> &'static str {
    random.pick(&["", "", "", "", " ", "  ", "\n", "\t"])
}

/// A document of at most so many levels.
pub fn document(random: &mut Random, depth: usize) -> String {
    let (before, after) = (blank(random), blank(random));
    let inside = match random.below(if depth == 0 { 2 } else { 6 }) {
        0 | 1 if random.one_in(60) => random.pick(ODD).to_owned(),
        0 | 1 => random.pick(SCALARS).to_owned(),
        2 | 3 => {
            let items: Vec<String> =
                (0..random.below(4)).map(|_| document(random, depth - 1)).collect();
            format!("[{}{}]", items.join(","), blank(random))
        }
        _ => {
            let members: Vec<String> = (0..random.below(4))
                .map(|_| {
                    // Few keys, so that they repeat.
                    let few = if random.one_in(4) { KEYS.len() } else { 3 };
                    let key = match random.one_in(12) {
                        true => "\\u0061",
                        false => KEYS[random.below(few)],
                    };
                    let space = blank(random);
                    format!("{space}\"{key}\"{}:{}", blank(random), document(random, depth - 1))
                })
                .collect();
            format!("{{{}{}}}", members.join(","), blank(random))
        }
    };
    format!("{before}{inside}{after}")
}

impl Generator<'_> {
    fn document_kind(&mut self) -> Kind {
        if self.random.one_in(4) { Kind::Json } else { Kind::Jsonb }
    }

    fn key(&mut self) -> String {
        if self.random.one_in(12) {
            return self.operand(Kind::Text, 0);
        }
        let few = if self.random.one_in(3) { KEYS.len() } else { 3 };
        quote(KEYS[self.random.below(few)])
    }

    fn index(&mut self) -> String {
        match self.random.one_in(12) {
            true => self.operand(Kind::Int4, 0),
            false => self.random.pick(&["0", "1", "2", "-1", "-2", "3", "-4"]).to_owned(),
        }
    }

    fn path(&mut self) -> String {
        match self.random.below(20) {
            0 => {
                let odd = ["'{'", "'a'", "''", "NULL", "'{a,}'", "'{a}b'", "'{{a},{0}}'"];
                return self.random.pick(&odd).to_owned();
            }
            1 | 2 => return self.array(&Kind::Text, 1),
            3 => return format!("ARRAY[{}, {}]", self.key(), self.key()),
            4 => return format!("{}::text[]", quote(&text(self.random, Kind::Text))),
            _ => {}
        }
        let items: Vec<&str> = (0..self.random.below(4))
            .map(|_| {
                self.random.pick(&[
                    "a",
                    "a",
                    "b",
                    "c",
                    "aa",
                    "0",
                    "1",
                    "-1",
                    "2",
                    "NULL",
                    "\"a b\"",
                    "\"\"",
                    " 1",
                    "+1",
                    "01",
                    "1x",
                    "ä",
                    "\"null\"",
                    " a ",
                    "\\a",
                    "-2147483648",
                    "2147483648",
                    "\" 1\"",
                ])
            })
            .collect();
        quote(&format!("{{{}}}", items.join(",")))
    }

    /// A part of a document, as a document of its kind or as text.
    fn part(&mut self, kind: Kind, text: bool, depth: usize) -> String {
        let document = self.operand(kind, depth);
        let (arrow, hash) = if text { ("->>", "#>>") } else { ("->", "#>") };
        let name = if kind == Kind::Json { "json" } else { "jsonb" };
        let ending = if text { "_text" } else { "" };
        if !text && kind == Kind::Jsonb && self.random.one_in(4) {
            return self.subscripted(&document);
        }
        match self.random.below(10) {
            0..=3 => format!("({document} {arrow} {})", self.key()),
            4 | 5 => format!("({document} {arrow} {})", self.index()),
            6 | 7 => format!("({document} {hash} {})", self.path()),
            8 => {
                let count = 1 + self.random.below(3);
                let keys: Vec<String> = (0..count)
                    .map(|_| match self.random.one_in(2) {
                        true => self.key(),
                        false => quote(&self.index().replace('\'', "")),
                    })
                    .collect();
                format!("{name}_extract_path{ending}({document}, {})", keys.join(", "))
            }
            _ => match self.random.one_in(2) {
                true => format!("{name}_object_field{ending}({document}, {})", self.key()),
                false => format!("{name}_array_element{ending}({document}, {})", self.index()),
            },
        }
    }

    /// `(document)['a'][0]`.
    fn subscripted(&mut self, document: &str) -> String {
        let subscripts: String = (0..1 + self.random.below(3))
            .map(|_| match self.random.below(16) {
                0 => "['a':'b']".to_owned(),
                1 => "[NULL]".to_owned(),
                2 => format!("[{}]", self.operand(Kind::Int8, 0)),
                3 => format!("[{}]", self.operand(Kind::Int2, 0)),
                4 => format!("[{}]", self.operand(Kind::Varchar, 0)),
                5 => format!("[1 / {}]", self.operand(Kind::Int4, 0)),
                6..=9 => format!("[{}]", self.index()),
                _ => format!("[{}]", self.key()),
            })
            .collect();
        format!("({document}){subscripts}")
    }

    /// A document made of values.
    fn made(&mut self, name: &str, depth: usize) -> String {
        let values = |this: &mut Self, count: usize| -> String {
            let values: Vec<String> = (0..count)
                .map(|_| {
                    let kind = this.kind();
                    this.operand(kind, depth.min(1))
                })
                .collect();
            values.join(", ")
        };
        let count = self.random.below(4);
        match self.random.below(10) {
            0 => {
                let kind = self.kind();
                format!("to_{name}({})", self.operand(kind, depth))
            }
            1 | 2 => {
                // Of a known type.
                let kind = self.kind();
                format!("to_{name}(({})::{})", self.operand(kind, depth), kind.name())
            }
            3 => {
                let element = self.element();
                let array = self.array(element, depth.min(1));
                let feeds = self.random.pick(&["", ", true", ", false", ", NULL"]);
                let json = format!("array_to_json({array}{feeds})");
                if name == "json" { json } else { format!("{json}::jsonb") }
            }
            4 => format!("{name}_build_array({})", values(self, count)),
            5 => format!("{name}_build_object({})", values(self, count)),
            6 | 7 => {
                let pairs: Vec<String> =
                    (0..count).map(|_| format!("{}, {}", self.key(), values(self, 1))).collect();
                format!("{name}_build_object({})", pairs.join(", "))
            }
            8 => format!("{name}_object({})", self.path()),
            _ => format!("{name}_object({}, {})", self.path(), self.path()),
        }
    }

    /// A document changed where a path leads.
    fn changed(&mut self, depth: usize) -> String {
        let document = self.operand(Kind::Jsonb, depth);
        let path = self.path();
        if self.random.one_in(3) {
            return match self.random.one_in(4) {
                true => format!("jsonb_delete_path({document}, {path})"),
                false => format!("({document} #- {path})"),
            };
        }
        let value = self.operand(Kind::Jsonb, 0);
        let flag = self.random.pick(&["", ", true", ", false", ", NULL", ", 't'"]);
        match self.random.below(5) {
            0 | 1 => format!("jsonb_set({document}, {path}, {value}{flag})"),
            2 | 3 => format!("jsonb_insert({document}, {path}, {value}{flag})"),
            _ => {
                let value = if self.random.one_in(2) { "NULL" } else { &value };
                let treatment = match flag {
                    "" => "",
                    _ => self.random.pick(&[
                        "",
                        ", 'use_json_null'",
                        ", 'delete_key'",
                        ", 'return_target'",
                        ", 'raise_exception'",
                        ", 'other'",
                        ", NULL",
                    ]),
                };
                format!("jsonb_set_lax({document}, {path}, {value}{flag}{treatment})")
            }
        }
    }

    /// An expression of this kind made of documents, if there is one.
    pub fn json_operand(&mut self, kind: Kind, depth: usize) -> Option<String> {
        let depth = depth - 1;
        Some(match kind {
            Kind::Text => {
                let kind = self.document_kind();
                match self.random.below(6) {
                    0 => format!("jsonb_pretty({})", self.operand(Kind::Jsonb, depth)),
                    1 => {
                        let name = if kind == Kind::Json { "json" } else { "jsonb" };
                        format!("{name}_typeof({})", self.operand(kind, depth))
                    }
                    _ => self.part(kind, true, depth),
                }
            }
            Kind::Json => match self.random.below(8) {
                0 => format!("json_strip_nulls({})", self.operand(Kind::Json, depth)),
                1 => self.made("json", depth),
                _ => self.part(Kind::Json, false, depth),
            },
            Kind::Jsonb if self.random.one_in(8) => self.made("jsonb", depth),
            Kind::Jsonb if self.random.one_in(4) => self.changed(depth),
            Kind::Jsonb => match self.random.below(6) {
                0..=2 => self.part(Kind::Jsonb, false, depth),
                3 => {
                    let document = self.operand(Kind::Jsonb, depth);
                    match self.random.below(3) {
                        0 => format!("({document} - {})", self.key()),
                        1 => format!("({document} - {})", self.index()),
                        _ => format!("({document} - {})", self.path()),
                    }
                }
                4 => {
                    let (a, b) =
                        (self.operand(Kind::Jsonb, depth), self.operand(Kind::Jsonb, depth));
                    match self.random.one_in(2) {
                        true => format!("jsonb_concat({a}, {b})"),
                        false => format!("({a} || {b})"),
                    }
                }
                _ => {
                    let document = self.operand(Kind::Jsonb, depth);
                    match self.random.below(4) {
                        0 => format!("jsonb_strip_nulls({document})"),
                        3 => {
                            format!("jsonb_delete({document}, {}, {})", self.key(), self.key())
                        }
                        1 => format!("jsonb_delete({document}, {}::text)", self.key()),
                        _ => format!("jsonb_delete({document}, {}::int)", self.index()),
                    }
                }
            },
            Kind::Int4 if self.random.one_in(2) => {
                let kind = self.document_kind();
                let name = if kind == Kind::Json { "json" } else { "jsonb" };
                format!("{name}_array_length({})", self.operand(kind, depth))
            }
            Kind::Bool | Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Numeric => {
                format!("({})::{}", self.operand(Kind::Jsonb, depth), kind.name())
            }
            Kind::Float4 | Kind::Float8 => {
                format!("CAST({} AS {})", self.operand(Kind::Jsonb, depth), kind.name())
            }
            _ => return None,
        })
    }

    pub fn json_condition(&mut self) -> String {
        let left = self.operand(Kind::Jsonb, 2);
        match self.random.below(8) {
            0 | 1 => {
                let operator = self.random.pick(&["=", "<>", "<", "<=", ">", ">="]);
                format!("{left} {operator} {}", self.operand(Kind::Jsonb, 2))
            }
            2 | 3 => {
                let operator = self.random.pick(&["@>", "@>", "<@"]);
                format!("{left} {operator} {}", self.operand(Kind::Jsonb, 2))
            }
            4 => match self.random.below(3) {
                0 => format!("jsonb_exists({left}, {})", self.key()),
                _ => format!("{left} ? {}", self.key()),
            },
            5 => match self.random.below(4) {
                0 => {
                    let function = self.random.pick(&["jsonb_exists_any", "jsonb_exists_all"]);
                    format!("{function}({left}, {})", self.path())
                }
                _ => {
                    let operator = self.random.pick(&["?|", "?&"]);
                    format!("{left} {operator} {}", self.path())
                }
            },
            6 if self.random.one_in(3) => {
                let name = self.random.pick(&["json", "jsonb"]);
                let made = self.made(name, 1);
                format!("({made})::text = {}", self.operand(Kind::Text, 0))
            }
            6 => {
                let kind = self.document_kind();
                let part = self.part(kind, true, 1);
                let operator = self.random.pick(&["=", "<>", "IS DISTINCT FROM"]);
                format!("{part} {operator} {}", self.operand(Kind::Text, 1))
            }
            _ => {
                let function = self.random.pick(&["jsonb_contains", "jsonb_contained"]);
                format!("{function}({left}, {})", self.operand(Kind::Jsonb, 1))
            }
        }
    }
}
