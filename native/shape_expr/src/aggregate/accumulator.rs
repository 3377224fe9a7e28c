//! [`Accumulator`]: a sum, an average or a count to which values are added and taken away again.
//!
//! Everything is kept exactly, so that what is left when values go is what there would be if they had
//! never come, and the order they come in plays no part. PostgreSQL adds floats one after the other and
//! rounds each time; here the exact sum is rounded once.

use smallvec::SmallVec;

use super::Aggregate;
use super::exact_sum::ExactSum;
use crate::constants::Const;
use crate::error::{EvalError, Raise};
use crate::owned::Owned;
use crate::value::Value;
use crate::values::datetime::{Interval, OVERFLOW};
use crate::values::numeric::{Kind, Numeric, NumericVar};
use crate::values::numeric_math;

/// What is kept of the values of one group.
#[derive(Clone, Debug)]
pub struct Accumulator {
    aggregate: Aggregate,
    /// How many values that are not NULL; of `count(*)`, rows.
    count: i64,
    state: State,
}

#[derive(Clone, Debug)]
enum State {
    Nothing,
    Ints(i128),
    Numerics(Box<Numerics>),
    Floats(Box<Floats>),
    Intervals(Box<[i128; 3]>),
    /// How many are true.
    Booleans(i64),
}

#[derive(Clone, Debug)]
struct Numerics {
    sum: NumericVar,
    /// How many values have each scale: the greatest one is the sum's.
    scales: SmallVec<[(i32, i64); 2]>,
    not_a_number: i64,
    infinite: i64,
    minus_infinite: i64,
}

#[derive(Clone, Debug, Default)]
struct Floats {
    sum: ExactSum,
    minus_zeros: i64,
    not_a_number: i64,
    infinite: i64,
    minus_infinite: i64,
}

impl Accumulator {
    /// Of nothing yet.
    #[must_use]
    pub fn new(aggregate: Aggregate) -> Accumulator {
        use Aggregate as A;
        let state = match aggregate {
            A::Rows | A::Count | A::Min | A::Max => State::Nothing,
            A::SumOfInts | A::SumOfBigints | A::AverageOfInts => State::Ints(0),
            A::SumOfNumerics | A::AverageOfNumerics => State::Numerics(Box::new(Numerics {
                sum: NumericVar::zero(0),
                scales: SmallVec::new(),
                not_a_number: 0,
                infinite: 0,
                minus_infinite: 0,
            })),
            A::SumOfReals | A::SumOfDoubles | A::AverageOfFloats => State::Floats(Box::default()),
            A::SumOfIntervals | A::AverageOfIntervals => State::Intervals(Box::default()),
            A::And | A::Or => State::Booleans(0),
        };
        Accumulator { aggregate, count: 0, state }
    }

    /// Adds the value so many times, or takes it away as often if that is negative. `count(*)` takes
    /// any value, the others pass over NULL.
    pub fn add(&mut self, value: &Owned, times: i64) {
        if value.is_null() && self.aggregate != Aggregate::Rows {
            return;
        }
        self.count += times;
        match (&mut self.state, value.value()) {
            (State::Ints(sum), Value::Int(i)) => *sum += i128::from(i) * i128::from(times),
            (State::Numerics(numerics), Value::Numeric(n)) => numerics.add(n, times),
            (State::Floats(floats), Value::Float(x)) => floats.add(x, times),
            (State::Intervals(sums), Value::Interval(interval)) => {
                let parts =
                    [interval.months.into(), interval.days.into(), interval.microseconds.into()];
                for (sum, part) in sums.iter_mut().zip::<[i128; 3]>(parts) {
                    *sum += part * i128::from(times);
                }
            }
            (State::Booleans(trues), Value::Bool(true)) => *trues += times,
            _ => {}
        }
    }

