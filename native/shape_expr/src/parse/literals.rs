//! A clause's text taken apart into its literals and the rest: what two clauses of one template have
//! in common is the rest.
//!
//! The scan follows PostgreSQL's lexer as far as it goes, and where a text has something it does not
//! follow to the letter (octal escapes, strings continued on the next line, `U&''`, bit strings) it
//! gives up: such a clause is compiled from scratch.

use std::borrow::Cow;

use memchr::memchr;
use smallvec::SmallVec;

use super::scan::{is_identifier, is_identifier_start};
use crate::compiler::Param;

/// A literal's value, as the grammar sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal<'c> {
    /// A quoted string, or a text parameter.
    Text(Cow<'c, str>),
    /// An integer that fits int8.
    Int(i64),
    /// Any other number, as written.
    Number(Cow<'c, str>),
    /// A parameter that decides what the clause is compiled to by being what it is.
    Other,
}

impl Literal<'_> {
    pub(crate) fn into_owned(self) -> Literal<'static> {
        match self {
            Literal::Text(text) => Literal::Text(Cow::Owned(text.into_owned())),
            Literal::Int(i) => Literal::Int(i),
            Literal::Number(raw) => Literal::Number(Cow::Owned(raw.into_owned())),
            Literal::Other => Literal::Other,
        }
    }
}

/// A literal and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Token<'c> {
    pub literal: Literal<'c>,
    /// As written, for numbers.
    pub raw: &'c str,
    pub start: usize,
    /// Where the minus right before it stands, which may be its sign.
    pub minus: Option<usize>,
    pub is_param: bool,
    /// A number whose type depends on whether it has a sign.
    pub at_edge: bool,
}

pub(crate) type Tokens<'c> = SmallVec<[Token<'c>; 6]>;

/// What stands in the key for a literal, by what decides its type before its value is looked at.
mod class {
    pub const TEXT: u8 = 1;
    pub const INT4: u8 = 2;
    pub const INT8: u8 = 3;
    /// 2147483648: with a minus it is an int4.
    pub const INT4_EDGE: u8 = 4;
    pub const NUMBER: u8 = 5;
    /// 9223372036854775808: with a minus it is an int8.
    pub const INT8_EDGE: u8 = 6;
    /// A parameter; its own class and its number follow.
    pub const PARAM: u8 = 7;
    pub const NULL: u8 = 0x0e;
    pub const TRUE: u8 = 0x0f;
    pub const FALSE: u8 = 0x10;
    /// The float's bits follow.
    pub const FLOAT: u8 = 0x11;
}

/// Writes the text without its literals to `key`. `None`: this text is not followed.
pub(crate) fn split<'c>(
    clause: &'c str,
    params: &'c [Param<'c>],
    key: &mut Vec<u8>,
) -> Option<Tokens<'c>> {
    key.clear();
    let bytes = clause.as_bytes();
    let mut scan = Scan { clause, bytes, at: 0, key, tokens: Tokens::new(), minus: None };
    while let Some(&byte) = bytes.get(scan.at) {
        let start = scan.at;
        match byte {
            b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' => {
                scan.at += 1;
                scan.copy(start);
                continue;
            }
            b'\'' => {
                let text = scan.quoted()?;
                scan.text(text, start);
            }
            b'"' => {
                scan.identifier()?;
                scan.copy(start);
            }
            b'0'..=b'9' => scan.number()?,
            b'.' if scan.peek(1).is_ascii_digit() => scan.number()?,
            b'$' if scan.peek(1).is_ascii_digit() => scan.param(params)?,
            b'$' => {
                let text = scan.dollar_quoted()?;
                scan.text(Cow::Borrowed(text), start);
            }
            _ if is_identifier_start(byte) => scan.word()?,
            b'-' if scan.peek(1) == b'-' => {
                while !matches!(scan.peek(0), 0 | b'\n' | b'\r') {
                    scan.at += 1;
                }
                scan.copy(start);
                continue;
            }
            b'/' if scan.peek(1) == b'*' => {
                scan.comment()?;
                scan.copy(start);
                continue;
            }
            b'-' => {
                scan.at += 1;
                scan.copy(start);
                scan.minus = Some(start);
                continue;
            }
            b'!'..=b'~' => {
                scan.at += 1;
                scan.copy(start);
            }
            _ => return None,
        }
        scan.minus = None;
    }
    Some(scan.tokens)
}

