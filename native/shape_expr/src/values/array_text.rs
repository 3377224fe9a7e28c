//! The text form of arrays: `{1,NULL,"a b"}`, `[2:3]={{1},{2}}`.

use bumpalo::Bump;
use bumpalo::collections::{String as BumpString, Vec as BumpVec};

use super::array::{Array, Dimension, MAX_DIMENSIONS, count};
use super::datetime::Zone;
use super::text::is_space;
use crate::error::{EvalError, Raise};
use crate::types::Type;
use crate::value::{Eval, Value};

/// Where the reader stands between two characters.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    NoLevel,
    LevelStarted,
    ElementStarted,
    ElementDelimited,
    Quoted,
    QuotedDone,
    LevelDone,
    LevelDelimited,
}

/// An element's text as it stands: from the first to behind the last character that counts.
#[derive(Clone, Copy)]
struct Raw {
    start: usize,
    end: usize,
    /// Has it quotes or backslashes?
    marked: bool,
}

fn bad() -> EvalError {
    EvalError::new(Raise::InvalidText)
}

/// The input function, for elements that are read so.
pub(crate) fn parse<'a>(
    text: &'a str,
    arena: &'a Bump,
    input: impl Fn(&'a str) -> Eval<'a>,
) -> Eval<'a> {
    plain(text, arena, &input).unwrap_or_else(|| of_any_form(text, arena, input))
}

/// Whatever form it has.
fn of_any_form<'a>(
    text: &'a str,
    arena: &'a Bump,
    input: impl Fn(&'a str) -> Eval<'a>,
) -> Eval<'a> {
    let mut at = 0;
    let declared = bounds(text.as_bytes(), &mut at)?;
    let (lengths, items) = structure(text.as_bytes(), at, arena)?;
    let mut dimensions = BumpVec::new_in(arena);
    match &declared {
        None => {
            dimensions.extend(lengths.iter().map(|length| Dimension { lower: 1, length: *length }))
        }
        Some(declared) => {
            if declared.len() != lengths.len()
                || declared.iter().zip(&lengths).any(|(d, length)| d.length != *length)
            {
                return Err(bad());
            }
            dimensions.extend_from_slice(declared);
        }
    }
    count(&dimensions)?;
    let mut values = BumpVec::with_capacity_in(items.len(), arena);
    for raw in &items {
        let plain = &text[raw.start..raw.end];
        values.push(match raw.marked {
            false if plain.eq_ignore_ascii_case("null") => Value::Null,
            false => input(plain)?,
            true => input(unmark(plain, arena))?,
        });
    }
    let array = Array::build(arena, dimensions.into_bump_slice(), values.into_bump_slice());
    Ok(Value::Array(array))
}

/// So many elements, and more, are counted as PostgreSQL counts them.
const MANY: i32 = 1 << 20;

/// Arrays as most are: of one dimension, without quotes, backslashes or blanks. `None` for all others,
/// and for what is no array.
fn plain<'a>(
    text: &'a str,
    arena: &'a Bump,
    input: &impl Fn(&'a str) -> Eval<'a>,
) -> Option<Eval<'a>> {
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let mut commas = 0;
    for byte in inner.bytes() {
        if matches!(byte, b'{' | b'}' | b'"' | b'\\') || is_space(byte) {
            return None;
        }
        commas += i32::from(byte == b',');
    }
    if inner.is_empty() {
        return Some(Ok(Value::Array(Array::NONE)));
    }
    if commas >= MANY {
        return None;
    }
    let mut values = BumpVec::with_capacity_in(commas as usize + 1, arena);
    for item in inner.split(',') {
        values.push(match item {
            "" => return None,
            _ if item.len() == 4 && item.eq_ignore_ascii_case("null") => Value::Null,
            _ => match input(item) {
                Ok(value) => value,
                Err(error) => return Some(Err(error)),
            },
        });
    }
    Some(Ok(Value::Array(Array::list(arena, values.into_bump_slice()))))
}

type Lengths = smallvec::SmallVec<[i32; MAX_DIMENSIONS]>;

