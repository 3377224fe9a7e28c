//! Keys of rows, as 128-bit hashes.
//!
//! Membership has no predicate behind it that could catch a collision, so a key is known by its hash:
//! 128 bits of SipHash under a random secret while it is staged, 64 of them, compared in full, once it is
//! acknowledged. No client can choose keys that collide.

use crate::change::KeyParts;
use bumpalo::Bump;
use shape_expr::{ColumnType, Datum, Value};
use siphasher::sip128::{Hasher128, SipHasher13};
use std::hash::Hasher;

/// A row's key, hashed.
pub(crate) type KeyHash = u128;

/// How keys are hashed: fixed when the router is made, since stored hashes must stay comparable.
pub(crate) struct KeyHasher {
    secret: (u64, u64),
    /// The types of the key's columns, where they were declared. Otherwise a key is its text.
    types: Option<Vec<ColumnType>>,
}

impl KeyHasher {
    pub fn new(secret: (u64, u64), types: Option<Vec<ColumnType>>) -> Self {
        Self { secret, types }
    }

    /// The types that keys are hashed by.
    pub fn types(&self) -> Option<&[ColumnType]> {
        self.types.as_deref()
    }

    /// Changes the secret, as long as no key was hashed.
    pub fn set_secret(&mut self, secret: (u64, u64)) {
        self.secret = secret;
    }

    /// The hash of a key; `Err` says why these values are no key of this table.
    pub fn hash(&self, parts: &KeyParts<'_>, arena: &Bump) -> Result<KeyHash, &'static str> {
        let parts = parts.as_slice();
        if parts.is_empty() {
            return Err("it has no columns");
        }
        let mut hasher = SipHasher13::new_with_keys(self.secret.0, self.secret.1);
        match &self.types {
            Some(types) => {
                if types.len() != parts.len() {
                    return Err("it has another number of columns than the primary key");
                }
                for (ty, part) in types.iter().zip(parts) {
                    match shape_expr::decode(ty, *part, arena) {
                        Ok(Value::Null) => return Err("a key column is NULL"),
                        Ok(Value::Unknown) => return Err("a key column is unknown"),
                        Ok(value) => value.hash_equality(&mut hasher),
                        Err(_) => return Err("a value is not one of its column's type"),
                    }
                }
            }
            None => {
                for part in parts {
                    hash_text(*part, &mut hasher)?;
                }
            }
        }
        Ok(hasher.finish128().as_u128())
    }
}

/// Hashes a value by its text form: 42 and "42" are the same key.
fn hash_text(part: Datum<'_>, hasher: &mut SipHasher13) -> Result<(), &'static str> {
    match part {
        Datum::Text(text) => hasher.write(text),
        Datum::Int(int) => hasher.write(int.to_string().as_bytes()),
        Datum::Float(float) => hasher.write(float.to_string().as_bytes()),
        Datum::Bool(bool) => hasher.write(if bool { b"t" } else { b"f" }),
        Datum::Null => return Err("a key column is NULL"),
        Datum::Absent => return Err("a key column is unknown"),
        _ => return Err("a term can be no key"),
    }
    // A separator that no valid UTF-8 text contains, so that ("a", "b") and ("ab", "") differ.
    hasher.write_u8(0xff);
    Ok(())
}
