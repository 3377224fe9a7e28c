//! `format`, and the functions that quote as SQL does.

use super::{FunctionRow, functions, wrong_kind};
use crate::error::{EvalError, Raise};
use crate::expr::Volatility;
use crate::types::Type;
use crate::value::{Eval, Value};
use crate::values::int::{self, Width};
use crate::values::strings;
use crate::vm::Context;

type Text<'a> = bumpalo::collections::String<'a>;

const BAD_PARAMETER: EvalError = EvalError::new(Raise::InvalidParameter);
const OUT_OF_RANGE: EvalError = EvalError::new(Raise::OutOfRange);

/// A text may be no longer than this.
const LARGEST: i64 = 0x3fff_ffff - 4;

/// Keywords that are no names unless they are quoted, ascending.
const KEYWORDS: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

/// An identifier, quoted where it must be.
fn quote_identifier<'a>(context: &mut Context<'a>, text: &'a str) -> Result<&'a str, EvalError> {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_';
    let safe = text.starts_with(plain)
        && text.chars().all(|c| plain(c) || c.is_ascii_digit())
        && KEYWORDS.binary_search(&text).is_err();
    if safe {
        return Ok(text);
    }
    context.reserve(2 * text.len() + 2)?;
    let mut quoted = Text::with_capacity_in(2 * text.len() + 2, context.arena());
    quoted.push('"');
    for c in text.chars() {
        if c == '"' {
            quoted.push(c);
        }
        quoted.push(c);
    }
    quoted.push('"');
    Ok(quoted.into_bump_str())
}

fn quote_ident<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text)] = args else { return wrong_kind() };
    quote_identifier(context, text).map(Value::Text)
}

fn quoted<'a>(context: &mut Context<'a>, text: &str) -> Result<&'a str, EvalError> {
    context.reserve(2 * text.len() + 4)?;
    Ok(strings::quote_literal(text, context.arena()))
}

fn quote_literal<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    let [Value::Text(text)] = args else { return wrong_kind() };
    quoted(context, text).map(Value::Text)
}

fn quote_nullable<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    match args {
        [Value::Null] => Ok(Value::Text("NULL")),
        [Value::Text(text)] => quoted(context, text).map(Value::Text),
        [Value::Unknown | Value::Opaque | Value::Maybe(_)] => Ok(Value::Unknown),
        _ => wrong_kind(),
    }
}

/// What stands between `%` and the letter.
#[derive(Default)]
struct Specifier {
    /// The argument's number, if it is written.
    argument: Option<usize>,
    /// The number of the argument that is the width, 0 for the next one.
    width_argument: Option<usize>,
    width: i64,
    to_the_left: bool,
}

/// The specifier and what follows it, a letter first.
fn specifier(text: &str) -> Result<(Specifier, &str), EvalError> {
    let mut found = Specifier::default();
    let (number, mut rest) = digits(text)?;
    if let Some(number) = number {
        let Some(after) = rest.strip_prefix('$') else {
            found.width = number;
            return Ok((found, rest));
        };
        found.argument = Some(position(number)?);
        rest = not_the_end(after)?;
    }
    while let Some(after) = rest.strip_prefix('-') {
        found.to_the_left = true;
        rest = not_the_end(after)?;
    }
    if let Some(after) = rest.strip_prefix('*') {
        let (number, after) = digits(not_the_end(after)?)?;
        rest = after;
        found.width_argument = Some(0);
        if let Some(number) = number {
            rest = rest.strip_prefix('$').ok_or(BAD_PARAMETER)?;
            found.width_argument = Some(position(number)?);
            rest = not_the_end(rest)?;
        }
    } else if let (Some(number), after) = digits(rest)? {
        (found.width, rest) = (number, after);
    }
    Ok((found, rest))
}

fn not_the_end(text: &str) -> Result<&str, EvalError> {
    if text.is_empty() { Err(BAD_PARAMETER) } else { Ok(text) }
}

/// Arguments are numbered from 1.
fn position(number: i64) -> Result<usize, EvalError> {
    usize::try_from(number).ok().filter(|number| *number > 0).ok_or(BAD_PARAMETER)
}

