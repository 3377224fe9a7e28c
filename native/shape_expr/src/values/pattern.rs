//! Patterns: LIKE, ILIKE and regular expressions, prepared once where they are constant.

use std::sync::Arc;

use bumpalo::Bump;
use memchr::memmem;

use super::ctype::{self, Locale};
use super::like::{self, Unit};
use super::regex::{Flavor, Refused, Regex};
use crate::error::{EvalError, Raise};
use crate::value::Value;
use crate::vm::Context;

/// A prepared pattern. Its contents are this crate's own.
#[derive(Debug)]
pub struct Pattern(Kind);

#[derive(Debug)]
enum Kind {
    Like(Like),
    Regex(Arc<Regex>, Locale),
    /// Raises where it is evaluated, as in PostgreSQL.
    Raises(Raise),
}

/// Where a LIKE pattern's literal must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    Whole,
    Start,
    End,
    Anywhere,
}

/// A LIKE pattern: the longest literal that every match has, and the rest if that is not all.
#[derive(Debug, PartialEq, Eq)]
struct Like {
    anchor: Anchor,
    literal: Box<[u8]>,
    /// The whole pattern, where the literal does not say everything.
    rest: Option<Box<[u8]>>,
    unit: Unit,
    /// ILIKE: pattern and text are put to lower case first.
    fold: Option<Locale>,
}

const BYTES_PER_FUEL: u64 = 64;
/// A step of the general search is a small part of a step of fuel.
const STEPS_PER_FUEL: u64 = 4;

impl Pattern {
    /// `LIKE pattern`, of text or, by bytes, of bytea.
    pub(crate) fn like(pattern: &[u8], unit: Unit) -> Pattern {
        Pattern(Kind::Like(Like::new(pattern, unit, None)))
    }

    /// `ILIKE pattern`.
    pub(crate) fn ilike(pattern: &str, locale: Locale) -> Pattern {
        let arena = Bump::new();
        let pattern = ctype::lower(locale, pattern, &arena);
        Pattern(Kind::Like(Like::new(pattern.as_bytes(), Unit::Character, Some(locale))))
    }

    /// `~ pattern`. An expression that PostgreSQL refuses raises where it is evaluated.
    pub(crate) fn regex(pattern: &str, flavor: Flavor) -> Result<Pattern, Refused> {
        match Regex::shared(pattern, flavor) {
            Ok(regex) => Ok(Pattern(Kind::Regex(regex, flavor.locale))),
            Err(Refused::Invalid) => Ok(Pattern(Kind::Raises(Raise::InvalidRegex))),
            Err(other) => Err(other),
        }
    }

    /// Does this text (or these bytes) match?
    pub(crate) fn matches<'a>(
        &self,
        context: &mut Context<'a>,
        text: &'a [u8],
    ) -> Result<bool, EvalError> {
        match &self.0 {
            Kind::Like(like) => like.matches(context, text),
            Kind::Regex(regex, locale) => {
                let text = std::str::from_utf8(text).map_err(|_| Raise::InvalidEncoding)?;
                search(context, regex, *locale, text)
            }
            Kind::Raises(raise) => Err(EvalError::new(*raise)),
        }
    }

    /// The literal that every match of the whole pattern has, where, and whether its case counts.
    pub(crate) fn literal(&self) -> Option<(Anchor, &[u8], bool)> {
        match &self.0 {
            Kind::Like(like) => Some((like.anchor, &like.literal, like.fold.is_none())),
            _ => None,
        }
    }

    /// The expression it was compiled from; what raises instead.
    pub(crate) fn as_regex(&self) -> Result<&Regex, EvalError> {
        match &self.0 {
            Kind::Regex(regex, _) => Ok(regex),
            Kind::Raises(raise) => Err(EvalError::new(*raise)),
            Kind::Like(_) => Err(EvalError::new(Raise::NotSupported)),
        }
    }

    /// Can it never match?
    pub(crate) fn never(&self) -> bool {
        matches!(self.0, Kind::Raises(_))
    }

    /// Heap bytes of its own; a regex's automaton is shared.
    pub(crate) fn heap_bytes(&self) -> usize {
        size_of::<Pattern>()
            + match &self.0 {
                Kind::Like(like) => like.literal.len() + like.rest.as_ref().map_or(0, |r| r.len()),
                _ => 0,
            }
    }

    /// Does it match the same by the same means? A regex that two use is shared by them.
    pub(crate) fn is_same(&self, other: &Pattern) -> bool {
        match (&self.0, &other.0) {
            (Kind::Like(a), Kind::Like(b)) => a == b,
            (Kind::Regex(a, x), Kind::Regex(b, y)) => Arc::ptr_eq(a, b) && x == y,
            (Kind::Raises(a), Kind::Raises(b)) => a == b,
            _ => false,
        }
    }

    /// For listings.
    pub(crate) fn print(&self) -> String {
        match &self.0 {
            Kind::Like(like) => {
                let text = like.rest.as_ref().unwrap_or(&like.literal);
                format!("{:?} {:?}", like.anchor, String::from_utf8_lossy(text))
            }
            Kind::Regex(..) => "regex".to_owned(),
            Kind::Raises(raise) => format!("raise {}", raise.sqlstate()),
        }
    }
}

