//! A row of a set by its hashes, and under which keys it counts.
//!
//! A value is known by 128 bits of SipHash under a random secret, which it shares with what PostgreSQL's
//! `=` calls equal and with nothing else: of 10^9 values two collide with a probability of 10^-21, and
//! nobody who does not know the secret can look for such two.
//!
//! `(a, b) IN (...)` is NULL where a row of the set agrees with the left side in all columns that are
//! NULL on neither. So that no row must be searched for, a row of several columns counts under a key for
//! each selection of its columns that are not NULL.

use shape_expr::{MAX_SET_COLUMNS, Value};
use siphasher::sip128::{Hasher128, SipHasher13};
use smallvec::SmallVec;
use std::hash::Hasher;

/// Some of the columns, as bits.
pub(crate) type Mask = u8;

/// Under what rows are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// A row none of whose columns is NULL.
    Value(u128),
    /// All rows of which exactly these columns are not NULL.
    Present(Mask),
    /// What such rows have in some of those columns.
    Part(u128),
}

/// A row by its hashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Hashed {
    pub columns: u8,
    /// The columns that are not NULL.
    pub present: Mask,
    parts: [u128; MAX_SET_COLUMNS],
}

/// What values are hashed under.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Secret(pub u64, pub u64);

impl Secret {
    fn hasher(self) -> SipHasher13 {
        SipHasher13::new_with_keys(self.0, self.1)
    }
}

impl Hashed {
    /// `None`: one of the values is unknown, or there are more than a set has columns.
    pub fn new<'v>(secret: Secret, values: impl Iterator<Item = Value<'v>>) -> Option<Self> {
        let mut hashed = Self { columns: 0, present: 0, parts: [0; MAX_SET_COLUMNS] };
        for value in values {
            let at = usize::from(hashed.columns);
            let part = hashed.parts.get_mut(at)?;
            hashed.columns += 1;
            match value {
                Value::Null => {}
                value if value.is_unknown() || matches!(value, Value::Opaque) => return None,
                value => {
                    let mut hasher = secret.hasher();
                    value.hash_equality(&mut hasher);
                    *part = hasher.finish128().as_u128();
                    hashed.present |= 1 << at;
                }
            }
        }
        Some(hashed)
    }

    /// A row of one column by the hash of its value; `None`: NULL.
    pub fn single(value: Option<u128>) -> Self {
        let mut parts = [0; MAX_SET_COLUMNS];
        parts[0] = value.unwrap_or_default();
        Self { columns: 1, present: value.is_some().into(), parts }
    }

    /// All columns.
    pub fn all(&self) -> Mask {
        all(self.columns)
    }

    /// True if no column is NULL.
    pub fn is_whole(&self) -> bool {
        self.present == self.all()
    }

    /// What it has in these columns, as rows have it of which those of `present` are not NULL.
    pub fn part(&self, secret: Secret, present: Mask, columns: Mask) -> Key {
        if columns == 0 {
            return Key::Present(present);
        }
        let whole = present == self.all() && columns == present;
        if whole && self.columns == 1 {
            return Key::Value(self.parts[0]);
        }
        let mut hasher = secret.hasher();
        hasher.write(&[present, columns]);
        for (at, part) in self.parts.iter().enumerate() {
            if columns & 1 << at != 0 {
                hasher.write(&part.to_le_bytes());
            }
        }
        let hash = hasher.finish128().as_u128();
        if whole { Key::Value(hash) } else { Key::Part(hash) }
    }

    /// What only this row counts under.
    pub fn own(&self, secret: Secret) -> Key {
        self.part(secret, self.present, self.present)
    }

    /// All that it counts under: the first is its own.
    pub fn keys(&self, secret: Secret) -> SmallVec<[Key; 4]> {
        let mut keys = SmallVec::new();
        for columns in (0..=self.present).rev() {
            if columns & !self.present == 0 {
                keys.push(self.part(secret, self.present, columns));
            }
        }
        keys
    }
}

/// All of so many columns.
pub(crate) fn all(columns: u8) -> Mask {
    (1u8 << columns) - 1
}