struct Scan<'c, 'k> {
    clause: &'c str,
    bytes: &'c [u8],
    at: usize,
    key: &'k mut Vec<u8>,
    tokens: Tokens<'c>,
    minus: Option<usize>,
}

impl<'c> Scan<'c, '_> {
    /// The byte so far ahead; 0 at the end, and for the NUL that no clause has.
    #[inline]
    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    /// What was passed since `start` is part of the key.
    #[inline]
    fn copy(&mut self, start: usize) {
        self.key.extend_from_slice(&self.bytes[start..self.at]);
    }

    fn push(&mut self, literal: Literal<'c>, start: usize, at_edge: bool) {
        self.tokens.push(Token {
            literal,
            raw: &self.clause[start..self.at],
            start,
            minus: self.minus,
            is_param: false,
            at_edge,
        });
    }

    fn text(&mut self, text: Cow<'c, str>, start: usize) {
        self.key.push(class::TEXT);
        self.push(Literal::Text(text), start, false);
    }

    /// `'...'`; a doubled quote stands for one. Not continued on another line.
    fn quoted(&mut self) -> Option<Cow<'c, str>> {
        let body = self.at + 1;
        let mut from = body;
        let mut owned: Option<String> = None;
        loop {
            let end = from + memchr(b'\'', self.bytes.get(from..)?)?;
            if self.bytes.get(end + 1) == Some(&b'\'') {
                owned.get_or_insert_default().push_str(&self.clause[from..=end]);
                from = end + 2;
                continue;
            }
            self.at = end + 1;
            let tail = &self.clause[from..end];
            let text = match owned {
                None => Cow::Borrowed(tail),
                Some(mut text) => {
                    text.push_str(tail);
                    Cow::Owned(text)
                }
            };
            return (!self.goes_on() && !text.contains('\0')).then_some(text);
        }
    }

    /// Might the string that ended here go on after a line break?
    fn goes_on(&self) -> bool {
        let rest = &self.bytes[self.at..];
        let blank = |b: &&u8| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' | b'\x0b');
        let skip = rest.iter().take_while(blank).count();
        matches!(rest.get(skip..), Some([b'\'', ..] | [b'-', b'-', ..]))
    }

    /// `E'...'`, with the escapes that stand for one character.
    fn escaped(&mut self) -> Option<Cow<'c, str>> {
        let mut text = String::new();
        let mut from = self.at;
        loop {
            match self.peek(0) {
                0 => return None,
                b'\'' if self.peek(1) == b'\'' => {
                    text.push_str(&self.clause[from..=self.at]);
                    self.at += 2;
                    from = self.at;
                }
                b'\'' => {
                    text.push_str(&self.clause[from..self.at]);
                    self.at += 1;
                    return (!self.goes_on()).then_some(Cow::Owned(text));
                }
                b'\\' => {
                    text.push_str(&self.clause[from..self.at]);
                    text.push(match self.peek(1) {
                        b'b' => '\x08',
                        b'f' => '\x0c',
                        b'n' => '\n',
                        b'r' => '\r',
                        b't' => '\t',
                        b'\\' => '\\',
                        _ => return None,
                    });
                    self.at += 2;
                    from = self.at;
                }
                _ => self.at += 1,
            }
        }
    }

    /// `"..."`.
    fn identifier(&mut self) -> Option<()> {
        loop {
            self.at += 1;
            match self.peek(0) {
                0 => return None,
                b'"' if self.peek(1) == b'"' => self.at += 1,
                b'"' => {
                    self.at += 1;
                    return Some(());
                }
                _ => {}
            }
        }
    }

    fn word(&mut self) -> Option<()> {
        let start = self.at;
        while is_identifier(self.peek(0)) {
            self.at += 1;
        }
        if self.at == start + 1 {
            match (self.bytes[start], self.peek(0)) {
                (b'e' | b'E', b'\'') => {
                    self.at += 1;
                    let text = self.escaped()?;
                    self.text(text, start);
                    return Some(());
                }
                (b'n' | b'N' | b'b' | b'B' | b'x' | b'X', b'\'') => return None,
                (b'u' | b'U', b'&') if matches!(self.peek(1), b'\'' | b'"') => return None,
                _ => {}
            }
        }
        self.copy(start);
        Some(())
    }

    fn digits(&mut self) {
        while self.peek(0).is_ascii_digit() {
            self.at += 1;
        }
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        let mut integer = true;
        self.digits();
        if self.peek(0) == b'.' {
            integer = false;
            self.at += 1;
            self.digits();
        }
        if matches!(self.peek(0), b'e' | b'E') {
            integer = false;
            self.at += 1 + usize::from(matches!(self.peek(1), b'+' | b'-'));
            let digits = self.at;
            self.digits();
            if self.at == digits {
                return None;
            }
        }
        if is_identifier(self.peek(0)) || self.peek(0) == b'.' {
            return None;
        }
        let raw = &self.clause[start..self.at];
        let whole = if integer { raw.parse::<u64>().ok() } else { None };
        let (class, literal) = match whole {
            Some(i) if i < 1 << 31 => (class::INT4, Literal::Int(i as i64)),
            Some(i) if i == 1 << 31 => (class::INT4_EDGE, Literal::Int(i as i64)),
            Some(i) if i < 1 << 63 => (class::INT8, Literal::Int(i as i64)),
            Some(i) if i == 1 << 63 => (class::INT8_EDGE, Literal::Number(Cow::Borrowed(raw))),
            _ => (class::NUMBER, Literal::Number(Cow::Borrowed(raw))),
        };
        self.key.push(class);
        self.push(literal, start, matches!(class, class::INT4_EDGE | class::INT8_EDGE));
        Some(())
    }

    /// `$1`, by its value's class.
    fn param(&mut self, params: &'c [Param<'c>]) -> Option<()> {
        let start = self.at;
        self.at += 1;
        self.digits();
        if is_identifier(self.peek(0)) {
            return None;
        }
        let number: usize = self.clause[start + 1..self.at].parse().ok()?;
        self.key.push(class::PARAM);
        let (class, literal) = match params.get(number.checked_sub(1)?)? {
            Param::Text(text) if text.contains('\0') => return None,
            Param::Text(text) => (class::TEXT, Literal::Text(Cow::Borrowed(*text))),
            Param::Int(i) if i32::try_from(*i).is_ok() => (class::INT4, Literal::Int(*i)),
            Param::Int(i) => (class::INT8, Literal::Int(*i)),
            Param::Null => (class::NULL, Literal::Other),
            Param::Bool(true) => (class::TRUE, Literal::Other),
            Param::Bool(false) => (class::FALSE, Literal::Other),
            Param::Float(x) => {
                self.key.extend_from_slice(&x.to_bits().to_le_bytes());
                (class::FLOAT, Literal::Other)
            }
        };
        self.key.push(class);
        self.copy(start);
        self.push(literal, start, false);
        if let Some(token) = self.tokens.last_mut() {
            token.is_param = true;
        }
        Some(())
    }

    /// `$tag$ ... $tag$`.
    fn dollar_quoted(&mut self) -> Option<&'c str> {
        let rest = &self.bytes[self.at + 1..];
        let length = rest.iter().take_while(|b| is_identifier(**b) && **b != b'$').count();
        if rest.get(length) != Some(&b'$') {
            return None;
        }
        let tag = &self.bytes[self.at..self.at + length + 2];
        let body = self.at + tag.len();
        let length = memchr::memmem::find(&self.bytes[body..], tag)?;
        self.at = body + length + tag.len();
        let text = &self.clause[body..body + length];
        (!text.contains('\0')).then_some(text)
    }

    fn comment(&mut self) -> Option<()> {
        let mut open = 0;
        loop {
            match (self.peek(0), self.peek(1)) {
                (0, _) => return None,
                (b'/', b'*') => {
                    open += 1;
                    self.at += 2;
                }
                (b'*', b'/') => {
                    open -= 1;
                    self.at += 2;
                    if open == 0 {
                        return Some(());
                    }
                }
                _ => self.at += 1,
            }
        }
    }
}
