//! Operators of the string types: patterns, concatenation, the order of bytes.

use super::{FunctionRow, Operator, functions, operators, wrong_kind};
use crate::constants::Const;
use crate::expr::{Function, Strategy};
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::ctype::Locale;
use crate::values::like::Unit;
use crate::values::pattern::{self, Pattern};
use crate::values::regex::{self, Flavor, Refused};
use crate::vm::Context;

use super::compare::{bpchars, texts};

/// The text operand, a bpchar with its blanks.
fn subject<'a>(value: &Value<'a>) -> Option<&'a str> {
    match value {
        Value::Text(text) | Value::Bpchar(text) => Some(text),
        _ => None,
    }
}

fn answer<'a>(found: Option<Result<bool, crate::error::EvalError>>, negated: bool) -> Eval<'a> {
    match found {
        Some(found) => Ok(Value::Bool(found? != negated)),
        None => wrong_kind(),
    }
}

fn like<'a>(context: &mut Context<'a>, args: &[Value<'a>], negated: bool) -> Eval<'a> {
    let [text, pattern] = args else { return wrong_kind() };
    let found = subject(text)
        .and_then(|s| pattern::like_value(context, s.as_bytes(), pattern, Unit::Character));
    answer(found, negated)
}

fn text_like<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    like(context, args, false)
}

fn text_not_like<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    like(context, args, true)
}

/// ILIKE and regular expressions: a function for C.UTF-8 and one for C, each with its negation.
macro_rules! matchers {
    ($($name:ident $negated:ident $ascii:ident $ascii_negated:ident = $matcher:ident $flavor:expr;)*) => {
        $(
            matchers!(@ $name $matcher (($flavor)(Locale::Utf8)) false);
            matchers!(@ $negated $matcher (($flavor)(Locale::Utf8)) true);
            matchers!(@ $ascii $matcher (($flavor)(Locale::Ascii)) false);
            matchers!(@ $ascii_negated $matcher (($flavor)(Locale::Ascii)) true);
        )*
    };
    (@ $name:ident $matcher:ident $flavor:tt $negated:literal) => {
        fn $name<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
            let [text, pattern] = args else { return wrong_kind() };
            let found = subject(text)
                .and_then(|text| pattern::$matcher(context, text, pattern, $flavor));
            answer(found, $negated)
        }
    };
}

const fn plain(locale: Locale) -> Flavor {
    let options = regex::Options {
        expanded: false,
        quoted: false,
        newline_stops: false,
        newline_anchors: false,
    };
    Flavor { ignore_case: false, locale, options, groups: false }
}

const fn sensitive(locale: Locale) -> Flavor {
    Flavor { ignore_case: false, ..plain(locale) }
}

const fn insensitive(locale: Locale) -> Flavor {
    Flavor { ignore_case: true, ..plain(locale) }
}

matchers! {
    ilike not_ilike ilike_ascii not_ilike_ascii = ilike_value std::convert::identity;
    regex not_regex regex_ascii not_regex_ascii = regex_value sensitive;
    iregex not_iregex iregex_ascii not_iregex_ascii = regex_value insensitive;
}

/// What a pattern operator does with a constant pattern, by its name.
#[derive(Clone, Copy)]
enum Matcher {
    Like,
    ILike(Locale),
    Regex(Flavor),
}

/// The name under which a function answers for C instead of C.UTF-8, and that function.
pub(crate) fn under_c(function: &Function) -> Option<Function> {
    let (name, implementation): (_, crate::program::Implementation) = match function.name {
        "~~*" => ("~~* (C)", ilike_ascii),
        "!~~*" => ("!~~* (C)", not_ilike_ascii),
        "~" => ("~ (C)", regex_ascii),
        "!~" => ("!~ (C)", not_regex_ascii),
        "~*" => ("~* (C)", iregex_ascii),
        "!~*" => ("!~* (C)", not_iregex_ascii),
        name => {
            let found = super::strings::under_c(name, function);
            return found.or_else(|| super::regexps::under_c(function));
        }
    };
    Some(Function { name, implementation, ..function.clone() })
}

/// Does the answer depend on which characters are letters or have case?
pub(crate) fn depends_on_case(function: &Function) -> bool {
    under_c(function).is_some()
}

