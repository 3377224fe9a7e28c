//! Functions of text, bytea and numbers that have forms of their own.

use crate::clauses::{Generator, quote};
use crate::samples::Kind;

const ENCODINGS: &[&str] =
    &["'UTF8'", "'utf-8'", "'LATIN1'", "'latin-1'", "'iso_8859_1'", "'unicode'", "'foo'", "NULL"];

impl Generator<'_> {
    fn pieces(&mut self, pieces: &[&str], most: usize) -> String {
        let mut text = String::new();
        for _ in 0..self.random.below(most) {
            text.push_str(self.random.pick(pieces));
        }
        quote(&text)
    }

    fn any_operand(&mut self) -> String {
        let kind = self.kind();
        self.operand(kind, 1)
    }

    /// An expression of type text.
    pub fn formed_text(&mut self) -> String {
        match self.random.below(12) {
            0 | 1 => {
                let name = self.random.pick(&["quote_ident", "quote_nullable"]);
                match self.random.below(3) {
                    0 if name == "quote_nullable" => format!("{name}({})", self.any_operand()),
                    1 => {
                        let words =
                            ["select", "a", "A", "_1", "1a", "a\"b", "ä", "key", "coalesce"];
                        format!("{name}('{}')", self.random.pick(&words))
                    }
                    _ => format!("{name}({})", self.operand(Kind::Text, 1)),
                }
            }
            2..=6 => {
                let specifiers = [
                    "%s", "%I", "%L", "%%", "a", " ", "%5s", "%-5s", "%*s", "%-*L", "%1$s", "%2$I",
                    "%3$L", "%2$*1$s", "%1$-4s", "ä", "%*2$s", "%0s",
                ];
                let mut format = self.pieces(&specifiers, 5);
                if self.random.one_in(12) {
                    let odd =
                        ["%", "%1", "%z", "%0$s", "%1$", "%*1s", "%99999999999s", "%-", "%9$s"];
                    format = quote(self.random.pick(&odd));
                }
                let mut call = format!("format({format}");
                for _ in 0..self.random.below(4) {
                    let argument = match self.random.below(4) {
                        // Widths make no megabytes.
                        _ if format.contains('*') => self
                            .random
                            .pick(&["3", "-4", "NULL", "'x y'", "'5'", "true", "'ä'", "12::bigint"])
                            .to_owned(),
                        0 => self
                            .random
                            .pick(&["3", "-4", "NULL", "'x y'", "'5'", "true"])
                            .to_owned(),
                        1 => format!("({} % 50)", self.operand(Kind::Int4, 1)),
                        _ => self.any_operand(),
                    };
                    call.push_str(&format!(", {argument}"));
                }
                call + ")"
            }
            7 | 8 => {
                let escapes = [
                    "a",
                    "\\\\",
                    "\\0061",
                    "\\u00e4",
                    "\\+01F600",
                    "\\U0001F600",
                    "\\d83d",
                    "\\de00",
                    "\\ud83d\\ude00",
                    "ä",
                    "\\",
                    "\\0000",
                    "\\+110000",
                    "\\12",
                    "日",
                ];
                format!("unistr({})", self.pieces(&escapes, 4))
            }
            9 => {
                let encoding = self.random.pick(ENCODINGS);
                format!("convert_from({}, {encoding})", self.operand(Kind::Bytea, 1))
            }
            _ => {
                let form = self.random.pick(&["", ", NFC", ", NFD", ", NFKC", ", NFKD"]);
                let letters = [
                    "a",
                    "ä",
                    "a\u{308}",
                    "\u{301}",
                    "\u{323}",
                    "ﬁ",
                    "가",
                    "ㄱ",
                    "\u{1100}",
                    "\u{1161}",
                    "\u{11a8}",
                    "Å",
                    "²",
                    "日",
                    "\u{344}",
                    "\u{2126}",
                    "é",
                    "ẛ",
                    "\u{1f82}",
                    "\u{105c9}",
                    "\u{11382}",
                    "\u{11d41}",
                ];
                let text = match self.random.one_in(3) {
                    true => self.operand(Kind::Text, 1),
                    false => self.pieces(&letters, 5),
                };
                format!("normalize({text}{form})")
            }
        }
    }

    /// An expression of type text[].
    pub fn identifier_parts(&mut self) -> String {
        let pieces = ["a", "B", ".", ".", "\"", "\"\"", " ", "_1", "$", "1", "ä", "\"A b\"", "\t"];
        let text = match self.random.one_in(4) {
            true => self.operand(Kind::Text, 1),
            false => self.pieces(&pieces, 6),
        };
        match self.random.below(3) {
            0 => format!("parse_ident({text})"),
            1 => format!("parse_ident({text}, false)"),
            _ => format!("parse_ident({text}, {})", self.operand(Kind::Bool, 1)),
        }
    }

    /// An expression of type integer.
    pub fn bucket_or_count(&mut self) -> String {
        match self.random.below(8) {
            0..=3 => {
                let kind = if self.random.one_in(2) { Kind::Numeric } else { Kind::Float8 };
                let count = self.random.pick(&["1", "5", "7", "10", "0", "-1", "2147483647"]);
                let of = |text: String| format!("({text})::{}", kind.name());
                let bounds = ["0", "10", "0.5", "-3.25", "1e3", "5", "1e300", "-1e308", "7.1"];
                let bound = |this: &mut Self| match this.random.one_in(4) {
                    true => this.operand(kind, 1),
                    false => quote(this.random.pick(&bounds)),
                };
                let (x, low, high) = (bound(self), bound(self), bound(self));
                format!("width_bucket({}, {}, {}, {count})", of(x), of(low), of(high))
            }
            4 | 5 => {
                let name = self.random.pick(&["num_nulls", "num_nonnulls"]);
                let (a, b) = (self.any_operand(), self.any_operand());
                format!("{name}({a}, NULL, {b})")
            }
            6 => {
                let at = self.random.pick(&["0", "1", "7", "8", "15", "-1", "9999999999"]);
                format!("get_bit({}::bytea, {at})", self.operand(Kind::Bytea, 1))
            }
            _ => format!("regexp_count({}, '.')", self.formed_text()),
        }
    }

    /// An expression of type bytea.
    pub fn formed_bytea(&mut self) -> String {
        let encoding = self.random.pick(ENCODINGS);
        match self.random.below(3) {
            0 => format!("convert_to({}, {encoding})", self.operand(Kind::Text, 1)),
            1 => {
                let other = self.random.pick(ENCODINGS);
                format!("convert({}::bytea, {encoding}, {other})", self.operand(Kind::Bytea, 1))
            }
            _ => {
                let at = self.random.pick(&["0", "1", "7", "8", "15", "-1", "9999999999"]);
                let bit = self.random.pick(&["0", "1", "1", "0", "2", "-1"]);
                format!("set_bit({}::bytea, {at}, {bit})", self.operand(Kind::Bytea, 1))
            }
        }
    }

    /// An expression of type numeric or double precision.
    pub fn formed_number(&mut self, kind: Kind) -> String {
        if kind == Kind::Numeric {
            let numbers = ["0", "1", "2", "5", "20", "21", "100", "-1", "170", "1000"];
            return format!("factorial({}::bigint)", quote(self.random.pick(&numbers)));
        }
        let name = self.random.pick(&["degrees", "radians", "degrees", "radians", "pi"]);
        match name {
            "pi" => "pi()".to_owned(),
            name => format!("{name}({}::float8)", self.operand(Kind::Float8, 1)),
        }
    }
}