/// A number, if there is one, with something after it.
fn digits(text: &str) -> Result<(Option<i64>, &str), EvalError> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    if length == 0 {
        return Ok((None, text));
    }
    let (digits, rest) = text.split_at(length);
    // It is read digit by digit, so too many of them are found first.
    let number: i32 = digits.parse().map_err(|_| OUT_OF_RANGE)?;
    Ok((Some(number.into()), not_the_end(rest)?))
}

/// `format(format, ...)`; the arguments are text already.
pub(super) fn format<'a>(context: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    if args.iter().any(|arg| matches!(arg, Value::Unknown | Value::Opaque | Value::Maybe(_))) {
        return Ok(Value::Unknown);
    }
    let (mut rest, args) = match args {
        [Value::Null, ..] => return Ok(Value::Null),
        [Value::Text(format), args @ ..] => (*format, args),
        _ => return wrong_kind(),
    };
    context.reserve(rest.len())?;
    let mut result = Text::new_in(context.arena());
    let take = |at: usize| args.get(at - 1).copied().ok_or(BAD_PARAMETER);
    let mut at = 1;
    while let Some(percent) = rest.find('%') {
        result.push_str(&rest[..percent]);
        rest = not_the_end(&rest[percent + 1..])?;
        if let Some(after) = rest.strip_prefix('%') {
            result.push('%');
            rest = after;
            continue;
        }
        let (mut found, after) = specifier(rest)?;
        let letter = after.chars().next().ok_or(BAD_PARAMETER)?;
        rest = &after[letter.len_utf8()..];
        if !matches!(letter, 's' | 'I' | 'L') {
            return Err(BAD_PARAMETER);
        }
        if let Some(number) = found.width_argument {
            at = if number > 0 { number } else { at };
            found.width = match take(at)? {
                Value::Text(width) => int::parse(width, Width::Four)?,
                _ => 0,
            };
            at += 1;
        }
        at = found.argument.unwrap_or(at);
        let shown = match (letter, take(at)?) {
            ('s', Value::Text(text)) => text,
            ('I', Value::Text(text)) => quote_identifier(context, text)?,
            (_, Value::Text(text)) => quoted(context, text)?,
            ('s', _) => "",
            ('I', _) => return Err(EvalError::new(Raise::NullNotAllowed)),
            _ => "NULL",
        };
        at += 1;
        pad(context, &mut result, shown, &found)?;
    }
    result.push_str(rest);
    Ok(Value::Text(result.into_bump_str()))
}

fn pad<'a>(
    context: &mut Context<'a>,
    result: &mut Text<'a>,
    shown: &str,
    found: &Specifier,
) -> Result<(), EvalError> {
    // A negative width is one to the left.
    if found.width <= i64::from(i32::MIN / 2) {
        return Err(OUT_OF_RANGE);
    }
    let width = found.width.abs();
    let missing = (width - shown.chars().count() as i64).max(0);
    if missing > LARGEST {
        return Err(EvalError::new(Raise::LimitExceeded));
    }
    context.reserve(shown.len() + missing as usize)?;
    let to_the_left = found.to_the_left || found.width < 0;
    let blanks = std::iter::repeat_n(' ', missing as usize);
    if to_the_left {
        result.push_str(shown);
        result.extend(blanks);
    } else {
        result.extend(blanks);
        result.push_str(shown);
    }
    Ok(())
}

/// How many arguments are NULL, or are not.
pub(super) fn count_nulls<'a>(args: &[Value<'a>], null: bool) -> Eval<'a> {
    if args.iter().any(Value::is_unknown) {
        return Ok(Value::Unknown);
    }
    let count = args.iter().filter(|arg| matches!(arg, Value::Null) == null).count();
    Ok(Value::Int(count as i64))
}

pub(super) fn num_nulls<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    count_nulls(args, true)
}

pub(super) fn num_nonnulls<'a>(_: &mut Context<'a>, args: &[Value<'a>]) -> Eval<'a> {
    count_nulls(args, false)
}

pub(super) static FUNCTIONS: &[FunctionRow] = functions! {
    quote_ident(Text) -> Text = quote_ident;
    quote_literal(Text) -> Text = quote_literal;
};

/// Sees NULL.
pub(super) static LENIENT: &[FunctionRow] = &[FunctionRow {
    name: "quote_nullable",
    args: &[Type::Text],
    result: Type::Text,
    implementation: quote_nullable,
    strict: false,
    volatility: Volatility::Immutable,
}];
