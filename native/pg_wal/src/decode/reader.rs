//! A cursor over one message that knows where it is when something is missing.

use super::tuple::Tuple;
use crate::{Error, Lsn};

pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    fn tag(&self) -> u8 {
        self.bytes.first().copied().unwrap_or(0)
    }

    /// The error for what should have been at `offset`.
    pub(super) fn malformed_at(&self, offset: usize, expected: &'static str) -> Error {
        Error::Malformed { tag: self.tag(), offset, expected }
    }

    /// The error for the byte just read.
    pub(super) fn malformed_before(&self, expected: &'static str) -> Error {
        self.malformed_at(self.at.saturating_sub(1), expected)
    }

    fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    pub(super) fn take(&mut self, len: usize, expected: &'static str) -> Result<&'a [u8], Error> {
        let taken = self.rest().get(..len).ok_or_else(|| self.malformed_at(self.at, expected))?;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, expected: &'static str) -> Result<[u8; N], Error> {
        let taken =
            self.rest().first_chunk::<N>().ok_or_else(|| self.malformed_at(self.at, expected))?;
        self.at += N;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self, expected: &'static str) -> Result<u8, Error> {
        self.array::<1>(expected).map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self, expected: &'static str) -> Result<u32, Error> {
        self.array(expected).map(u32::from_be_bytes)
    }

    pub(super) fn i32(&mut self, expected: &'static str) -> Result<i32, Error> {
        self.array(expected).map(i32::from_be_bytes)
    }

    pub(super) fn i64(&mut self, expected: &'static str) -> Result<i64, Error> {
        self.array(expected).map(i64::from_be_bytes)
    }

    pub(super) fn lsn(&mut self, expected: &'static str) -> Result<Lsn, Error> {
        self.array(expected).map(|bytes| Lsn(u64::from_be_bytes(bytes)))
    }

    /// A count or length: not negative.
    pub(super) fn count16(&mut self, expected: &'static str) -> Result<usize, Error> {
        let at = self.at;
        let count = self.array(expected).map(i16::from_be_bytes)?;
        usize::try_from(count).map_err(|_| self.malformed_at(at, expected))
    }

    /// A count or length: not negative.
    pub(super) fn count32(&mut self, expected: &'static str) -> Result<usize, Error> {
        let at = self.at;
        let count = self.array(expected).map(i32::from_be_bytes)?;
        usize::try_from(count).map_err(|_| self.malformed_at(at, expected))
    }

    /// A zero-terminated UTF-8 string.
    pub(super) fn string(&mut self, expected: &'static str) -> Result<&'a str, Error> {
        let rest = self.rest();
        let end = rest
            .iter()
            .position(|byte| *byte == 0)
            .ok_or_else(|| self.malformed_at(self.bytes.len(), "the string's terminating zero"))?;
        let text = std::str::from_utf8(&rest[..end])
            .map_err(|e| self.malformed_at(self.at + e.valid_up_to(), expected))?;
        self.at += end + 1;
        Ok(text)
    }

    /// A byte that must be zero.
    pub(super) fn no_flags(&mut self) -> Result<(), Error> {
        match self.u8("flags")? {
            0 => Ok(()),
            _ => Err(self.malformed_before("flags of 0")),
        }
    }

    /// A tuple, walked through once so that iterating it later cannot fail.
    pub(super) fn tuple(&mut self) -> Result<Tuple<'a>, Error> {
        let count = self.count16("a tuple's column count")?;
        let start = self.at;
        for _ in 0..count {
            match self.u8("a column's kind")? {
                b'n' | b'u' => {}
                b't' | b'b' => {
                    let len = self.count32("a column's length")?;
                    self.take(len, "a column's value")?;
                }
                _ => return Err(self.malformed_before("a column kind (n, u, t or b)")),
            }
        }
        Ok(Tuple::from_validated(&self.bytes[start..self.at], count))
    }

    /// The bytes from `start` to where we are.
    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.at).unwrap_or_default()
    }

    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// Nothing may follow.
    pub(super) fn end(&self) -> Result<(), Error> {
        if self.at == self.bytes.len() {
            Ok(())
        } else {
            Err(self.malformed_at(self.at, "the end of the message"))
        }
    }
}
