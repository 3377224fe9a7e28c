//! LIKE: PostgreSQL's MatchText over UTF-8 bytes, without recursion.

use crate::error::{EvalError, Raise};

/// What `_` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A character of UTF-8.
    Character,
    /// A byte, of bytea.
    Byte,
}

/// Does the text match? A backslash escapes. `steps` is how far the search may go and counts down:
/// a pattern of many `%` makes it as long as text and pattern multiplied.
pub(crate) fn matches(
    text: &[u8],
    pattern: &[u8],
    unit: Unit,
    steps: &mut u64,
) -> Result<bool, EvalError> {
    let character = |at: usize| unit.length(text[at]);
    let (mut t, mut p) = (0, 0);
    // The last `%` and how much of the text it has taken: only the last one ever gives way.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        *steps = steps.checked_sub(1).ok_or(EvalError::new(Raise::LimitExceeded))?;
        let step = match pattern.get(p) {
            // A run of `%` and `_` is taken at once, and what follows it looked at, before the text
            // is: a dangling escape raises here even if the text has ended meanwhile.
            Some(b'%') if t < text.len() => {
                while let Some(wild @ (b'%' | b'_')) = pattern.get(p) {
                    if *wild == b'_' {
                        if t == text.len() {
                            return Ok(false);
                        }
                        t += character(t);
                    }
                    p += 1;
                }
                match pattern.get(p..) {
                    None | Some([]) => return Ok(true),
                    Some([b'\\']) => return Err(EvalError::new(Raise::InvalidEscapeSequence)),
                    Some(_) => {}
                }
                retry = Some((p, t));
                continue;
            }
            None if t == text.len() => return Ok(true),
            None => None,
            // At the text's end a dangling escape is no error: PostgreSQL does not look at it.
            Some(_) if t == text.len() => {
                return Ok(pattern[p..].iter().all(|byte| *byte == b'%'));
            }
            Some(b'_') => Some((p + 1, t + character(t))),
            Some(b'\\') => match pattern.get(p + 1) {
                None => return Err(EvalError::new(Raise::InvalidEscapeSequence)),
                Some(&literal) => (literal == text[t]).then_some((p + 2, t + 1)),
            },
            Some(&byte) => (byte == text[t]).then_some((p + 1, t + 1)),
        };
        match (step, retry) {
            (Some((next_p, next_t)), _) => (p, t) = (next_p, next_t),
            (None, Some((after, from))) if from < text.len() => {
                let next = from + character(from);
                retry = Some((after, next));
                (p, t) = (after, next);
            }
            (None, _) => return Ok(false),
        }
    }
}

impl Unit {
    /// Bytes of the character that begins with this one.
    fn length(self, first: u8) -> usize {
        match (self, first) {
            (Unit::Byte, _) | (_, 0..=0xbf) => 1,
            (_, 0xc0..=0xdf) => 2,
            (_, 0xe0..=0xef) => 3,
            _ => 4,
        }
    }
}
