//! Arrays, rows and the control forms.

use crate::clauses::{Generator, quote};
use crate::random::Random;
use crate::samples::{self, ARRAYS, Kind};

/// The labels of the type `mood`, in order.
pub const MOODS: &[&str] = &["sad", "ok", "happy", "Very Happy", "NULL", "a,b", "ä", "x\"y"];

/// An array's text: nested, with NULLs, quotes, blanks and lower bounds as they come.
pub fn text(random: &mut Random, element: Kind) -> String {
    let dimensions = match random.below(12) {
        0 => return random.pick(&["{}", " { } "]).to_owned(),
        1 | 2 => 2,
        3 => 3,
        _ => 1,
    };
    let lengths: Vec<usize> = (0..dimensions).map(|_| 1 + random.below(3)).collect();
    let mut text = String::new();
    if random.one_in(8) {
        for length in &lengths {
            let lower = random.below(5) as i64 - 1;
            text.push_str(&format!("[{lower}:{}]", lower + *length as i64 - 1));
        }
        text.push('=');
    }
    level(random, element, &lengths, &mut text);
    text
}

fn level(random: &mut Random, element: Kind, lengths: &[usize], text: &mut String) {
    let blank = |random: &mut Random, text: &mut String| {
        if random.one_in(12) {
            text.push(' ');
        }
    };
    blank(random, text);
    text.push('{');
    for i in 0..lengths[0] {
        if i > 0 {
            text.push(',');
        }
        if lengths.len() > 1 {
            level(random, element, &lengths[1..], text);
            continue;
        }
        blank(random, text);
        if random.one_in(8) {
            text.push_str(random.pick(&["NULL", "null", "Null"]));
        } else {
            let item = match random.one_in(30) {
                true => samples::any(random, element),
                false => samples::valid(random, element),
            };
            let plain = !item.is_empty()
                && item.trim() == item
                && !item.eq_ignore_ascii_case("null")
                && !item.contains(['{', '}', ',', '"', '\\']);
            if plain && !random.one_in(4) {
                text.push_str(&item);
            } else {
                text.push('"');
                text.push_str(&item.replace('\\', "\\\\").replace('"', "\\\""));
                text.push('"');
            }
        }
        blank(random, text);
    }
    text.push('}');
}

/// The same, now and then with a character missing or too many.
pub fn broken(random: &mut Random, element: Kind) -> String {
    let mut text = text(random, element);
    if element == Kind::Timestamptz {
        return text;
    }
    let places: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
    let at = places[random.below(places.len())];
    match random.below(3) {
        0 => drop(text.remove(at)),
        1 => {
            text.insert_str(at, random.pick(&["{", "}", ",", "\"", "\\", " ", "[", "]", "=", "a"]))
        }
        _ => {
            let shapes = [
                "",
                "{",
                "}",
                "{{}}",
                "{{},{}}",
                "{1,{2}}",
                "{{1},2}",
                "{{1},{2,3}}",
                "{1,}",
                "{,1}",
                "{1}}",
                "{1} x",
                "[1:2]={1}",
                "[2:1]={1}",
                "[1]={1}",
                "[:2]={1}",
                "[1:2] ={1,2}",
                "[0:1]= {1,2}",
                "[1:1][1:1]={1}",
                "{\"1\"2}",
                "{1\"2\"}",
                "{{{{{{1}}}}}}",
                "{{{{{{{1}}}}}}}",
                "{\\1}",
                "{ 1 2 }",
                "{\"1\" }",
                "[2147483647:2147483647]={1}",
                "[-2147483648:-2147483648]={1}",
                "[1:1]{1}",
                "[99999999999:1]={1}",
                "[+1:1]={1}",
                "[1:-1]={}",
            ];
            text = random.pick(&shapes).to_owned();
        }
    }
    text
}

