//! A value as bytes: the same for all values that PostgreSQL's `=` of the type holds for equal, and
//! different for all others.

use crate::atoms;
use crate::columns::ColumnKeys;
use crate::error::{NifError, reply};
use crate::schema::schema;
use crate::value;
use bumpalo::Bump;
use rustler::{Encoder, Env, NewBinary, Resource, ResourceArc, Term};
use shape_expr::{Schema, Value, decode};
use std::hash::Hasher;
use std::panic::RefUnwindSafe;

/// The type of an index's values: a table of one column.
pub(crate) struct ValueType {
    schema: Schema,
    keys: ColumnKeys,
}

#[rustler::resource_impl]
impl Resource for ValueType {}

impl RefUnwindSafe for ValueType {}

/// Keeps what a value would feed to a hash.
#[derive(Default)]
struct Collector(Vec<u8>);

impl Hasher for Collector {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn finish(&self) -> u64 {
        0
    }
}

impl ValueType {
    fn read<'a, 't: 'a>(&self, term: Term<'t>, arena: &'a Bump) -> Result<Value<'a>, NifError> {
        let datum = value::datum(term, self.keys.kind(0), arena);
        let Some(ty) = self.schema.columns().first().and_then(|c| c.ty.as_ref()) else {
            return Err(NifError::new("internal", "an index's values have no type"));
        };
        decode(ty, datum, arena).map_err(|raised| {
            let message = format!("no value of the index's type: {raised}");
            NifError::new("unreadable_value", message).with_sqlstate(Some(raised.sqlstate()))
        })
    }
}

fn key_of(value: &Value<'_>) -> Vec<u8> {
    let mut collector = Collector::default();
    value.hash_equality(&mut collector);
    collector.0
}

fn binary<'a>(env: Env<'a>, bytes: &[u8]) -> Term<'a> {
    NewBinary::from_slice(env, bytes).into()
}

/// `[{name, type}]`, of one column.
#[rustler::nif]
fn value_type_new<'a>(env: Env<'a>, columns: Term<'a>) -> Term<'a> {
    let new = || -> Result<Term<'a>, NifError> {
        let schema = schema("", columns)?;
        let keys = ColumnKeys::new(&schema);
        Ok((atoms::ok(), ResourceArc::new(ValueType { schema, keys })).encode(env))
    };
    reply(env, new())
}

#[rustler::nif]
fn value_type_is_array(ty: ResourceArc<ValueType>) -> bool {
    ty.keys.kind(0).array
}

/// `{:ok, key}`, of NULL `{:ok, nil}`.
#[rustler::nif]
fn value_key<'a>(env: Env<'a>, ty: ResourceArc<ValueType>, value: Term<'a>) -> Term<'a> {
    let arena = Bump::new();
    let key = ty.read(value, &arena).map(|value| match value {
        Value::Null | Value::Unknown => atoms::nil().to_term(env),
        value => binary(env, &key_of(&value)),
    });
    reply(env, key.map(|key| (atoms::ok(), key).encode(env)))
}

/// `{:ok, keys}` of an array's elements, `{:ok, {:has_null, keys}}`, of NULL `{:ok, nil}`.
#[rustler::nif]
fn value_element_keys<'a>(env: Env<'a>, ty: ResourceArc<ValueType>, value: Term<'a>) -> Term<'a> {
    let arena = Bump::new();
    let keys = ty.read(value, &arena).and_then(|value| {
        let Value::Array(array) = value else {
            return match value {
                Value::Null | Value::Unknown => Ok(atoms::nil().to_term(env)),
                _ => Err(NifError::argument("the index's type is no array")),
            };
        };
        let present = array.iter().filter(|element| !matches!(element, Value::Null));
        let mut keys: Vec<Vec<u8>> = present.map(|element| key_of(&element)).collect();
        let has_null = keys.len() < array.len();
        keys.sort_unstable();
        keys.dedup();
        let keys: Vec<Term<'a>> = keys.iter().map(|key| binary(env, key)).collect();
        Ok(if has_null { (atoms::has_null(), keys).encode(env) } else { keys.encode(env) })
    });
    reply(env, keys.map(|keys| (atoms::ok(), keys).encode(env)))
}