    /// What the function gives.
    ///
    /// # Errors
    /// The result is outside its type's range.
    pub fn result(&self) -> Result<Owned, EvalError> {
        if matches!(self.aggregate, Aggregate::Rows | Aggregate::Count) {
            return Ok(Owned::from(self.count));
        }
        if self.count == 0 {
            return Ok(Owned::NULL);
        }
        let is_average = matches!(
            self.aggregate,
            Aggregate::AverageOfInts
                | Aggregate::AverageOfNumerics
                | Aggregate::AverageOfFloats
                | Aggregate::AverageOfIntervals
        );
        Ok(match &self.state {
            State::Nothing => Owned::NULL,
            State::Ints(sum) if self.aggregate == Aggregate::SumOfInts => {
                let sum = i64::try_from(*sum).map_err(|_| EvalError::new(Raise::OutOfRange))?;
                Owned::from(sum)
            }
            State::Ints(sum) => self.numeric(from_i128(*sum), is_average)?,
            State::Numerics(numerics) => self.numeric(numerics.sum(), is_average)?,
            State::Floats(floats) => {
                let sum = floats.sum(self.count, self.aggregate == Aggregate::SumOfReals)?;
                Owned::from_const(Const::Float(match is_average {
                    true => sum / self.count as f64,
                    false => sum,
                }))
            }
            State::Intervals(sums) => {
                let [months, days, microseconds] = **sums;
                let small = |part: i128| i32::try_from(part).map_err(|_| OVERFLOW);
                let microseconds = i64::try_from(microseconds).map_err(|_| OVERFLOW)?;
                let sum = Interval::new(small(months)?, small(days)?, microseconds);
                Owned::from_const(Const::Interval(match is_average {
                    true => sum.divide(self.count as f64)?,
                    false => sum,
                }))
            }
            State::Booleans(trues) => Owned::from(match self.aggregate {
                Aggregate::And => *trues == self.count,
                _ => *trues > 0,
            }),
        })
    }

    fn numeric(&self, sum: NumericVar, is_average: bool) -> Result<Owned, EvalError> {
        let result = match is_average {
            true => numeric_math::divide(&sum, &NumericVar::from_int(self.count))?,
            false => sum,
        };
        Ok(Owned::from_const(Const::Numeric(result.words()?.as_slice().into())))
    }
}

impl Numerics {
    fn add(&mut self, n: Numeric<'_>, times: i64) {
        match n.kind() {
            Kind::NaN => self.not_a_number += times,
            Kind::Infinity => self.infinite += times,
            Kind::NegativeInfinity => self.minus_infinite += times,
            Kind::Positive | Kind::Negative => {
                let value = match times {
                    1 => n.var(),
                    -1 => numeric_math::negate(&n.var()),
                    _ => numeric_math::multiply(&n.var(), &NumericVar::from_int(times)),
                };
                self.sum = numeric_math::add(&self.sum, &value);
                let scale = n.scale();
                match self.scales.iter().position(|(known, _)| *known == scale) {
                    None => self.scales.push((scale, times)),
                    Some(at) => {
                        self.scales[at].1 += times;
                        if self.scales[at].1 == 0 {
                            self.scales.swap_remove(at);
                        }
                    }
                }
            }
        }
    }

    fn sum(&self) -> NumericVar {
        match (self.not_a_number > 0, self.infinite > 0, self.minus_infinite > 0) {
            (true, ..) | (_, true, true) => numeric_math::nan(),
            (_, true, _) => numeric_math::infinity(1),
            (_, _, true) => numeric_math::infinity(-1),
            _ => {
                let scale = self.scales.iter().map(|(scale, _)| *scale).max().unwrap_or(0);
                NumericVar { scale, ..self.sum.clone() }
            }
        }
    }
}

impl Floats {
    fn add(&mut self, x: f64, times: i64) {
        match x {
            _ if x.is_nan() => self.not_a_number += times,
            f64::INFINITY => self.infinite += times,
            f64::NEG_INFINITY => self.minus_infinite += times,
            _ => {
                self.sum.add(x, times);
                if x == 0.0 && x.is_sign_negative() {
                    self.minus_zeros += times;
                }
            }
        }
    }

    fn sum(&self, count: i64, as_real: bool) -> Result<f64, EvalError> {
        match (self.not_a_number > 0, self.infinite > 0, self.minus_infinite > 0) {
            (true, ..) | (_, true, true) => Ok(f64::NAN),
            (_, true, _) => Ok(f64::INFINITY),
            (_, _, true) => Ok(f64::NEG_INFINITY),
            // Nothing but -0 adds up to -0.
            _ if self.minus_zeros == count => Ok(-0.0),
            _ => {
                let sum = if as_real { self.sum.to_real() } else { self.sum.to_double() };
                sum.ok_or_else(|| EvalError::new(Raise::OutOfRange))
            }
        }
    }
}

fn from_i128(i: i128) -> NumericVar {
    const BASE: u128 = 10_000;
    let mut rest = i.unsigned_abs();
    let mut digits: SmallVec<[i16; 16]> = SmallVec::new();
    while rest > 0 {
        digits.insert(0, (rest % BASE) as i16);
        rest /= BASE;
    }
    let kind = if i < 0 { Kind::Negative } else { Kind::Positive };
    let mut var = NumericVar { kind, weight: digits.len() as i32 - 1, scale: 0, digits };
    var.strip();
    var
}