impl Like {
    fn new(pattern: &[u8], unit: Unit, fold: Option<Locale>) -> Like {
        // Literals between wildcards, and whether there is one character wildcard.
        let mut literals: Vec<Vec<u8>> = vec![Vec::new()];
        let mut only_percent = true;
        let mut at = 0;
        while let Some(&byte) = pattern.get(at) {
            at += 1;
            match byte {
                b'%' | b'_' => {
                    only_percent &= byte == b'%';
                    literals.push(Vec::new());
                }
                b'\\' => match pattern.get(at) {
                    Some(&next) => {
                        at += 1;
                        literals.extend_last(next);
                    }
                    // It dangles: raises, but not everywhere.
                    None => only_percent = false,
                },
                byte => literals.extend_last(byte),
            }
        }
        let (starts, ends) =
            (!literals[0].is_empty(), literals.last().is_some_and(|l| !l.is_empty()));
        let filled = literals.iter().filter(|literal| !literal.is_empty()).count();
        let wild = literals.len() > 1;
        let longest = literals.iter().max_by_key(|literal| literal.len()).cloned();
        let (anchor, literal, complete) = match (wild, filled) {
            (false, _) => (Anchor::Whole, literals.swap_remove(0), true),
            (true, 0) => (Anchor::Anywhere, Vec::new(), true),
            (true, 1) if starts => (Anchor::Start, literals.swap_remove(0), true),
            (true, 1) if ends => (Anchor::End, longest.unwrap_or_default(), true),
            (true, 1) => (Anchor::Anywhere, longest.unwrap_or_default(), true),
            _ if starts => (Anchor::Start, literals.swap_remove(0), false),
            _ => (Anchor::Anywhere, longest.unwrap_or_default(), false),
        };
        let rest = if complete && only_percent { None } else { Some(pattern.into()) };
        // A pattern that dangles has no place that is certain but its start.
        let anchor = match (anchor, &rest) {
            (Anchor::Whole, Some(_)) => Anchor::Start,
            (Anchor::End, Some(_)) => Anchor::Anywhere,
            (anchor, _) => anchor,
        };
        Like { anchor, literal: literal.into(), rest, unit, fold }
    }

    fn matches<'a>(&self, context: &mut Context<'a>, text: &'a [u8]) -> Result<bool, EvalError> {
        context.charge(text.len() as u64 / BYTES_PER_FUEL)?;
        let text = match self.fold {
            None => text,
            Some(locale) => folded(context, locale, text)?,
        };
        if let Some(pattern) = &self.rest {
            return general(context, text, pattern, self.unit);
        }
        let literal = &*self.literal;
        Ok(match self.anchor {
            Anchor::Whole => text == literal,
            Anchor::Start => text.starts_with(literal),
            Anchor::End => text.ends_with(literal),
            Anchor::Anywhere => memmem::find(text, literal).is_some(),
        })
    }
}

