//! Reading JSON text as PostgreSQL does: its tokens, its grammar, its errors in its order. Nothing
//! here recurses.

use smallvec::SmallVec;

use crate::error::{EvalError, Raise};

/// The deepest nesting that is read. PostgreSQL's own limit depends on its stack; with its default
/// settings it lies below.
pub(crate) const MAX_NESTING: usize = 20_000;

const BAD: EvalError = EvalError::new(Raise::InvalidText);

/// A token; its text is between the lexer's `start` and `end`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    ObjectStart,
    ObjectEnd,
    ArrayStart,
    ArrayEnd,
    Comma,
    Colon,
    /// `escaped`: it holds backslashes.
    String {
        escaped: bool,
    },
    Number,
    True,
    False,
    Null,
    End,
}

/// A token with its place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span<'t> {
    pub token: Token,
    pub text: &'t str,
}

/// What is told about a document while it is read. Positions are byte offsets.
pub(crate) trait Visitor<'t> {
    /// An object or array begins.
    fn begin(&mut self, _object: bool, _start: usize) -> Result<(), EvalError> {
        Ok(())
    }
    /// The innermost open object or array ended before this position.
    fn end(&mut self, _end: usize) -> Result<(), EvalError> {
        Ok(())
    }
    /// A member's key; its value follows.
    fn key(&mut self, _key: Span<'t>) -> Result<(), EvalError> {
        Ok(())
    }
    /// An array's element follows.
    fn element(&mut self) -> Result<(), EvalError> {
        Ok(())
    }
    /// A scalar value.
    fn scalar(&mut self, _scalar: Span<'t>) -> Result<(), EvalError> {
        Ok(())
    }
}

/// Only checks.
struct Check;

impl Visitor<'_> for Check {}

/// json_in: is it JSON? What escapes stand for does not matter.
pub(crate) fn validate(text: &str) -> Result<(), EvalError> {
    walk(text, false, &mut Check)
}

/// Reads a document. With `decode` the characters that escapes stand for must exist.
pub(crate) fn walk<'t>(
    text: &'t str,
    decode: bool,
    visitor: &mut impl Visitor<'t>,
) -> Result<(), EvalError> {
    let mut lexer = Lexer { text, at: 0, start: 0, end: 0, token: Token::End, decode };
    lexer.advance()?;
    // True for objects.
    let mut open: SmallVec<[bool; 96]> = SmallVec::new();
    'value: loop {
        match lexer.token {
            Token::ObjectStart | Token::ArrayStart => {
                let object = lexer.token == Token::ObjectStart;
                if open.len() == MAX_NESTING {
                    return Err(EvalError::new(Raise::TooDeep));
                }
                visitor.begin(object, lexer.start)?;
                open.push(object);
                lexer.advance()?;
                let close = if object { Token::ObjectEnd } else { Token::ArrayEnd };
                if lexer.token != close {
                    match object {
                        true => field(&mut lexer, visitor)?,
                        false => visitor.element()?,
                    }
                    continue 'value;
                }
            }
            Token::String { .. } | Token::Number | Token::True | Token::False | Token::Null => {
                let span = lexer.span();
                // The next token's errors come before what the scalar itself may raise.
                lexer.advance()?;
                visitor.scalar(span)?;
            }
            _ => return Err(BAD),
        }
        loop {
            match (open.last(), lexer.token) {
                (None, Token::End) => return Ok(()),
                (Some(true), Token::Comma) => {
                    lexer.advance()?;
                    field(&mut lexer, visitor)?;
                    continue 'value;
                }
                (Some(false), Token::Comma) => {
                    lexer.advance()?;
                    visitor.element()?;
                    continue 'value;
                }
                (Some(true), Token::ObjectEnd) | (Some(false), Token::ArrayEnd) => {
                    let end = lexer.end;
                    lexer.advance()?;
                    open.pop();
                    visitor.end(end)?;
                }
                _ => return Err(BAD),
            }
        }
    }
}

fn field<'t>(lexer: &mut Lexer<'t>, visitor: &mut impl Visitor<'t>) -> Result<(), EvalError> {
    let Token::String { .. } = lexer.token else { return Err(BAD) };
    let key = lexer.span();
    lexer.advance()?;
    if lexer.token != Token::Colon {
        return Err(BAD);
    }
    lexer.advance()?;
    visitor.key(key)
}

/// How many elements the array at this offset of a valid document has.
pub(crate) fn count_elements(text: &str, start: usize) -> usize {
    let mut lexer = Lexer { text, at: start, start, end: start, token: Token::End, decode: false };
    let (mut depth, mut count, mut any) = (0usize, 0, false);
    while lexer.advance().is_ok() {
        match lexer.token {
            Token::ArrayStart | Token::ObjectStart => {
                any |= depth == 1;
                depth += 1;
            }
            Token::ArrayEnd | Token::ObjectEnd => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    break;
                }
            }
            Token::Comma if depth == 1 => count += 1,
            Token::End => break,
            _ => any |= depth == 1,
        }
    }
    count + usize::from(any)
}

/// The first token of a document.
pub(crate) fn first_token(text: &str) -> Result<Token, EvalError> {
    let mut lexer = Lexer { text, at: 0, start: 0, end: 0, token: Token::End, decode: false };
    lexer.advance()?;
    Ok(lexer.token)
}

struct Lexer<'t> {
    text: &'t str,
    /// Where the next token is looked for.
    at: usize,
    start: usize,
    end: usize,
    token: Token,
    decode: bool,
}

