//! jsonb's text form.

use bumpalo::Bump;
use bumpalo::collections::String as BumpString;

use super::json::{self, Json, Node};
use super::json_order::deep;
use super::numeric::Numeric;
use super::numeric_text;

/// At least as many bytes as the text has.
pub(crate) fn size(json: Json<'_>) -> usize {
    match json.node() {
        Node::Null | Node::Bool(_) => 5,
        Node::Number(n) => {
            let words = n.words();
            let n = Numeric::from_words(&words);
            n.scale() as usize + 4 * n.weight().max(0) as usize + 16
        }
        Node::String(bytes) => quoted_size(bytes),
        Node::Array(array) => deep(|| {
            array.iter().fold(2usize, |sum, item| sum.saturating_add(size(item)).saturating_add(2))
        }),
        Node::Object(object) => deep(|| {
            object.iter().fold(2usize, |sum, (key, value)| {
                sum.saturating_add(quoted_size(key)).saturating_add(size(value)).saturating_add(4)
            })
        }),
    }
}

fn quoted_size(bytes: &[u8]) -> usize {
    let escaped = bytes.iter().filter(|b| matches!(b, 0..0x20 | b'"' | b'\\')).count();
    2 + bytes.len() + 5 * escaped
}

/// jsonb_out.
pub(crate) fn output<'a>(json: Json<'_>, arena: &'a Bump) -> &'a str {
    let mut text = BumpString::with_capacity_in(json.bytes().len(), arena);
    write(json, &mut text);
    text.into_bump_str()
}

pub(crate) fn write(json: Json<'_>, text: &mut BumpString<'_>) {
    match json.node() {
        Node::Null => text.push_str("null"),
        Node::Bool(true) => text.push_str("true"),
        Node::Bool(false) => text.push_str("false"),
        Node::Number(n) => {
            // A string takes everything.
            let _ = numeric_text::write(Numeric::from_words(&n.words()), text);
        }
        Node::String(bytes) => quote(json::text(bytes), text),
        Node::Array(array) => {
            text.push('[');
            deep(|| {
                for (at, item) in array.iter().enumerate() {
                    if at > 0 {
                        text.push_str(", ");
                    }
                    write(item, text);
                }
            });
            text.push(']');
        }
        Node::Object(object) => {
            text.push('{');
            deep(|| {
                for (at, (key, value)) in object.iter().enumerate() {
                    if at > 0 {
                        text.push_str(", ");
                    }
                    quote(json::text(key), text);
                    text.push_str(": ");
                    write(value, text);
                }
            });
            text.push('}');
        }
    }
}

/// What a level of jsonb_pretty is indented by.
const INDENT: usize = 4;

/// At least as many bytes as [`pretty`] writes, inside so many levels.
pub(crate) fn pretty_size(json: Json<'_>, level: usize) -> usize {
    let line = (level + 1) * INDENT + 4;
    match json.node() {
        Node::Array(array) => deep(|| {
            array.iter().fold(line, |sum, item| {
                sum.saturating_add(pretty_size(item, level + 1)).saturating_add(line)
            })
        }),
        Node::Object(object) => deep(|| {
            object.iter().fold(line, |sum, (key, value)| {
                sum.saturating_add(quoted_size(key) + line)
                    .saturating_add(pretty_size(value, level + 1))
            })
        }),
        _ => size(json),
    }
}

/// jsonb_pretty.
pub(crate) fn pretty<'a>(json: Json<'_>, arena: &'a Bump) -> &'a str {
    let mut text = BumpString::with_capacity_in(2 * json.bytes().len(), arena);
    write_pretty(json, 0, &mut text);
    text.into_bump_str()
}

fn write_pretty(json: Json<'_>, level: usize, text: &mut BumpString<'_>) {
    let line = |level: usize, text: &mut BumpString<'_>| {
        text.push('\n');
        for _ in 0..level * INDENT {
            text.push(' ');
        }
    };
    match json.node() {
        Node::Array(array) => {
            text.push('[');
            deep(|| {
                for (at, item) in array.iter().enumerate() {
                    text.push_str(if at > 0 { "," } else { "" });
                    line(level + 1, text);
                    write_pretty(item, level + 1, text);
                }
            });
            line(level, text);
            text.push(']');
        }
        Node::Object(object) => {
            text.push('{');
            deep(|| {
                for (at, (key, value)) in object.iter().enumerate() {
                    text.push_str(if at > 0 { "," } else { "" });
                    line(level + 1, text);
                    quote(json::text(key), text);
                    text.push_str(": ");
                    write_pretty(value, level + 1, text);
                }
            });
            line(level, text);
            text.push('}');
        }
        _ => write(json, text),
    }
}

/// A string as JSON writes it.
pub(crate) fn quote(string: &str, text: &mut BumpString<'_>) {
    text.push('"');
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            c if c < ' ' => {
                text.push_str("\\u00");
                for digit in [c as u32 >> 4, c as u32 & 15] {
                    text.push(char::from_digit(digit, 16).unwrap_or('0'));
                }
            }
            c => text.push(c),
        }
    }
    text.push('"');
}