trait ExtendLast {
    fn extend_last(&mut self, byte: u8);
}

impl ExtendLast for Vec<Vec<u8>> {
    fn extend_last(&mut self, byte: u8) {
        if let Some(last) = self.last_mut() {
            last.push(byte);
        }
    }
}

/// A text in lower case, as ILIKE compares it.
fn folded<'a>(
    context: &mut Context<'a>,
    locale: Locale,
    text: &'a [u8],
) -> Result<&'a [u8], EvalError> {
    let text = std::str::from_utf8(text).map_err(|_| Raise::InvalidEncoding)?;
    context.reserve(ctype::case_bound(text))?;
    Ok(ctype::lower(locale, text, context.arena()).as_bytes())
}

fn general(
    context: &mut Context<'_>,
    text: &[u8],
    pattern: &[u8],
    unit: Unit,
) -> Result<bool, EvalError> {
    let allowed = context.fuel().saturating_mul(STEPS_PER_FUEL);
    let mut left = allowed;
    let result = like::matches(text, pattern, unit, &mut left);
    context.charge((allowed - left) / STEPS_PER_FUEL)?;
    result
}

fn search<'a>(
    context: &mut Context<'a>,
    regex: &Regex,
    locale: Locale,
    text: &str,
) -> Result<bool, EvalError> {
    context.charge(regex.cost(text.len()))?;
    context.reserve(regex.room(text))?;
    Ok(regex.is_match(text, locale, context.arena()))
}

/// `text LIKE pattern`, the pattern prepared or not.
pub(crate) fn like_value<'a>(
    context: &mut Context<'a>,
    text: &'a [u8],
    pattern: &Value<'a>,
    unit: Unit,
) -> Option<Result<bool, EvalError>> {
    Some(match pattern {
        Value::Pattern(pattern) => pattern.matches(context, text),
        Value::Text(pattern) => general(context, text, pattern.as_bytes(), unit),
        Value::Bytes(pattern) => general(context, text, pattern, unit),
        _ => return None,
    })
}

/// `text ILIKE pattern`.
pub(crate) fn ilike_value<'a>(
    context: &mut Context<'a>,
    text: &'a str,
    pattern: &Value<'a>,
    locale: Locale,
) -> Option<Result<bool, EvalError>> {
    Some(match pattern {
        Value::Pattern(pattern) => pattern.matches(context, text.as_bytes()),
        Value::Text(pattern) => {
            let mut both = || {
                let pattern = folded(context, locale, pattern.as_bytes())?;
                let text = folded(context, locale, text.as_bytes())?;
                general(context, text, pattern, Unit::Character)
            };
            both()
        }
        _ => return None,
    })
}

/// What compiling a row's pattern costs: so much, and so much a byte.
const COMPILE: u64 = 50_000;
const COMPILE_BYTE: u64 = 100;

/// An expression that a row's value is.
pub(crate) fn compile(
    context: &mut Context<'_>,
    pattern: &str,
    flavor: Flavor,
) -> Result<Arc<Regex>, EvalError> {
    context.charge(COMPILE + COMPILE_BYTE * pattern.len() as u64)?;
    Regex::of_row(pattern, flavor).map_err(|refused| EvalError::new(refused.raise()))
}

/// `text ~ pattern`.
pub(crate) fn regex_value<'a>(
    context: &mut Context<'a>,
    text: &'a str,
    pattern: &Value<'a>,
    flavor: Flavor,
) -> Option<Result<bool, EvalError>> {
    Some(match pattern {
        Value::Pattern(pattern) => pattern.matches(context, text.as_bytes()),
        Value::Text(pattern) => {
            let mut both = || {
                let regex = compile(context, pattern, flavor)?;
                search(context, &regex, flavor.locale, text)
            };
            both()
        }
        _ => return None,
    })
}
