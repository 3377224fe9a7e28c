//! From a date's, time's or interval's text to its parts.

use std::ops::Range;

use smallvec::SmallVec;

use super::{BAD, words};
use crate::error::EvalError;
use crate::values::text::is_space;

/// What a part looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// Digits, maybe with a point.
    Number,
    /// Letters.
    Word,
    /// A word behind a sign.
    SignedWord,
    /// Numbers or a month's name joined by `-`, `/` or `.`; or a zone's name.
    Date,
    /// Digits and colons.
    Time,
    /// A sign and digits.
    Signed,
}

/// A text cut into parts, in lower case.
pub(super) struct Parts {
    buffer: [u8; 256],
    length: usize,
    /// PostgreSQL copies the parts, each with an end mark, into a buffer of this size.
    capacity: usize,
    parts: SmallVec<[(Shape, Range<usize>); 8]>,
}

/// More parts than this are too many.
const MOST: usize = 25;

fn is_alpha(byte: u8) -> bool {
    byte.is_ascii_alphabetic()
}

impl Parts {
    /// Cuts the text. `capacity` is the size of PostgreSQL's buffer for it, at most 256.
    pub(super) fn of(text: &str, capacity: usize) -> Result<Parts, EvalError> {
        let mut parts = Parts { buffer: [0; 256], length: 0, capacity, parts: SmallVec::new() };
        let mut rest = text.as_bytes();
        loop {
            while rest.first().is_some_and(|b| is_space(*b)) {
                rest = &rest[1..];
            }
            let Some(&first) = rest.first() else { return Ok(parts) };
            // Other punctuation only separates.
            if first.is_ascii_punctuation() && !matches!(first, b'.' | b'+' | b'-') {
                rest = &rest[1..];
                continue;
            }
            if parts.parts.len() >= MOST {
                return Err(BAD);
            }
            let start = parts.length;
            let shape = parts.part(&mut rest)?;
            let end = parts.length;
            parts.length += 1;
            parts.parts.push((shape, start..end));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    pub(super) fn shape(&self, part: usize) -> Option<Shape> {
        self.parts.get(part).map(|(shape, _)| *shape)
    }

    pub(super) fn text(&self, part: usize) -> &str {
        let range = self.parts.get(part).map_or(0..0, |(_, range)| range.clone());
        // Only ASCII is ever taken.
        std::str::from_utf8(&self.buffer[range]).unwrap_or("")
    }

    fn take(&mut self, rest: &mut &[u8]) -> Result<(), EvalError> {
        let Some((&first, tail)) = rest.split_first() else { return Ok(()) };
        if self.length + 1 >= self.capacity {
            return Err(BAD);
        }
        self.buffer[self.length] = first.to_ascii_lowercase();
        self.length += 1;
        *rest = tail;
        Ok(())
    }

    fn take_while(&mut self, rest: &mut &[u8], is: impl Fn(u8) -> bool) -> Result<(), EvalError> {
        while rest.first().is_some_and(|b| is(*b)) {
            self.take(rest)?;
        }
        Ok(())
    }

    fn part(&mut self, rest: &mut &[u8]) -> Result<Shape, EvalError> {
        match rest[0] {
            b'0'..=b'9' => self.digits(rest),
            b'.' => {
                self.take(rest)?;
                self.take_while(rest, |b| b.is_ascii_digit())?;
                Ok(Shape::Number)
            }
            b'+' | b'-' => {
                self.take(rest)?;
                while rest.first().is_some_and(|b| is_space(*b)) {
                    *rest = &rest[1..];
                }
                match rest.first() {
                    Some(b'0'..=b'9') => {
                        let is = |b: u8| b.is_ascii_digit() || matches!(b, b':' | b'.' | b'-');
                        self.take_while(rest, is)?;
                        Ok(Shape::Signed)
                    }
                    Some(b) if is_alpha(*b) => {
                        self.take_while(rest, is_alpha)?;
                        Ok(Shape::SignedWord)
                    }
                    _ => Err(BAD),
                }
            }
            b if is_alpha(b) => self.word(rest),
            _ => Err(BAD),
        }
    }

    fn digits(&mut self, rest: &mut &[u8]) -> Result<Shape, EvalError> {
        let is_digit = |b: u8| b.is_ascii_digit();
        self.take_while(rest, is_digit)?;
        let delimiter = match rest.first() {
            Some(b':') => {
                self.take_while(rest, |b| is_digit(b) || matches!(b, b':' | b'.'))?;
                return Ok(Shape::Time);
            }
            Some(b @ (b'-' | b'/' | b'.')) => *b,
            _ => return Ok(Shape::Number),
        };
        self.take(rest)?;
        if !rest.first().is_some_and(|b| is_digit(*b)) {
            self.take_while(rest, |b| b.is_ascii_alphanumeric() || b == delimiter)?;
            return Ok(Shape::Date);
        }
        self.take_while(rest, is_digit)?;
        if rest.first() == Some(&delimiter) {
            self.take_while(rest, |b| is_digit(b) || b == delimiter)?;
            return Ok(Shape::Date);
        }
        Ok(if delimiter == b'.' { Shape::Number } else { Shape::Date })
    }

    fn word(&mut self, rest: &mut &[u8]) -> Result<Shape, EvalError> {
        let start = self.length;
        self.take_while(rest, is_alpha)?;
        let goes_on = match rest.first() {
            Some(b'-' | b'/' | b'.') => true,
            // A known word ends where digits or a sign begin, any other one goes on.
            Some(b) if *b == b'+' || b.is_ascii_digit() => {
                let word = std::str::from_utf8(&self.buffer[start..self.length]).unwrap_or("");
                words::word(word).is_none()
            }
            _ => false,
        };
        if !goes_on {
            return Ok(Shape::Word);
        }
        let is = |b: u8| {
            b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'/' | b'_' | b'.' | b':')
        };
        self.take_while(rest, is)?;
        Ok(Shape::Date)
    }
}

/// A whole number at the beginning, as C's `strtol` reads it: the number, clamped, and the rest.
pub(super) fn leading(text: &str) -> (i64, &str) {
    let bytes = text.as_bytes();
    let (negative, skip) = match bytes.first() {
        Some(b'-') => (true, 1),
        Some(b'+') => (false, 1),
        _ => (false, 0),
    };
    let length = bytes[skip..].iter().take_while(|b| b.is_ascii_digit()).count();
    if length == 0 {
        return (0, text);
    }
    let digits = &text[skip..skip + length];
    let value = digits.bytes().try_fold(0i64, |value, digit| {
        let digit = i64::from(digit - b'0');
        let value = value.checked_mul(10)?;
        if negative { value.checked_sub(digit) } else { value.checked_add(digit) }
    });
    let limit = if negative { i64::MIN } else { i64::MAX };
    (value.unwrap_or(limit), &text[skip + length..])
}

/// Did [`leading`] run out of the range of an int8?
pub(super) fn overflows(value: i64, text: &str) -> bool {
    if value != i64::MAX && value != i64::MIN {
        return false;
    }
    let digits = text.trim_start_matches(['-', '+']).trim_start_matches('0');
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let limit = if value < 0 { "9223372036854775808" } else { "9223372036854775807" };
    digits[..length] != *limit
}

/// The digits behind a point as a fraction of one; nothing behind it is zero.
pub(super) fn fraction(text: &str) -> Result<f64, EvalError> {
    let digits = text.strip_prefix('.').ok_or(BAD)?;
    if digits.is_empty() {
        return Ok(0.0);
    }
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BAD);
    }
    text.parse().map_err(|_| BAD)
}

/// The same in whole microseconds.
pub(super) fn fraction_micros(text: &str) -> Result<i64, EvalError> {
    Ok((fraction(text)? * 1e6).round_ties_even() as i64)
}