/// `[1:2][3:4]=` in front, if it is there; leaves `at` on the opening brace.
fn bounds(bytes: &[u8], at: &mut usize) -> Result<Option<Vec<Dimension>>, EvalError> {
    let skip = |at: &mut usize| {
        while bytes.get(*at).copied().is_some_and(is_space) {
            *at += 1;
        }
    };
    let mut dimensions = Vec::new();
    loop {
        skip(at);
        if bytes.get(*at) != Some(&b'[') {
            break;
        }
        if dimensions.len() >= MAX_DIMENSIONS {
            return Err(EvalError::new(Raise::LimitExceeded));
        }
        *at += 1;
        let mut lower = 1;
        let mut upper = bound(bytes, at)?;
        if bytes.get(*at) == Some(&b':') {
            *at += 1;
            lower = upper;
            upper = bound(bytes, at)?;
        }
        if bytes.get(*at) != Some(&b']') {
            return Err(bad());
        }
        *at += 1;
        if upper < lower {
            return Err(EvalError::new(Raise::ArraySubscript));
        }
        let length = i64::from(upper) - i64::from(lower) + 1;
        let length = i32::try_from(length).map_err(|_| EvalError::new(Raise::LimitExceeded))?;
        dimensions.push(Dimension { lower, length });
    }
    if !dimensions.is_empty() {
        if bytes.get(*at) != Some(&b'=') {
            return Err(bad());
        }
        *at += 1;
        skip(at);
    }
    match bytes.get(*at) {
        Some(b'{') => Ok((!dimensions.is_empty()).then_some(dimensions)),
        _ => Err(bad()),
    }
}

/// Digits and signs, read as C's `atoi` reads them.
fn bound(bytes: &[u8], at: &mut usize) -> Result<i32, EvalError> {
    let start = *at;
    while bytes.get(*at).is_some_and(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-')) {
        *at += 1;
    }
    let word = &bytes[start..*at];
    let (negative, digits) = match word {
        [] => return Err(bad()),
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, word),
    };
    let mut value = 0i64;
    for digit in digits.iter().take_while(|b| b.is_ascii_digit()) {
        value = value.saturating_mul(10).saturating_add(i64::from(digit - b'0'));
    }
    // atoi takes the low half of a long.
    Ok((if negative { -value } else { value }) as i32)
}

/// Checks braces, commas and quotes; gives each dimension's length, and the elements.
fn structure<'a>(
    bytes: &[u8],
    mut at: usize,
    arena: &'a Bump,
) -> Result<(Lengths, BumpVec<'a, Raw>), EvalError> {
    use State::*;
    let mut items: BumpVec<'a, Raw> = BumpVec::new_in(arena);
    // By level: elements of the sub-array being read, and of those before it.
    let mut now = [0i32; MAX_DIMENSIONS];
    let mut before = [0i32; MAX_DIMENSIONS];
    let (mut level, mut depth) = (0usize, 0usize);
    let mut state = NoLevel;
    let mut raw = Raw { start: 0, end: 0, marked: false };
    loop {
        let byte = *bytes.get(at).ok_or_else(bad)?;
        if state == Quoted && byte != b'"' && byte != b'\\' {
            at += 1;
            continue;
        }
        match byte {
            b'\\' => {
                if !matches!(state, LevelStarted | ElementStarted | Quoted | ElementDelimited) {
                    return Err(bad());
                }
                if matches!(state, LevelStarted | ElementDelimited) {
                    raw.start = at;
                }
                if state != Quoted {
                    state = ElementStarted;
                }
                at += 1;
                bytes.get(at).ok_or_else(bad)?;
                // All of a character of several bytes.
                while bytes.get(at + 1).is_some_and(|b| b & 0xc0 == 0x80) {
                    at += 1;
                }
                raw.end = at + 1;
                raw.marked = true;
            }
            b'"' => {
                state = match state {
                    LevelStarted | ElementDelimited => {
                        raw = Raw { start: at, end: at, marked: true };
                        Quoted
                    }
                    Quoted => QuotedDone,
                    _ => return Err(bad()),
                };
                raw.end = at + 1;
            }
            b'{' => {
                if !matches!(state, NoLevel | LevelStarted | LevelDelimited) {
                    return Err(bad());
                }
                if level >= MAX_DIMENSIONS {
                    return Err(EvalError::new(Raise::LimitExceeded));
                }
                state = LevelStarted;
                now[level] = 0;
                level += 1;
                depth = depth.max(level);
            }
            b'}' | b',' => {
                let ended = matches!(state, ElementStarted | QuotedDone);
                let empty = byte == b'}' && level == 1 && state == LevelStarted;
                if !ended && state != LevelDone && !empty {
                    return Err(bad());
                }
                if ended {
                    // An element stands at the deepest level there is.
                    if level != depth {
                        return Err(bad());
                    }
                    items.push(raw);
                    now[level - 1] += 1;
                }
                raw = Raw { start: 0, end: 0, marked: false };
                if byte == b',' {
                    state = if state == LevelDone { LevelDelimited } else { ElementDelimited };
                } else {
                    state = LevelDone;
                    level -= 1;
                    if before[level] != 0 && before[level] != now[level] {
                        return Err(bad());
                    }
                    before[level] = now[level];
                    if level == 0 {
                        break;
                    }
                    now[level - 1] += 1;
                }
            }
            _ if is_space(byte) => {}
            _ => {
                match state {
                    LevelStarted | ElementDelimited => raw.start = at,
                    ElementStarted => {}
                    _ => return Err(bad()),
                }
                state = ElementStarted;
                raw.end = at + 1;
            }
        }
        at += 1;
    }
    if !bytes[at + 1..].iter().all(|byte| is_space(*byte)) {
        return Err(bad());
    }
    let lengths = match items.is_empty() {
        true => Lengths::new(),
        false => before[..depth].into(),
    };
    Ok((lengths, items))
}

