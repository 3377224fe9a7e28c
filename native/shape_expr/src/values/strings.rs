//! What text functions do, on UTF-8.

use bumpalo::Bump;
use bumpalo::collections::String;

use crate::error::{EvalError, Raise};

/// The byte where the character after `count` characters begins; the length if there are fewer.
pub(crate) fn offset(text: &str, count: usize) -> usize {
    if count >= text.len() {
        return text.len();
    }
    if text.as_bytes()[..count].is_ascii() {
        return count;
    }
    text.char_indices().nth(count).map_or(text.len(), |(at, _)| at)
}

/// Where a substring begins and how long it is, both counted from 0: `None` to the end.
pub(crate) fn span(start: i64, length: Option<i64>) -> Result<(usize, Option<usize>), EvalError> {
    let first = start.max(1);
    let Some(length) = length else { return Ok((first as usize - 1, None)) };
    if length < 0 {
        return Err(EvalError::new(Raise::Substring));
    }
    let end = start + length;
    // PostgreSQL adds as int4: an end beyond that is the end of the string.
    if end > i64::from(i32::MAX) {
        return Ok((first as usize - 1, None));
    }
    Ok((first as usize - 1, Some((end - first).max(0) as usize)))
}

/// `substring(text, start, length)`.
pub(crate) fn substring(text: &str, start: i64, length: Option<i64>) -> Result<&str, EvalError> {
    let (skip, count) = span(start, length)?;
    let rest = &text[offset(text, skip)..];
    Ok(match count {
        None => rest,
        Some(count) => &rest[..offset(rest, count)],
    })
}

/// `left(text, n)`: all but the last |n| characters for a negative n.
pub(crate) fn left(text: &str, n: i64) -> &str {
    let count = match usize::try_from(n) {
        Ok(n) => n,
        Err(_) => (text.chars().count() as u64).saturating_sub(n.unsigned_abs()) as usize,
    };
    &text[..offset(text, count)]
}

/// `right(text, n)`: all but the first |n| characters for a negative n.
pub(crate) fn right(text: &str, n: i64) -> &str {
    let skip = match usize::try_from(n) {
        Ok(n) => text.chars().count().saturating_sub(n),
        Err(_) => usize::try_from(n.unsigned_abs()).unwrap_or(usize::MAX),
    };
    &text[offset(text, skip)..]
}

/// The ends to trim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ends {
    Both,
    Left,
    Right,
}

/// Without leading and trailing characters that are in `set`.
pub(crate) fn trim<'t>(text: &'t str, set: &str, ends: Ends) -> &'t str {
    let inside = |c: char| set.contains(c);
    match ends {
        Ends::Both => text.trim_matches(inside),
        Ends::Left => text.trim_start_matches(inside),
        Ends::Right => text.trim_end_matches(inside),
    }
}

/// The same for bytes.
pub(crate) fn trim_bytes<'b>(bytes: &'b [u8], set: &[u8], ends: Ends) -> &'b [u8] {
    let outside = |byte: &u8| !set.contains(byte);
    let start = match ends {
        Ends::Right => 0,
        _ => bytes.iter().position(outside).unwrap_or(bytes.len()),
    };
    let bytes = &bytes[start..];
    let end = match ends {
        Ends::Left => bytes.len(),
        _ => bytes.iter().rposition(outside).map_or(0, |at| at + 1),
    };
    &bytes[..end]
}

/// Where `part` begins in `whole`, counted in characters from 1; 0 if nowhere.
pub(crate) fn position(whole: &str, part: &str) -> i64 {
    match memchr::memmem::find(whole.as_bytes(), part.as_bytes()) {
        Some(at) => whole[..at].chars().count() as i64 + 1,
        None => 0,
    }
}

/// How many times `part` stands in `whole`, without overlaps.
pub(crate) fn count(whole: &str, part: &str) -> usize {
    memchr::memmem::find_iter(whole.as_bytes(), part.as_bytes()).count()
}