impl<'t> Lexer<'t> {
    fn span(&self) -> Span<'t> {
        let text = self.text.get(self.start..self.end).unwrap_or("");
        Span { token: self.token, text }
    }

    fn advance(&mut self) -> Result<(), EvalError> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        self.start = self.at;
        let Some(&byte) = bytes.get(self.at) else {
            (self.token, self.end) = (Token::End, self.at);
            return Ok(());
        };
        let single = match byte {
            b'{' => Some(Token::ObjectStart),
            b'}' => Some(Token::ObjectEnd),
            b'[' => Some(Token::ArrayStart),
            b']' => Some(Token::ArrayEnd),
            b',' => Some(Token::Comma),
            b':' => Some(Token::Colon),
            _ => None,
        };
        self.token = match (single, byte) {
            (Some(token), _) => {
                self.at += 1;
                token
            }
            (None, b'"') => self.string()?,
            (None, b'-' | b'0'..=b'9') => self.number()?,
            (None, _) => self.word()?,
        };
        self.end = self.at;
        Ok(())
    }

    fn word(&mut self) -> Result<Token, EvalError> {
        let rest = &self.text.as_bytes()[self.at..];
        let is_part = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80;
        let length = rest.iter().take_while(|b| is_part(b)).count();
        self.at += length;
        match &rest[..length] {
            b"true" => Ok(Token::True),
            b"false" => Ok(Token::False),
            b"null" => Ok(Token::Null),
            _ => Err(BAD),
        }
    }

    fn number(&mut self) -> Result<Token, EvalError> {
        let bytes = self.text.as_bytes();
        let mut at = self.at + usize::from(bytes[self.at] == b'-');
        let digits = |at: &mut usize| {
            let start = *at;
            while bytes.get(*at).is_some_and(u8::is_ascii_digit) {
                *at += 1;
            }
            *at > start
        };
        match bytes.get(at) {
            Some(b'0') => at += 1,
            Some(b'1'..=b'9') => {
                digits(&mut at);
            }
            _ => return Err(BAD),
        }
        if bytes.get(at) == Some(&b'.') {
            at += 1;
            if !digits(&mut at) {
                return Err(BAD);
            }
        }
        if let Some(b'e' | b'E') = bytes.get(at) {
            at += 1;
            at += usize::from(matches!(bytes.get(at), Some(b'+' | b'-')));
            if !digits(&mut at) {
                return Err(BAD);
            }
        }
        // Nothing that could belong to a word may follow.
        if bytes.get(at).is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_' || *b >= 0x80) {
            return Err(BAD);
        }
        self.at = at;
        Ok(Token::Number)
    }

    fn string(&mut self) -> Result<Token, EvalError> {
        let bytes = self.text.as_bytes();
        let mut at = self.at + 1;
        let mut escaped = false;
        let mut high = false;
        loop {
            let Some(&byte) = bytes.get(at) else { return Err(BAD) };
            match byte {
                b'"' if high => return Err(BAD),
                b'"' => {
                    self.at = at + 1;
                    return Ok(Token::String { escaped });
                }
                b'\\' => {
                    escaped = true;
                    let Some(&escape) = bytes.get(at + 1) else { return Err(BAD) };
                    at += 2;
                    match escape {
                        b'u' => {
                            let unit = hexadecimal(bytes, at).ok_or(BAD)?;
                            at += 4;
                            if self.decode {
                                high = surrogates(unit, high)?;
                            }
                        }
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' if !high => {}
                        _ => return Err(BAD),
                    }
                }
                0..0x20 => return Err(BAD),
                _ if high => return Err(BAD),
                _ => at += 1,
            }
        }
    }
}

/// Is a low surrogate due after this unit?
fn surrogates(unit: u16, high: bool) -> Result<bool, EvalError> {
    match (unit, high) {
        (0xd800..=0xdbff, false) => Ok(true),
        (0xdc00..=0xdfff, true) => Ok(false),
        (0xd800..=0xdfff, _) | (_, true) => Err(BAD),
        (0, false) => Err(EvalError::new(Raise::UntranslatableCharacter)),
        _ => Ok(false),
    }
}

fn hexadecimal(bytes: &[u8], at: usize) -> Option<u16> {
    let mut unit = 0u16;
    for byte in bytes.get(at..at + 4)? {
        unit = unit << 4 | (*byte as char).to_digit(16)? as u16;
    }
    Some(unit)
}

/// What a string token between its quotes stands for, bytes at a time.
pub(crate) fn unescape(token: &str, mut put: impl FnMut(&[u8])) {
    let inside = token.get(1..token.len().saturating_sub(1)).unwrap_or("");
    let bytes = inside.as_bytes();
    let mut at = 0;
    let mut high = 0u32;
    while at < bytes.len() {
        let plain = bytes[at..].iter().position(|b| *b == b'\\').unwrap_or(bytes.len() - at);
        put(&bytes[at..at + plain]);
        at += plain;
        let Some(escape) = bytes.get(at + 1) else { break };
        at += 2;
        match escape {
            b'b' => put(b"\x08"),
            b'f' => put(b"\x0c"),
            b'n' => put(b"\n"),
            b'r' => put(b"\r"),
            b't' => put(b"\t"),
            b'u' => {
                let unit = u32::from(hexadecimal(bytes, at).unwrap_or(0));
                at += 4;
                let code = match unit {
                    0xd800..=0xdbff => {
                        high = unit;
                        continue;
                    }
                    0xdc00..=0xdfff => 0x10000 + ((high & 0x3ff) << 10) + (unit & 0x3ff),
                    _ => unit,
                };
                let c = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER);
                put(c.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => put(&[*other]),
        }
    }
}
