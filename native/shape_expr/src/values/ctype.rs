//! Characters: lower and upper case, and the classes that patterns name.
//!
//! Under a locale of C.UTF-8 PostgreSQL asks the C library; under C (also the collation of `name`)
//! it knows ASCII only.

use bumpalo::Bump;

#[path = "ctype_tables.rs"]
mod tables;

use tables::{ALPHA, GRAPH, LOWER, TO_LOWER, TO_UPPER, UPPER};

/// Which characters have case and belong to classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Locale {
    /// C.UTF-8.
    Utf8,
    /// C and POSIX: ASCII alone.
    Ascii,
}

/// The last character there can be.
pub(crate) const LAST: u32 = 0x0010_ffff;

fn map(table: &[(u32, u32, u32, i32)], c: u32) -> u32 {
    let at = table.partition_point(|(_, last, ..)| *last < c);
    match table.get(at) {
        Some((first, _, step, add)) if *first <= c && (c - first).is_multiple_of(*step) => {
            c.wrapping_add_signed(*add)
        }
        _ => c,
    }
}

impl Locale {
    /// `towlower`.
    pub(crate) fn lower(self, c: u32) -> u32 {
        match (self, c) {
            (_, 0x41..=0x5a) => c + 32,
            (_, 0..=0x7f) | (Locale::Ascii, _) => c,
            (Locale::Utf8, _) => map(TO_LOWER, c),
        }
    }

    /// `towupper`.
    pub(crate) fn upper(self, c: u32) -> u32 {
        match (self, c) {
            (_, 0x61..=0x7a) => c - 32,
            (_, 0..=0x7f) | (Locale::Ascii, _) => c,
            (Locale::Utf8, _) => map(TO_UPPER, c),
        }
    }

    /// `iswalnum`.
    pub(crate) fn is_alnum(self, c: u32) -> bool {
        match (u8::try_from(c), self) {
            (Ok(byte), _) if byte < 0x80 => byte.is_ascii_alphanumeric(),
            (_, Locale::Ascii) => false,
            (_, Locale::Utf8) => within(ALPHA, c),
        }
    }

    /// Letters, digits and the underscore.
    pub(crate) fn is_word(self, c: u32) -> bool {
        c == u32::from(b'_') || self.is_alnum(c)
    }

    /// A class's characters as ranges, ascending.
    pub(crate) fn class(self, class: Class) -> Vec<(u32, u32)> {
        let mut ranges = match class {
            Class::Alpha => ALPHA.to_vec(),
            Class::Alnum => with(ALPHA, &[(0x30, 0x39)]),
            Class::Word => with(ALPHA, &[(0x30, 0x39), (0x5f, 0x5f)]),
            Class::Ascii => vec![(0, 0x7f)],
            Class::Blank => vec![(0x09, 0x09), (0x20, 0x20)],
            Class::Cntrl => vec![(0, 0x1f), (0x7f, 0x9f)],
            Class::Digit => vec![(0x30, 0x39)],
            Class::Graph => GRAPH.to_vec(),
            Class::Lower => stepped(LOWER),
            Class::Upper => stepped(UPPER),
            Class::Print => with(GRAPH, &PRINTED_SPACES),
            Class::Punct => without(GRAPH, &with(ALPHA, &[(0x30, 0x39)])),
            Class::Space => SPACES.to_vec(),
            Class::Xdigit => vec![(0x30, 0x39), (0x41, 0x46), (0x61, 0x66)],
        };
        // Control characters are written down in PostgreSQL, whatever the locale.
        if self == Locale::Ascii && class != Class::Cntrl {
            ranges.retain(|(first, _)| *first < 0x80);
            if let Some(range) = ranges.last_mut() {
                range.1 = range.1.min(0x7f);
            }
        }
        ranges
    }
}

/// The classes of regular expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Alnum,
    Alpha,
    Ascii,
    Blank,
    Cntrl,
    Digit,
    Graph,
    Lower,
    Print,
    Punct,
    Space,
    Upper,
    Word,
    Xdigit,
}

impl Class {
    /// By its name in `[[:name:]]`.
    pub(crate) fn by_name(name: &str) -> Option<Class> {
        Some(match name {
            "alnum" => Class::Alnum,
            "alpha" => Class::Alpha,
            "ascii" => Class::Ascii,
            "blank" => Class::Blank,
            "cntrl" => Class::Cntrl,
            "digit" => Class::Digit,
            "graph" => Class::Graph,
            "lower" => Class::Lower,
            "print" => Class::Print,
            "punct" => Class::Punct,
            "space" => Class::Space,
            "upper" => Class::Upper,
            "word" => Class::Word,
            "xdigit" => Class::Xdigit,
            _ => return None,
        })
    }
}

/// `iswspace`: no no-break spaces.
const SPACES: [(u32, u32); 8] = [
    (0x09, 0x0d),
    (0x20, 0x20),
    (0x1680, 0x1680),
    (0x2000, 0x2006),
    (0x2008, 0x200a),
    (0x2028, 0x2029),
    (0x205f, 0x205f),
    (0x3000, 0x3000),
];

/// What `iswprint` has beyond `iswgraph`.
const PRINTED_SPACES: [(u32, u32); 6] = [
    (0x20, 0x20),
    (0x1680, 0x1680),
    (0x2000, 0x2006),
    (0x2008, 0x200a),
    (0x205f, 0x205f),
    (0x3000, 0x3000),
];

fn within(ranges: &[(u32, u32)], c: u32) -> bool {
    let at = ranges.partition_point(|(_, last)| *last < c);
    ranges.get(at).is_some_and(|(first, _)| *first <= c)
}

