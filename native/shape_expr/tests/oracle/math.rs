//! Functions of numbers.

use crate::clauses::Generator;
use crate::samples::Kind;

impl Generator<'_> {
    /// A numeric that powers and exponentials give a result of some hundred digits at most.
    fn modest(&mut self, depth: usize) -> String {
        match self.random.below(3) {
            0 => {
                let exponents = [
                    "0",
                    "1",
                    "-1",
                    "2",
                    "3",
                    "-2",
                    "0.5",
                    "-0.5",
                    "10",
                    "17",
                    "1.5",
                    "2.00",
                    "33.3",
                    "-7",
                    "0.1",
                    "100.25",
                    "-40",
                    "1.0000000001",
                    "0.99999",
                    "127",
                    "0.3333333333",
                ];
                format!("{}::numeric", self.random.pick(&exponents))
            }
            1 => format!("mod({}::numeric, 50)", self.operand(Kind::Int4, depth)),
            _ => format!("mod({}, 60.5)", self.operand(Kind::Numeric, depth)),
        }
    }

    fn numeric(&mut self, depth: usize) -> String {
        let operand = self.operand(Kind::Numeric, depth);
        // Whole numbers would be float8's.
        format!("({operand})::numeric")
    }

    /// An expression of this kind made by a function, if there is one.
    pub fn math_operand(&mut self, kind: Kind, depth: usize) -> Option<String> {
        let depth = depth.saturating_sub(1);
        Some(match kind {
            Kind::Int2 | Kind::Int4 | Kind::Int8 => self.integer(kind, depth),
            Kind::Float4 => {
                let function = self.random.pick(&["abs", "@"]);
                format!("({function}({}::real))", self.operand(kind, depth))
            }
            Kind::Float8 => self.float(depth),
            Kind::Numeric => self.numeric_function(depth),
            _ => return None,
        })
    }

    fn integer(&mut self, kind: Kind, depth: usize) -> String {
        let name = kind.name();
        let a = format!("{}::{name}", self.parenthesised(kind, depth));
        let b = format!("{}::{name}", self.parenthesised(kind, depth));
        match self.random.below(10) {
            0 => format!("abs({a})"),
            1 => format!("(@ {a})"),
            2 => format!("(~ {a})"),
            3 => format!("mod({a}, {b})"),
            4 | 5 => format!("({a} {} {b})", self.random.pick(&["&", "|", "#"])),
            6 => {
                let shift = self.random.pick(&["<<", ">>"]);
                let counts = ["0", "1", "3", "15", "16", "31", "32", "33", "63", "64", "-1"];
                format!("({a} {shift} ({}))", self.random.pick(&counts))
            }
            7 if kind != Kind::Int2 => format!("gcd({a}, {b})"),
            8 if kind != Kind::Int2 => format!("lcm({a}, {b})"),
            _ if kind == Kind::Int4 => {
                let function = self.random.pick(&["scale", "min_scale"]);
                format!("{function}({})", self.numeric(depth))
            }
            _ => format!("({a} # {b})"),
        }
    }

    fn parenthesised(&mut self, kind: Kind, depth: usize) -> String {
        format!("({})", self.operand(kind, depth))
    }

    fn float(&mut self, depth: usize) -> String {
        let a = format!("{}::float8", self.parenthesised(Kind::Float8, depth));
        match self.random.below(12) {
            11 => self.formed_number(Kind::Float8),
            0 => format!("(@ {a})"),
            1 => format!("(|/ {a})"),
            2 => {
                // Powers whose results are exact, or are none.
                let base = format!("{}::int2", self.parenthesised(Kind::Int2, depth));
                let operator = self.random.pick(&["^ 2", "^ 3", "^ 0", "^ 1", "^ 1.0::float8"]);
                format!("({base} {operator})")
            }
            3 => {
                let special = ["NaN", "Infinity", "-Infinity", "0", "1", "-0"];
                let (x, y) = (self.random.pick(&special), self.random.pick(&special));
                let function = self.random.pick(&["power", "pow"]);
                format!("{function}('{x}'::float8, '{y}')")
            }
            4 if self.random.one_in(3) => {
                let base = self.random.pick(&["1.5", "-3", "7", "0.375", "-10", "12345"]);
                format!("({base} ^ '{}'::float8)", self.random.pick(&["1", "2", "3", "0"]))
            }
            4 => {
                let (x, y) = (
                    self.random.pick(&["-2", "0.5", "-0.5", "-1", "0", "4", "-0.25", "Infinity"]),
                    self.random.pick(&["1", "2", "5", "20", "1100", "-Infinity", "NaN", "0"]),
                );
                format!("power('{x}', '{y}'::float8)")
            }
            n => {
                let functions =
                    ["abs", "ceil", "ceiling", "floor", "round", "trunc", "sign", "sqrt"];
                format!("{}({a})", if n == 5 { "sqrt" } else { self.random.pick(&functions) })
            }
        }
    }

    fn numeric_function(&mut self, depth: usize) -> String {
        let a = self.numeric(depth);
        match self.random.below(15) {
            14 => self.formed_number(Kind::Numeric),
            0 => format!("(@ {a})"),
            1 => {
                let places = ["0", "1", "2", "-1", "-3", "5", "20", "3000", "-3000", "-4", "4"];
                let function = self.random.pick(&["round", "trunc"]);
                format!("{function}({a}, {})", self.random.pick(&places))
            }
            2 => format!("sqrt({a})"),
            3 => format!("sqrt(abs({a}))"),
            4 => format!("exp({})", self.modest(depth)),
            5 => format!("ln({a})"),
            6 => format!("ln(abs({a}))"),
            7 => match self.random.below(3) {
                0 => format!("log({a})"),
                1 => format!("log10(abs({a}))"),
                _ => format!("log(abs({a}), abs({}))", self.numeric(depth)),
            },
            8 | 9 => {
                let (x, y) = (self.modest(depth), self.modest(depth));
                match self.random.below(3) {
                    0 => format!("power({x}, {y})"),
                    1 => format!("pow(abs({x}), {y})"),
                    _ => format!("(abs({x}) ^ {y})"),
                }
            }
            10 => format!("power({a}, {})", self.random.pick(&["2", "3", "-1", "0.5", "0", "-2"])),
            11 => {
                let function = self.random.pick(&["div", "mod", "gcd", "lcm"]);
                format!("{function}({a}, {})", self.numeric(depth))
            }
            _ => {
                let functions =
                    ["abs", "ceil", "ceiling", "floor", "round", "trunc", "sign", "trim_scale"];
                format!("{}({a})", self.random.pick(&functions))
            }
        }
    }
}