impl Generator<'_> {
    pub fn element(&mut self) -> &'static Kind {
        if !self.random.one_in(4) {
            let own: Vec<&'static Kind> = self
                .table
                .columns
                .iter()
                .filter_map(|(_, kind, _)| match kind {
                    Kind::Array(element) => Some(*element),
                    _ => None,
                })
                .collect();
            if !own.is_empty() {
                return own[self.random.below(own.len())];
            }
        }
        match self.kind_of(ARRAYS) {
            Kind::Array(element) => element,
            _ => &Kind::Int4,
        }
    }

    /// ARRAY[...], nested or with columns in it.
    pub fn constructor(&mut self, element: &'static Kind, depth: usize) -> String {
        if self.random.one_in(12) {
            return match self.random.one_in(2) {
                true => "ARRAY[]".to_owned(),
                false => format!("ARRAY[]::{}", Kind::Array(element).name()),
            };
        }
        let nested = self.random.one_in(6);
        let items: Vec<String> = (0..1 + self.random.below(3))
            .map(|_| match nested {
                true => match self.random.one_in(3) {
                    true => self.operand(Kind::Array(element), 0),
                    false => format!("ARRAY[{}]", self.operand(*element, 0)),
                },
                false => {
                    let kind = match self.random.one_in(6) {
                        true => self.partner(*element),
                        false => *element,
                    };
                    self.operand(kind, depth.min(1))
                }
            })
            .collect();
        let cast = match self.random.one_in(4) {
            true => format!("::{}", Kind::Array(element).name()),
            false => String::new(),
        };
        format!("ARRAY[{}]{cast}", items.join(", "))
    }

    /// An expression that gives an array.
    pub fn array(&mut self, element: &'static Kind, depth: usize) -> String {
        let kind = Kind::Array(element);
        if depth == 0 {
            return self.operand(kind, 0);
        }
        match self.random.below(18) {
            16 => {
                let value = self.operand(*element, 0);
                let lengths = ["'{2}'", "'{1,2}'", "'{}'", "'{0,3}'", "'{-1}'", "'{NULL}'", "NULL"];
                let lengths = self.random.pick(&lengths);
                let lowers = ["'{2}'", "'{0,-1}'", "'{}'", "'{2147483647}'", "'{{1}}'", "NULL"];
                let lowers = match self.random.one_in(2) {
                    true => format!(", {}", self.random.pick(&lowers)),
                    false => String::new(),
                };
                match self.random.one_in(3) {
                    true => format!("array_fill({value}, {lengths}{lowers})"),
                    false => {
                        format!("array_fill(({value})::{}, {lengths}{lowers})", element.name())
                    }
                }
            }
            17 if *element == Kind::Mood => {
                let (a, b) = (self.operand(Kind::Mood, 0), self.operand(Kind::Mood, 0));
                match self.random.one_in(3) {
                    true => format!("enum_range({a})"),
                    false => format!("enum_range({a}, {b})"),
                }
            }
            17 => {
                let array = self.array(element, depth - 1);
                let count = self.random.pick(&["0", "1", "2", "-1", "NULL", "9"]);
                format!("trim_array({array}, {count})")
            }
            0..=5 => self.operand(kind, 0),
            6 | 7 => self.constructor(element, depth),
            8 => {
                let (a, b) = (self.array(element, depth - 1), self.array(element, depth - 1));
                format!("({a} || {b})")
            }
            9 => {
                let (a, b) = (self.array(element, depth - 1), self.operand(*element, 0));
                match self.random.one_in(2) {
                    true => format!("({a} || {b})"),
                    false => format!("({b} || {a})"),
                }
            }
            10 => {
                let array = self.array(element, depth - 1);
                let bound = |random: &mut Random| {
                    random.pick(&["", "1", "2", "-1", "0", "9", "NULL"]).to_owned()
                };
                let slices: String = (0..1 + self.random.below(2))
                    .map(|i| match i > 0 && self.random.one_in(6) {
                        true => "[2]".to_owned(),
                        false => {
                            format!("[{}:{}]", bound(self.random), bound(self.random))
                        }
                    })
                    .collect();
                format!("({array}){slices}")
            }
            11 => {
                let (a, b) = (self.array(element, depth - 1), self.operand(*element, 0));
                match self.random.below(3) {
                    0 => format!("array_append({a}, {b})"),
                    1 => format!("array_prepend({b}, {a})"),
                    _ => format!("array_remove({a}, {b})"),
                }
            }
            12 => {
                let (a, b) = (self.array(element, depth - 1), self.array(element, depth - 1));
                format!("array_cat({a}, {b})")
            }
            13 => {
                let array = self.array(element, depth - 1);
                let (a, b) = (self.operand(*element, 0), self.operand(*element, 0));
                format!("array_replace({array}, {a}, {b})")
            }
            14 => {
                // Of texts only such as are meant for times are read as times.
                let from = match *element == Kind::Timestamptz {
                    true => element,
                    false => self.element(),
                };
                let array = self.array(from, depth - 1);
                let ty = match element {
                    Kind::Varchar => "varchar(2)[]",
                    Kind::Numeric => "numeric(5,1)[]",
                    Kind::Bpchar => "char(3)[]",
                    _ => kind.name(),
                };
                format!("({array})::{ty}")
            }
            _ if *element == Kind::Text => {
                let text = self.operand(Kind::Text, 0);
                let separator = self.random.pick(&["','", "NULL", "''", "'b'", "' '"]);
                let null = self.random.pick(&["", "", ", 'a'", ", NULL", ", ''"]);
                format!("string_to_array({text}, {separator}{null})")
            }
            _ => self.operand(kind, 0),
        }
    }

    pub fn array_condition(&mut self) -> String {
        let element = self.element();
        let depth = self.random.below(3);
        match self.random.below(16) {
            0..=2 => {
                let (a, b) = (self.array(element, depth), self.array(element, 1));
                let operator = self.random.pick(&["=", "<>", "<", "<=", ">", ">="]);
                format!("{a} {operator} {b}")
            }
            3..=5 => {
                let other = match self.random.one_in(12) {
                    true => self.element(),
                    false => element,
                };
                let (a, b) = (self.array(element, depth), self.array(other, 1));
                let operator = self.random.pick(&["@>", "<@", "&&"]);
                format!("{a} {operator} {b}")
            }
            6..=9 => {
                let partner = self.partner(*element);
                let value = self.operand(partner, 1);
                let operator = self.random.pick(&["=", "=", "<>", "<", ">=", "!="]);
                let quantifier = self.random.pick(&["ANY", "ALL", "SOME"]);
                let array = match self.random.one_in(3) {
                    true => quote(&text(self.random, *element)),
                    false => self.array(element, depth),
                };
                format!("{value} {operator} {quantifier} ({array})")
            }
            10 => {
                let value = self.operand(Kind::Text, 0);
                let quantifier = self.random.pick(&["ANY", "ALL"]);
                let array = self.array(&Kind::Text, 1);
                let not = self.random.pick(&["", "NOT "]);
                format!("{value} {not}LIKE {quantifier} ({array})")
            }
            11 => {
                let array = self.array(element, depth);
                let n = self.random.pick(&["1", "2", "0", "-1", "NULL", "7"]);
                match self.random.below(6) {
                    0 => format!("cardinality({array}) > 2"),
                    1 => format!("array_ndims({array}) = 1"),
                    2 => format!("array_dims({array}) = '[1:2]'"),
                    3 => format!("array_lower({array}, {n}) = 1"),
                    4 => format!("array_upper({array}, {n}) >= 2"),
                    _ => format!("array_length({array}, {n}) < 3"),
                }
            }
            12 => {
                let (array, value) = (self.array(element, depth), self.operand(*element, 0));
                match self.random.below(3) {
                    0 => format!("array_position({array}, {value}) = 1"),
                    1 => {
                        let from = self.random.pick(&["1", "2", "NULL", "-5", "'2'"]);
                        format!("array_position({array}, {value}, {from}) IS NULL")
                    }
                    _ => format!("array_positions({array}, {value}) = '{{1,2}}'"),
                }
            }
            13 => {
                let array = self.array(element, depth);
                let other = self.operand(Kind::Text, 0);
                match self.random.below(3) {
                    0 => format!("({array})::text = {other}"),
                    1 => format!("array_to_string({array}, ',') = {other}"),
                    _ => format!("array_to_string({array}, '', '*') LIKE '%*%'"),
                }
            }
            14 => {
                let array = self.array(element, depth);
                let indices = match self.random.one_in(4) {
                    true => format!("[1 / {}]", self.operand(Kind::Int4, 0)),
                    false => {
                        let all = ["[1]", "[1][2]", "[0]", "[NULL]", "['1']", "[1.4]"];
                        self.random.pick(&all).to_owned()
                    }
                };
                let not = self.random.pick(&["", "NOT "]);
                format!("({array}){indices} IS {not}NULL")
            }
            _ => {
                let (a, b) = (self.array(element, depth), self.array(element, 0));
                match self.random.below(3) {
                    0 => format!("{a} IS DISTINCT FROM {b}"),
                    1 => format!("{a} IN ({b}, '{{1,2}}')"),
                    _ => format!("{a} IS NOT NULL"),
                }
            }
        }
    }

    pub fn row_condition(&mut self) -> String {
        let count = 1 + self.random.below(3);
        let kinds: Vec<Kind> = (0..count).map(|_| self.kind()).collect();
        // Rows within rows are compared only where their fields have the same types.
        let nested = self.random.below(2 * kinds.len() + 2);
        let fields = |this: &mut Self| -> Vec<String> {
            let operand = |(at, kind): (usize, &Kind)| match at == nested {
                true if this.random.one_in(12) => this.operand(*kind, 1),
                true => {
                    let (a, b) = (this.operand(*kind, 0), this.operand(*kind, 0));
                    let cast =
                        if this.random.one_in(8) { "" } else { &format!("::{}", kind.name()) };
                    format!("ROW(({a}){cast}, ({b}){cast})")
                }
                false => this.operand(*kind, 1),
            };
            kinds.iter().enumerate().map(operand).collect()
        };
        let row = |this: &mut Self| match this.random.below(20) {
            0 if this.has_table() => "ROW(t.*)".to_owned(),
            _ => format!("ROW({})", fields(this).join(", ")),
        };
        match self.random.below(10) {
            6 => return self.record_condition(),
            7 if self.has_table() => {
                let not = self.random.pick(&["", "NOT "]);
                let whole = self.random.pick(&["t", "t.*", "(t)", "public.t.*", "ROW(t.*)"]);
                return format!("{whole} IS {not}NULL");
            }
            _ => {}
        }
        match self.random.below(6) {
            0 | 1 => {
                let operator = self.random.pick(&["=", "<>", "<", "<=", ">", ">="]);
                format!("{} {operator} {}", row(self), row(self))
            }
            2 => {
                let not = self.random.pick(&["", "NOT "]);
                format!("{} {not}IN ({}, {})", row(self), row(self), row(self))
            }
            3 => {
                let not = self.random.pick(&["", "NOT "]);
                format!("{} IS {not}NULL", row(self))
            }
            4 => {
                let not = self.random.pick(&["", "NOT "]);
                format!("{} IS {not}DISTINCT FROM {}", row(self), row(self))
            }
            _ => format!("{} BETWEEN {} AND {}", row(self), row(self), row(self)),
        }
    }

    /// Is there a table whose row a clause could speak of?
    fn has_table(&self) -> bool {
        !self.table.columns.is_empty()
    }

    /// Conditions on rows that are values.
    fn record_condition(&mut self) -> String {
        let kinds: Vec<Kind> = (0..1 + self.random.below(3)).map(|_| self.kind()).collect();
        let row = |this: &mut Self| {
            let fields: Vec<String> = kinds
                .iter()
                .map(|kind| match this.random.one_in(10) {
                    true => this.operand(*kind, 0),
                    false => format!("({})::{}", this.operand(*kind, 0), kind.name()),
                })
                .collect();
            match this.random.below(12) {
                0 if this.has_table() => "t".to_owned(),
                1 => format!("CASE WHEN {} THEN ROW({}) END", this.boolean(0), fields.join(", ")),
                2 => "NULL".to_owned(),
                _ => format!("ROW({})", fields.join(", ")),
            }
        };
        let (a, b, c) = (row(self), row(self), row(self));
        let operator = self.random.pick(&["=", "<>", "<", "<=", ">", ">="]);
        let not = self.random.pick(&["", "NOT "]);
        match self.random.below(8) {
            0 => format!("{a} {operator} ANY (ARRAY[{b}, {c}])"),
            1 => format!("CASE {a} WHEN {b} THEN true WHEN {c} THEN false END"),
            2 => format!("COALESCE({a}, {b}) {operator} {c}"),
            3 => format!("GREATEST({a}, {b}) {operator} {c}"),
            4 => format!("NULLIF({a}, {b}) IS {not}NULL"),
            5 => format!("(CASE WHEN true THEN {a} END) IS {not}NULL"),
            6 => format!("{a} IS {not}DISTINCT FROM {b}"),
            _ => format!("{a} {not}IN ({b}, {c})"),
        }
    }

    /// A value of this kind by way of a control form.
    pub fn control(&mut self, kind: Kind, depth: usize) -> String {
        let depth = depth - 1;
        match self.random.below(6) {
            0 => {
                let arms: String = (0..1 + self.random.below(3))
                    .map(|_| {
                        let condition = self.boolean(0);
                        let partner = self.partner(kind);
                        format!(" WHEN {condition} THEN {}", self.operand(partner, depth))
                    })
                    .collect();
                let otherwise = match self.random.one_in(3) {
                    true => String::new(),
                    false => format!(" ELSE {}", self.operand(kind, depth)),
                };
                format!("CASE{arms}{otherwise} END")
            }
            1 => {
                let on = self.kind();
                // An explicit collation does not count as one there.
                let operand = match on.is_string() && self.random.one_in(4) {
                    true => {
                        let collation = self.random.pick(&["C", "C.utf8"]);
                        format!("({} COLLATE \"{collation}\")", self.operand(on, 0))
                    }
                    false => self.operand(on, 0),
                };
                let arms: String = (0..1 + self.random.below(2))
                    .map(|_| {
                        let (value, result) = (self.operand(on, 0), self.operand(kind, depth));
                        format!(" WHEN {value} THEN {result}")
                    })
                    .collect();
                let otherwise = self.operand(kind, depth);
                format!("CASE {operand}{arms} ELSE {otherwise} END")
            }
            2 | 3 => {
                let name = self.random.pick(&["COALESCE", "COALESCE", "GREATEST", "LEAST"]);
                let items: Vec<String> = (0..1 + self.random.below(3))
                    .map(|_| {
                        let partner = self.partner(kind);
                        self.operand(partner, depth)
                    })
                    .collect();
                format!("{name}({})", items.join(", "))
            }
            4 => {
                let partner = self.partner(kind);
                format!("NULLIF({}, {})", self.operand(kind, depth), self.operand(partner, depth))
            }
            _ => match kind {
                _ if kind.is_string() => {
                    let collation = self.random.pick(&["C", "POSIX", "ucs_basic"]);
                    format!("({} COLLATE \"{collation}\")", self.operand(kind, depth))
                }
                Kind::Array(_) => self.operand(kind, depth),
                Kind::Mood if self.random.one_in(2) => {
                    let name = self.random.pick(&["enum_first", "enum_last"]);
                    format!("{name}({}::mood)", self.operand(Kind::Mood, 0))
                }
                kind => {
                    let own = ARRAYS.iter().find_map(|array| match array {
                        Kind::Array(element) if **element == kind => Some(*element),
                        _ => None,
                    });
                    match own {
                        Some(element) => format!("({})[1]", self.array(element, depth)),
                        None => self.operand(kind, depth),
                    }
                }
            },
        }
    }
}
