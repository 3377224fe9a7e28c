//! Unicode normalisation, of the version PostgreSQL 15 knows.

use unicode_normalization::UnicodeNormalization;

use super::{FunctionRow, functions, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::value::{Eval, Value};
use crate::vm::Context;

/// Characters that got a combining class, a decomposition or a part in one after Unicode 14. To
/// PostgreSQL 15 they are characters like any other, at which a text can be divided: they neither
/// move nor join what is beside them.
const LATER: &[(char, char)] = &[
    ('\u{558}', '\u{558}'),
    ('\u{58b}', '\u{58c}'),
    ('\u{5c8}', '\u{5c9}'),
    ('\u{897}', '\u{897}'),
    ('\u{1acf}', '\u{1af0}'),
    ('\u{209d}', '\u{209f}'),
    ('\u{a7f1}', '\u{a7f1}'),
    ('\u{105c9}', '\u{105c9}'),
    ('\u{105d2}', '\u{105d2}'),
    ('\u{105da}', '\u{105da}'),
    ('\u{105e4}', '\u{105e4}'),
    ('\u{107bb}', '\u{107bf}'),
    ('\u{10d69}', '\u{10d6d}'),
    ('\u{10ecb}', '\u{10ecf}'),
    ('\u{10ef0}', '\u{10efb}'),
    ('\u{10efd}', '\u{10eff}'),
    ('\u{11382}', '\u{11385}'),
    ('\u{1138b}', '\u{1138b}'),
    ('\u{1138e}', '\u{1138e}'),
    ('\u{11390}', '\u{11391}'),
    ('\u{113b8}', '\u{113b8}'),
    ('\u{113bb}', '\u{113bb}'),
    ('\u{113c2}', '\u{113c2}'),
    ('\u{113c5}', '\u{113c5}'),
    ('\u{113c7}', '\u{113c9}'),
    ('\u{113ce}', '\u{113d0}'),
    ('\u{11f41}', '\u{11f42}'),
    ('\u{1611e}', '\u{16129}'),
    ('\u{1612f}', '\u{1612f}'),
    ('\u{16d63}', '\u{16d63}'),
    ('\u{16d67}', '\u{16d6a}'),
    ('\u{1b123}', '\u{1b126}'),
    ('\u{1ccd6}', '\u{1ccf9}'),
    ('\u{1d127}', '\u{1d128}'),
    ('\u{1d250}', '\u{1d252}'),
    ('\u{1d25b}', '\u{1d25c}'),
    ('\u{1d25f}', '\u{1d25f}'),
    ('\u{1d280}', '\u{1d281}'),
    ('\u{1d6a6}', '\u{1d6a6}'),
    ('\u{1df2b}', '\u{1df2c}'),
    ('\u{1df3e}', '\u{1df3f}'),
    ('\u{1df50}', '\u{1df50}'),
    ('\u{1df57}', '\u{1df59}'),
    ('\u{1df95}', '\u{1df95}'),
    ('\u{1dfcd}', '\u{1dfff}'),
    ('\u{1e030}', '\u{1e06d}'),
    ('\u{1e08f}', '\u{1e08f}'),
    ('\u{1e4ec}', '\u{1e4ef}'),
    ('\u{1e5ee}', '\u{1e5ef}'),
    ('\u{1e6e3}', '\u{1e6e3}'),
    ('\u{1e6e6}', '\u{1e6e6}'),
    ('\u{1e6ee}', '\u{1e6ef}'),
    ('\u{1e6f5}', '\u{1e6f5}'),
];

fn is_later(c: char) -> bool {
    let at = LATER.partition_point(|(_, last)| *last < c);
    LATER.get(at).is_some_and(|(first, _)| *first <= c)
}

#[derive(Clone, Copy)]
enum Form {
    Composed,
    Decomposed,
    CompatiblyComposed,
    CompatiblyDecomposed,
}

impl Form {
    fn by_name(name: &str) -> Result<Form, EvalError> {
        let forms = [
            ("NFC", Form::Composed),
            ("NFD", Form::Decomposed),
            ("NFKC", Form::CompatiblyComposed),
            ("NFKD", Form::CompatiblyDecomposed),
        ];
        let found = forms.into_iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, form)| form).ok_or(EvalError::new(Raise::InvalidParameter))
    }

    /// Gives the characters of the normal form to `take`, until that says no.
    fn each(self, text: &str, take: &mut dyn FnMut(char) -> bool) -> bool {
        text.split_inclusive(is_later).all(|part| {
            let later = part.chars().next_back().filter(|c| is_later(*c));
            let part = &part[..part.len() - later.map_or(0, char::len_utf8)];
            let goes_on = match self {
                Form::Composed => part.nfc().all(&mut *take),
                Form::Decomposed => part.nfd().all(&mut *take),
                Form::CompatiblyComposed => part.nfkc().all(&mut *take),
                Form::CompatiblyDecomposed => part.nfkd().all(&mut *take),
            };
            goes_on && later.is_none_or(&mut *take)
        })
    }
}

/// A text without marks of its own is in every form already.
fn is_plain(text: &str) -> bool {
    text.is_ascii()
}

fn normalize<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), Value::Text(form)] = args else { return wrong_kind() };
    let form = Form::by_name(form)?;
    context.charge(1 + text.len() as u64 / 16)?;
    if is_plain(text) {
        return Ok(Value::Text(text));
    }
    context.charge(text.len() as u64 / 2)?;
    let mut size = 0;
    form.each(text, &mut |c| {
        size += c.len_utf8();
        true
    });
    context.reserve(size)?;
    let mut normal = bumpalo::collections::String::with_capacity_in(size, context.arena());
    form.each(text, &mut |c| {
        normal.push(c);
        true
    });
    Ok(Value::Text(normal.into_bump_str()))
}

fn is_normalized<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), Value::Text(form)] = args else { return wrong_kind() };
    let form = Form::by_name(form)?;
    context.charge(1 + text.len() as u64 / 16)?;
    if is_plain(text) {
        return Ok(Value::Bool(true));
    }
    context.charge(text.len() as u64 / 2)?;
    let mut rest = text.chars();
    let same = form.each(text, &mut |c| rest.next() == Some(c));
    Ok(Value::Bool(same && rest.next().is_none()))
}

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    normalize(Text, Text) -> Text = normalize;
    is_normalized(Text, Text) -> Bool = is_normalized;
};
