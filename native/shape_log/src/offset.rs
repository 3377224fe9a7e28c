//! Places in a log.

use std::fmt;
use std::str::FromStr;

/// The place of an entry in the log of its shape: which transaction, which operation of it. Within a
/// log offsets strictly ascend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset {
    /// The transaction: its commit LSN.
    pub tx: u64,
    /// The operation within it.
    pub op: u64,
}

impl Offset {
    /// Before every entry.
    pub const ZERO: Self = Self { tx: 0, op: 0 };
    /// After every entry.
    pub const MAX: Self = Self { tx: u64::MAX, op: u64::MAX };

    /// The offset of an operation of a transaction.
    #[must_use]
    pub const fn new(tx: u64, op: u64) -> Self {
        Self { tx, op }
    }
}

/// `<tx>_<op>`, both decimal, as in the addresses of HTTP and the names of files.
impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}_{}", self.tx, self.op)
    }
}

/// A text that is no offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an offset is <tx>_<op>, two numbers without sign or leading zeros")]
pub struct NotAnOffset;

impl FromStr for Offset {
    type Err = NotAnOffset;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (tx, op) = text.split_once('_').ok_or(NotAnOffset)?;
        let number = |digits: &str| {
            // One text for each offset: addresses are compared and cached as texts.
            let canonical = digits.bytes().all(|byte| byte.is_ascii_digit())
                && (digits.len() == 1 || !digits.starts_with('0'));
            if canonical { digits.parse().map_err(|_| NotAnOffset) } else { Err(NotAnOffset) }
        };
        Ok(Self { tx: number(tx)?, op: number(op)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_offset_has_one_text() {
        for offset in [Offset::ZERO, Offset::MAX, Offset::new(1, 20), Offset::new(300, 0)] {
            assert_eq!(offset.to_string().parse(), Ok(offset));
        }
        for text in ["", "_", "1", "1_", "_1", "01_1", "1_+1", "-1_0", "1_2_3", "1_ 2", "00_0"] {
            assert_eq!(text.parse::<Offset>(), Err(NotAnOffset), "{text}");
        }
        assert_eq!("18446744073709551616_0".parse::<Offset>(), Err(NotAnOffset));
    }
}
