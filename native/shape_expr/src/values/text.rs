//! text, varchar, name, bpchar: bytes, and the blanks that do or do not count.

/// Without the trailing blanks, which bpchar's equality does not see.
#[inline]
pub(crate) fn trim_blanks(text: &str) -> &str {
    text.trim_end_matches(' ')
}

/// C's `isspace`: what PostgreSQL's input functions skip.
pub(crate) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)
}

/// Without the white space around, as most input functions skip it.
pub(crate) fn trim_space(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_ascii() && is_space(c as u8))
}

/// The longest beginning of at most `bytes` bytes that does not cut a character.
pub(crate) fn clip(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A name has at most 63 bytes.
pub(crate) fn clip_name(text: &str) -> &str {
    clip(text, 63)
}

/// The first `count` characters, and whether anything follows.
pub(crate) fn split_characters(text: &str, count: usize) -> (&str, &str) {
    if text.len() <= count {
        return (text, "");
    }
    match text.char_indices().nth(count) {
        Some((at, _)) => text.split_at(at),
        None => (text, ""),
    }
}
