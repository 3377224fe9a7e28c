//! Functions that tell where a regular expression matches, and take or replace what it matches.

use std::ops::Deref;
use std::sync::Arc;

use bumpalo::collections::{String as BumpString, Vec as BumpVec};

use super::{FunctionRow, functions, wrong_kind};
use crate::constants::Const;
use crate::error::{EvalError, Raise};
use crate::expr::Function;
use crate::program::Implementation;
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::array::Array;
use crate::values::ctype::Locale;
use crate::values::pattern::{self, Pattern};
use crate::values::regex::{self, Flags, Flavor, Place, Refused, Regex, Search};
use crate::vm::Context;

const BAD_PARAMETER: EvalError = EvalError::new(Raise::InvalidParameter);

/// The name of `substring(text, pattern)`, whose own name other functions have too.
const SUBSTRING: &str = "substring by regex";

/// Functions and which of their arguments are flags, by how many they have.
const NAMES: [(&str, &str); 8] = [
    (SUBSTRING, "substring by regex (C)"),
    ("regexp_like", "regexp_like (C)"),
    ("regexp_match", "regexp_match (C)"),
    ("regexp_count", "regexp_count (C)"),
    ("regexp_instr", "regexp_instr (C)"),
    ("regexp_substr", "regexp_substr (C)"),
    ("regexp_replace", "regexp_replace (C)"),
    ("regexp_split_to_array", "regexp_split_to_array (C)"),
];

/// What a function is called in a program.
pub(super) fn own_name(row: &FunctionRow) -> &'static str {
    match (row.name, row.args) {
        ("substring", [Type::Text, Type::Text]) => SUBSTRING,
        _ => row.name,
    }
}

/// Which argument says how the expression is meant, if this many are given.
fn flags_at(name: &str, arguments: usize) -> Option<usize> {
    let at = match (name, arguments) {
        ("regexp_like" | "regexp_match" | "regexp_split_to_array", _) => 2,
        ("regexp_count", _) => 3,
        ("regexp_substr", _) => 4,
        ("regexp_instr", _) => 5,
        // With four, the last says where to begin or what the flags are.
        ("regexp_replace", 4) => 3,
        ("regexp_replace", _) => 5,
        _ => return None,
    };
    (at < arguments).then_some(at)
}

/// The function that answers for C instead of C.UTF-8.
pub(super) fn under_c(function: &Function) -> Option<Function> {
    let (_, name) = NAMES.iter().find(|(name, _)| *name == function.name)?;
    let implementation: Implementation = match function.name {
        SUBSTRING => substring::<true>,
        "regexp_like" => like::<true>,
        "regexp_match" => first::<true>,
        "regexp_count" => count::<true>,
        "regexp_instr" => instr::<true>,
        "regexp_substr" => nth::<true>,
        "regexp_replace" => replace::<true>,
        _ => split::<true>,
    };
    Some(Function { name, implementation, ..function.clone() })
}

/// A constant expression, compiled for one of these functions. `arguments` are those that are known.
pub(super) fn prepare(
    function: &Function,
    arguments: &[Option<&Const>],
) -> Option<Result<Pattern, Refused>> {
    let (plain, under_c) =
        NAMES.iter().find(|(plain, under_c)| [*plain, *under_c].contains(&function.name))?;
    let locale = if function.name == *under_c { Locale::Ascii } else { Locale::Utf8 };
    let Some(Const::Text(pattern)) = arguments.get(1)? else { return None };
    let flags = match flags_at(plain, arguments.len()).map(|at| arguments[at]) {
        None => Flags::default(),
        Some(Some(Const::Text(flags))) => regex::flags(flags).ok()?,
        Some(Some(Const::Int(_))) => Flags::default(),
        Some(_) => return None,
    };
    match flags.refused {
        Some(Refused::Invalid) => None,
        Some(refused) => Some(Err(refused)),
        None => Some(Pattern::regex(pattern, flavor(flags, locale, *plain != "regexp_like"))),
    }
}

fn flavor(flags: Flags, locale: Locale, groups: bool) -> Flavor {
    Flavor { ignore_case: flags.ignore_case, locale, options: flags.options, groups }
}

const fn locale(c: bool) -> Locale {
    if c { Locale::Ascii } else { Locale::Utf8 }
}

/// A constant's expression, or one that a row's value is.
enum Held<'a> {
    Constant(&'a Regex),
    OfRow(Arc<Regex>),
}

impl Deref for Held<'_> {
    type Target = Regex;

    fn deref(&self) -> &Regex {
        match self {
            Held::Constant(regex) => regex,
            Held::OfRow(regex) => regex,
        }
    }
}

