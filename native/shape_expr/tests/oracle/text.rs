//! Clauses about text, patterns, regular expressions and bytea.

use crate::clauses::{Generator, quote};
use crate::samples::Kind;

const STRINGS: [Kind; 4] = [Kind::Text, Kind::Varchar, Kind::Bpchar, Kind::Name];

/// Literals that patterns are made of.
const PIECES: [&str; 14] =
    ["a", "b", "ä", "Ä", "abc", "A", "ß", "o", " ", "日", "\u{301}", "ǆ", "1", "_"];

impl Generator<'_> {
    fn text(&mut self, depth: usize) -> String {
        let kind = STRINGS[self.random.below(4)];
        self.operand(kind, depth)
    }

    fn small(&mut self) -> String {
        match self.random.below(12) {
            0 => self.random.pick(&["-2147483648", "2147483647", "100000"]).to_owned(),
            1 => self.operand(Kind::Int2, 1),
            2 => "NULL".to_owned(),
            _ => (self.random.below(9) as i64 - 3).to_string(),
        }
    }

    fn size(&mut self) -> String {
        match self.random.below(12) {
            0 => self.random.pick(&["-2147483648", "2147483647"]).to_owned(),
            1 => "NULL".to_owned(),
            _ => (self.random.below(12) as i64 - 2).to_string(),
        }
    }

    /// A condition on text.
    pub fn about_text(&mut self) -> String {
        match self.random.below(12) {
            10 | 11 => self.regex_condition(),
            0..=2 => self.regular(),
            3 => self.similar(),
            4 => {
                let (a, b) = (self.text(1), self.text(1));
                let a = if self.random.one_in(2) { format!("{a}::text") } else { a };
                match self.random.one_in(2) {
                    true => format!("starts_with({a}, {b})"),
                    false => format!("{a} ^@ {b}"),
                }
            }
            5 => {
                let operator = self.random.pick(&["~<~", "~<=~", "~>~", "~>=~"]);
                format!("{} {operator} {}", self.text(1), self.text(1))
            }
            6 => self.bytea_like(),
            7 | 8 => {
                let operator = self.random.pick(&["=", "<>", "<", ">="]);
                let (a, b) = (self.text_function(1), self.text(1));
                format!("{a} {operator} {b}")
            }
            _ => {
                let operator = self.random.pick(&["=", "<>", "<", ">="]);
                format!("{} {operator} {}", self.number_function(1), self.small())
            }
        }
    }

    fn bytea_like(&mut self) -> String {
        let mut pattern = String::new();
        for _ in 0..self.random.below(5) {
            let parts = ["%", "_", "a", "b", "\\\\", "\\001", "\\344", "\\\\%"];
            pattern.push_str(self.random.pick(&parts));
        }
        let not = self.random.pick(&["", "NOT "]);
        let escape = match self.random.below(12) {
            0 => " ESCAPE ''",
            1 => " ESCAPE 'a'",
            2 => " ESCAPE 'ab'",
            _ => "",
        };
        format!("{} {not}LIKE {}::bytea{escape}", self.operand(Kind::Bytea, 1), quote(&pattern))
    }

    fn regular(&mut self) -> String {
        let pattern = match self.random.below(8) {
            0 => self.text(1),
            _ => {
                let regex = self.whole_regex();
                quote(&regex)
            }
        };
        let value = self.text(1);
        if self.random.one_in(10) {
            return format!("regexp_like({value}, {pattern})");
        }
        let operator = self.random.pick(&["~", "~*", "!~", "!~*"]);
        format!("{value} {operator} {pattern}")
    }

    pub fn whole_regex(&mut self) -> String {
        let mut regex = match self.random.below(24) {
            0 => "(?i)",
            1 => "(?n)",
            2 => "(?x)",
            3 => "(?p)",
            4 => "(?w)",
            5 => "***:",
            6 => "***=",
            7 => "***:(?c)",
            8 => "(?q)",
            9 => self.random.pick(&["(?z)", "***", "(?", "(?in"]),
            _ => "",
        }
        .to_owned();
        regex.push_str(&self.regex(2));
        if self.random.one_in(12) {
            let odd =
                ["(", ")", "[", "*", "{2}", "\\", "[b-a]", "a{3,2}", "[[:foo:]]", "\\q", "]", "}"];
            regex.push_str(self.random.pick(&odd));
        }
        regex
    }

    fn regex(&mut self, depth: usize) -> String {
        let mut regex = String::new();
        for i in 0..self.random.below(4) {
            if i > 0 && self.random.one_in(8) {
                regex.push('|');
            }
            let looks = ["^", "$", "\\A", "\\Z", "\\m", "\\M", "\\y", "\\Y", "[[:<:]]", "[[:>:]]"];
            if self.random.one_in(6) {
                regex.push_str(self.random.pick(&looks));
                continue;
            }
            let atom = match self.random.below(12) {
                0..=4 => self.random.pick(&PIECES).to_owned(),
                5 => self
                    .random
                    .pick(&[".", "\\.", "\\d", "\\D", "\\s", "\\S", "\\w", "\\W"])
                    .to_owned(),
                6 => {
                    let names = [
                        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower",
                        "print", "punct", "space", "upper", "word", "xdigit",
                    ];
                    let not = self.random.pick(&["", "^"]);
                    format!("[{not}[:{}:]]", self.random.pick(&names))
                }
                7 => self.bracket(),
                8 => {
                    let odd = [
                        "\\u00e4",
                        "\\x61",
                        "\\t",
                        "\\n",
                        "\\e",
                        "\\061",
                        "\\U0001F600",
                        "\\cA",
                        "{",
                        "\\\\",
                    ];
                    self.random.pick(&odd).to_owned()
                }
                9 if depth > 0 => format!("({})", self.regex(depth - 1)),
                10 if depth > 0 => {
                    format!("(?:{}|{})", self.regex(depth - 1), self.regex(depth - 1))
                }
                _ => self.random.pick(&["a", "(?#x)b", " ", "#"]).to_owned(),
            };
            regex.push_str(&atom);
            let counts = ["*", "+", "?", "{2}", "{0,1}", "{1,}", "*?", "+?", "{2,3}?", "{0}"];
            if self.random.one_in(4) {
                regex.push_str(self.random.pick(&counts));
            }
        }
        regex
    }

    fn bracket(&mut self) -> String {
        let mut bracket = String::from(self.random.pick(&["[", "[^", "[]", "[-"]));
        for _ in 0..1 + self.random.below(3) {
            let parts = [
                "a",
                "ä",
                "a-c",
                "A-Z",
                "Ä-ö",
                "\\d",
                "\\W",
                "[:lower:]",
                "[=a=]",
                "[.-.]",
                "_",
                "\\-",
                "^",
                "0-9",
                "日",
                "ǅ",
                "\\]",
            ];
            bracket.push_str(self.random.pick(&parts));
        }
        bracket.push_str(self.random.pick(&["]", "-]"]));
        bracket
    }

    fn similar(&mut self) -> String {
        let mut pattern = String::new();
        for _ in 0..self.random.below(6) {
            let parts = [
                "%",
                "_",
                "a",
                "b",
                "ä",
                "(a|b)",
                "[ab]",
                "[^a]",
                "[[:alpha:]]",
                "+",
                "*",
                "?",
                "{2}",
                "\\%",
                "!_",
                ".",
                "^",
                "|",
                "abc",
                "日",
                "[]a]",
                "\\d",
            ];
            pattern.push_str(self.random.pick(&parts));
        }
        let escape = match self.random.below(8) {
            0 => " ESCAPE '!'",
            1 => " ESCAPE ''",
            2 => " ESCAPE 'ä'",
            3 if self.random.one_in(6) => " ESCAPE 'ab'",
            _ => "",
        };
        let pattern = if self.random.one_in(8) { self.text(1) } else { quote(&pattern) };
        let not = self.random.pick(&["", "NOT "]);
        format!("{} {not}SIMILAR TO {pattern}{escape}", self.text(1))
    }

    /// An expression of type text.
    pub fn text_function(&mut self, depth: usize) -> String {
        let depth = depth.saturating_sub(1);
        let a = self.text(depth);
        match self.random.below(38) {
            34..=37 => self.formed_text(),
            30..=33 => self.regex_text(),
            0 | 1 => format!("lower({a})"),
            2 | 3 => format!("upper({a})"),
            4 => format!("initcap({a})"),
            5 => {
                let name = self.random.pick(&["btrim", "ltrim", "rtrim"]);
                match self.random.one_in(2) {
                    true => format!("{name}({a})"),
                    false => format!("{name}({a}, {})", self.text(0)),
                }
            }
            6 => {
                let ends = self.random.pick(&["BOTH", "LEADING", "TRAILING"]);
                format!("trim({ends} {} FROM {a})", self.text(0))
            }
            7 => {
                let name = self.random.pick(&["substr", "substring"]);
                match self.random.one_in(2) {
                    true => format!("{name}({a}, {}::int)", self.small()),
                    false => format!("{name}({a}, {}::int, {}::int)", self.small(), self.small()),
                }
            }
            8 => format!("substring({a} FROM {}::int FOR {}::int)", self.small(), self.small()),
            9 => format!("left({a}, {}::int)", self.small()),
            10 => format!("right({a}, {}::int)", self.small()),
            11 | 12 => {
                let name = self.random.pick(&["lpad", "rpad"]);
                match self.random.one_in(2) {
                    true => format!("{name}({a}, {}::int)", self.size()),
                    false => format!("{name}({a}, {}::int, {})", self.size(), self.text(0)),
                }
            }
            13 => format!("replace({a}, {}, {})", self.text(0), self.text(0)),
            14 | 15 => {
                let kind = self.kind();
                format!("concat({a}, {}, {})", self.operand(kind, depth), self.text(0))
            }
            16 => {
                let kind = self.kind();
                format!("concat_ws({a}, {}, {})", self.operand(kind, depth), self.text(0))
            }
            17 => match self.size().as_str() {
                // PostgreSQL takes seconds to repeat an empty text as often.
                most @ "2147483647" => format!("repeat({a} || 'x', {most}::int)"),
                size => format!("repeat({a}, {size}::int)"),
            },
            18 => format!("reverse({a})"),
            19 => format!("split_part({a}, {}, {}::int)", self.text(0), self.small()),
            20 => format!("translate({a}, {}, {})", self.text(0), self.text(0)),
            21 => format!("chr({}::int)", self.operand(Kind::Int4, 0)),
            22 => format!("md5({a}::text)"),
            23 => format!("overlay({a} PLACING {} FROM {}::int)", self.text(0), self.small()),
            24 => {
                let (from, length) = (self.small(), self.small());
                format!("overlay({a} PLACING {} FROM {from}::int FOR {length}::int)", self.text(0))
            }
            25 => {
                let number = self.random.pick(&[Kind::Int4, Kind::Int8].map(|k| k.name()));
                format!("to_hex({}::{number})", self.small())
            }
            26 => {
                let kind = self.kind();
                let kind = if self.random.one_in(2) { Kind::Text } else { kind };
                format!("quote_literal({})", self.operand(kind, depth))
            }
            27 => {
                let encoding = self.random.pick(&["hex", "base64", "escape", "HEX", "foo"]);
                format!("encode({}, '{encoding}')", self.operand(Kind::Bytea, 1))
            }
            _ => {
                let kind = self.kind();
                let other = self.operand(kind, depth);
                match self.random.below(3) {
                    0 => format!("({a} || {other})"),
                    1 => format!("({other} || {a})"),
                    _ => format!("({a} || {})", self.text(0)),
                }
            }
        }
    }

    /// An expression of type integer.
    pub fn number_function(&mut self, depth: usize) -> String {
        let depth = depth.saturating_sub(1);
        let kind = if self.random.one_in(4) { Kind::Bytea } else { STRINGS[self.random.below(4)] };
        let a = self.operand(kind, depth);
        match self.random.below(8) {
            6 => self.regex_number(),
            7 => self.bucket_or_count(),
            0 | 1 => {
                let names = if kind == Kind::Bytea {
                    &["length", "octet_length", "bit_length"][..]
                } else {
                    &["length", "char_length", "character_length", "octet_length", "bit_length"]
                };
                format!("{}({a})", self.random.pick(names))
            }
            2 if kind == Kind::Bytea => format!("get_byte({a}, {})", self.random.below(4)),
            2 => format!("ascii({a})"),
            3 if kind == Kind::Bytea => {
                format!("position({} IN {a})", self.operand(Kind::Bytea, 0))
            }
            3 => format!("position({} IN {a})", self.text(0)),
            4 if kind == Kind::Bytea => format!("length({a}, 'UTF8')"),
            _ => format!("strpos({}, {})", self.text(depth), self.text(0)),
        }
    }

    /// An expression of type bytea.
    pub fn bytea_function(&mut self, depth: usize) -> String {
        let depth = depth.saturating_sub(1);
        let a = self.operand(Kind::Bytea, depth);
        let a = format!("{a}::bytea");
        let b = format!("{}::bytea", self.operand(Kind::Bytea, 0));
        match self.random.below(11) {
            9 | 10 => self.formed_bytea(),
            0 => format!("({a} || {b})"),
            1 => format!("substring({a} FROM {}::int FOR {}::int)", self.small(), self.small()),
            2 => format!("substr({a}, {}::int)", self.small()),
            3 => {
                let name = self.random.pick(&["btrim", "ltrim", "rtrim"]);
                format!("{name}({a}, {b})")
            }
            4 => {
                let name = self.random.pick(&["sha224", "sha256", "sha384", "sha512"]);
                format!("{name}({a})")
            }
            5 => format!("overlay({a} PLACING {b} FROM {}::int)", self.small()),
            6 => format!("set_byte({a}, {}, {})", self.random.below(4), self.random.below(300)),
            7 => {
                let encoding = self.random.pick(&["hex", "base64", "escape", "foo"]);
                let texts = [
                    "YWJj",
                    "YQ==",
                    "YQ=",
                    "6162",
                    "61 62",
                    "a\\\\b",
                    "\\101",
                    "zz",
                    "a b",
                    "YWJjYQ==YWJj",
                ];
                let text = self.random.pick(&texts);
                format!("decode('{text}', '{encoding}')")
            }
            _ => format!(
                "overlay({a} PLACING {b} FROM {}::int FOR {}::int)",
                self.small(),
                self.small()
            ),
        }
    }
}
