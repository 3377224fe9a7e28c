//! Numbers and texts as bytes, and bytes read back with the place of what is wrong with them: what the
//! records in journals and snapshots are made of.

/// Bytes that are not what was written: where, from the first byte that was given, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad {
    /// The offset.
    pub at: usize,
    /// What does not fit.
    pub what: &'static str,
}

/// Appends a number, seven bits a byte, the lowest first.
pub fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Appends bytes, their length before them.
pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A difference of either sign as a small number.
#[must_use]
pub fn zigzag(difference: i64) -> u64 {
    (difference << 1 ^ difference >> 63).cast_unsigned()
}

/// The difference that [`zigzag`] made a number of.
#[must_use]
pub fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Reads bytes from the first to the last.
pub struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    /// Begins at the first byte.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    #[must_use]
    pub fn at(&self) -> usize {
        self.at
    }

    /// Whether all were read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// How many bytes are left: no count of things that take a byte each can be greater.
    #[must_use]
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// What is wrong with what was read last.
    ///
    /// # Errors
    /// Always.
    pub fn bad<T>(&self, what: &'static str) -> Result<T, Bad> {
        Err(Bad { at: self.at, what })
    }

    /// The next byte.
    ///
    /// # Errors
    /// At the end.
    pub fn byte(&mut self) -> Result<u8, Bad> {
        let Some(&byte) = self.bytes.get(self.at) else { return self.bad("it ends too early") };
        self.at += 1;
        Ok(byte)
    }

    /// The next number, as [`put`] wrote it.
    ///
    /// # Errors
    /// Where there is none, or one of more than 64 bits.
    #[inline]
    pub fn number(&mut self) -> Result<u64, Bad> {
        // Most are small.
        if let Some(&byte) = self.bytes.get(self.at)
            && byte < 0x80
        {
            self.at += 1;
            return Ok(u64::from(byte));
        }
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        self.bad("a number of more than 64 bits")
    }

    /// A count of things of so many bytes each at least.
    ///
    /// # Errors
    /// Where there are not that many bytes.
    pub fn count(&mut self, bytes_each: usize) -> Result<usize, Bad> {
        let count = self.number()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.left() / bytes_each.max(1) => Ok(count),
            _ => self.bad("more things than there are bytes"),
        }
    }

    /// What is left.
    #[must_use]
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// The next bytes, as [`put_bytes`] wrote them.
    ///
    /// # Errors
    /// Where they are not there.
    pub fn bytes(&mut self) -> Result<&'a [u8], Bad> {
        let length = self.count(1)?;
        self.take(length)
    }

    /// The next `length` bytes.
    ///
    /// # Errors
    /// Where there are fewer.
    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Bad> {
        let Some(bytes) = self.bytes.get(self.at..).and_then(|rest| rest.get(..length)) else {
            return self.bad("it ends too early");
        };
        self.at += length;
        Ok(bytes)
    }

    /// The next text: its length, then UTF-8.
    ///
    /// # Errors
    /// Where that is not there.
    pub fn text(&mut self) -> Result<&'a str, Bad> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).or_else(|_| self.bad("a text that is not UTF-8"))
    }

    /// A key's hash, in 16 bytes.
    ///
    /// # Errors
    /// Where there are fewer.
    pub fn key(&mut self) -> Result<u128, Bad> {
        let mut key = [0; 16];
        key.copy_from_slice(self.take(16)?);
        Ok(u128::from_be_bytes(key))
    }

    /// Makes sure that all was read.
    ///
    /// # Errors
    /// Where something follows.
    pub fn end(&self) -> Result<(), Bad> {
        if self.is_done() { Ok(()) } else { self.bad("something follows the last thing") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_written() {
        for value in [0, 1, 127, 128, 300, 1 << 35, u64::MAX - 1, u64::MAX] {
            let mut bytes = Vec::new();
            put(&mut bytes, value);
            let mut input = Input::new(&bytes);
            assert_eq!((input.number(), input.end()), (Ok(value), Ok(())));
            for short in 0..bytes.len() {
                assert!(Input::new(&bytes[..short]).number().is_err());
            }
        }
        assert!(Input::new(&[0xff; 10]).number().is_err());
    }

    #[test]
    fn differences_of_either_sign_are_read_as_written() {
        for difference in [0, 1, -1, 5, -300, i64::MAX, i64::MIN] {
            assert_eq!(unzigzag(zigzag(difference)), difference);
        }
    }
}
