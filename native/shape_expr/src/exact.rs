//! An order of values that tells apart all that can be told apart.

use std::cmp::Ordering;

use crate::constants::Const;

/// PostgreSQL's order, NULL last; what is equal there but written differently (`1.0` and `1.00`, -0 and
/// 0, a day and 24 hours) by its bits. Values of different kinds have an order too, though no meaning.
pub(crate) fn compare(a: &Const, b: &Const) -> Ordering {
    match (a.is_null(), b.is_null()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let kinds = kind(a).cmp(&kind(b));
    if kinds.is_ne() {
        return kinds;
    }
    a.value().compare(&b.value()).then_with(|| bits(a, b))
}

fn kind(of: &Const) -> u8 {
    match of {
        Const::Null | Const::Set(_) => 0,
        Const::Bool(_) => 1,
        Const::Int(_) => 2,
        Const::Float(_) => 3,
        Const::Numeric(_) => 4,
        Const::Text(_) => 5,
        Const::Bpchar(_) => 6,
        Const::Bytes(_) => 7,
        Const::Pattern(_) => 8,
        Const::Uuid(_) => 9,
        Const::Timestamp(_) => 10,
        Const::Array(_) => 11,
        Const::Enum(..) => 12,
        Const::Type(_) => 13,
        Const::Json(_) => 14,
        Const::Date(_) => 15,
        Const::Time(_) => 16,
        Const::TimeTz(..) => 17,
        Const::Interval(_) => 18,
    }
}

fn bits(a: &Const, b: &Const) -> Ordering {
    match (a, b) {
        (Const::Float(a), Const::Float(b)) => a.to_bits().cmp(&b.to_bits()),
        (Const::Numeric(a), Const::Numeric(b)) => a.cmp(b),
        (Const::Bpchar(a), Const::Bpchar(b)) => a.cmp(b),
        (Const::Json(a), Const::Json(b)) => a.cmp(b),
        (Const::Enum(_, a), Const::Enum(_, b)) => a.cmp(b),
        (Const::Interval(a), Const::Interval(b)) => {
            (a.months, a.days, a.microseconds).cmp(&(b.months, b.days, b.microseconds))
        }
        (Const::Array(a), Const::Array(b)) => {
            let (left, right) = (a.view(), b.view());
            let dimensions = left.dimensions().cmp(right.dimensions());
            let items = || {
                let mut pairs = a.items().iter().zip(b.items()).map(|(a, b)| compare(a, b));
                pairs.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
            };
            dimensions.then_with(|| a.items().len().cmp(&b.items().len())).then_with(items)
        }
        // Of the others there is one way only to write a value.
        _ => Ordering::Equal,
    }
}
