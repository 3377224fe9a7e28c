//! The shortest digits that read back as the same float, as PostgreSQL chooses them.
//!
//! Rust's own differ in two ways: they may lie exactly between two floats, where reading rounds to
//! even, and of two that are equally near they need not be the even one.

/// A float's parts: it is `mantissa * 2^exponent`, and its neighbour below may be nearer.
struct Parts {
    mantissa: u64,
    exponent: i32,
    near_below: bool,
}

fn parts8(x: f64) -> Parts {
    let bits = x.to_bits();
    let (biased, fraction) = ((bits >> 52 & 0x7ff) as i32, bits & ((1 << 52) - 1));
    match biased {
        0 => Parts { mantissa: fraction, exponent: -1074, near_below: false },
        _ => Parts {
            mantissa: fraction | 1 << 52,
            exponent: biased - 1075,
            near_below: fraction == 0 && biased > 1,
        },
    }
}

fn parts4(x: f32) -> Parts {
    let bits = x.to_bits();
    let (biased, fraction) = ((bits >> 23 & 0xff) as i32, u64::from(bits & ((1 << 23) - 1)));
    match biased {
        0 => Parts { mantissa: fraction, exponent: -149, near_below: false },
        _ => Parts {
            mantissa: fraction | 1 << 23,
            exponent: biased - 150,
            near_below: fraction == 0 && biased > 1,
        },
    }
}

/// Is `decimal * 10^tens` the same as `binary * 2^twos`?
fn equal(decimal: u64, tens: i32, binary: u64, twos: i32) -> bool {
    if decimal == 0 || binary == 0 {
        return decimal == binary;
    }
    let odd = |n: u64| (u128::from(n >> n.trailing_zeros()), n.trailing_zeros() as i32);
    let ((decimal, more), (binary, twice)) = (odd(decimal), odd(binary));
    let fives = 5u128.checked_pow(tens.unsigned_abs());
    let scaled = |n: u128| fives.and_then(|fives| n.checked_mul(fives));
    let same = match tens >= 0 {
        true => scaled(decimal) == Some(binary),
        false => scaled(binary) == Some(decimal),
    };
    same && more + tens == twice + twos
}

/// Does a number like `1.25e7` lie halfway to a neighbour?
fn is_halfway(text: &str, parts: &Parts) -> bool {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let places = mantissa.split_once('.').map_or(0, |(_, places)| places.len()) as i32;
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let (Ok(digits), Ok(exponent)) = (digits.parse(), exponent.parse::<i32>()) else {
        return false;
    };
    let below = 4 * parts.mantissa - if parts.near_below { 1 } else { 2 };
    let halves = [below, 4 * parts.mantissa + 2];
    halves.iter().any(|half| equal(digits, exponent - places, *half, parts.exponent - 2))
}

/// Tries Rust's shortest digits and more of them; `rounded` gives so many places, `same` says
/// whether a text reads back as the float.
fn choose(
    shortest: String,
    parts: &Parts,
    rounded: impl Fn(usize) -> String,
    same: impl Fn(&str) -> bool,
) -> String {
    let count = shortest.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).count();
    for places in count - 1..17 {
        let text = rounded(places);
        if same(&text) && !is_halfway(&text, parts) {
            return text;
        }
        if places == count - 1 && !is_halfway(&shortest, parts) {
            break;
        }
    }
    shortest
}

/// The digits of a finite float8's magnitude, like `1.25e7`.
pub(super) fn digits8(x: f64) -> String {
    let shortest = format!("{x:e}");
    if x == 0.0 {
        return shortest;
    }
    choose(
        shortest,
        &parts8(x),
        |places| format!("{x:.places$e}"),
        |text| text.parse::<f64>() == Ok(x),
    )
}

/// The same of a float4.
pub(super) fn digits4(x: f32) -> String {
    let shortest = format!("{x:e}");
    if x == 0.0 {
        return shortest;
    }
    choose(
        shortest,
        &parts4(x),
        |places| format!("{x:.places$e}"),
        |text| text.parse::<f32>() == Ok(x),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_halfway_to_a_neighbour_is_not_taken() {
        assert_eq!(digits8(1e23), "9.999999999999999e22");
        assert_eq!(digits8(2e23), "1.9999999999999998e23");
        assert_eq!(digits8(3.340_067_089_370_448_8e16), "3.3400670893704488e16");
        assert_eq!(digits4(8.5e9), "8.4999997e9");
    }

    #[test]
    fn of_two_equally_near_the_even_one_is_taken() {
        assert_eq!(digits8(2_015_731_468_515_907.25), "2.0157314685159072e15");
        assert_eq!(digits8(2_015_731_468_515_907.75), "2.0157314685159078e15");
    }

    #[test]
    fn other_floats_are_as_short_as_can_be() {
        for (x, digits) in [
            (0.0, "0e0"),
            (0.1, "1e-1"),
            (5e-324, "5e-324"),
            (1.797_693_134_862_315_7e308, "1.7976931348623157e308"),
            (5.684_341_886_080_802e-14, "5.684341886080802e-14"),
            (2.225_073_858_507_201_4e-308, "2.2250738585072014e-308"),
        ] {
            assert_eq!(digits8(x), digits);
        }
        assert_eq!(digits4(9.536_743e-7), "9.536743e-7");
        assert_eq!(digits4(1.175_494_4e-38), "1.1754944e-38");
    }
}