fn compiled<'a>(
    context: &mut Context<'a>,
    pattern: &Value<'a>,
    flags: Flags,
    locale: Locale,
) -> Result<Held<'a>, EvalError> {
    match pattern {
        Value::Pattern(pattern) => pattern.as_regex().map(Held::Constant),
        Value::Text(text) => {
            if let Some(refused) = flags.refused {
                return Err(EvalError::new(refused.raise()));
            }
            pattern::compile(context, text, flavor(flags, locale, true)).map(Held::OfRow)
        }
        _ => Err(EvalError::new(Raise::NotSupported)),
    }
}

/// The flags, of which `g` may not be one.
fn flags_without_global(text: &str) -> Result<Flags, EvalError> {
    let flags = regex::flags(text)?;
    if flags.global { Err(BAD_PARAMETER) } else { Ok(flags) }
}

fn search<'r, 'a>(
    context: &mut Context<'a>,
    regex: &'r Regex,
    text: &'a str,
    locale: Locale,
) -> Result<Search<'r, 'a>, EvalError> {
    let search = Search::new(context, regex, text, locale)?;
    search.ok_or(EvalError::new(Raise::NotSupported))
}

/// Room for the whole match and so many groups.
type Found = smallvec::SmallVec<[Option<Place>; 10]>;

fn room(groups: usize) -> Found {
    Found::from_elem(None, groups + 1)
}

/// Where to look for what comes after a match.
fn after(place: Place) -> usize {
    place.end + usize::from(place.start == place.end)
}

/// `substring(text, pattern)`: the first group, or the whole where there are none.
fn substring<'a, const C: bool>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), pattern] = args else { return wrong_kind() };
    let regex = compiled(context, pattern, Flags::default(), locale(C))?;
    let mut search = search(context, &regex, text, locale(C))?;
    let mut found = room(search.count().min(1));
    search.find(context, 0, &mut found)?;
    Ok(text_of(&search, found.last().copied().flatten()))
}

fn text_of<'a>(search: &Search<'_, 'a>, place: Option<Place>) -> Value<'a> {
    place.map_or(Value::Null, |place| Value::Text(search.slice(place)))
}

/// `regexp_like(text, pattern, flags)`.
fn like<'a, const C: bool>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), pattern, rest @ ..] = args else { return wrong_kind() };
    let flags = match rest {
        [] => Flags::default(),
        [Value::Text(flags)] => flags_without_global(flags)?,
        _ => return wrong_kind(),
    };
    if let (Some(refused), Value::Text(_)) = (flags.refused, pattern) {
        return Err(EvalError::new(refused.raise()));
    }
    let flavor = flavor(flags, locale(C), false);
    match pattern::regex_value(context, text, pattern, flavor) {
        Some(found) => Ok(Value::Bool(found?)),
        None => wrong_kind(),
    }
}

/// `regexp_match(text, pattern[, flags])`.
fn first<'a, const C: bool>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let (text, pattern, flags) = match args {
        [Value::Text(text), pattern] => (text, pattern, Flags::default()),
        [Value::Text(text), pattern, Value::Text(flags)] => {
            (text, pattern, flags_without_global(flags)?)
        }
        _ => return wrong_kind(),
    };
    let regex = compiled(context, pattern, flags, locale(C))?;
    let mut search = search(context, &regex, text, locale(C))?;
    let mut found = room(search.count());
    if !search.find(context, 0, &mut found)? {
        return Ok(Value::Null);
    }
    // The groups, or the whole where there are none.
    let shown = &found[found.len().min(2) - 1..];
    context.reserve(64 + size_of_val(shown))?;
    let items = shown.iter().map(|place| text_of(&search, *place));
    let items = context.arena().alloc_slice_fill_iter(items);
    Ok(Value::Array(Array::list(context.arena(), items)))
}

/// A number that must not be less than `least`.
fn at_least(least: i64, value: Option<&Value<'_>>, default: i64) -> Result<usize, EvalError> {
    match value {
        None => Ok(default as usize),
        Some(Value::Int(i)) if *i >= least => Ok(*i as usize),
        Some(_) => Err(BAD_PARAMETER),
    }
}

fn flags_among(args: &[Value<'_>], at: usize) -> Result<Flags, EvalError> {
    match args.get(at) {
        Some(Value::Text(flags)) => flags_without_global(flags),
        _ => Ok(Flags::default()),
    }
}

/// `regexp_count(text, pattern[, start[, flags]])`.
fn count<'a, const C: bool>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), pattern, rest @ ..] = args else { return wrong_kind() };
    let start = at_least(1, rest.first(), 1)?;
    let flags = flags_among(args, 3)?;
    let regex = compiled(context, pattern, flags, locale(C))?;
    let mut search = search(context, &regex, text, locale(C))?;
    let (mut from, mut count, mut found) = (start - 1, 0, room(0));
    while search.find(context, from, &mut found)? {
        count += 1;
        from = found[0].map_or(usize::MAX, after);
    }
    Ok(Value::Int(count))
}

