//! float4 and float8: PostgreSQL's order (NaN above everything, equal to itself) and text form.

use std::cmp::Ordering;

use crate::error::{EvalError, Raise};

/// PostgreSQL's btree order of floats.
#[inline]
pub(crate) fn compare(a: f64, b: f64) -> Ordering {
    match a.partial_cmp(&b) {
        Some(order) => order,
        None => a.is_nan().cmp(&b.is_nan()),
    }
}

/// Equal floats have equal bits here: one zero, one NaN.
#[inline]
pub(crate) fn equality_bits(x: f64) -> u64 {
    if x.is_nan() {
        f64::NAN.to_bits()
    } else if x == 0.0 {
        0
    } else {
        x.to_bits()
    }
}

/// float8in.
pub(crate) fn parse8(text: &str) -> Result<f64, EvalError> {
    let word = super::text::trim_space(text);
    if let Some(x) = special(word) {
        return Ok(x);
    }
    if let Some(parsed) = hexadecimal(word) {
        return parsed;
    }
    decimal(word, |number| {
        let x: f64 = number.parse().ok()?;
        // strtod reports overflow and underflow; a written zero is neither.
        let fits = !x.is_infinite() && (x != 0.0 || !has_nonzero_digit(number));
        Some(if fits { Ok(x) } else { Err(EvalError::new(Raise::OutOfRange)) })
    })
}

/// float4in.
pub(crate) fn parse4(text: &str) -> Result<f32, EvalError> {
    let word = super::text::trim_space(text);
    if let Some(x) = special(word) {
        return Ok(x as f32);
    }
    if let Some(parsed) = hexadecimal(word) {
        return parsed.and_then(narrow);
    }
    decimal(word, |number| {
        let x: f32 = number.parse().ok()?;
        let fits = !x.is_infinite() && (x != 0.0 || !has_nonzero_digit(number));
        Some(if fits { Ok(x) } else { Err(EvalError::new(Raise::OutOfRange)) })
    })
}

/// Reads a decimal number. C reads as far as the number goes: one out of range is reported before
/// what follows it is.
fn decimal<T>(
    word: &str,
    read: impl Fn(&str) -> Option<Result<T, EvalError>>,
) -> Result<T, EvalError> {
    const BAD: EvalError = EvalError::new(Raise::InvalidText);
    if check(word).is_ok()
        && let Some(number) = read(word)
    {
        return number;
    }
    match read(beginning(word)) {
        Some(Err(error)) => Err(error),
        _ => Err(BAD),
    }
}

