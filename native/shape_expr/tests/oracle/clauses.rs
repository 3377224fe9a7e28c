//! Random clauses, mostly well-typed.

use crate::datetime;
use crate::random::Random;
use crate::samples::{self, ARRAYS, KINDS, Kind};
use crate::table::Table;

/// A clause for this table.
pub fn condition(random: &mut Random, table: &Table) -> String {
    let depth = 1 + random.below(3);
    Generator { random, table }.boolean(depth)
}

pub struct Generator<'g> {
    pub random: &'g mut Random,
    pub table: &'g Table,
}

pub fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Generator<'_> {
    pub fn kind(&mut self) -> Kind {
        // Kinds the table has, for the most part.
        match self.table.columns.is_empty() || self.random.one_in(4) {
            true if self.random.one_in(4) => self.kind_of(ARRAYS),
            true => self.any_kind(),
            false => self.table.columns[self.random.below(self.table.columns.len())].1,
        }
    }

    fn any_kind(&mut self) -> Kind {
        self.kind_of(KINDS)
    }

    pub fn kind_of(&mut self, kinds: &[Kind]) -> Kind {
        loop {
            let kind = kinds[self.random.below(kinds.len())];
            if self.table.steady() || kind.element() != Kind::Timetz {
                return kind;
            }
        }
    }

    /// Another kind that operators often accept beside this one.
    pub fn partner(&mut self, kind: Kind) -> Kind {
        if self.random.one_in(30) {
            return self.any_kind();
        }
        let family: Vec<Kind> = KINDS
            .iter()
            .copied()
            .filter(|k| self.table.steady() || *k != Kind::Timetz)
            .filter(|k| {
                datetime::is_moment(*k) && datetime::is_moment(kind)
                    || (k.is_number() && kind.is_number())
                    || (k.is_string() && kind.is_string())
            })
            .collect();
        match family.is_empty() || self.random.one_in(2) {
            true => kind,
            false => family[self.random.below(family.len())],
        }
    }

    pub fn boolean(&mut self, depth: usize) -> String {
        if depth > 0 && self.random.one_in(2) {
            let (a, b) = (self.boolean(depth - 1), self.boolean(depth - 1));
            return match self.random.below(6) {
                0 | 1 => format!("{a} AND {b}"),
                2 | 3 => format!("({a}) OR ({b})"),
                4 => format!("NOT ({a})"),
                _ => {
                    let test = self.random.pick(&[
                        "TRUE",
                        "FALSE",
                        "UNKNOWN",
                        "NOT TRUE",
                        "NOT FALSE",
                        "NOT UNKNOWN",
                        "NULL",
                    ]);
                    format!("({a}) IS {test}")
                }
            };
        }
        match crate::family() {
            Some("json") => return self.json_condition(),
            Some("arrays") => return self.array_condition(),
            Some("rows") => return self.row_condition(),
            Some("control") => return self.control(Kind::Bool, 3),
            _ => {}
        }
        if self.random.one_in(8) {
            return self.time_condition();
        }
        match self.random.below(9) {
            0 | 1 => return self.array_condition(),
            2 => return self.row_condition(),
            3 => return self.control(Kind::Bool, 2),
            _ => {}
        }
        match self.random.below(31) {
            26..=30 => self.about_text(),
            0..=7 => self.comparison(),
            8 | 9 => {
                let kind = self.kind();
                let not = self.random.pick(&["", "NOT "]);
                format!("{} IS {not}NULL", self.operand(kind, 1))
            }
            10..=12 => self.in_list(),
            13 | 14 => {
                let kind = self.kind();
                let not = self.random.pick(&["", "NOT "]);
                let symmetric = self.random.pick(&["", "SYMMETRIC "]);
                let value = self.operand(kind, 1);
                let (low, high) = (self.partner(kind), self.partner(kind));
                let (low, high) = (self.operand(low, 0), self.operand(high, 0));
                format!("{value} {not}BETWEEN {symmetric}{low} AND {high}")
            }
            15..=17 => self.like(),
            18 => {
                let kind = self.kind();
                let other = self.partner(kind);
                let (a, b) = (self.operand(kind, 1), self.operand(other, 1));
                let not = self.random.pick(&["", "NOT "]);
                format!("{a} IS {not}DISTINCT FROM {b}")
            }
            19 => self.operand(Kind::Bool, 1),
            20 => {
                let function = self.random.pick(&["length", "char_length", "octet_length"]);
                let argument = self.string();
                format!("{function}({argument}) > {}", self.random.below(6))
            }
            22..=24 => self.json_condition(),
            _ => self
                .random
                .pick(&["true", "false", "NULL", "NULL::boolean", "'t'", "1 = 1"])
                .to_owned(),
        }
    }

    pub fn comparison(&mut self) -> String {
        let kind = self.kind();
        let other = self.partner(kind);
        let (a, b) = (self.operand(kind, 2), self.operand(other, 2));
        let operator = self.random.pick(&["=", "=", "=", "<>", "!=", "<", "<=", ">", ">="]);
        format!("{a} {operator} {b}")
    }

    fn in_list(&mut self) -> String {
        let kind = self.kind();
        let value = self.operand(kind, 1);
        let length = match self.random.one_in(4) {
            true => 9 + self.random.below(12),
            false => 1 + self.random.below(4),
        };
        let items: Vec<String> = (0..length)
            .map(|_| {
                let kind = match self.random.one_in(5) {
                    true => self.partner(kind),
                    false => kind,
                };
                match self.random.one_in(8) {
                    true => self.operand(kind, 1),
                    false => self.literal(kind),
                }
            })
            .collect();
        let not = self.random.pick(&["", "NOT "]);
        format!("{value} {not}IN ({})", items.join(", "))
    }

    pub fn string(&mut self) -> String {
        let kinds = [Kind::Text, Kind::Varchar, Kind::Bpchar, Kind::Name];
        let kind = kinds[self.random.below(4)];
        self.operand(kind, 1)
    }

    fn like(&mut self) -> String {
        let value = match self.random.one_in(10) {
            true => {
                let kind = self.kind();
                self.operand(kind, 1)
            }
            false => self.string(),
        };
        let mut pattern = String::new();
        for _ in 0..self.random.below(6) {
            let parts = [
                "%", "_", "a", "b", "ä", "Ä", "B", "abc", "\\", "\\%", "\\_", "!", "!%", " ", "日",
                "x",
            ];
            pattern.push_str(self.random.pick(&parts));
        }
        let pattern = match self.random.one_in(6) {
            true => self.string(),
            false => quote(&pattern),
        };
        let escape = match self.random.below(8) {
            0 => " ESCAPE '!'",
            1 => " ESCAPE ''",
            2 => " ESCAPE '\\'",
            3 if self.random.one_in(6) => " ESCAPE 'ab'",
            4 if self.random.one_in(3) => " ESCAPE 'ä'",
            5 if self.random.one_in(6) => " ESCAPE NULL",
            _ => "",
        };
        let not = self.random.pick(&["", "NOT "]);
        let like = self.random.pick(&["LIKE", "ILIKE"]);
        format!("{value} {not}{like} {pattern}{escape}")
    }

    pub fn literal(&mut self, kind: Kind) -> String {
        if self.random.one_in(15) {
            return "NULL".to_owned();
        }
        let text = samples::any(self.random, kind);
        let bare = kind.is_number()
            && text.trim() == text
            && text.bytes().all(|b| b.is_ascii_digit() || b == b'.' || b == b'-' || b == b'e')
            && text.bytes().filter(|b| *b == b'.').count() <= 1
            && text.bytes().last().is_some_and(|b| b.is_ascii_digit())
            && !text.starts_with("--")
            && !text.starts_with('e')
            && !text.starts_with("-e")
            && !text.contains("1e1000000");
        match self.random.below(6) {
            0 => format!("{}::{}", quote(&text), kind.name()),
            1 => format!("CAST({} AS {})", quote(&text), kind.name()),
            2 if kind == Kind::Bool => self.random.pick(&["TRUE", "FALSE"]).to_owned(),
            2..=4 if bare => text,
            _ => quote(&text),
        }
    }

    pub fn operand(&mut self, kind: Kind, depth: usize) -> String {
        if let (Kind::Array(element), true) = (kind, depth > 0 && self.random.one_in(4)) {
            return self.array(element, depth - 1);
        }
        if depth > 0 && self.random.one_in(8) {
            return self.control(kind, depth);
        }
        if depth > 0 && self.random.one_in(5) {
            match kind {
                kind if kind.is_string() => return self.text_function(depth),
                Kind::Bytea => return self.bytea_function(depth),
                Kind::Int4 => return self.number_function(depth),
                _ => {}
            }
        }
        let often = if kind.is_time() { 2 } else { 12 };
        if depth > 0
            && self.random.one_in(often)
            && let Some(expression) = self.time_expression(kind, depth)
        {
            return expression;
        }
        if depth > 0 && self.random.one_in(4) {
            if kind.is_number() && self.random.one_in(2) {
                return self.arithmetic(kind, depth);
            }
            if self.random.one_in(2)
                && let Some(operand) = self.math_operand(kind, depth)
            {
                return operand;
            }
            if self.random.one_in(2)
                && let Some(operand) = self.json_operand(kind, depth)
            {
                return operand;
            }
            return self.cast(kind, depth);
        }
        if !self.random.one_in(3)
            && let Some(column) = self.table.of_kind(self.random, kind)
        {
            return column;
        }
        self.literal(kind)
    }

    fn arithmetic(&mut self, kind: Kind, depth: usize) -> String {
        if self.random.one_in(5) {
            let sign = self.random.pick(&["-", "+", "- "]);
            return format!("({sign} {})", self.operand(kind, depth - 1));
        }
        let other = self.partner(kind);
        let (a, b) = (self.operand(kind, depth - 1), self.operand(other, depth - 1));
        // With a string after it, `-` takes an untyped literal for jsonb.
        let operator = match other.is_string() {
            true => self.random.pick(&["+", "*", "/", "%"]),
            false => self.random.pick(&["+", "-", "*", "/", "%"]),
        };
        format!("({a} {operator} {b})")
    }

    fn cast(&mut self, kind: Kind, depth: usize) -> String {
        let from = match self.random.below(4) {
            0 => Kind::Text,
            1 => self.partner(kind),
            2 => kind,
            _ => self.kind(),
        };
        let value = self.operand(from, depth - 1);
        // A cast may be written as a call.
        let function = match kind {
            Kind::Bool => "bool",
            Kind::Int2 => "int2",
            Kind::Int4 => "int4",
            Kind::Int8 => "int8",
            Kind::Float4 => "float4",
            Kind::Float8 => "float8",
            Kind::Text | Kind::Name | Kind::Uuid | Kind::Bytea | Kind::Jsonb => kind.name(),
            Kind::Oid | Kind::Date | Kind::Timestamptz => kind.name(),
            _ => "",
        };
        if !function.is_empty() && self.random.one_in(8) {
            return format!("{function}({value})");
        }
        let modified = match kind {
            Kind::Varchar => self.random.pick(&["varchar", "varchar(2)", "character varying(5)"]),
            Kind::Bpchar => self.random.pick(&["bpchar", "char", "char(3)", "character(6)"]),
            Kind::Numeric => self.random.pick(&[
                "numeric",
                "numeric(5,2)",
                "numeric(3)",
                "numeric(2,-1)",
                "decimal(10,4)",
            ]),
            kind if kind.is_time() => datetime::modified(self.random, kind),
            Kind::Float8 => self.random.pick(&["float8", "float", "double precision", "float(53)"]),
            kind => kind.name(),
        };
        match self.random.one_in(2) {
            true => format!("({value})::{modified}"),
            false => format!("CAST({value} AS {modified})"),
        }
    }
}
