//! The constants of a clause as bytes, so that a clause of a template that is known can be put
//! together again without its text.
//!
//! Only plain values are written: what is prepared from its text (a pattern, a list that is searched
//! by hash, a document, an array) is compiled again instead, so that these bytes say nothing of how it
//! is prepared. `docs/formats.md` has the bytes; a new kind of value gets a new number.

use std::sync::Arc;

use crate::constants::{Borrowed, Const, Constants};
use crate::predicate::{Predicate, PredicateRef};
use crate::values::datetime::Interval;
use crate::values::numeric;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const NUMERIC: u8 = 5;
const TEXT: u8 = 6;
const BPCHAR: u8 = 7;
const BYTES: u8 = 8;
const UUID: u8 = 9;
const TIMESTAMP: u8 = 10;
const DATE: u8 = 11;
const TIME: u8 = 12;
const TIME_TZ: u8 = 13;
const INTERVAL: u8 = 14;
const ENUM: u8 = 15;
/// What is not written.
const OTHER: u8 = 255;

fn kind(constant: &Const) -> Option<u8> {
    Some(match constant {
        Const::Null => NULL,
        Const::Bool(_) => FALSE,
        Const::Int(_) => INT,
        Const::Float(_) => FLOAT,
        Const::Numeric(_) => NUMERIC,
        Const::Text(_) => TEXT,
        Const::Bpchar(_) => BPCHAR,
        Const::Bytes(_) => BYTES,
        Const::Uuid(_) => UUID,
        Const::Timestamp(_) => TIMESTAMP,
        Const::Date(_) => DATE,
        Const::Time(_) => TIME,
        Const::TimeTz(..) => TIME_TZ,
        Const::Interval(_) => INTERVAL,
        Const::Enum(..) => ENUM,
        Const::Pattern(_) | Const::Array(_) | Const::Type(_) | Const::Json(_) | Const::Set(_) => {
            return None;
        }
    })
}

impl PredicateRef<'_> {
    /// Appends the constants as bytes that [`Predicate::with_constants`] of a predicate of the same
    /// template reads. `false`: one of them cannot be written, and nothing was appended.
    #[must_use]
    pub fn put_constants(self, out: &mut Vec<u8>) -> bool {
        let start = out.len();
        match self.constants {
            Borrowed::None => {}
            Borrowed::Int(int) => put_int(out, INT, int),
            Borrowed::Many(all) => {
                if !all.iter().all(|constant| put(out, constant)) {
                    out.truncate(start);
                    return false;
                }
            }
        }
        true
    }

    /// Appends of what kind each constant is. [`Predicate::with_constants`] takes those of the same kinds
    /// only, so that no program meets a value that it was not made for.
    pub fn put_kinds(self, out: &mut Vec<u8>) {
        match self.constants {
            Borrowed::None => {}
            Borrowed::Int(_) => out.push(INT),
            Borrowed::Many(all) => {
                out.extend(all.iter().map(|constant| kind(constant).unwrap_or(OTHER)))
            }
        }
    }
}

impl Predicate {
    /// This predicate's template with other constants, as [`PredicateRef::put_constants`] has written
    /// them; and how many bytes they took. `None`: these are none.
    #[must_use]
    pub fn with_constants(&self, bytes: &[u8]) -> Option<(Predicate, usize)> {
        let mut input = Input { bytes, at: 0 };
        let constants = match &self.constants {
            Constants::None => Constants::None,
            // By far the most.
            Constants::Int(_) => {
                if input.take(1)? != [INT] {
                    return None;
                }
                Constants::Int(input.int()?)
            }
            Constants::Many(own) => {
                let read = own.iter().map(|own| {
                    let read = input.constant()?;
                    (kind(&read) == kind(own)).then_some(read)
                });
                Constants::new(read.collect::<Option<_>>()?)
            }
        };
        let template = Arc::clone(&self.template);
        Some((Predicate { template, constants }, input.at))
    }
}

