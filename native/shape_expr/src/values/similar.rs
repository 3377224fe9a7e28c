//! SIMILAR TO: PostgreSQL rewrites the pattern to a regular expression.

use bumpalo::Bump;
use bumpalo::collections::String;

use crate::error::{EvalError, Raise};

/// The regular expression for a pattern and its escape character, if it has one.
pub(crate) fn regex<'a>(
    pattern: &str,
    escape: Option<char>,
    arena: &'a Bump,
) -> Result<&'a str, EvalError> {
    let mut regex = String::with_capacity_in(3 * pattern.len() + 32, arena);
    regex.push_str("^(?:");
    let mut escaped = false;
    let mut separators = 0;
    // How many brackets are open, and how far the innermost has come: a closing bracket is an
    // ordinary character at its start (1), and after its caret (2).
    let (mut brackets, mut progress) = (0_usize, 0_u8);
    let wide = escape.is_some_and(|escape| !escape.is_ascii());
    for c in pattern.chars() {
        if escaped {
            match (c, brackets, separators) {
                ('"', 0, 0) => regex.push_str("){1,1}?("),
                ('"', 0, 1) => regex.push_str("){1,1}(?:"),
                ('"', 0, _) => return Err(EvalError::new(Raise::InvalidUseOfEscape)),
                _ => regex.extend(['\\', c]),
            }
            if c == '"' && brackets == 0 {
                separators += 1;
            } else if !wide || c.is_ascii() {
                progress = 3;
            }
            escaped = false;
        } else if Some(c) == escape {
            escaped = true;
        } else if wide && !c.is_ascii() {
            // PostgreSQL's way for such characters leaves brackets out of account.
            regex.push(c);
        } else if brackets > 0 {
            if c == '\\' {
                regex.push('\\');
            }
            regex.push(c);
            match c {
                ']' if progress > 2 => brackets -= 1,
                '[' => brackets += 1,
                _ => {}
            }
            progress = if c == '^' { progress.saturating_add(1) } else { 3 };
        } else {
            match c {
                '[' => {
                    regex.push('[');
                    (brackets, progress) = (1, 1);
                }
                '%' => regex.push_str(".*"),
                '_' => regex.push('.'),
                '(' => regex.push_str("(?:"),
                '\\' | '.' | '^' | '$' => regex.extend(['\\', c]),
                c => regex.push(c),
            }
        }
    }
    regex.push_str(")$");
    Ok(regex.into_bump_str())
}
