//! Keys that sort as values do, so that an ordered index need not know types.

use bumpalo::Bump;
use bumpalo::collections::Vec as BumpVec;

use super::numeric::{Kind, Numeric};
use super::text;
use crate::value::Value;

/// A value's place in its type's order. Keys of one column's values are of one variant, and compare
/// as [`Value::compare`] does: equal keys are equal values.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum OrderKey<'a> {
    /// Of a type whose values fit 64 bits.
    Word(u64),
    /// Of the others, by bytes.
    Bytes(&'a [u8]),
}

impl<'a> Value<'a> {
    /// The value's key, or `None` for values without one: NULL and what is unknown, and types whose
    /// order no one indexes (arrays and jsonb).
    #[must_use]
    pub fn order_key(&self, arena: &'a Bump) -> Option<OrderKey<'a>> {
        let word = |w| Some(OrderKey::Word(w));
        match *self {
            Value::Bool(b) => word(b.into()),
            Value::Int(i) | Value::Timestamp(i) | Value::Time(i) => word(signed(i)),
            Value::Date(days) => word(signed(days.into())),
            Value::Enum(position, _) => word(position.into()),
            Value::Float(x) => word(float(x)),
            Value::Text(s) => Some(OrderKey::Bytes(s.as_bytes())),
            Value::Bpchar(s) => Some(OrderKey::Bytes(text::trim_blanks(s).as_bytes())),
            Value::Bytes(bytes) => Some(OrderKey::Bytes(bytes)),
            Value::Uuid(bytes) => Some(OrderKey::Bytes(arena.alloc_slice_copy(&bytes))),
            Value::TimeTz(time, west) => {
                let mut key = BumpVec::with_capacity_in(12, arena);
                let utc = time + i64::from(west) * 1_000_000;
                key.extend_from_slice(&signed(utc).to_be_bytes());
                key.extend_from_slice(&(west as u32 ^ 1 << 31).to_be_bytes());
                Some(OrderKey::Bytes(key.into_bump_slice()))
            }
            Value::Interval(interval) => {
                let span = interval.span() as u128 ^ 1 << 127;
                Some(OrderKey::Bytes(arena.alloc_slice_copy(&span.to_be_bytes())))
            }
            Value::Numeric(n) => Some(OrderKey::Bytes(numeric(n, arena))),
            Value::Null
            | Value::Unknown
            | Value::Maybe(_)
            | Value::Opaque
            | Value::Pattern(_)
            | Value::Type(_)
            | Value::Json(_)
            | Value::Array(_) => None,
        }
    }
}

fn signed(i: i64) -> u64 {
    i as u64 ^ 1 << 63
}

/// -0 is 0, and every NaN is greater than infinity.
fn float(x: f64) -> u64 {
    if x.is_nan() {
        return u64::MAX;
    }
    let bits = if x == 0.0 { 0 } else { x.to_bits() };
    if bits >> 63 == 0 { bits | 1 << 63 } else { !bits }
}

/// A byte for the sign, the weight, the digits. Those of a negative number are complemented and have
/// an end that is greater than any digit, so that more of them are less.
fn numeric<'a>(n: Numeric<'_>, arena: &'a Bump) -> &'a [u8] {
    let rank: u8 = match n.kind() {
        _ if n.is_zero() => 2,
        Kind::NegativeInfinity => 0,
        Kind::Negative => 1,
        Kind::Positive => 3,
        Kind::Infinity => 4,
        Kind::NaN => 5,
    };
    let mut key = BumpVec::with_capacity_in(5 + 2 * n.digits().len(), arena);
    key.push(rank);
    if matches!(rank, 1 | 3) {
        let flip = if rank == 1 { u16::MAX } else { 0 };
        let weight = n.weight() as u16 ^ 1 << 15;
        key.extend_from_slice(&(weight ^ flip).to_be_bytes());
        for &digit in n.digits() {
            key.extend_from_slice(&((digit as u16 + 1) ^ flip).to_be_bytes());
        }
        if rank == 1 {
            key.extend_from_slice(&[u8::MAX; 2]);
        }
    }
    key.into_bump_slice()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::row::{Datum, decode};
    use crate::types::ColumnType;

    /// Every pair of these samples is ordered by their keys as `compare` orders it.
    fn check(ty: &str, samples: &[&str]) {
        let arena = Bump::new();
        let ty: ColumnType = ty.parse().expect("a type");
        let values: Vec<Value<'_>> = samples
            .iter()
            .map(|s| decode(&ty, Datum::Text(s.as_bytes()), &arena).expect("a value"))
            .collect();
        for a in &values {
            for b in &values {
                let keys = (a.order_key(&arena), b.order_key(&arena));
                let (Some(x), Some(y)) = keys else { panic!("{a:?} or {b:?} has no key") };
                assert_eq!(x.cmp(&y), a.compare(b), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn keys_sort_as_values_do() {
        check("bool", &["t", "f"]);
        check("int8", &["-9223372036854775808", "-1", "0", "1", "9223372036854775807"]);
        check(
            "float8",
            &["-Infinity", "-1.5", "-1e-310", "-0", "0", "5e-324", "1", "Infinity", "NaN"],
        );
        check("text", &["", "a", "aa", "ab", "b", "ä", "\u{10ffff}"]);
        check("bpchar", &["a", "a  ", "a b", "aa", ""]);
        check("bytea", &["\\x", "\\x00", "\\x0000", "\\x01", "\\xff"]);
        check(
            "uuid",
            &["00000000-0000-0000-0000-000000000001", "ffffffff-0000-0000-0000-000000000000"],
        );
        check("date", &["-infinity", "0001-01-01 BC", "2000-01-01", "2024-02-29", "infinity"]);
        check("timestamp", &["-infinity", "1999-12-31 23:59:59", "2000-01-01", "infinity"]);
        check("timetz", &["12:00+01", "11:00+00", "12:00+00", "24:00:00-15", "00:00+15"]);
        check("interval", &["1 mon", "30 days", "-1 day", "0", "29 days 24:00:01", "-1 year"]);
        check(
            "numeric",
            &[
                "-Infinity",
                "-1e400",
                "-10000.0001",
                "-10000",
                "-1.00050001",
                "-1.0005",
                "-1",
                "-1.0",
                "-1e-30",
                "0",
                "0.000",
                "1e-30",
                "0.9999",
                "1",
                "1.0005",
                "1.00050001",
                "9999",
                "10000",
                "10000.0001",
                "1e400",
                "Infinity",
                "NaN",
            ],
        );
    }

    #[test]
    fn null_and_containers_have_no_key() {
        let arena = Bump::new();
        assert_eq!(Value::Null.order_key(&arena), None);
        assert_eq!(Value::Unknown.order_key(&arena), None);
    }
}
