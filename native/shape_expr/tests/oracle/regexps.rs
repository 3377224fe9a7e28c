//! Where regular expressions match: few letters, many ways to divide them.

use crate::clauses::{Generator, quote};
use crate::samples::Kind;

impl Generator<'_> {
    fn text_to_search(&mut self) -> String {
        if self.random.one_in(5) {
            return self.operand(Kind::Text, 1);
        }
        let mut text = String::new();
        for _ in 0..self.random.below(10) {
            let pieces =
                ["a", "a", "a", "b", "b", "ab", "c", "ä", "Ä", " ", "\n", "日", "1", "A", "_"];
            text.push_str(self.random.pick(&pieces));
        }
        quote(&text)
    }

    /// An expression with groups, whose quantifiers prefer this and that.
    fn dividing_regex(&mut self, depth: usize) -> String {
        let mut regex = String::new();
        for i in 0..self.random.below(5) {
            if i > 0 && self.random.one_in(6) {
                regex.push('|');
            }
            if self.random.one_in(12) {
                let looks = ["^", "$", "\\m", "\\M", "\\y", "\\Y", "\\A", "\\Z"];
                regex.push_str(self.random.pick(&looks));
                continue;
            }
            let atom = match self.random.below(9) {
                0..=3 if depth > 0 => {
                    let group = self.random.pick(&["(", "(", "(", "(?:"]);
                    format!("{group}{})", self.dividing_regex(depth - 1))
                }
                4 => self.random.pick(&[".", "[ab]", "[^a]", "\\w", "\\s", "ä", "日"]).to_owned(),
                _ => self.random.pick(&["a", "a", "b", "ab", "c", "1"]).to_owned(),
            };
            regex.push_str(&atom);
            let counts = [
                "*", "+", "?", "*?", "+?", "??", "{2}", "{2}?", "{1,2}", "{1,2}?", "{0,2}", "{2,}",
                "{2,}?", "{0}", "{1}", "{1,1}?", "{1,1}", "{0,3}?", "{3}",
            ];
            if self.random.one_in(2) {
                regex.push_str(self.random.pick(&counts));
            }
        }
        regex
    }

    fn located_regex(&mut self) -> String {
        let regex = match self.random.below(16) {
            0 => return self.text_to_search(),
            1..=3 => self.whole_regex(),
            4 => {
                format!("{}{}", self.random.pick(&["(?i)", "(?n)", "(?w)"]), self.dividing_regex(2))
            }
            _ => self.dividing_regex(2),
        };
        quote(&regex)
    }

    fn regex_flags(&mut self, global: bool) -> String {
        let mut flags = String::new();
        for _ in 0..self.random.below(3) {
            let letters = ["i", "c", "n", "s", "p", "w", "x", "t", "q", "m"];
            flags.push_str(self.random.pick(&letters));
        }
        if global && self.random.one_in(2) {
            flags.push('g');
        }
        if self.random.one_in(40) {
            flags.push_str(self.random.pick(&["g", "z", "1", "G", "ä"]));
        }
        quote(&flags)
    }

    fn ordinal(&mut self) -> String {
        match self.random.below(20) {
            0 => self.random.pick(&["0", "-1", "NULL", "2147483647"]).to_owned(),
            _ => (1 + self.random.below(4)).to_string(),
        }
    }

    fn new_text(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.random.below(5) {
            let pieces = ["<", ">", "\\1", "\\2", "\\&", "\\\\", "\\", "x", "ä", "\\0", "\\9"];
            text.push_str(self.random.pick(&pieces));
        }
        quote(&text)
    }

    /// An expression of type text.
    pub fn regex_text(&mut self) -> String {
        let (text, regex) = (self.text_to_search(), self.located_regex());
        match self.random.below(9) {
            0 | 1 => format!("substring({text} FROM {regex})"),
            2 => {
                let new = self.new_text();
                format!("regexp_replace({text}, {regex}, {new})")
            }
            3 | 4 => {
                let (new, flags) = (self.new_text(), self.regex_flags(true));
                format!("regexp_replace({text}, {regex}, {new}, {flags})")
            }
            5 => {
                let (new, start, n) = (self.new_text(), self.ordinal(), self.random.below(4));
                let flags = self.regex_flags(true);
                match self.random.below(3) {
                    0 => format!("regexp_replace({text}, {regex}, {new}, {start})"),
                    1 => format!("regexp_replace({text}, {regex}, {new}, {start}, {n})"),
                    _ => format!("regexp_replace({text}, {regex}, {new}, {start}, {n}, {flags})"),
                }
            }
            6 => {
                let (start, n, group) = (self.ordinal(), self.ordinal(), self.random.below(4));
                let flags = self.regex_flags(false);
                match self.random.below(5) {
                    0 => format!("regexp_substr({text}, {regex})"),
                    1 => format!("regexp_substr({text}, {regex}, {start})"),
                    2 => format!("regexp_substr({text}, {regex}, {start}, {n})"),
                    3 => format!("regexp_substr({text}, {regex}, {start}, {n}, {flags})"),
                    _ => format!("regexp_substr({text}, {regex}, {start}, {n}, {flags}, {group})"),
                }
            }
            7 => self.similar_part(),
            _ => format!("({})[{}]", self.regex_array(), self.random.below(4)),
        }
    }

    fn similar_part(&mut self) -> String {
        let mut pattern = String::new();
        for _ in 0..self.random.below(7) {
            let parts =
                ["%", "_", "a", "b", "#\"", "#\"", "(a|b)", "[ab]", "+", "*", "{2}", "ä", "\\\""];
            pattern.push_str(self.random.pick(&parts));
        }
        let (text, pattern) = (self.text_to_search(), quote(&pattern));
        let escape = self.random.pick(&["'#'", "'#'", "'#'", "'\\'", "'ab'", "NULL", "''"]);
        match self.random.one_in(2) {
            true => format!("substring({text} SIMILAR {pattern} ESCAPE {escape})"),
            false => format!("substring({text} FROM {pattern} FOR {escape})"),
        }
    }

    /// An expression of type text[].
    pub fn regex_array(&mut self) -> String {
        let (text, regex) = (self.text_to_search(), self.located_regex());
        let function = self.random.pick(&["regexp_match", "regexp_match", "regexp_split_to_array"]);
        match self.random.one_in(2) {
            true => format!("{function}({text}, {regex})"),
            false => format!("{function}({text}, {regex}, {})", self.regex_flags(false)),
        }
    }

    /// An expression of type integer.
    pub fn regex_number(&mut self) -> String {
        let (text, regex) = (self.text_to_search(), self.located_regex());
        let (start, n, end) = (self.ordinal(), self.ordinal(), self.random.below(12) / 5);
        let (flags, group) = (self.regex_flags(false), self.random.below(4));
        match self.random.below(8) {
            0 => format!("regexp_count({text}, {regex})"),
            1 => format!("regexp_count({text}, {regex}, {start})"),
            2 => format!("regexp_count({text}, {regex}, {start}, {flags})"),
            3 => format!("regexp_instr({text}, {regex})"),
            4 => format!("regexp_instr({text}, {regex}, {start})"),
            5 => format!("regexp_instr({text}, {regex}, {start}, {n})"),
            6 => format!("regexp_instr({text}, {regex}, {start}, {n}, {end}, {flags})"),
            _ => format!("regexp_instr({text}, {regex}, {start}, {n}, {end}, {flags}, {group})"),
        }
    }

    /// A condition about one of them.
    pub fn regex_condition(&mut self) -> String {
        match self.random.below(6) {
            0 | 1 => format!("{} = {}", self.regex_text(), self.text_to_search()),
            2 => format!("{} IS NULL", self.regex_text()),
            3 => format!("{} > {}", self.regex_number(), self.random.below(4)),
            4 => format!("{} = ARRAY[{}]", self.regex_array(), self.text_to_search()),
            _ => {
                let (text, regex) = (self.text_to_search(), self.located_regex());
                format!("regexp_like({text}, {regex}, {})", self.regex_flags(false))
            }
        }
    }
}