/// Without the quotes and backslashes.
fn unmark<'a>(raw: &str, arena: &'a Bump) -> &'a str {
    let mut text = BumpString::with_capacity_in(raw.len(), arena);
    let mut characters = raw.chars();
    while let Some(c) = characters.next() {
        match c {
            '\\' => text.extend(characters.next()),
            '"' => {}
            c => text.push(c),
        }
    }
    text.into_bump_str()
}

/// The output function. `None` if an element is not known.
pub(crate) fn output<'a>(
    zone: &Zone,
    element: &Type,
    array: &Array<'a>,
    arena: &'a Bump,
) -> Option<&'a str> {
    let mut text = BumpString::new_in(arena);
    let dimensions = array.dimensions();
    if array.is_empty() {
        return Some("{}");
    }
    if dimensions.iter().any(|dimension| dimension.lower != 1) {
        for dimension in dimensions {
            use std::fmt::Write as _;
            let _ = write!(text, "[{}:{}]", dimension.lower, dimension.upper());
        }
        text.push('=');
    }
    // How many elements a sub-array of each level has: where braces open and close.
    let mut sizes = Lengths::new();
    let mut size = 1;
    for dimension in dimensions.iter().rev() {
        size *= dimension.length;
        sizes.push(size);
    }
    for (i, item) in array.iter().enumerate() {
        let opens = sizes.iter().filter(|size| i % **size as usize == 0).count();
        if i > 0 {
            text.extend(std::iter::repeat_n('}', opens));
            text.push(',');
        }
        text.extend(std::iter::repeat_n('{', opens));
        match item {
            Value::Null => text.push_str("NULL"),
            item => quote(super::output_in(zone, element, &item, arena)?, &mut text),
        }
    }
    text.extend(std::iter::repeat_n('}', sizes.len()));
    Some(text.into_bump_str())
}

fn quote(item: &str, text: &mut BumpString<'_>) {
    let needs = |byte: u8| matches!(byte, b'"' | b'\\' | b'{' | b'}' | b',') || is_space(byte);
    if !item.is_empty() && !item.eq_ignore_ascii_case("null") && !item.bytes().any(needs) {
        text.push_str(item);
        return;
    }
    text.push('"');
    for c in item.chars() {
        if matches!(c, '"' | '\\') {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn element(text: &str) -> Eval<'_> {
        if text.contains('!') { Err(bad()) } else { Ok(Value::Text(text)) }
    }

    proptest! {
        /// What is read in one pass is what the whole reader makes of it.
        #[test]
        fn plain_arrays_are_what_any_arrays_are(
            text in prop_oneof![
                "[{},a !\"\\\\\\[\\]:=1\u{b}é]{0,12}",
                "\\{(null|NULL|a|é|!|,| |1){0,9}\\}",
            ],
        ) {
            let arena = Bump::new();
            if let Some(plain) = plain(&text, &arena, &element) {
                match (plain, of_any_form(&text, &arena, element)) {
                    (Ok(Value::Array(one)), Ok(Value::Array(other))) => {
                        prop_assert!(one.equals(&other) && one.len() == other.len());
                    }
                    (Err(one), Err(other)) => prop_assert_eq!(one, other),
                    (one, other) => prop_assert!(false, "{:?} instead of {:?}", one, other),
                }
            }
        }
    }

    #[test]
    fn the_commonest_arrays_are_plain() {
        let arena = Bump::new();
        for text in ["{}", "{a}", "{a,NULL,b-c}"] {
            assert!(plain(text, &arena, &element).is_some(), "{text}");
        }
        for text in ["{a,}", "{a b}", "{{a}}", "{\"a\"}", "[1:1]={a}", "{"] {
            assert!(plain(text, &arena, &element).is_none(), "{text}");
        }
    }
}