/// A pattern operator's constant pattern, prepared.
pub(crate) fn prepare(
    function: &Function,
    arguments: &[Option<&Const>],
) -> Option<Result<Pattern, Refused>> {
    let [_, Some(pattern)] = arguments else { return super::regexps::prepare(function, arguments) };
    if function.result != Type::Bool || function.strategy != Strategy::Plain {
        return super::regexps::prepare(function, arguments);
    }
    let matcher = match function.name {
        "~~" | "!~~" | "like" | "notlike" => Matcher::Like,
        "~~*" | "!~~*" => Matcher::ILike(Locale::Utf8),
        "~~* (C)" | "!~~* (C)" => Matcher::ILike(Locale::Ascii),
        "~" | "!~" => Matcher::Regex(sensitive(Locale::Utf8)),
        "~ (C)" | "!~ (C)" => Matcher::Regex(sensitive(Locale::Ascii)),
        "~*" | "!~*" => Matcher::Regex(insensitive(Locale::Utf8)),
        "~* (C)" | "!~* (C)" => Matcher::Regex(insensitive(Locale::Ascii)),
        _ => return super::regexps::prepare(function, arguments),
    };
    match (matcher, pattern) {
        (Matcher::Like, Const::Text(text)) => {
            Some(Ok(Pattern::like(text.as_bytes(), Unit::Character)))
        }
        (Matcher::Like, Const::Bytes(bytes)) => Some(Ok(Pattern::like(bytes, Unit::Byte))),
        (Matcher::ILike(locale), Const::Text(text)) => Some(Ok(Pattern::ilike(text, locale))),
        (Matcher::Regex(flavor), Const::Text(text)) => Some(Pattern::regex(text, flavor)),
        _ => None,
    }
}

fn starts_with<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Text(text), Value::Text(start)] => Ok(Value::Bool(text.starts_with(start))),
        _ => wrong_kind(),
    }
}

/// `||`; another type's operand has been cast to text.
fn concatenate<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Text(a), Value::Text(b)] => super::strings::join(context, &[a, b]),
        _ => wrong_kind(),
    }
}

pub(super) static OPERATORS: &[&[Operator]] = &[operators! {
    Text "~~" Text -> Bool = text_like;
    Text "!~~" Text -> Bool = text_not_like;
    Name "~~" Text -> Bool = text_like;
    Name "!~~" Text -> Bool = text_not_like;
    Bpchar "~~" Text -> Bool = text_like;
    Bpchar "!~~" Text -> Bool = text_not_like;
    Text "~~*" Text -> Bool = ilike;
    Text "!~~*" Text -> Bool = not_ilike;
    Name "~~*" Text -> Bool = ilike;
    Name "!~~*" Text -> Bool = not_ilike;
    Bpchar "~~*" Text -> Bool = ilike;
    Bpchar "!~~*" Text -> Bool = not_ilike;
    Text "~" Text -> Bool = regex;
    Text "!~" Text -> Bool = not_regex;
    Name "~" Text -> Bool = regex;
    Name "!~" Text -> Bool = not_regex;
    Bpchar "~" Text -> Bool = regex;
    Bpchar "!~" Text -> Bool = not_regex;
    Text "~*" Text -> Bool = iregex;
    Text "!~*" Text -> Bool = not_iregex;
    Name "~*" Text -> Bool = iregex;
    Name "!~*" Text -> Bool = not_iregex;
    Bpchar "~*" Text -> Bool = iregex;
    Bpchar "!~*" Text -> Bool = not_iregex;
    Text "^@" Text -> Bool = starts_with;
    Text "||" Text -> Text = concatenate;
    Text "||" AnyNonArray -> Text = concatenate;
    AnyNonArray "||" Text -> Text = concatenate;
    Text "~<~" Text -> Bool = texts::lt;
    Text "~<=~" Text -> Bool = texts::le;
    Text "~>~" Text -> Bool = texts::gt;
    Text "~>=~" Text -> Bool = texts::ge;
    Bpchar "~<~" Bpchar -> Bool = bpchars::lt;
    Bpchar "~<=~" Bpchar -> Bool = bpchars::le;
    Bpchar "~>~" Bpchar -> Bool = bpchars::gt;
    Bpchar "~>=~" Bpchar -> Bool = bpchars::ge;
}];

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    starts_with(Text, Text) -> Bool = starts_with;
    textcat(Text, Text) -> Text = concatenate;
};