fn put_int(out: &mut Vec<u8>, kind: u8, int: i64) {
    out.push(kind);
    // Seven bits a byte, the lowest first, of a number that is small where the integer is near 0.
    let mut rest = (int << 1 ^ int >> 63).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_bytes(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    put_int(out, kind, bytes.len() as i64);
    out.extend_from_slice(bytes);
}

fn put(out: &mut Vec<u8>, constant: &Const) -> bool {
    match constant {
        Const::Null => out.push(NULL),
        Const::Bool(value) => out.push(if *value { TRUE } else { FALSE }),
        Const::Int(int) => put_int(out, INT, *int),
        Const::Float(float) => {
            out.push(FLOAT);
            out.extend_from_slice(&float.to_bits().to_le_bytes());
        }
        Const::Numeric(words) => {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            put_bytes(out, NUMERIC, &bytes);
        }
        Const::Text(text) => put_bytes(out, TEXT, text.as_bytes()),
        Const::Bpchar(text) => put_bytes(out, BPCHAR, text.as_bytes()),
        Const::Bytes(bytes) => put_bytes(out, BYTES, bytes),
        Const::Uuid(bytes) => {
            out.push(UUID);
            out.extend_from_slice(bytes);
        }
        Const::Timestamp(at) => put_int(out, TIMESTAMP, *at),
        Const::Date(date) => put_int(out, DATE, i64::from(*date)),
        Const::Time(at) => put_int(out, TIME, *at),
        Const::TimeTz(at, west) => {
            put_int(out, TIME_TZ, *at);
            out.extend_from_slice(&west.to_le_bytes());
        }
        Const::Interval(interval) => {
            put_int(out, INTERVAL, interval.microseconds);
            out.extend_from_slice(&interval.days.to_le_bytes());
            out.extend_from_slice(&interval.months.to_le_bytes());
        }
        Const::Enum(position, label) => {
            put_int(out, ENUM, i64::from(*position));
            out.extend_from_slice(&(label.len() as u32).to_le_bytes());
            out.extend_from_slice(label.as_bytes());
        }
        Const::Pattern(_) | Const::Array(_) | Const::Type(_) | Const::Json(_) | Const::Set(_) => {
            return false;
        }
    }
    true
}

struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn take(&mut self, length: usize) -> Option<&[u8]> {
        let taken = self.bytes.get(self.at..)?.get(..length)?;
        self.at += length;
        Some(taken)
    }

    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    #[inline]
    fn int(&mut self) -> Option<i64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            if shift == 63 && byte > 1 {
                return None;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some((value >> 1).cast_signed() ^ -(value & 1).cast_signed());
            }
        }
        None
    }

    fn counted(&mut self) -> Option<&[u8]> {
        let length = usize::try_from(self.int()?).ok()?;
        self.take(length)
    }

    fn text(&mut self) -> Option<Arc<str>> {
        Some(std::str::from_utf8(self.counted()?).ok()?.into())
    }

    fn constant(&mut self) -> Option<Const> {
        Some(match self.take(1)?[0] {
            NULL => Const::Null,
            FALSE => Const::Bool(false),
            TRUE => Const::Bool(true),
            INT => Const::Int(self.int()?),
            FLOAT => Const::Float(f64::from_bits(u64::from_le_bytes(self.fixed()?))),
            NUMERIC => {
                let bytes = self.counted()?;
                let (pairs, []) = bytes.as_chunks::<2>() else { return None };
                if !numeric::is_whole(pairs.len()) {
                    return None;
                }
                Const::Numeric(pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect())
            }
            TEXT => Const::Text(self.text()?),
            BPCHAR => Const::Bpchar(self.text()?),
            BYTES => Const::Bytes(self.counted()?.into()),
            UUID => Const::Uuid(self.fixed()?),
            TIMESTAMP => Const::Timestamp(self.int()?),
            DATE => Const::Date(i32::try_from(self.int()?).ok()?),
            TIME => Const::Time(self.int()?),
            TIME_TZ => Const::TimeTz(self.int()?, i32::from_le_bytes(self.fixed()?)),
            INTERVAL => {
                let microseconds = self.int()?;
                let days = i32::from_le_bytes(self.fixed()?);
                let months = i32::from_le_bytes(self.fixed()?);
                Const::Interval(Interval { months, days, microseconds })
            }
            ENUM => {
                let position = u32::try_from(self.int()?).ok()?;
                let length = u32::from_le_bytes(self.fixed()?) as usize;
                let label = std::str::from_utf8(self.take(length)?).ok()?;
                Const::Enum(position, label.into())
            }
            _ => return None,
        })
    }
}
