//! Documents made of values: PostgreSQL's `datum_to_jsonb` and `datum_to_json`.

use bumpalo::Bump;
use bumpalo::collections::{String as BumpString, Vec as BumpVec};

use super::array::{Array, Dimension};
use super::datetime::Zone;
use super::json::{Builder, Json};
use super::json_scan::{self, Span, Token, Visitor};
use super::{json_text, numeric_text, output_in};
use crate::error::{EvalError, Raise};
use crate::types::Type;
use crate::value::Value;

/// About as many bytes as a value takes in a document.
pub(crate) fn size(value: &Value<'_>) -> usize {
    match value {
        Value::Numeric(n) => n.scale() as usize + 4 * n.weight().max(0) as usize + 16,
        Value::Text(s) | Value::Bpchar(s) => 6 * s.len() + 16,
        Value::Bytes(bytes) => 2 * bytes.len() + 16,
        Value::Json(json) => json_text::size(*json) + json.bytes().len(),
        Value::Array(array) => {
            array.iter().fold(32usize, |sum, item| sum.saturating_add(size(&item)))
        }
        Value::Type(_) => 0,
        _ => 64,
    }
}

/// How a value of some type stands in a document.
enum Form<'a> {
    Null,
    Bool(bool),
    Number(&'a str),
    String(&'a str),
    /// Text that is a json already.
    Raw(&'a str),
    Jsonb(Json<'a>),
    Array(Array<'a>, &'a Type),
}

/// Makes documents under a session's settings.
pub(crate) struct Maker<'a> {
    zone: &'a Zone,
    arena: &'a Bump,
}

const INVALID: EvalError = EvalError::new(Raise::InvalidParameter);

impl<'a> Maker<'a> {
    pub(crate) fn new(zone: &'a Zone, arena: &'a Bump) -> Maker<'a> {
        Maker { zone, arena }
    }

    fn text(&self, value: &Value<'a>, ty: &Type) -> Result<&'a str, EvalError> {
        let text = output_in(self.zone, ty, value, self.arena);
        text.ok_or(EvalError::new(Raise::NotSupported))
    }

    fn form(&self, value: &Value<'a>, ty: &'a Type) -> Result<Form<'a>, EvalError> {
        Ok(match (value, ty) {
            (Value::Null, _) => Form::Null,
            (Value::Bool(b), _) => Form::Bool(*b),
            (Value::Array(array), _) => Form::Array(*array, ty.element().unwrap_or(ty)),
            (Value::Json(json), _) => Form::Jsonb(*json),
            (Value::Text(text), Type::Json) => Form::Raw(text),
            (
                _,
                Type::Int2 | Type::Int4 | Type::Int8 | Type::Float4 | Type::Float8 | Type::Numeric,
            ) => {
                let text = self.text(value, ty)?;
                // What is no number in JSON is a string.
                match text.contains(['n', 'N']) {
                    true => Form::String(text),
                    false => Form::Number(text),
                }
            }
            (_, Type::Timestamp | Type::Timestamptz) => {
                let text = self.text(value, ty)?;
                Form::String(self.iso(text, *ty == Type::Timestamptz))
            }
            _ => Form::String(self.text(value, ty)?),
        })
    }

    /// `2024-01-02 03:04:05+02 BC` as ISO 8601 has it: `2024-01-02T03:04:05+02:00 BC`.
    fn iso(&self, text: &'a str, zoned: bool) -> &'a str {
        let Some((date, rest)) = text.split_once(' ') else { return text };
        let (time, era) = match rest.split_once(' ') {
            Some((time, _)) => (time, " BC"),
            None => (rest, ""),
        };
        let zone = time.rfind(['+', '-']).and_then(|at| time.get(at..)).unwrap_or("");
        let minutes = if zoned && !zone.contains(':') { ":00" } else { "" };
        let mut iso = BumpString::with_capacity_in(text.len() + 3, self.arena);
        for part in [date, "T", time, minutes, era] {
            iso.push_str(part);
        }
        iso.into_bump_str()
    }

    /// A value of an object's key: no array or document.
    pub(crate) fn key(&self, value: &Value<'a>, ty: &'a Type) -> Result<&'a str, EvalError> {
        match self.form(value, ty)? {
            Form::Bool(b) => Ok(if b { "true" } else { "false" }),
            Form::Number(text) | Form::String(text) => Ok(text),
            Form::Null | Form::Raw(_) | Form::Jsonb(_) | Form::Array(..) => Err(INVALID),
        }
    }

    pub(crate) fn jsonb(
        &self,
        value: &Value<'a>,
        ty: &'a Type,
        built: &mut Builder<'_>,
    ) -> Result<(), EvalError> {
        match self.form(value, ty)? {
            Form::Null => built.string(None),
            Form::Bool(b) => built.boolean(b),
            Form::Number(text) => built.number(&numeric_text::parse(text)?.words()?),
            Form::String(text) => built.string(Some(text)),
            Form::Raw(text) => built.copy(Json::parse(text, self.arena)?),
            Form::Jsonb(json) => built.copy(json),
            Form::Array(array, element) => {
                let mut items = array.iter();
                self.jsonb_level(array.dimensions(), &mut items, element, built)
            }
        }
    }

    fn jsonb_level(
        &self,
        dimensions: &[Dimension],
        items: &mut dyn Iterator<Item = Value<'a>>,
        element: &'a Type,
        built: &mut Builder<'_>,
    ) -> Result<(), EvalError> {
        built.open(false);
        if let Some((first, rest)) = dimensions.split_first() {
            for _ in 0..first.length {
                if rest.is_empty() {
                    let item = items.next().unwrap_or(Value::Null);
                    self.jsonb(&item, element, built)?;
                } else {
                    self.jsonb_level(rest, items, element, built)?;
                }
            }
        }
        built.close()
    }

    pub(crate) fn json(
        &self,
        value: &Value<'a>,
        ty: &'a Type,
        text: &mut BumpString<'a>,
    ) -> Result<(), EvalError> {
        match self.form(value, ty)? {
            Form::Null => text.push_str("null"),
            Form::Bool(b) => text.push_str(if b { "true" } else { "false" }),
            Form::Number(number) => text.push_str(number),
            Form::String(string) => json_text::quote(string, text),
            Form::Raw(json) => text.push_str(json),
            Form::Jsonb(json) => json_text::write(json, text),
            Form::Array(array, element) => self.json_array(&array, element, false, text)?,
        }
        Ok(())
    }

    /// An array as json, its outermost elements a line each with `feeds`.
    pub(crate) fn json_array(
        &self,
        array: &Array<'a>,
        element: &'a Type,
        feeds: bool,
        text: &mut BumpString<'a>,
    ) -> Result<(), EvalError> {
        self.json_level(array.dimensions(), &mut array.iter(), element, feeds, text)
    }

    fn json_level(
        &self,
        dimensions: &[Dimension],
        items: &mut dyn Iterator<Item = Value<'a>>,
        element: &'a Type,
        feeds: bool,
        text: &mut BumpString<'a>,
    ) -> Result<(), EvalError> {
        text.push('[');
        if let Some((first, rest)) = dimensions.split_first() {
            for at in 0..first.length {
                match (at, feeds) {
                    (0, _) => {}
                    (_, true) => text.push_str(",\n "),
                    (_, false) => text.push(','),
                }
                if rest.is_empty() {
                    let item = items.next().unwrap_or(Value::Null);
                    self.json(&item, element, text)?;
                } else {
                    self.json_level(rest, items, element, false, text)?;
                }
            }
        }
        text.push(']');
        Ok(())
    }
}

/// Keys and values that lie in arrays of text.
pub(crate) enum Pairs<'a> {
    /// A key, its value, a key, its value.
    Both(Array<'a>),
    Apart(Array<'a>, Array<'a>),
}

impl<'a> Pairs<'a> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Pairs::Both(both) => both.len() / 2,
            Pairs::Apart(keys, _) => keys.len(),
        }
    }

    /// A key, which must not be NULL, and its value.
    pub(crate) fn get(&self, at: usize) -> Result<(&'a str, Option<&'a str>), EvalError> {
        let (key, value) = match self {
            Pairs::Both(both) => (both.get(2 * at), both.get(2 * at + 1)),
            Pairs::Apart(keys, values) => (keys.get(at), values.get(at)),
        };
        let text = |item: Option<Value<'a>>| match item {
            Some(Value::Text(text)) => Some(text),
            _ => None,
        };
        Ok((text(key).ok_or(EvalError::new(Raise::NullNotAllowed))?, text(value)))
    }
}

