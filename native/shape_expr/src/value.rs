//! [`Value`]: one value of one row, borrowed and `Copy`.

use std::cmp::Ordering;
use std::hash::{Hash, Hasher};

use crate::error::EvalError;
use crate::truth::Truth;
use crate::types::Type;
use crate::values::array::Array;
use crate::values::datetime::Interval;
use crate::values::json::Json;
use crate::values::numeric::Numeric;
use crate::values::pattern::Pattern;
use crate::values::{float, json_order, text};

/// What evaluating something gives: a value, or why there is none.
pub type Eval<'a> = Result<Value<'a>, EvalError>;

/// A PostgreSQL value. 24 bytes, `Copy`; what does not fit lies in an arena or in the constants.
///
/// The variant is the *kind* of value, not its type: all integers are [`Value::Int`], `real` and
/// `double precision` are [`Value::Float`], text, varchar and name are [`Value::Text`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Value<'a> {
    /// SQL's NULL.
    Null,
    /// The column was absent: it may have any value, NULL too.
    Unknown,
    /// A boolean.
    Bool(bool),
    /// A boolean that depends on an absent column: more than one outcome is possible.
    Maybe(Truth),
    /// int2, int4, int8.
    Int(i64),
    /// float4 (every float4 is a float8), float8.
    Float(f64),
    /// numeric.
    Numeric(Numeric<'a>),
    /// text, varchar, name.
    Text(&'a str),
    /// bpchar, with its blanks.
    Bpchar(&'a str),
    /// bytea.
    Bytes(&'a [u8]),
    /// A constant pattern, prepared: what LIKE and regular expressions get. No column has it.
    Pattern(&'a Pattern),
    /// uuid.
    Uuid([u8; 16]),
    /// timestamp and timestamptz: microseconds since 2000-01-01 00:00, of the local clock or UTC; the
    /// extremes are the infinities.
    Timestamp(i64),
    /// An array of any element type.
    Array(Array<'a>),
    /// An enum's label and its place in the enum's order.
    Enum(u32, &'a str),
    /// A type, which functions that need to know one get as an argument. No row holds it.
    Type(&'a Type),
    /// jsonb. A json is its text.
    Json(Json<'a>),
    /// date: days since 2000-01-01; the extremes are the infinities.
    Date(i32),
    /// time: microseconds of the day.
    Time(i64),
    /// timetz: microseconds of the day, and the zone in seconds *west* of Greenwich.
    TimeTz(i64, i32),
    /// interval.
    Interval(Interval),
    /// Some value that is not NULL, of a column whose type nothing has fixed.
    Opaque,
}

impl<'a> Value<'a> {
    /// Is it NULL?
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    /// Is it not known whether, or what, this is?
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Value::Unknown | Value::Maybe(_))
    }

    /// Hashes what PostgreSQL's equality looks at: values of one column's type that are equal there
    /// feed the hasher alike (-0 and 0, all NaN, numerics of any scale, a bpchar's trailing blanks).
    pub fn hash_equality<H: Hasher>(&self, state: &mut H) {
        match self {
            Value::Null | Value::Unknown | Value::Maybe(_) | Value::Opaque | Value::Pattern(_) => {
                state.write_u8(0)
            }
            Value::Bool(b) => state.write_u8(1 + u8::from(*b)),
            Value::Int(i) => i.hash(state),
            Value::Timestamp(t) | Value::Time(t) => t.hash(state),
            Value::Date(date) => date.hash(state),
            Value::TimeTz(time, west) => (time, west).hash(state),
            Value::Interval(interval) => interval.hash_equality(state),
            Value::Float(x) => float::equality_bits(*x).hash(state),
            Value::Numeric(n) => n.hash_equality(state),
            Value::Text(s) => s.hash(state),
            Value::Bpchar(s) => text::trim_blanks(s).hash(state),
            Value::Bytes(bytes) => bytes.hash(state),
            Value::Uuid(bytes) => bytes.hash(state),
            Value::Array(array) => array.hash_equality(state),
            Value::Enum(position, _) => position.hash(state),
            Value::Type(ty) => ty.hash(state),
            Value::Json(json) => json_order::hash_equality(*json, state),
        }
    }

    /// Equal as PostgreSQL's `=` has it, for two values of one kind; different kinds never are.
    #[must_use]
    pub fn equals(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Bool(a), Value::Bool(b)) => a == b,
            (Value::Int(a), Value::Int(b)) | (Value::Timestamp(a), Value::Timestamp(b)) => a == b,
            (Value::Date(a), Value::Date(b)) => a == b,
            (Value::Time(a), Value::Time(b)) => a == b,
            (Value::TimeTz(a, x), Value::TimeTz(b, y)) => (a, x) == (b, y),
            (Value::Interval(a), Value::Interval(b)) => a.compare(b).is_eq(),
            (Value::Float(a), Value::Float(b)) => float::compare(*a, *b).is_eq(),
            (Value::Numeric(a), Value::Numeric(b)) => a.compare(b).is_eq(),
            (Value::Text(a), Value::Text(b)) => a == b,
            (Value::Bpchar(a), Value::Bpchar(b)) => text::trim_blanks(a) == text::trim_blanks(b),
            (Value::Bytes(a), Value::Bytes(b)) => a == b,
            (Value::Uuid(a), Value::Uuid(b)) => a == b,
            (Value::Array(a), Value::Array(b)) => a.equals(b),
            (Value::Enum(a, _), Value::Enum(b, _)) => a == b,
            (Value::Json(a), Value::Json(b)) => json_order::compare(*a, *b).is_eq(),
            _ => false,
        }
    }

    /// The order of the type's `<`, for two values of one kind that are not NULL. A type whose kind
    /// another type has too must have the same order.
    #[must_use]
    pub fn compare(&self, other: &Value<'_>) -> Ordering {
        let order = match self {
            Value::Bool(a) => {
                if let Value::Bool(b) = other {
                    Some(a.cmp(b))
                } else {
                    None
                }
            }
            Value::Int(a) => {
                if let Value::Int(b) = other {
                    Some(a.cmp(b))
                } else {
                    None
                }
            }
            Value::Float(a) => {
                if let Value::Float(b) = other {
                    Some(float::compare(*a, *b))
                } else {
                    None
                }
            }
            Value::Numeric(a) => {
                if let Value::Numeric(b) = other {
                    Some(a.compare(b))
                } else {
                    None
                }
            }
            Value::Text(a) => {
                if let Value::Text(b) = other {
                    Some(a.as_bytes().cmp(b.as_bytes()))
                } else {
                    None
                }
            }
            Value::Bpchar(a) => match other {
                Value::Bpchar(b) => {
                    Some(text::trim_blanks(a).as_bytes().cmp(text::trim_blanks(b).as_bytes()))
                }
                _ => None,
            },
            Value::Bytes(a) => match other {
                Value::Bytes(b) => Some(a.cmp(b)),
                _ => None,
            },
            Value::Json(a) => match other {
                Value::Json(b) => Some(json_order::compare(*a, *b)),
                _ => None,
            },
            Value::Uuid(a) => {
                if let Value::Uuid(b) = other {
                    Some(a.cmp(b))
                } else {
                    None
                }
            }
            Value::Date(a) => match other {
                Value::Date(b) => Some(a.cmp(b)),
                _ => None,
            },
            Value::Time(a) => match other {
                Value::Time(b) => Some(a.cmp(b)),
                _ => None,
            },
            Value::TimeTz(a, west) => match other {
                Value::TimeTz(b, other) => {
                    // As instants, then by the zone.
                    let utc = |time: i64, west: i32| time + i64::from(west) * 1_000_000;
                    Some(utc(*a, *west).cmp(&utc(*b, *other)).then(west.cmp(other)))
                }
                _ => None,
            },
            Value::Interval(a) => match other {
                Value::Interval(b) => Some(a.compare(b)),
                _ => None,
            },
            Value::Timestamp(a) => {
                if let Value::Timestamp(b) = other {
                    Some(a.cmp(b))
                } else {
                    None
                }
            }
            Value::Array(a) => {
                if let Value::Array(b) = other {
                    Some(a.compare(b))
                } else {
                    None
                }
            }
            Value::Enum(a, _) => {
                if let Value::Enum(b, _) = other {
                    Some(a.cmp(b))
                } else {
                    None
                }
            }
            Value::Null
            | Value::Unknown
            | Value::Maybe(_)
            | Value::Opaque
            | Value::Pattern(_)
            | Value::Type(_) => None,
        };
        debug_assert!(order.is_some(), "{self:?} is not ordered beside {other:?}");
        order.unwrap_or(Ordering::Equal)
    }

    /// The outcomes this value stands for when it is used as a condition.
    #[must_use]
    pub fn truth(&self) -> Truth {
        match self {
            Value::Bool(true) => Truth::TRUE,
            Value::Bool(false) => Truth::FALSE,
            Value::Maybe(truth) => *truth,
            Value::Null => Truth::NULL,
            _ => Truth::ANY,
        }
    }
}

impl From<Truth> for Value<'_> {
    fn from(truth: Truth) -> Self {
        match truth.known() {
            Some(Some(b)) => Value::Bool(b),
            Some(None) => Value::Null,
            None => Value::Maybe(truth),
        }
    }
}
