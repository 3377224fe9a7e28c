//! [`ExactSum`]: floats added up without rounding.
//!
//! Every finite double is a whole multiple of 2^-1074, so a sum is an integer of some two thousand
//! bits; the part of it that is not zero is kept, in 32-bit limbs.

use smallvec::SmallVec;

const LIMB: u32 = 32;
/// The exponent of the unit.
const UNIT: i32 = -1074;

/// The exact sum of any number of finite floats.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ExactSum {
    /// How many limbs of zero lie below the first one here.
    low: usize,
    /// The lowest first. All but the last are in `0..2^32`; the last has the sign, and is neither 0 nor,
    /// if there is one before it, -1.
    limbs: SmallVec<[i64; 3]>,
}

impl ExactSum {
    /// Adds a finite float so many times, or takes it away.
    pub fn add(&mut self, x: f64, times: i64) {
        let bits = x.to_bits();
        let exponent = (bits >> 52 & 0x7ff) as u32;
        let fraction = bits & ((1 << 52) - 1);
        let mantissa = if exponent == 0 { fraction } else { fraction | 1 << 52 };
        // In units.
        let shift = exponent.saturating_sub(1);
        let negative = x.is_sign_negative() != (times < 0);
        let mut rest = u128::from(mantissa) * u128::from(times.unsigned_abs());
        if rest == 0 {
            return;
        }
        let (first, within) = ((shift / LIMB) as usize, shift % LIMB);
        self.make_room(first, first + 6);
        let mut at = first - self.low;
        while rest > 0 {
            // 32 bits, moved up by less than 32.
            let part = (rest as u32 as u64) << within;
            let (lower, upper) = (part as u32 as i64, (part >> LIMB) as i64);
            let sign = if negative { -1 } else { 1 };
            self.limbs[at] += sign * lower;
            self.limbs[at + 1] += sign * upper;
            rest >>= LIMB;
            at += 1;
        }
        self.carry();
    }

    fn make_room(&mut self, first: usize, end: usize) {
        if self.limbs.is_empty() {
            self.low = first;
        }
        if first < self.low {
            self.limbs.insert_many(0, std::iter::repeat_n(0, self.low - first));
            self.low = first;
        }
        let count = (end - self.low).max(self.limbs.len());
        self.limbs.resize(count, 0);
    }

    fn carry(&mut self) {
        let last = self.limbs.len() - 1;
        for at in 0..last {
            let carried = self.limbs[at] >> LIMB;
            self.limbs[at] -= carried << LIMB;
            self.limbs[at + 1] += carried;
        }
        // A last limb of more than 32 bits is cut up.
        while let Some(top) = self.limbs.last().copied()
            && !(-(1 << LIMB)..1 << LIMB).contains(&top)
        {
            let carried = top >> LIMB;
            if let Some(top) = self.limbs.last_mut() {
                *top -= carried << LIMB;
            }
            self.limbs.push(carried);
        }
        while let Some(top) = self.limbs.last().copied() {
            match (top, self.limbs.len()) {
                (0, _) => {
                    self.limbs.pop();
                }
                (-1, 2..) => {
                    self.limbs.pop();
                    if let Some(top) = self.limbs.last_mut() {
                        *top -= 1 << LIMB;
                    }
                }
                _ => break,
            }
        }
        let zeros = self.limbs.iter().take_while(|limb| **limb == 0).count();
        self.limbs.drain(..zeros);
        self.low = if self.limbs.is_empty() { 0 } else { self.low + zeros };
    }

    /// The nearest double; `None` beyond the greatest.
    pub fn to_double(&self) -> Option<f64> {
        self.rounded(53, UNIT).filter(|x| x.is_finite())
    }

    /// The nearest real; `None` beyond the greatest.
    pub fn to_real(&self) -> Option<f64> {
        self.rounded(24, -149).filter(|x| x.abs() <= f64::from(f32::MAX))
    }