fn with(ranges: &[(u32, u32)], more: &[(u32, u32)]) -> Vec<(u32, u32)> {
    normalise(ranges.iter().chain(more).copied().collect())
}

fn stepped(ranges: &[(u32, u32, u32)]) -> Vec<(u32, u32)> {
    let mut all = Vec::new();
    for &(first, last, step) in ranges {
        match step {
            1 => all.push((first, last)),
            _ => all.extend((first..=last).step_by(step as usize).map(|c| (c, c))),
        }
    }
    normalise(all)
}

/// Sorted, and what touches joined.
pub(crate) fn normalise(mut ranges: Vec<(u32, u32)>) -> Vec<(u32, u32)> {
    ranges.sort_unstable();
    let mut joined: Vec<(u32, u32)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match joined.last_mut() {
            Some(previous) if first <= previous.1.saturating_add(1) => {
                previous.1 = previous.1.max(last);
            }
            _ => joined.push((first, last)),
        }
    }
    joined
}

/// All characters outside these normalised ranges.
pub(crate) fn complement(ranges: &[(u32, u32)]) -> Vec<(u32, u32)> {
    let mut rest = Vec::with_capacity(ranges.len() + 1);
    let mut next = 0;
    for &(first, last) in ranges {
        if first > next {
            rest.push((next, first - 1));
        }
        next = last.saturating_add(1);
    }
    if next <= LAST {
        rest.push((next, LAST));
    }
    rest
}

/// Those of the first normalised ranges that are not in the second.
pub(crate) fn without(ranges: &[(u32, u32)], less: &[(u32, u32)]) -> Vec<(u32, u32)> {
    complement(&with(&complement(ranges), less))
}

/// Those in both.
pub(crate) fn common(a: &[(u32, u32)], b: &[(u32, u32)]) -> Vec<(u32, u32)> {
    without(a, &complement(b))
}

fn character(c: u32) -> char {
    char::from_u32(c).unwrap_or(char::REPLACEMENT_CHARACTER)
}

/// The longest that changing the case can make a text: no character of two bytes or more becomes
/// more than three, and none of one byte more than one.
pub(crate) fn case_bound(text: &str) -> usize {
    2 * text.len()
}

/// `lower(text)`: the text itself where nothing changes.
pub(crate) fn lower<'a>(locale: Locale, text: &'a str, arena: &'a Bump) -> &'a str {
    convert(text, arena, |c| locale.lower(c))
}

/// `upper(text)`.
pub(crate) fn upper<'a>(locale: Locale, text: &'a str, arena: &'a Bump) -> &'a str {
    convert(text, arena, |c| locale.upper(c))
}

fn convert<'a>(text: &'a str, arena: &'a Bump, to: impl Fn(u32) -> u32) -> &'a str {
    let first = text.char_indices().find(|(_, c)| to(u32::from(*c)) != u32::from(*c));
    let Some((at, _)) = first else { return text };
    let mut changed = bumpalo::collections::String::with_capacity_in(text.len() + 4, arena);
    changed.push_str(&text[..at]);
    changed.extend(text[at..].chars().map(|c| character(to(u32::from(c)))));
    changed.into_bump_str()
}

/// `lower(text)` as C.UTF-8 has it: what [`Access::Infix`](crate::Access::Infix) compares with.
///
/// ```
/// assert_eq!(shape_expr::lower_case("ÄBc"), "äbc");
/// ```
#[must_use]
pub fn lower_case(text: &str) -> std::borrow::Cow<'_, str> {
    let changes = |c: char| Locale::Utf8.lower(c.into()) != u32::from(c);
    match text.contains(changes) {
        false => text.into(),
        true => text.chars().map(|c| character(Locale::Utf8.lower(c.into()))).collect(),
    }
}

/// `initcap(text)`: the first of each run of letters and digits upper, the others lower.
pub(crate) fn initcap<'a>(locale: Locale, text: &'a str, arena: &'a Bump) -> &'a str {
    let mut changed = bumpalo::collections::String::with_capacity_in(text.len() + 4, arena);
    let mut inside = false;
    for c in text.chars() {
        let c = u32::from(c);
        let c = if inside { locale.lower(c) } else { locale.upper(c) };
        inside = locale.is_alnum(c);
        changed.push(character(c));
    }
    changed.into_bump_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_their_complements_cover_everything_once() {
        for class in [Class::Alpha, Class::Punct, Class::Lower, Class::Print, Class::Space] {
            let ranges = Locale::Utf8.class(class);
            assert!(ranges.windows(2).all(|pair| pair[0].1 + 1 < pair[1].0), "{class:?}");
            let rest = complement(&ranges);
            assert_eq!(normalise([ranges.clone(), rest.clone()].concat()), [(0, LAST)]);
            assert!(common(&ranges, &rest).is_empty());
        }
    }

    #[test]
    fn no_change_of_case_outgrows_its_bound() {
        for c in (0..=LAST).filter_map(char::from_u32) {
            for changed in [Locale::Utf8.lower(c.into()), Locale::Utf8.upper(c.into())] {
                let changed = char::from_u32(changed).expect("a character");
                assert!(changed.len_utf8() <= 2 * c.len_utf8(), "{c:?}");
            }
        }
    }

    #[test]
    fn ascii_knows_nothing_else() {
        let arena = Bump::new();
        assert_eq!(lower(Locale::Ascii, "ÄA", &arena), "Äa");
        assert_eq!(lower(Locale::Utf8, "ÄAİ", &arena), "äai");
        assert_eq!(initcap(Locale::Utf8, "hello wORLD-x1y éa", &arena), "Hello World-X1y Éa");
        assert_eq!(Locale::Ascii.class(Class::Alpha), [(0x41, 0x5a), (0x61, 0x7a)]);
    }
}
