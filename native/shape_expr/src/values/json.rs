//! jsonb: one run of bytes that can be copied anywhere, in which a key is found by binary search and
//! any part is a document of its own.
//!
//! A node ends with its tag. Before it stand: a string's bytes; a numeric's words; of an array the
//! elements one after the other, where each ends (4 bytes a piece) and their number; of an object
//! each key and its value, then, sorted by the keys' length and bytes, where key begins, key ends and
//! value ends (12 bytes), and their number. Places count from the node's first byte.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;
use smallvec::SmallVec;

use super::json_scan::{self, Span, Token, Visitor};
use super::numeric::Numeric;
use super::numeric_text;
use crate::error::{EvalError, Raise};

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const NUMBER: u8 = 3;
const STRING: u8 = 4;
const ARRAY: u8 = 5;
const OBJECT: u8 = 6;

/// The largest document: what PostgreSQL's own format can address, roughly.
const MAX_BYTES: usize = 1 << 30;

/// A jsonb value, or any part of one.
#[derive(Clone, Copy)]
pub struct Json<'a>(&'a [u8]);

/// A node, opened.
#[derive(Clone, Copy)]
pub(crate) enum Node<'a> {
    Null,
    Bool(bool),
    Number(Number<'a>),
    String(&'a [u8]),
    Array(Array<'a>),
    Object(Object<'a>),
}

/// A numeric's words as bytes.
#[derive(Clone, Copy)]
pub(crate) struct Number<'a>(&'a [u8]);

/// Elements in order.
#[derive(Clone, Copy)]
pub(crate) struct Array<'a> {
    bytes: &'a [u8],
    table: &'a [u8],
}

/// Members, sorted by the keys' length, then bytes.
#[derive(Clone, Copy)]
pub(crate) struct Object<'a> {
    bytes: &'a [u8],
    table: &'a [u8],
}

fn word(table: &[u8], at: usize) -> usize {
    match table.get(4 * at..4 * at + 4) {
        Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]) as usize,
        _ => 0,
    }
}

impl std::fmt::Debug for Json<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let arena = Bump::new();
        f.write_str(super::json_text::output(*self, &arena))
    }
}

impl<'a> Json<'a> {
    /// `null`.
    pub(crate) const NULL: Json<'static> = Json(&[NULL]);

    /// jsonb_in.
    pub(crate) fn parse(text: &str, arena: &'a Bump) -> Result<Json<'a>, EvalError> {
        let mut builder = Builder::new(text.len() + text.len() / 2 + 16, arena);
        json_scan::walk(text, true, &mut builder)?;
        Ok(builder.finish())
    }

    /// From bytes that a [`Builder`] made.
    pub(crate) fn from_bytes(bytes: &'a [u8]) -> Json<'a> {
        Json(bytes)
    }

    pub(crate) fn bytes(self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn node(self) -> Node<'a> {
        let Some((tag, body)) = self.0.split_last() else { return Node::Null };
        match *tag {
            FALSE => Node::Bool(false),
            TRUE => Node::Bool(true),
            NUMBER => Node::Number(Number(body)),
            STRING => Node::String(body),
            ARRAY | OBJECT => {
                let count_at = body.len().saturating_sub(4);
                let count = word(&body[count_at..], 0);
                let width = if *tag == ARRAY { 4 } else { 12 };
                let table_at = count_at.saturating_sub(width * count);
                let (bytes, table) = (&body[..table_at], &body[table_at..count_at]);
                match *tag {
                    ARRAY => Node::Array(Array { bytes, table }),
                    _ => Node::Object(Object { bytes, table }),
                }
            }
            _ => Node::Null,
        }
    }

    pub(crate) fn is_scalar(self) -> bool {
        !matches!(self.0.last(), Some(&(ARRAY | OBJECT)))
    }

    pub(crate) fn is_null(self) -> bool {
        matches!(self.0.last(), None | Some(&NULL))
    }

    /// As `jsonb_typeof` names it.
    pub(crate) fn kind_name(self) -> &'static str {
        match self.node() {
            Node::Null => "null",
            Node::Bool(_) => "boolean",
            Node::Number(_) => "number",
            Node::String(_) => "string",
            Node::Array(_) => "array",
            Node::Object(_) => "object",
        }
    }
}

/// A string node's text.
pub(crate) fn text(bytes: &[u8]) -> &str {
    // Made of UTF-8, cut nowhere.
    std::str::from_utf8(bytes).unwrap_or("")
}

impl<'a> Number<'a> {
    pub(crate) fn words(self) -> SmallVec<[i16; 24]> {
        self.0.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]])).collect()
    }

    /// A copy in the arena.
    pub(crate) fn numeric<'n>(self, arena: &'n Bump) -> Numeric<'n> {
        Numeric::from_words(arena.alloc_slice_copy(&self.words()))
    }

    /// Equal but for the scale.
    pub(crate) fn equals(self, other: Number<'_>) -> bool {
        self.sign_and_weight() == other.sign_and_weight() && self.digits() == other.digits()
    }

    pub(crate) fn sign_and_weight(self) -> &'a [u8] {
        self.0.get(..4).unwrap_or(&[])
    }

    pub(crate) fn digits(self) -> &'a [u8] {
        self.0.get(6..).unwrap_or(&[])
    }
}