/// The `n`th match from `start` on, or one of its groups. The whole is also the first group of an
/// expression without any.
fn nth_place<'a>(
    context: &mut Context<'a>,
    search: &mut Search<'_, 'a>,
    (start, n, group): (usize, usize, usize),
) -> Result<Option<Place>, EvalError> {
    let groups = if group > 0 { search.count() } else { 0 };
    let (mut from, mut found) = (start - 1, room(groups));
    for _ in 0..n {
        if !search.find(context, from, &mut found)? {
            return Ok(None);
        }
        from = found[0].map_or(usize::MAX, after);
    }
    Ok(match (groups, group) {
        (0, 0 | 1) => found[0],
        (0, _) => None,
        (_, group) => found.get(group).copied().flatten(),
    })
}

/// `regexp_instr(text, pattern[, start[, n[, end[, flags[, group]]]]])`.
fn instr<'a, const C: bool>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), pattern, rest @ ..] = args else { return wrong_kind() };
    let start = at_least(1, rest.first(), 1)?;
    let n = at_least(1, rest.get(1), 1)?;
    let end = at_least(0, rest.get(2), 0)?;
    if end > 1 {
        return Err(BAD_PARAMETER);
    }
    let group = at_least(0, rest.get(4), 0)?;
    let flags = flags_among(args, 5)?;
    let regex = compiled(context, pattern, flags, locale(C))?;
    let mut search = search(context, &regex, text, locale(C))?;
    let found = nth_place(context, &mut search, (start, n, group))?;
    let at = found.map_or(0, |place| 1 + if end == 1 { place.end } else { place.start });
    Ok(Value::Int(at as i64))
}

/// `regexp_substr(text, pattern[, start[, n[, flags[, group]]]])`.
fn nth<'a, const C: bool>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), pattern, rest @ ..] = args else { return wrong_kind() };
    let start = at_least(1, rest.first(), 1)?;
    let n = at_least(1, rest.get(1), 1)?;
    let group = at_least(0, rest.get(3), 0)?;
    let flags = flags_among(args, 4)?;
    let regex = compiled(context, pattern, flags, locale(C))?;
    let mut search = search(context, &regex, text, locale(C))?;
    let found = nth_place(context, &mut search, (start, n, group))?;
    Ok(text_of(&search, found))
}

/// `regexp_replace(text, pattern, new[, flags])` and `(text, pattern, new, start[, n[, flags]])`.
fn replace<'a, const C: bool>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), pattern, Value::Text(new), rest @ ..] = args else {
        return wrong_kind();
    };
    let (start, n, flags) = match rest {
        [] => (1, None, Flags::default()),
        [Value::Text(flags)] => {
            // Meant as a place to start, with the wrong type.
            if flags.starts_with(|c: char| c.is_ascii_digit()) {
                return Err(BAD_PARAMETER);
            }
            (1, None, regex::flags(flags)?)
        }
        [start, rest @ ..] => {
            let start = at_least(1, Some(start), 1)?;
            let n = rest.first().map(|n| at_least(0, Some(n), 0)).transpose()?;
            let flags = match rest.get(1) {
                Some(Value::Text(flags)) => regex::flags(flags)?,
                _ => Flags::default(),
            };
            (start, n, flags)
        }
    };
    // The flag counts only where no number is given; 0 is all of them.
    let n = n.unwrap_or(usize::from(!flags.global));
    let regex = compiled(context, pattern, flags, locale(C))?;
    let mut search = search(context, &regex, text, locale(C))?;
    let asks = new.as_bytes().windows(2).any(|pair| matches!(pair, [b'\\', b'1'..=b'9']));
    let mut found = room(if asks { search.count() } else { 0 });
    let mut result = BumpString::new_in(context.arena());
    let (mut from, mut kept, mut matches) = (start - 1, 0, 0);
    while search.find(context, from, &mut found)? {
        let Some(whole) = found[0] else { break };
        matches += 1;
        from = after(whole);
        if n > 0 && matches != n {
            continue;
        }
        let before = search.slice(Place { start: kept, end: whole.start });
        context.reserve(before.len())?;
        result.push_str(before);
        put(context, &mut result, new, &search, &found)?;
        kept = whole.end;
        if n > 0 {
            break;
        }
    }
    let rest = search.slice(Place { start: kept, end: search.len() });
    context.reserve(rest.len())?;
    result.push_str(rest);
    Ok(Value::Text(result.into_bump_str()))
}