    /// The nearest number of so many binary digits that is a multiple of 2^`lowest`, ties to even.
    fn rounded(&self, digits: u32, lowest: i32) -> Option<f64> {
        let negative = self.limbs.last().is_some_and(|top| *top < 0);
        let mut limbs: SmallVec<[u64; 4]> = SmallVec::new();
        let mut carried = 0;
        for limb in &self.limbs {
            let limb = (if negative { -limb } else { *limb }) + carried;
            carried = limb >> LIMB;
            limbs.push((limb - (carried << LIMB)) as u64);
        }
        debug_assert!(carried == 0, "the last limb fits");
        while limbs.last() == Some(&0) {
            limbs.pop();
        }
        let Some(top) = limbs.last() else { return Some(0.0) };
        let bit = |at: i64| -> bool {
            let at = at - (self.low as i64) * i64::from(LIMB);
            let limb = usize::try_from(at / i64::from(LIMB)).ok().filter(|_| at >= 0);
            limb.and_then(|limb| limbs.get(limb))
                .is_some_and(|limb| limb >> (at % i64::from(LIMB)) & 1 == 1)
        };
        // In units: the places of the first digit and of the last one that is kept.
        let first = ((self.low + limbs.len()) as i64) * i64::from(LIMB)
            - 1
            - i64::from(top.leading_zeros() - LIMB);
        let last = (first + 1 - i64::from(digits)).max(i64::from(lowest - UNIT));
        let mut mantissa = 0_u64;
        for at in (last..=first).rev() {
            mantissa = mantissa << 1 | u64::from(bit(at));
        }
        let bottom = (self.low as i64) * i64::from(LIMB);
        let half = bit(last - 1);
        let more = (bottom..last - 1).any(bit);
        if half && (more || mantissa & 1 == 1) {
            mantissa += 1;
        }
        let exponent = i32::try_from(last).ok()? + UNIT;
        // Exact: the mantissa has no more digits than a double, and steps of a power of two neither
        // round nor leave its range before the end.
        let magnitude = scale(mantissa as f64, exponent);
        Some(if negative { -magnitude } else { magnitude })
    }
}

/// `x * 2^exponent`, in steps that are powers of two themselves.
fn scale(mut x: f64, mut exponent: i32) -> f64 {
    let power = |exponent: i32| f64::from_bits(((exponent + 1023) as u64) << 52);
    while exponent > 1000 {
        x *= power(1000);
        exponent -= 1000;
    }
    while exponent < -1000 {
        x *= power(-1000);
        exponent += 1000;
    }
    x * power(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(of: &[f64]) -> ExactSum {
        let mut sum = ExactSum::default();
        of.iter().for_each(|x| sum.add(*x, 1));
        sum
    }

    #[test]
    fn one_float_comes_back() {
        let mut rng = fastrand::Rng::with_seed(1);
        for _ in 0..100_000 {
            let x = f64::from_bits(rng.u64(..));
            if x.is_finite() {
                assert_eq!(sum(&[x]).to_double(), Some(x), "{x:e}");
            }
            let x = f64::from(f32::from_bits(rng.u32(..)));
            if x.is_finite() {
                assert_eq!(sum(&[x]).to_real(), Some(x), "{x:e}");
            }
        }
    }

    #[test]
    fn two_floats_are_rounded_as_the_machine_does() {
        let mut rng = fastrand::Rng::with_seed(2);
        for _ in 0..200_000 {
            let a = f64::from_bits(rng.u64(..));
            // Of like size, or anything.
            let b = match rng.bool() {
                true => f64::from_bits(rng.u64(..)),
                false => a * (rng.f64() - 0.5) * 8.0,
            };
            if a.is_finite() && b.is_finite() {
                let expected = Some(a + b).filter(|x| x.is_finite());
                assert_eq!(sum(&[a, b]).to_double(), expected, "{a:e} + {b:e}");
            }
        }
    }

    #[test]
    fn what_is_taken_away_leaves_no_trace() {
        let mut rng = fastrand::Rng::with_seed(3);
        for _ in 0..2_000 {
            let values: Vec<(f64, i64)> = (0..20)
                .map(|_| {
                    let greatest = 1 << rng.u32(..60);
                    (f64::from_bits(rng.u64(..)), rng.i64(1..=greatest))
                })
                .filter(|(x, _)| x.is_finite())
                .collect();
            let mut order = values.clone();
            let mut total = ExactSum::default();
            values.iter().for_each(|(x, times)| total.add(*x, *times));
            rng.shuffle(&mut order);
            let kept = order.split_off(order.len() / 2);
            order.iter().for_each(|(x, times)| total.add(*x, -times));
            let mut expected = ExactSum::default();
            kept.iter().for_each(|(x, times)| expected.add(*x, *times));
            assert_eq!(total, expected);
            kept.iter().for_each(|(x, times)| total.add(*x, -times));
            assert_eq!(total, ExactSum::default());
        }
    }

    #[test]
    fn many_times_is_many_values() {
        let mut total = ExactSum::default();
        total.add(0.1, 1 << 40);
        assert_eq!(total.to_double(), Some(0.1 * (1_u64 << 40) as f64));
        assert_eq!(sum(&[0.1, 0.2, 0.3, -0.6]).to_double(), Some(-2.7755575615628914e-17 * -1.0));
        assert_eq!(sum(&[1e308, 1e308]).to_double(), None);
        assert_eq!(sum(&[1e308, 1e308, -1e308]).to_double(), Some(1e308));
        assert_eq!(sum(&[3e38, 3e38]).to_real(), None);
    }
}