impl<'a> Array<'a> {
    pub(crate) fn len(self) -> usize {
        self.table.len() / 4
    }

    pub(crate) fn get(self, at: usize) -> Option<Json<'a>> {
        if at >= self.len() {
            return None;
        }
        let start = if at == 0 { 0 } else { word(self.table, at - 1) };
        self.bytes.get(start..word(self.table, at)).map(Json)
    }

    /// By PostgreSQL's subscript: negative ones count from the end.
    pub(crate) fn subscript(self, index: i64) -> Option<Json<'a>> {
        let index = if index < 0 { index + self.len() as i64 } else { index };
        self.get(usize::try_from(index).ok()?)
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Json<'a>> {
        (0..self.len()).filter_map(move |at| self.get(at))
    }
}

impl<'a> Object<'a> {
    pub(crate) fn len(self) -> usize {
        self.table.len() / 12
    }

    fn key(self, at: usize) -> &'a [u8] {
        let (start, end) = (word(self.table, 3 * at), word(self.table, 3 * at + 1));
        self.bytes.get(start..end).unwrap_or(&[])
    }

    fn value(self, at: usize) -> Json<'a> {
        let (start, end) = (word(self.table, 3 * at + 1), word(self.table, 3 * at + 2));
        Json(self.bytes.get(start..end).unwrap_or(&[]))
    }

    pub(crate) fn get(self, key: &[u8]) -> Option<Json<'a>> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let found = self.key(middle);
            match found.len().cmp(&key.len()).then_with(|| found.cmp(key)) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(self.value(middle)),
            }
        }
        None
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = (&'a [u8], Json<'a>)> {
        (0..self.len()).map(move |at| (self.key(at), self.value(at)))
    }
}

struct Frame {
    start: usize,
    /// Where its entries begin.
    entries: usize,
    object: bool,
}

#[derive(Clone, Copy)]
struct Entry {
    key: u32,
    key_end: u32,
    end: u32,
}

