//! LIKE: PostgreSQL's MatchText over UTF-8 bytes, without recursion.

use crate::error::{EvalError, Raise};

/// How many steps a match of these lengths may take is paid for before it starts, so that patterns
/// of many `%` cannot run away: the matcher is at most quadratic.
pub(crate) fn cost(text: &str, pattern: &str) -> u64 {
    let wild = pattern.bytes().filter(|b| *b == b'%').count().max(1);
    1 + (text.len() as u64 * wild.min(4) as u64 + pattern.len() as u64) / 16
}

/// Does the text match? `escape` is `None` for `ESCAPE ''`.
pub(crate) fn matches(text: &str, pattern: &str, escape: Option<u8>) -> Result<bool, EvalError> {
    let (text, pattern) = (text.as_bytes(), pattern.as_bytes());
    let (mut t, mut p) = (0, 0);
    // The last `%` and how much of the text it has taken: only the last one ever gives way.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        let step = match pattern.get(p) {
            Some(b'%') => {
                p += 1;
                retry = Some((p, t));
                continue;
            }
            None if t == text.len() => return Ok(true),
            None => None,
            Some(_) if t == text.len() => {
                return Ok(only_percents_or_raise(&pattern[p..], escape)?);
            }
            Some(b'_') => Some((p + 1, t + character(text, t))),
            Some(&byte) if Some(byte) == escape => match pattern.get(p + 1) {
                None => return Err(EvalError::new(Raise::InvalidEscapeSequence)),
                Some(&literal) => (literal == text[t]).then_some((p + 2, t + 1)),
            },
            Some(&byte) => (byte == text[t]).then_some((p + 1, t + 1)),
        };
        match (step, retry) {
            (Some((next_p, next_t)), _) => (p, t) = (next_p, next_t),
            (None, Some((after, from))) if from < text.len() => {
                let next = from + character(text, from);
                retry = Some((after, next));
                (p, t) = (after, next);
            }
            (None, _) => return Ok(false),
        }
    }
}

/// The text is at its end and the pattern is not.
fn only_percents_or_raise(rest: &[u8], _escape: Option<u8>) -> Result<bool, EvalError> {
    Ok(rest.iter().all(|byte| *byte == b'%'))
}

/// Bytes of the character at `at`.
fn character(text: &[u8], at: usize) -> usize {
    match text[at] {
        0..=0xbf => 1,
        0xc0..=0xdf => 2,
        0xe0..=0xef => 3,
        _ => 4,
    }
}