/// The longest beginning that is a decimal number.
fn beginning(word: &str) -> &str {
    let bytes = word.as_bytes();
    let digits = |from: usize| bytes[from..].iter().take_while(|b| b.is_ascii_digit()).count();
    let sign = usize::from(matches!(bytes.first(), Some(b'+' | b'-')));
    let mut end = sign + digits(sign);
    if bytes.get(end) == Some(&b'.') {
        end += 1 + digits(end + 1);
    }
    if let Some(b'e' | b'E') = bytes.get(end) {
        let sign = usize::from(matches!(bytes.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits((end + 1 + sign).min(bytes.len()));
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    &word[..end]
}

/// Decimal digits with point and exponent: what Rust reads, and no more than C does.
fn check(number: &str) -> Result<(), EvalError> {
    let plain = number.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E'));
    let digit = number.bytes().any(|b| b.is_ascii_digit());
    if plain && digit { Ok(()) } else { Err(EvalError::new(Raise::InvalidText)) }
}

fn has_nonzero_digit(number: &str) -> bool {
    let mantissa = number.split(['e', 'E']).next().unwrap_or(number);
    mantissa.bytes().any(|b| matches!(b, b'1'..=b'9'))
}

fn special(word: &str) -> Option<f64> {
    let (sign, name) = match word.as_bytes().first()? {
        b'-' => (-1.0, &word[1..]),
        b'+' => (1.0, &word[1..]),
        _ => (1.0, word),
    };
    if name.eq_ignore_ascii_case("nan") {
        return Some(f64::NAN);
    }
    let infinite = name.eq_ignore_ascii_case("infinity") || name.eq_ignore_ascii_case("inf");
    infinite.then_some(sign * f64::INFINITY)
}

/// C's strtod reads `0x1.8p3`; so does PostgreSQL.
fn hexadecimal(number: &str) -> Option<Result<f64, EvalError>> {
    let (negative, body) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let body = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X"))?;
    let (mantissa, exponent) = match body.find(['p', 'P']) {
        Some(at) => (&body[..at], body[at + 1..].parse::<i32>().ok()),
        None => (body, Some(0)),
    };
    let bad = Some(Err(EvalError::new(Raise::InvalidText)));
    let Some(exponent) = exponent else { return bad };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = whole.len() + fraction.len();
    // 13 digits are exact in a float8; longer ones are not worth a rounding of their own.
    if digits == 0 || digits > 13 {
        return bad;
    }
    let mut value = 0.0f64;
    for c in whole.chars().chain(fraction.chars()) {
        let Some(digit) = c.to_digit(16) else { return bad };
        value = value * 16.0 + f64::from(digit);
    }
    let scale = exponent.saturating_sub(4 * fraction.len() as i32);
    let x = value * 2f64.powi(scale.clamp(-1022, 1023));
    if !(-1022..=1023).contains(&scale) && value != 0.0 || x.is_infinite() {
        return Some(Err(EvalError::new(Raise::OutOfRange)));
    }
    Some(Ok(if negative { -x } else { x }))
}

/// float8 to float4, as the cast does it: overflow and underflow raise.
pub(crate) fn narrow(x: f64) -> Result<f32, EvalError> {
    let narrow = x as f32;
    if (narrow.is_infinite() && x.is_finite()) || (narrow == 0.0 && x != 0.0) {
        return Err(EvalError::new(Raise::OutOfRange));
    }
    Ok(narrow)
}

/// float8out with extra_float_digits 1: the shortest text that reads back the same.
pub(crate) fn output8(x: f64) -> String {
    let x_abs = x.abs();
    let shortest_of_rust = format!("{x_abs:e}");
    let rounded = |digits: usize| format!("{x_abs:.digits$e}");
    let (mantissa, exponent) = (x.to_bits() & ((1 << 52) - 1), (x.to_bits() >> 52) & 0x7ff);
    let edges = Edges::new(mantissa, exponent as i32, 52, 1075);
    let reads_back = |text: &str| text.parse() == Ok(x_abs);
    layout(x, postgresqls(shortest_of_rust, rounded, reads_back, &edges), 15)
}

/// float4out.
pub(crate) fn output4(x: f32) -> String {
    let x_abs = x.abs();
    let shortest_of_rust = format!("{x_abs:e}");
    let rounded = |digits: usize| format!("{x_abs:.digits$e}");
    let (mantissa, exponent) = (x.to_bits() & ((1 << 23) - 1), (x.to_bits() >> 23) & 0xff);
    let edges = Edges::new(u64::from(mantissa), exponent as i32, 23, 150);
    let reads_back = |text: &str| text.parse() == Ok(x_abs);
    layout(f64::from(x), postgresqls(shortest_of_rust, rounded, reads_back, &edges), 6)
}

/// From Rust's shortest digits to PostgreSQL's. Of two texts that are equally near PostgreSQL takes
/// the one with the even last digit; and it does not take a text that lies exactly between two
/// numbers, though reading would round it to this one.
fn postgresqls(
    shortest: String,
    rounded: impl Fn(usize) -> String,
    reads_back: impl Fn(&str) -> bool,
    edges: &Edges,
) -> String {
    let digits =
        |text: &str| text.split('e').next().map_or(0, |m| m.len() - usize::from(m.len() > 1));
    let count = digits(&shortest);
    if count == 0 || !shortest.contains('e') {
        return shortest;
    }
    let nearest = without_zeros(rounded(count - 1));
    let mut text = if reads_back(&nearest) { nearest } else { shortest };
    let mut places = count;
    while edges.has(&text) {
        text = without_zeros(rounded(places));
        places += 1;
    }
    text
}

/// Rounding to a given number of digits may end in zeros.
fn without_zeros(text: String) -> String {
    match text.split_once('e') {
        Some((mantissa, exponent)) if mantissa.contains('.') => {
            let mantissa = mantissa.trim_end_matches('0').trim_end_matches('.');
            format!("{mantissa}e{exponent}")
        }
        _ => text,
    }
}

/// The numbers half way to a float's neighbours, each as an odd number times a power of two.
struct Edges([(u64, i32); 2]);

impl Edges {
    fn new(fraction: u64, exponent: i32, bits: u32, bias: i32) -> Self {
        let (mantissa, power) = match exponent {
            0 => (fraction, 1 - bias),
            _ => (fraction | 1 << bits, exponent - bias),
        };
        // Below a power of two the neighbour is only half as far.
        let below = match fraction == 0 && exponent > 1 {
            true => (4 * mantissa - 1, power - 2),
            false => ((2 * mantissa).saturating_sub(1), power - 1),
        };
        Self([below, (2 * mantissa + 1, power - 1)])
    }

    /// Is the decimal one of them?
    fn has(&self, text: &str) -> bool {
        let Some((mantissa, exponent)) = text.split_once('e') else { return false };
        let places = mantissa.len().saturating_sub(2) as i32;
        let bare: String = mantissa.chars().filter(|c| *c != '.').collect();
        let (Ok(digits), Ok(exponent)) = (bare.parse::<u128>(), exponent.parse::<i32>()) else {
            return false;
        };
        if digits == 0 {
            return false;
        }
        // digits * 10^tens = odd * 2^twos, where odd has no factor but fives on the other side.
        let tens = exponent - places;
        let twos = digits.trailing_zeros() as i32 + tens;
        let odd = digits >> digits.trailing_zeros();
        let fives = 5u128.checked_pow(tens.unsigned_abs());
        self.0.iter().any(|&(edge, power)| {
            let edge = u128::from(edge);
            let equal = match (fives, tens >= 0) {
                (None, _) => false,
                (Some(fives), true) => odd.checked_mul(fives) == Some(edge),
                (Some(fives), false) => edge.checked_mul(fives) == Some(odd),
            };
            equal && power == twos
        })
    }
}

/// From the shortest digits to PostgreSQL's layout: exponents below -4 or from `digits` on are
/// written as such, with two places at least.
fn layout(x: f64, scientific: String, digits: i32) -> String {
    if x.is_nan() {
        return "NaN".to_owned();
    }
    let sign = if x.is_sign_negative() { "-" } else { "" };
    if x.is_infinite() {
        return format!("{sign}Infinity");
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let bare: String = mantissa.chars().filter(|c| *c != '.').collect();
    if exponent < -4 || exponent >= digits {
        let direction = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{direction}{:02}", exponent.abs());
    }
    if exponent < 0 {
        let zeros = "0".repeat((-exponent - 1) as usize);
        return format!("{sign}0.{zeros}{bare}");
    }
    let whole = exponent as usize + 1;
    if bare.len() <= whole {
        return format!("{sign}{bare}{}", "0".repeat(whole - bare.len()));
    }
    format!("{sign}{}.{}", &bare[..whole], &bare[whole..])
}