/// json_strip_nulls: the document without blanks and without members that are null.
pub(crate) fn strip_nulls<'a>(json: &str, arena: &'a Bump) -> Result<&'a str, EvalError> {
    let mut strip =
        Strip { out: BumpString::new_in(arena), key: None, open: BumpVec::new_in(arena), arena };
    json_scan::walk(json, true, &mut strip)?;
    Ok(strip.out.into_bump_str())
}

struct Strip<'a, 't> {
    out: BumpString<'a>,
    /// A member whose value has not come yet.
    key: Option<Span<'t>>,
    /// Of each open container whether it is an object.
    open: BumpVec<'a, bool>,
    arena: &'a Bump,
}

impl<'t> Strip<'_, 't> {
    fn string(&mut self, span: Span<'t>) {
        let mut bytes = BumpVec::with_capacity_in(span.text.len(), self.arena);
        json_scan::unescape(span.text, |part| bytes.extend_from_slice(part));
        json_text::quote(super::json::text(&bytes), &mut self.out);
    }

    /// A value follows: the comma before it, and its key.
    fn lead(&mut self) {
        if let Some(key) = self.key.take() {
            if !self.out.ends_with('{') {
                self.out.push(',');
            }
            self.string(key);
            self.out.push(':');
        }
    }
}

impl<'t> Visitor<'t> for Strip<'_, 't> {
    fn begin(&mut self, object: bool, _: usize) -> Result<(), EvalError> {
        self.lead();
        self.open.push(object);
        self.out.push(if object { '{' } else { '[' });
        Ok(())
    }

    fn end(&mut self, _: usize) -> Result<(), EvalError> {
        self.out.push(if self.open.pop() == Some(true) { '}' } else { ']' });
        Ok(())
    }

    fn key(&mut self, key: Span<'t>) -> Result<(), EvalError> {
        self.key = Some(key);
        Ok(())
    }

    fn element(&mut self) -> Result<(), EvalError> {
        if !self.out.ends_with('[') {
            self.out.push(',');
        }
        Ok(())
    }

    fn scalar(&mut self, scalar: Span<'t>) -> Result<(), EvalError> {
        if scalar.token == Token::Null && self.key.is_some() {
            self.key = None;
            return Ok(());
        }
        self.lead();
        match scalar.token {
            Token::String { .. } => self.string(scalar),
            _ => self.out.push_str(scalar.text),
        }
        Ok(())
    }
}
