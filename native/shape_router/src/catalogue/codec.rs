//! Numbers and texts as bytes, and bytes read back with the place of what is wrong with them.

/// Bytes that are not what was written: where, from the first byte that was given, and what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bad {
    /// The offset.
    pub at: usize,
    /// What does not fit.
    pub what: &'static str,
}

/// Appends a number, seven bits a byte, the lowest first.
pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// A difference of either sign as a small number.
pub(crate) fn zigzag(difference: i64) -> u64 {
    (difference << 1 ^ difference >> 63).cast_unsigned()
}

pub(crate) fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Reads bytes from the first to the last.
pub(crate) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn is_done(&self) -> bool {
        self.at == self.bytes.len()
    }

    /// How many bytes are left: no count of things that take a byte each can be greater.
    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// What is wrong with what was read last.
    pub fn bad<T>(&self, what: &'static str) -> Result<T, Bad> {
        Err(Bad { at: self.at, what })
    }

    pub fn byte(&mut self) -> Result<u8, Bad> {
        let Some(&byte) = self.bytes.get(self.at) else { return self.bad("it ends too early") };
        self.at += 1;
        Ok(byte)
    }

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
    pub fn count(&mut self, bytes_each: usize) -> Result<usize, Bad> {
        let count = self.number()?;
        match usize::try_from(count) {
            Ok(count) if count <= self.left() / bytes_each.max(1) => Ok(count),
            _ => self.bad("more things than there are bytes"),
        }
    }

    /// What is left.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    pub fn bytes(&mut self) -> Result<&'a [u8], Bad> {
        let length = self.count(1)?;
        self.take(length)
    }

    pub fn take(&mut self, length: usize) -> Result<&'a [u8], Bad> {
        let Some(bytes) = self.bytes.get(self.at..).and_then(|rest| rest.get(..length)) else {
            return self.bad("it ends too early");
        };
        self.at += length;
        Ok(bytes)
    }

    pub fn text(&mut self) -> Result<&'a str, Bad> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).or_else(|_| self.bad("a text that is not UTF-8"))
    }

    /// A key's hash.
    pub fn key(&mut self) -> Result<u128, Bad> {
        let mut key = [0; 16];
        key.copy_from_slice(self.take(16)?);
        Ok(u128::from_be_bytes(key))
    }

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
