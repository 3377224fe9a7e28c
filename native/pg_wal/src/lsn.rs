//! Positions in the WAL.

use crate::Error;
use std::fmt;
use std::str::FromStr;

/// A log sequence number: a byte position in the WAL, written `16/B374D848`.
///
/// ```
/// use pg_wal::Lsn;
/// let lsn: Lsn = "16/B374D848".parse()?;
/// assert_eq!(lsn, Lsn(0x16_B374_D848));
/// assert_eq!(lsn.to_string(), "16/B374D848");
/// # Ok::<(), pg_wal::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(
    /// The byte position.
    pub u64,
);

impl Lsn {
    /// `0/0`, which PostgreSQL uses for "none".
    pub const ZERO: Lsn = Lsn(0);
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = Error;

    fn from_str(text: &str) -> Result<Lsn, Error> {
        let invalid = || Error::InvalidLsn { text: text.chars().take(64).collect() };
        let half = |digits: &str| {
            // from_str_radix alone would take a sign.
            if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(invalid());
            }
            u32::from_str_radix(digits, 16).map_err(|_| invalid())
        };
        let (high, low) = text.split_once('/').ok_or_else(invalid)?;
        Ok(Lsn(u64::from(half(high)?) << 32 | u64::from(half(low)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trips() {
        for lsn in [0, 1, u64::from(u32::MAX), 1 << 32, 0x16_B374_D848, u64::MAX] {
            assert_eq!(Lsn(lsn).to_string().parse::<Lsn>().unwrap(), Lsn(lsn));
        }
        assert_eq!("0/0".parse::<Lsn>().unwrap(), Lsn::ZERO);
        assert_eq!("a/b".parse::<Lsn>().unwrap(), Lsn(0xA_0000_000B));
    }

    #[test]
    fn refuses_what_is_no_lsn() {
        for text in
            ["", "/", "1", "1/", "/1", "+1/1", "1/-1", "1/2/3", "123456789/0", "g/0", " 1/1"]
        {
            let error = text.parse::<Lsn>().unwrap_err();
            assert!(matches!(error, Error::InvalidLsn { .. }), "{text}: {error}");
        }
    }
}
