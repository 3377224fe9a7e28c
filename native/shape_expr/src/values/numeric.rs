//! numeric: exact decimals of any scale, NaN and the infinities, in PostgreSQL's own base of 10,000.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use bumpalo::Bump;
use smallvec::SmallVec;

use crate::error::{EvalError, Raise};

/// The base of a digit.
pub(crate) const BASE: i32 = 10_000;
/// Decimal digits in one digit.
pub(crate) const DEC_DIGITS: i32 = 4;
const HEADER: usize = 3;

/// What a numeric is, besides its digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i16)]
pub(crate) enum Kind {
    Positive = 0,
    Negative = 1,
    NaN = 2,
    Infinity = 3,
    NegativeInfinity = 4,
}

/// A numeric that lies somewhere else: kind, weight, scale and base-10,000 digits in one slice.
///
/// The digits carry no leading or trailing zeros, so equal numbers have equal digits.
#[derive(Clone, Copy, Debug)]
pub struct Numeric<'a>(&'a [i16]);

/// Can a numeric have so many words?
pub(crate) fn is_whole(words: usize) -> bool {
    words >= HEADER
}

impl<'a> Numeric<'a> {
    /// From words made by [`NumericVar::words`].
    pub(crate) fn from_words(words: &'a [i16]) -> Numeric<'a> {
        debug_assert!(words.len() >= HEADER);
        Numeric(words)
    }

    pub(crate) fn words(self) -> &'a [i16] {
        self.0
    }

    pub(crate) fn kind(self) -> Kind {
        match self.0[0] {
            0 => Kind::Positive,
            1 => Kind::Negative,
            3 => Kind::Infinity,
            4 => Kind::NegativeInfinity,
            _ => Kind::NaN,
        }
    }

    /// The power of 10,000 that the first digit stands for.
    pub(crate) fn weight(self) -> i32 {
        i32::from(self.0[1])
    }

    /// Decimal places shown.
    pub(crate) fn scale(self) -> i32 {
        i32::from(self.0[2])
    }

    pub(crate) fn digits(self) -> &'a [i16] {
        &self.0[HEADER..]
    }

    pub(crate) fn is_zero(self) -> bool {
        self.is_finite() && self.digits().is_empty()
    }

    pub(crate) fn is_finite(self) -> bool {
        matches!(self.kind(), Kind::Positive | Kind::Negative)
    }

    /// PostgreSQL's order: -Infinity, numbers, Infinity, NaN; scale does not count.
    #[must_use]
    pub fn compare(&self, other: &Numeric<'_>) -> Ordering {
        let (left, right) = (self.kind(), other.kind());
        let rank = |kind: Kind, zero: bool| match kind {
            Kind::NegativeInfinity => 0,
            Kind::Negative => 1,
            Kind::Positive if zero => 2,
            Kind::Positive => 3,
            Kind::Infinity => 4,
            Kind::NaN => 5,
        };
        let by_rank = rank(left, self.is_zero()).cmp(&rank(right, other.is_zero()));
        if by_rank.is_ne() {
            return by_rank;
        }
        match left {
            Kind::Positive => compare_magnitude(*self, *other),
            Kind::Negative => compare_magnitude(*other, *self),
            _ => Ordering::Equal,
        }
    }

    pub(crate) fn hash_equality<H: Hasher>(&self, state: &mut H) {
        // Everything but the scale.
        self.0[..2].hash(state);
        self.digits().hash(state);
    }

    /// A copy to calculate with.
    pub(crate) fn var(self) -> NumericVar {
        NumericVar {
            kind: self.kind(),
            weight: self.weight(),
            scale: self.scale(),
            digits: SmallVec::from_slice(self.digits()),
        }
    }
}

/// Compares two numbers without their signs.
pub(crate) fn compare_magnitude(a: Numeric<'_>, b: Numeric<'_>) -> Ordering {
    match (a.digits().is_empty(), b.digits().is_empty()) {
        (true, true) => Ordering::Equal,
        (true, false) => Ordering::Less,
        (false, true) => Ordering::Greater,
        (false, false) => a.weight().cmp(&b.weight()).then_with(|| a.digits().cmp(b.digits())),
    }
}

/// A numeric to calculate with; small ones stay off the heap.
#[derive(Clone, Debug)]
pub(crate) struct NumericVar {
    pub kind: Kind,
    pub weight: i32,
    pub scale: i32,
    pub digits: SmallVec<[i16; 16]>,
}

impl NumericVar {
    pub(crate) fn special(kind: Kind) -> NumericVar {
        NumericVar { kind, weight: 0, scale: 0, digits: SmallVec::new() }
    }

    pub(crate) fn zero(scale: i32) -> NumericVar {
        NumericVar { kind: Kind::Positive, weight: 0, scale, digits: SmallVec::new() }
    }

    pub(crate) fn from_int(i: i64) -> NumericVar {
        let mut rest = i.unsigned_abs();
        let mut digits: SmallVec<[i16; 16]> = SmallVec::new();
        while rest > 0 {
            digits.insert(0, (rest % BASE as u64) as i16);
            rest /= BASE as u64;
        }
        let kind = if i < 0 { Kind::Negative } else { Kind::Positive };
        let mut var = NumericVar { kind, weight: digits.len() as i32 - 1, scale: 0, digits };
        var.strip();
        var
    }

    /// Removes zeros at both ends; zero is positive and has weight 0.
    pub(crate) fn strip(&mut self) {
        let leading = self.digits.iter().take_while(|d| **d == 0).count();
        if leading > 0 {
            self.digits.drain(..leading);
            self.weight -= leading as i32;
        }
        while self.digits.last() == Some(&0) {
            self.digits.pop();
        }
        if self.digits.is_empty() && matches!(self.kind, Kind::Positive | Kind::Negative) {
            self.kind = Kind::Positive;
            self.weight = 0;
        }
    }

    /// The stored form, checked against the format's limits.
    pub(crate) fn words(&self) -> Result<SmallVec<[i16; 19]>, EvalError> {
        let overflow = || EvalError::new(Raise::OutOfRange);
        let weight = i16::try_from(self.weight).map_err(|_| overflow())?;
        let scale = i16::try_from(self.scale).ok().filter(|s| (0..0x4000).contains(s));
        let mut words = SmallVec::with_capacity(HEADER + self.digits.len());
        words.push(self.kind as i16);
        words.push(weight);
        words.push(scale.ok_or_else(overflow)?);
        words.extend_from_slice(&self.digits);
        Ok(words)
    }

    /// Copies it into the arena.
    pub(crate) fn store<'a>(&self, arena: &'a Bump) -> Result<Numeric<'a>, EvalError> {
        Ok(Numeric(arena.alloc_slice_copy(&self.words()?)))
    }
}
