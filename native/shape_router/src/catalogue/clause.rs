//! Clauses on disk: what many have in common is written once.
//!
//! A text is cut at its numbers and at what stands between quotes; the pieces around them are the
//! *frame*, which a million clauses `user_id = K` share. Putting the values back gives the very text,
//! whatever it means: nothing here knows SQL.

use lane_index::codec::{Bad, Input, put, put_bytes};
use std::fmt::Write;

/// The longest number that is written as one; without a leading zero, so that its digits come back.
const DIGITS: usize = 18;

/// A text, cut. Reused from one text to the next.
#[derive(Default)]
pub(super) struct Cut {
    /// How many pieces, and each with its length.
    pub frame: Vec<u8>,
    /// What goes between them.
    pub values: Vec<u8>,
    pieces: Vec<u8>,
}

impl Cut {
    /// Cuts a text.
    pub fn cut(&mut self, text: &str) {
        let bytes = text.as_bytes();
        self.pieces.clear();
        self.values.clear();
        let (mut count, mut from, mut at) = (1, 0, 0);
        while let Some(&byte) = bytes.get(at) {
            let (start, end, next) = if byte.is_ascii_digit() && !continues_a_word(bytes, at) {
                let end = at + length(&bytes[at..], |b| b.is_ascii_digit());
                (at, end, end)
            } else if byte == b'\'' {
                let start = at + 1;
                let end = start + length(&bytes[start..], |b| b != b'\'');
                // The quote that ends it begins nothing.
                (start, end, end + 1)
            } else {
                at += 1;
                continue;
            };
            put_bytes(&mut self.pieces, &bytes[from..start]);
            put_value(&mut self.values, &bytes[start..end]);
            count += 1;
            (from, at) = (end, next);
        }
        put_bytes(&mut self.pieces, &bytes[from..]);
        self.frame.clear();
        put(&mut self.frame, count);
        self.frame.extend_from_slice(&self.pieces);
    }
}

fn continues_a_word(bytes: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| bytes.get(before));
    before.is_some_and(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'$' | 0x80..))
}

fn length(bytes: &[u8], of: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|&byte| !of(byte)).unwrap_or(bytes.len())
}

fn put_value(out: &mut Vec<u8>, value: &[u8]) {
    let is_number = (1..=DIGITS).contains(&value.len())
        && value.iter().all(u8::is_ascii_digit)
        && (value[0] != b'0' || value.len() == 1);
    if is_number {
        put(out, value.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0')) << 1);
    } else {
        put(out, (value.len() as u64) << 1 | 1);
        out.extend_from_slice(value);
    }
}

/// The pieces of a text, as [`Cut::frame`] has them.
pub(super) fn frame<'a>(input: &mut Input<'a>) -> Result<Box<[&'a str]>, Bad> {
    let count = input.count(1)?;
    if count == 0 {
        return input.bad("a clause without a piece");
    }
    (0..count).map(|_| input.text()).collect()
}

/// Puts a text together in place of what is in `text`.
pub(super) fn join(frame: &[&str], input: &mut Input<'_>, text: &mut String) -> Result<(), Bad> {
    text.clear();
    let (first, rest) = frame.split_first().unwrap_or((&"", &[]));
    text.push_str(first);
    for piece in rest {
        let value = input.number()?;
        if value & 1 == 0 {
            // A string takes whatever is written.
            let _ = write!(text, "{}", value >> 1);
        } else {
            let length = usize::try_from(value >> 1).unwrap_or(usize::MAX);
            let bytes = input.take(length)?;
            match std::str::from_utf8(bytes) {
                Ok(value) => text.push_str(value),
                Err(_) => return input.bad("a value that is not UTF-8"),
            }
        }
        text.push_str(piece);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn back(text: &str) -> (String, Vec<u8>) {
        let mut cut = Cut::default();
        cut.cut("something = 'else'");
        cut.cut(text);
        let (mut frame_input, mut values) = (Input::new(&cut.frame), Input::new(&cut.values));
        let frame = frame(&mut frame_input).expect("a frame");
        let mut out = "left over".to_owned();
        join(&frame, &mut values, &mut out).expect("values");
        assert_eq!((frame_input.end(), values.end()), (Ok(()), Ok(())));
        (out, cut.frame)
    }

    proptest! {
        #[test]
        fn the_very_text_comes_back(text in "[a-c0-9'$_. é\\\\]{0,40}") {
            prop_assert_eq!(back(&text).0, text);
        }
    }

    #[test]
    fn clauses_that_differ_in_values_share_a_frame() {
        for (one, other) in [
            ("user_id = 1", "user_id = 999999999999999999"),
            ("name = 'a'", "name = 'it is longer, and é'"),
            ("a = 1 AND b IN (2, 3)", "a = 0 AND b IN (20, 007)"),
            ("price > 1.50", "price > 22.075"),
        ] {
            let (one, other) = (back(one), back(other));
            assert_eq!(one.1, other.1, "{} {}", one.0, other.0);
        }
        assert_ne!(back("c1 = 2").1, back("c2 = 2").1);
        assert_ne!(back("c = $1").1, back("c = $2").1);
    }
}
