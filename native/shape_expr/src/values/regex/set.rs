//! Sets of characters as automata see them.
//!
//! The automata know words by ASCII, or by a Unicode version of their own, not by PostgreSQL's
//! tables. So for an expression that asks where words begin and end, a character beyond ASCII is
//! rewritten: it stands between two ASCII characters that say whether it belongs to words, `w` or a
//! blank. Sets are rewritten alike, and the whole text is matched, character by character, so that no mark is ever taken for a character of the text.

use bumpalo::Bump;
use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, Look, Repetition};

use crate::values::ctype::{self, LAST, Locale};

const WORD: char = 'w';
const OTHER: char = ' ';

/// One character out of normalised ranges.
pub(super) fn one_of(ranges: &[(u32, u32)]) -> Hir {
    let ranges: Vec<ClassUnicodeRange> =
        ranges.iter().filter_map(|range| scalars(*range)).collect();
    match ranges.is_empty() {
        true => Hir::fail(),
        false => Hir::class(Class::Unicode(ClassUnicode::new(ranges))),
    }
}

/// Without surrogates, which are no characters.
fn scalars((first, last): (u32, u32)) -> Option<ClassUnicodeRange> {
    let first = if (0xd800..0xe000).contains(&first) { 0xe000 } else { first };
    let last = if (0xd800..0xe000).contains(&last) { 0xd7ff } else { last.min(LAST) };
    match (char::from_u32(first), char::from_u32(last)) {
        (Some(first), Some(last)) if first <= last => Some(ClassUnicodeRange::new(first, last)),
        _ => None,
    }
}

/// The same for a text whose words are marked.
pub(super) fn one_of_marked(ranges: &[(u32, u32)], words: &[(u32, u32)]) -> Hir {
    const BEYOND: [(u32, u32); 1] = [(0x80, LAST)];
    if ranges.iter().all(|(_, last)| *last < 0x80) {
        return one_of(ranges);
    }
    let ascii = ctype::common(ranges, &[(0, 0x7f)]);
    let others = ctype::complement(words);
    let marked = |mark: char, kind: &[(u32, u32)]| {
        let kind = ctype::common(kind, &BEYOND);
        let mut ranges = ctype::common(ranges, &kind);
        // The mark says it all.
        if ranges == kind {
            ranges = BEYOND.to_vec();
        }
        let mark = u32::from(mark);
        let mark = || one_of(&[(mark, mark)]);
        Hir::concat(vec![mark(), one_of(&ranges), mark()])
    };
    Hir::alternation(vec![one_of(&ascii), marked(WORD, words), marked(OTHER, &others)])
}

/// This amid any number of characters of a marked text: all of it must be characters, or a mark might
/// pass for one.
pub(super) fn amid_the_whole(hir: Hir, words: &[(u32, u32)]) -> Hir {
    let any = || {
        let sub = Box::new(one_of_marked(&[(0, LAST)], words));
        Hir::repetition(Repetition { min: 0, max: None, greedy: false, sub })
    };
    Hir::concat(vec![any(), hir, any(), Hir::look(Look::End)])
}

/// The text with its words marked.
pub(super) fn mark_words<'a>(text: &str, locale: Locale, arena: &'a Bump) -> &'a str {
    let mut marked = bumpalo::collections::String::with_capacity_in(2 * text.len(), arena);
    for c in text.chars() {
        if c.is_ascii() {
            marked.push(c);
            continue;
        }
        let mark = if locale.is_word(c.into()) { WORD } else { OTHER };
        marked.extend([mark, c, mark]);
    }
    marked.into_bump_str()
}
