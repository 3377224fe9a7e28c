//! bool.

use crate::error::{EvalError, Raise};

/// PostgreSQL's boolin: any unambiguous beginning of true/false/yes/no, on/off, 1/0, blanks around.
pub(crate) fn parse(text: &str) -> Result<bool, EvalError> {
    let word = super::text::trim_space(text);
    let is_prefix = |full: &str| {
        !word.is_empty()
            && word.len() <= full.len()
            && full[..word.len()].eq_ignore_ascii_case(word)
    };
    if !word.is_ascii() {
        return Err(EvalError::new(Raise::InvalidText));
    }
    if is_prefix("true") || is_prefix("yes") || word == "1" || word.eq_ignore_ascii_case("on") {
        return Ok(true);
    }
    // A lone "o" could be on or off.
    let off = word.len() >= 2 && is_prefix("off");
    if is_prefix("false") || is_prefix("no") || word == "0" || off {
        return Ok(false);
    }
    Err(EvalError::new(Raise::InvalidText))
}

/// The output function, which casts to `name` go through too.
pub(crate) fn output(b: bool) -> &'static str {
    if b { "t" } else { "f" }
}

/// What a cast to text gives.
pub(crate) fn word(b: bool) -> &'static str {
    if b { "true" } else { "false" }
}
