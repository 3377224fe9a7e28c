//! The flags that functions of regular expressions take.

use super::Refused;
use crate::error::{EvalError, Raise};

/// How an expression is read, beside its case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Options {
    pub expanded: bool,
    /// It is a text to look for.
    pub quoted: bool,
    pub newline_stops: bool,
    pub newline_anchors: bool,
}

/// What flags say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags {
    pub options: Options,
    pub ignore_case: bool,
    pub global: bool,
    /// What is wrong with them together: known when the expression is compiled.
    pub refused: Option<Refused>,
}

/// Reads flags, the last of two that contradict each other prevailing.
pub(crate) fn flags(text: &str) -> Result<Flags, EvalError> {
    let mut flags = Flags::default();
    let options = &mut flags.options;
    // Advanced expressions, or others.
    let (mut extended, mut advanced) = (true, true);
    for c in text.chars() {
        match c {
            'g' => flags.global = true,
            'b' => (extended, advanced, options.quoted) = (false, false, false),
            'c' => flags.ignore_case = false,
            'e' => {
                // Advanced ones are extended ones with one more mark, which this takes away.
                (extended, advanced, options.quoted) = (true, false, false);
            }
            'i' => flags.ignore_case = true,
            'm' | 'n' => (options.newline_stops, options.newline_anchors) = (true, true),
            'p' => (options.newline_stops, options.newline_anchors) = (true, false),
            'q' => (extended, advanced, options.quoted) = (false, false, true),
            's' => (options.newline_stops, options.newline_anchors) = (false, false),
            't' => options.expanded = false,
            'w' => (options.newline_stops, options.newline_anchors) = (false, true),
            'x' => options.expanded = true,
            _ => return Err(EvalError::new(Raise::InvalidParameter)),
        }
    }
    flags.refused = if options.quoted {
        let clash = options.expanded || options.newline_stops || options.newline_anchors;
        clash.then_some(Refused::Invalid)
    } else if !(extended && advanced) {
        Some(Refused::Unsupported("a basic or extended regex"))
    } else {
        None
    };
    Ok(flags)
}
