//! A look at the text before the grammar sees it: bounds on nesting, without recursion, and
//! refusal of what PostgreSQL 15 does not know but newer grammars read.

use crate::compiler::MAX_DEPTH;
use crate::error::Error;

/// Words that deepen the tree by one where they stand.
const DEEPENING: &[&str] = &[
    "not",
    "is",
    "isnull",
    "notnull",
    "like",
    "ilike",
    "similar",
    "between",
    "in",
    "collate",
    "at",
    "operator",
    "join",
    "union",
    "intersect",
    "except",
];
/// Words between siblings.
const SEPARATING: &[&str] = &["and", "or", "when", "then", "else"];

/// One open bracket: the deepest sibling so far, and the one being read.
#[derive(Clone, Copy, Default)]
struct Level {
    deepest: usize,
    operators: usize,
    inner: usize,
}

impl Level {
    fn depth(self) -> usize {
        self.deepest.max(self.operators + self.inner)
    }

    fn separate(&mut self) {
        *self = Level { deepest: self.depth(), operators: 0, inner: 0 };
    }
}

/// An upper bound of the depth of the clause's tree, or the reason to refuse it.
pub(super) fn depth(clause: &str) -> Result<usize, Error> {
    let mut scan = Scanner { text: clause, bytes: clause.as_bytes(), at: 0, after_dot: false };
    let mut levels = vec![Level::default()];
    while let Some(token) = scan.next()? {
        let position = token.start;
        let top = levels.len() - 1;
        match token.kind {
            Kind::Open => levels.push(Level::default()),
            Kind::Close => {
                // A bracket too many is the grammar's to refuse: start again.
                if let (Some(closed), true) = (levels.pop(), top > 0) {
                    let level = &mut levels[top - 1];
                    level.inner = level.inner.max(closed.depth() + 1);
                } else {
                    levels.push(Level::default());
                }
            }
            Kind::Separator => levels[top].separate(),
            Kind::Deepening => levels[top].operators += 1,
            Kind::Other => {}
        }
        if levels.len() > MAX_DEPTH || levels.last().is_some_and(|l| l.depth() > MAX_DEPTH) {
            return Err(Error::TooDeep { limit: MAX_DEPTH, position });
        }
    }
    // What is still open is the grammar's to refuse, but its depth counts all the same.
    let mut depth = 0;
    for level in levels.iter().rev() {
        depth = Level { inner: level.inner.max(depth), ..*level }.depth() + 1;
    }
    match depth > MAX_DEPTH + 1 {
        true => Err(Error::TooDeep { limit: MAX_DEPTH, position: clause.len() }),
        false => Ok(depth),
    }
}

enum Kind {
    Open,
    Close,
    Separator,
    Deepening,
    Other,
}

struct Token {
    kind: Kind,
    start: usize,
}

struct Scanner<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    /// After a dot every word is a name, `t.end` too.
    after_dot: bool,
}

pub(super) fn is_identifier_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte >= 0x80
}

pub(super) fn is_identifier(byte: u8) -> bool {
    is_identifier_start(byte) || byte.is_ascii_digit() || byte == b'$'
}

fn is_operator(byte: u8) -> bool {
    b"+-*/<>=~!@#%^&|`?".contains(&byte)
}