/// Builds a document from left to right.
pub(crate) struct Builder<'a> {
    bytes: BumpVec<'a, u8>,
    open: BumpVec<'a, Frame>,
    entries: BumpVec<'a, Entry>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(capacity: usize, arena: &'a Bump) -> Builder<'a> {
        Builder {
            bytes: BumpVec::with_capacity_in(capacity, arena),
            open: BumpVec::new_in(arena),
            entries: BumpVec::new_in(arena),
        }
    }

    pub(crate) fn finish(self) -> Json<'a> {
        Json(self.bytes.into_bump_slice())
    }

    /// A value is complete.
    fn complete(&mut self) -> Result<(), EvalError> {
        if self.bytes.len() > MAX_BYTES {
            return Err(EvalError::new(Raise::LimitExceeded));
        }
        let end = self.bytes.len() as u32;
        match self.open.last() {
            Some(Frame { object: true, .. }) => {
                if let Some(entry) = self.entries.last_mut() {
                    entry.end = end;
                }
            }
            Some(Frame { object: false, .. }) => {
                self.entries.push(Entry { key: 0, key_end: 0, end });
            }
            None => {}
        }
        Ok(())
    }

    pub(crate) fn open(&mut self, object: bool) {
        let (start, entries) = (self.bytes.len(), self.entries.len());
        self.open.push(Frame { start, entries, object });
    }

    pub(crate) fn close(&mut self) -> Result<(), EvalError> {
        let Some(frame) = self.open.pop() else { return Ok(()) };
        let base = frame.start as u32;
        let bytes = &mut self.bytes;
        let mut count = 0u32;
        if frame.object {
            let entries = &mut self.entries[frame.entries..];
            let key = |entry: &Entry, bytes: &[u8]| {
                entry.key as usize..(entry.key_end as usize).min(bytes.len())
            };
            entries.sort_unstable_by(|a, b| {
                let (left, right) = (&bytes[key(a, bytes)], &bytes[key(b, bytes)]);
                let length = left.len().cmp(&right.len());
                length.then_with(|| left.cmp(right)).then(a.key.cmp(&b.key))
            });
            for at in 0..entries.len() {
                let entry = entries[at];
                // Of equal keys the last one counts.
                let repeated = entries
                    .get(at + 1)
                    .is_some_and(|next| bytes[key(next, bytes)] == bytes[key(&entry, bytes)]);
                if !repeated {
                    for place in [entry.key, entry.key_end, entry.end] {
                        bytes.extend_from_slice(&(place - base).to_le_bytes());
                    }
                    count += 1;
                }
            }
        } else {
            for entry in &self.entries[frame.entries..] {
                bytes.extend_from_slice(&(entry.end - base).to_le_bytes());
                count += 1;
            }
        }
        self.entries.truncate(frame.entries);
        self.bytes.extend_from_slice(&count.to_le_bytes());
        self.bytes.push(if frame.object { OBJECT } else { ARRAY });
        self.complete()
    }

    pub(crate) fn key_bytes(&mut self, key: &[u8]) {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(key);
        self.entries.push(Entry { key: start, key_end: self.bytes.len() as u32, end: 0 });
    }

    pub(crate) fn copy(&mut self, value: Json<'_>) -> Result<(), EvalError> {
        match value.0 {
            [] => self.bytes.push(NULL),
            bytes => self.bytes.extend_from_slice(bytes),
        }
        self.complete()
    }

    /// A string value, or NULL's null.
    pub(crate) fn string(&mut self, text: Option<&str>) -> Result<(), EvalError> {
        match text {
            Some(text) => {
                self.bytes.extend_from_slice(text.as_bytes());
                self.bytes.push(STRING);
            }
            None => self.bytes.push(NULL),
        }
        self.complete()
    }

    pub(crate) fn boolean(&mut self, b: bool) -> Result<(), EvalError> {
        self.bytes.push(if b { TRUE } else { FALSE });
        self.complete()
    }

    /// A number of these words of a numeric.
    pub(crate) fn number(&mut self, words: &[i16]) -> Result<(), EvalError> {
        for word in words {
            self.bytes.extend_from_slice(&word.to_le_bytes());
        }
        self.bytes.push(NUMBER);
        self.complete()
    }

    fn string_token(&mut self, span: Span<'_>) {
        let bytes = &mut self.bytes;
        match span.token {
            Token::String { escaped: true } => {
                json_scan::unescape(span.text, |part| bytes.extend_from_slice(part));
            }
            _ => {
                let inside = span.text.as_bytes();
                bytes.extend_from_slice(inside.get(1..inside.len() - 1).unwrap_or(&[]));
            }
        }
    }
}

impl<'t> Visitor<'t> for Builder<'_> {
    fn begin(&mut self, object: bool, _: usize) -> Result<(), EvalError> {
        self.open(object);
        Ok(())
    }

    fn end(&mut self, _: usize) -> Result<(), EvalError> {
        self.close()
    }

    fn key(&mut self, key: Span<'t>) -> Result<(), EvalError> {
        let start = self.bytes.len() as u32;
        self.string_token(key);
        self.entries.push(Entry { key: start, key_end: self.bytes.len() as u32, end: 0 });
        Ok(())
    }

    fn scalar(&mut self, scalar: Span<'t>) -> Result<(), EvalError> {
        match scalar.token {
            Token::True => self.bytes.push(TRUE),
            Token::False => self.bytes.push(FALSE),
            Token::Number => {
                return self.number(&numeric_text::parse(scalar.text)?.words()?);
            }
            Token::String { .. } => {
                self.string_token(scalar);
                self.bytes.push(STRING);
            }
            _ => self.bytes.push(NULL),
        }
        self.complete()
    }
}