/// `replace(text, from, to)`, `from` not being empty.
pub(crate) fn replace<'a>(
    text: &str,
    from: &str,
    to: &str,
    capacity: usize,
    arena: &'a Bump,
) -> &'a str {
    let mut changed = String::with_capacity_in(capacity, arena);
    let mut done = 0;
    for at in memchr::memmem::find_iter(text.as_bytes(), from.as_bytes()) {
        changed.push_str(&text[done..at]);
        changed.push_str(to);
        done = at + from.len();
    }
    changed.push_str(&text[done..]);
    changed.into_bump_str()
}

/// `split_part(text, separator, n)`, n not being 0.
pub(crate) fn split_part<'t>(text: &'t str, separator: &str, n: i64) -> &'t str {
    if text.is_empty() {
        return "";
    }
    if separator.is_empty() {
        return if n == 1 || n == -1 { text } else { "" };
    }
    let skip = usize::try_from(n.unsigned_abs() - 1).unwrap_or(usize::MAX);
    let part = match n > 0 {
        true => {
            let mut rest = Some(text);
            for _ in 0..skip.min(text.len()) {
                rest = rest.and_then(|rest| find(rest, separator)).map(|(_, after)| after);
            }
            if skip > text.len() {
                rest = None;
            }
            rest.map(|rest| find(rest, separator).map_or(rest, |(before, _)| before))
        }
        // From the end the parts are the same ones, those that a search from the start finds.
        false => {
            let parts = count(text, separator) + 1;
            parts.checked_sub(skip + 1).map(|at| split_part(text, separator, at as i64 + 1))
        }
    };
    part.unwrap_or("")
}

fn find<'t>(text: &'t str, separator: &str) -> Option<(&'t str, &'t str)> {
    let at = memchr::memmem::find(text.as_bytes(), separator.as_bytes())?;
    Some((&text[..at], &text[at + separator.len()..]))
}

/// `translate(text, from, to)`: a character that `from` has is replaced or, if `to` is too short,
/// left out; the first of equal ones counts.
pub(crate) fn translate<'a>(text: &str, from: &str, to: &str, arena: &'a Bump) -> &'a str {
    let mut changed = String::with_capacity_in(text.len(), arena);
    for c in text.chars() {
        match from.chars().position(|known| known == c) {
            None => changed.push(c),
            Some(at) => changed.extend(to.chars().nth(at)),
        }
    }
    changed.into_bump_str()
}

/// `lpad` and `rpad`: the filling for `count` characters.
pub(crate) fn fill(into: &mut String<'_>, filling: &str, count: usize) {
    if !filling.is_empty() {
        into.extend(filling.chars().cycle().take(count));
    }
}

/// `quote_literal(text)`.
pub(crate) fn quote_literal<'a>(text: &str, arena: &'a Bump) -> &'a str {
    let mut quoted = String::with_capacity_in(2 * text.len() + 4, arena);
    if text.contains('\\') {
        quoted.push('E');
    }
    quoted.push('\'');
    for c in text.chars() {
        if matches!(c, '\'' | '\\') {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted.push('\'');
    quoted.into_bump_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_counted_from_both_ends() {
        for (n, expected) in [(1, "a"), (2, ""), (3, "c"), (4, ""), (-1, "c"), (-3, "a"), (-4, "")]
        {
            assert_eq!(split_part("a,,c", ",", n), expected, "{n}");
        }
        assert_eq!(split_part("aaa", "aa", -1), "a");
        assert_eq!(split_part("a", ",", i64::from(i32::MIN)), "");
    }

    #[test]
    fn substrings_may_begin_before_the_start() {
        for (start, length, expected) in [
            (1, Some(2), "äb"),
            (-1, Some(3), "ä"),
            (-5, Some(2), ""),
            (2, None, "bc"),
            (i64::from(i32::MAX), Some(i64::from(i32::MAX)), ""),
            (i64::from(i32::MIN), None, "äbc"),
        ] {
            assert_eq!(substring("äbc", start, length), Ok(expected), "{start} {length:?}");
        }
        assert!(substring("a", 1, Some(-1)).is_err());
    }
}