impl Scanner<'_> {
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn next(&mut self) -> Result<Option<Token>, Error> {
        loop {
            let start = self.at;
            let Some(&byte) = self.bytes.get(start) else { return Ok(None) };
            let kind = match byte {
                b'-' if self.peek(1) == b'-' => {
                    while !matches!(self.peek(0), 0 | b'\n' | b'\r') {
                        self.at += 1;
                    }
                    continue;
                }
                b'/' if self.peek(1) == b'*' => {
                    self.comment(start)?;
                    continue;
                }
                b'\'' => self.quoted(b'\'', false),
                b'"' => self.quoted(b'"', false),
                b'e' | b'E' if self.peek(1) == b'\'' => {
                    self.at += 1;
                    self.quoted(b'\'', true)
                }
                b'$' if self.dollar_quoted() => Kind::Other,
                b'$' => {
                    self.at += 1;
                    while self.peek(0).is_ascii_digit() {
                        self.at += 1;
                    }
                    Kind::Other
                }
                b'0'..=b'9' => self.number(start)?,
                b'.' if self.peek(1).is_ascii_digit() => self.number(start)?,
                _ if is_identifier_start(byte) => self.word(),
                b'(' | b'[' => self.one(Kind::Open),
                b')' | b']' => self.one(Kind::Close),
                b',' | b';' => self.one(Kind::Separator),
                b':' if self.peek(1) == b':' => {
                    self.at += 1;
                    self.one(Kind::Deepening)
                }
                _ if is_operator(byte) => self.operator(),
                _ => self.one(Kind::Other),
            };
            self.after_dot = byte == b'.' && self.at == start + 1;
            return Ok(Some(Token { kind, start }));
        }
    }

    fn one(&mut self, kind: Kind) -> Kind {
        self.at += 1;
        kind
    }

    /// A run of operator characters, cut where a comment begins in it. Counted a character at a
    /// time, since the grammar may read `- -` and `+-` as several operators.
    fn operator(&mut self) -> Kind {
        self.one(Kind::Deepening)
    }

    fn comment(&mut self, start: usize) -> Result<(), Error> {
        let mut open = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (b'/', b'*') => {
                    open += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    open -= 1;
                    self.at += 2;
                    if open == 0 {
                        return Ok(());
                    }
                }
                _ if self.at >= self.bytes.len() => {
                    return Err(Error::syntax("unterminated /* comment", start));
                }
                _ => self.at += 1,
            }
        }
    }

    /// From an opening quote to the closing one; doubled quotes stand for themselves.
    fn quoted(&mut self, quote: u8, backslashes: bool) -> Kind {
        self.at += 1;
        while self.at < self.bytes.len() {
            match self.peek(0) {
                b'\\' if backslashes => self.at += 2,
                byte if byte == quote && self.peek(1) == quote => self.at += 2,
                byte if byte == quote => {
                    self.at += 1;
                    break;
                }
                _ => self.at += 1,
            }
        }
        Kind::Other
    }

    /// `$tag$ ... $tag$`.
    fn dollar_quoted(&mut self) -> bool {
        let rest = &self.bytes[self.at + 1..];
        let length = rest.iter().take_while(|b| is_identifier(**b) && **b != b'$').count();
        if rest.get(length) != Some(&b'$') || rest.first().is_some_and(u8::is_ascii_digit) {
            return false;
        }
        let tag = &self.bytes[self.at..self.at + length + 2];
        let after = self.at + tag.len();
        let end = self.bytes[after..].windows(tag.len()).position(|window| window == tag);
        self.at = end.map_or(self.bytes.len(), |end| after + end + tag.len());
        true
    }

    /// PostgreSQL 15 knows decimal digits only: no `0x1F`, no `1_000`.
    fn number(&mut self, start: usize) -> Result<Kind, Error> {
        let newer =
            self.peek(0) == b'0' && matches!(self.peek(1), b'x' | b'X' | b'o' | b'O' | b'b' | b'B');
        while self.peek(0).is_ascii_digit() || self.peek(0) == b'.' && self.peek(1) != b'.' {
            self.at += 1;
        }
        if matches!(self.peek(0), b'e' | b'E') {
            let sign = usize::from(matches!(self.peek(1), b'+' | b'-'));
            if self.peek(1 + sign).is_ascii_digit() {
                self.at += 1 + sign;
                while self.peek(0).is_ascii_digit() {
                    self.at += 1;
                }
            }
        }
        if newer || is_identifier_start(self.peek(0)) {
            return Err(Error::syntax("trailing junk after numeric literal", start));
        }
        Ok(Kind::Other)
    }

    fn word(&mut self) -> Kind {
        let start = self.at;
        while is_identifier(self.peek(0)) {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        let among = |words: &[&str]| words.iter().any(|w| w.eq_ignore_ascii_case(word));
        if self.after_dot {
            Kind::Other
        } else if word.eq_ignore_ascii_case("case") {
            Kind::Open
        } else if word.eq_ignore_ascii_case("end") {
            Kind::Close
        } else if among(SEPARATING) {
            Kind::Separator
        } else if among(DEEPENING) {
            Kind::Deepening
        } else {
            Kind::Other
        }
    }
}