/// The new text, with what its escapes stand for.
fn put<'a>(
    context: &mut Context<'a>,
    result: &mut BumpString<'a>,
    new: &str,
    search: &Search<'_, 'a>,
    found: &[Option<Place>],
) -> Result<(), EvalError> {
    context.reserve(new.len())?;
    let mut rest = new;
    while let Some(at) = rest.find('\\') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let group = match rest.as_bytes().first() {
            Some(digit @ b'1'..=b'9') => usize::from(digit - b'0'),
            Some(b'&') => 0,
            next => {
                result.push('\\');
                // A doubled one is one; before anything else it stands for itself.
                if next == Some(&b'\\') {
                    rest = &rest[1..];
                }
                continue;
            }
        };
        rest = &rest[1..];
        if let Some(place) = found.get(group).copied().flatten() {
            let part = search.slice(place);
            context.reserve(part.len())?;
            result.push_str(part);
        }
    }
    result.push_str(rest);
    Ok(())
}

/// `regexp_split_to_array(text, pattern[, flags])`.
fn split<'a, const C: bool>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text), pattern, ..] = args else { return wrong_kind() };
    let flags = flags_among(args, 2)?;
    let regex = compiled(context, pattern, flags, locale(C))?;
    let mut search = search(context, &regex, text, locale(C))?;
    let last = search.len();
    let mut items: BumpVec<'a, Value<'a>> = BumpVec::new_in(context.arena());
    let (mut from, mut kept, mut before, mut found) = (0, 0, 0, room(0));
    while search.find(context, from, &mut found)? {
        let Some(whole) = found[0] else { break };
        from = after(whole);
        // Empty matches at either end, or right after another match, separate nothing.
        if whole.start < last && whole.end > before {
            context.reserve(2 * size_of::<Value<'_>>())?;
            items.push(Value::Text(search.slice(Place { start: kept, end: whole.start })));
            kept = whole.end;
        }
        before = whole.end;
    }
    context.reserve(64 + 2 * size_of::<Value<'_>>())?;
    items.push(Value::Text(search.slice(Place { start: kept, end: last })));
    Ok(Value::Array(Array::list(context.arena(), items.into_bump_slice())))
}

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    substring(Text, Text) -> Text = substring::<false>;
    // The resolver makes the form above of it.
    substring(Text, Text, Text) -> Text = super::unsupported;
    regexp_like(Text, Text) -> Bool = like::<false>;
    regexp_like(Text, Text, Text) -> Bool = like::<false>;
    regexp_match(Text, Text) -> TEXT_ARRAY = first::<false>;
    regexp_match(Text, Text, Text) -> TEXT_ARRAY = first::<false>;
    regexp_count(Text, Text) -> Int4 = count::<false>;
    regexp_count(Text, Text, Int4) -> Int4 = count::<false>;
    regexp_count(Text, Text, Int4, Text) -> Int4 = count::<false>;
    regexp_instr(Text, Text) -> Int4 = instr::<false>;
    regexp_instr(Text, Text, Int4) -> Int4 = instr::<false>;
    regexp_instr(Text, Text, Int4, Int4) -> Int4 = instr::<false>;
    regexp_instr(Text, Text, Int4, Int4, Int4) -> Int4 = instr::<false>;
    regexp_instr(Text, Text, Int4, Int4, Int4, Text) -> Int4 = instr::<false>;
    regexp_instr(Text, Text, Int4, Int4, Int4, Text, Int4) -> Int4 = instr::<false>;
    regexp_substr(Text, Text) -> Text = nth::<false>;
    regexp_substr(Text, Text, Int4) -> Text = nth::<false>;
    regexp_substr(Text, Text, Int4, Int4) -> Text = nth::<false>;
    regexp_substr(Text, Text, Int4, Int4, Text) -> Text = nth::<false>;
    regexp_substr(Text, Text, Int4, Int4, Text, Int4) -> Text = nth::<false>;
    regexp_replace(Text, Text, Text) -> Text = replace::<false>;
    regexp_replace(Text, Text, Text, Text) -> Text = replace::<false>;
    regexp_replace(Text, Text, Text, Int4) -> Text = replace::<false>;
    regexp_replace(Text, Text, Text, Int4, Int4) -> Text = replace::<false>;
    regexp_replace(Text, Text, Text, Int4, Int4, Text) -> Text = replace::<false>;
    regexp_split_to_array(Text, Text) -> TEXT_ARRAY = split::<false>;
    regexp_split_to_array(Text, Text, Text) -> TEXT_ARRAY = split::<false>;
};
