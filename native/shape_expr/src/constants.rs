//! What sets one clause of a template apart from another: its constants.

use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use bumpalo::Bump;
use hashbrown::HashTable;

use crate::types::Type;
use crate::value::Value;
use crate::values::array::ConstArray;
use crate::values::datetime::Interval;
use crate::values::json::Json;
use crate::values::numeric::Numeric;
use crate::values::pattern::Pattern;

/// An owned value.
#[derive(Clone, Debug)]
pub(crate) enum Const {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Numeric(Arc<[i16]>),
    Text(Arc<str>),
    Bpchar(Arc<str>),
    Bytes(Arc<[u8]>),
    /// What a constant pattern is prepared to. Code has it in the pattern's place.
    Pattern(Arc<Pattern>),
    Uuid([u8; 16]),
    Timestamp(i64),
    Array(Arc<ConstArray>),
    Enum(u32, Arc<str>),
    Type(Arc<Type>),
    /// A jsonb's bytes.
    Json(Arc<[u8]>),
    Date(i32),
    Time(i64),
    TimeTz(i64, i32),
    Interval(Interval),
    /// The right side of `IN`, which is never a value of its own.
    Set(Arc<InSet>),
}

impl Const {
    /// A copy that outlives the arena. `None` for what no constant can be.
    pub(crate) fn from_value(value: &Value<'_>) -> Option<Const> {
        Some(match value {
            Value::Null => Const::Null,
            Value::Bool(b) => Const::Bool(*b),
            Value::Int(i) => Const::Int(*i),
            Value::Float(x) => Const::Float(*x),
            Value::Numeric(n) => Const::Numeric(n.words().into()),
            Value::Text(s) => Const::Text((*s).into()),
            Value::Bpchar(s) => Const::Bpchar((*s).into()),
            Value::Uuid(bytes) => Const::Uuid(*bytes),
            Value::Timestamp(t) => Const::Timestamp(*t),
            Value::Date(date) => Const::Date(*date),
            Value::Time(t) => Const::Time(*t),
            Value::TimeTz(t, west) => Const::TimeTz(*t, *west),
            Value::Interval(interval) => Const::Interval(*interval),
            Value::Array(array) => Const::Array(Arc::new(ConstArray::new(array)?)),
            Value::Enum(position, label) => Const::Enum(*position, (*label).into()),
            Value::Type(ty) => Const::Type(Arc::new((*ty).clone())),
            Value::Json(json) => Const::Json(json.bytes().into()),
            Value::Bytes(bytes) => Const::Bytes((*bytes).into()),
            Value::Unknown | Value::Maybe(_) | Value::Opaque | Value::Pattern(_) => return None,
        })
    }

    #[inline]
    pub(crate) fn value(&self) -> Value<'_> {
        match self {
            Const::Null | Const::Set(_) => Value::Null,
            Const::Bool(b) => Value::Bool(*b),
            Const::Int(i) => Value::Int(*i),
            Const::Float(x) => Value::Float(*x),
            Const::Numeric(words) => Value::Numeric(Numeric::from_words(words)),
            Const::Text(s) => Value::Text(s),
            Const::Bpchar(s) => Value::Bpchar(s),
            Const::Bytes(bytes) => Value::Bytes(bytes),
            Const::Pattern(pattern) => Value::Pattern(pattern),
            Const::Uuid(bytes) => Value::Uuid(*bytes),
            Const::Timestamp(t) => Value::Timestamp(*t),
            Const::Array(array) => Value::Array(array.view()),
            Const::Enum(position, label) => Value::Enum(*position, label),
            Const::Type(ty) => Value::Type(ty),
            Const::Json(bytes) => Value::Json(Json::from_bytes(bytes)),
            Const::Date(date) => Value::Date(*date),
            Const::Time(t) => Value::Time(*t),
            Const::TimeTz(t, west) => Value::TimeTz(*t, *west),
            Const::Interval(interval) => Value::Interval(*interval),
        }
    }

    /// Is it the same constant, bit by bit? Of patterns nothing is asked.
    pub(crate) fn is_same(&self, other: &Const) -> bool {
        let all = |a: &[Const], b: &[Const]| {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.is_same(b))
        };
        match (self, other) {
            (Const::Null, Const::Null) | (Const::Pattern(_), Const::Pattern(_)) => true,
            (Const::Bool(a), Const::Bool(b)) => a == b,
            (Const::Int(a), Const::Int(b))
            | (Const::Timestamp(a), Const::Timestamp(b))
            | (Const::Time(a), Const::Time(b)) => a == b,
            (Const::Float(a), Const::Float(b)) => a.to_bits() == b.to_bits(),
            (Const::Numeric(a), Const::Numeric(b)) => a == b,
            (Const::Text(a), Const::Text(b)) | (Const::Bpchar(a), Const::Bpchar(b)) => a == b,
            (Const::Bytes(a), Const::Bytes(b)) | (Const::Json(a), Const::Json(b)) => a == b,
            (Const::Uuid(a), Const::Uuid(b)) => a == b,
            (Const::Enum(a, x), Const::Enum(b, y)) => (a, x) == (b, y),
            (Const::Type(a), Const::Type(b)) => a == b,
            (Const::Date(a), Const::Date(b)) => a == b,
            (Const::TimeTz(a, x), Const::TimeTz(b, y)) => (a, x) == (b, y),
            (Const::Interval(a), Const::Interval(b)) => {
                (a.months, a.days, a.microseconds) == (b.months, b.days, b.microseconds)
            }
            (Const::Array(a), Const::Array(b)) => a.is_same(b),
            (Const::Set(a), Const::Set(b)) => {
                (a.has_null, a.clash) == (b.has_null, b.clash)
                    && a.table.is_some() == b.table.is_some()
                    && all(&a.values, &b.values)
            }
            _ => false,
        }
    }

    /// As `is_same`, patterns too.
    fn is_alike(&self, other: &Const) -> bool {
        match (self, other) {
            (Const::Pattern(a), Const::Pattern(b)) => a.is_same(b),
            _ => self.is_same(other),
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self, Const::Null)
    }

    /// Heap bytes behind this constant.
    pub(crate) fn heap_bytes(&self) -> usize {
        const COUNTS: usize = 16;
        match self {
            Const::Numeric(words) => COUNTS + 2 * words.len(),
            Const::Text(s) | Const::Bpchar(s) => COUNTS + s.len(),
            Const::Bytes(bytes) => COUNTS + bytes.len(),
            Const::Pattern(pattern) => COUNTS + pattern.heap_bytes(),
            Const::Json(bytes) => COUNTS + bytes.len(),
            Const::Set(set) => COUNTS + set.heap_bytes(),
            Const::Array(array) => COUNTS + array.heap_bytes(),
            Const::Enum(_, label) => COUNTS + label.len(),
            Const::Type(_) => COUNTS + size_of::<Type>(),
            _ => 0,
        }
    }
}

/// A predicate's constants by slot. The commonest clause by far has one integer: it needs no heap.
#[derive(Clone, Debug)]
pub(crate) enum Constants {
    None,
    Int(i64),
    Many(Arc<[Const]>),
}

impl Constants {
    pub(crate) fn new(constants: Vec<Const>) -> Constants {
        match constants.as_slice() {
            [] => Constants::None,
            [Const::Int(i)] => Constants::Int(*i),
            _ => Constants::Many(constants.into()),
        }
    }

    #[inline]
    pub(crate) fn borrow(&self) -> Borrowed<'_> {
        match self {
            Constants::None => Borrowed::None,
            Constants::Int(i) => Borrowed::Int(*i),
            Constants::Many(all) => Borrowed::Many(all),
        }
    }

    /// Are they the same bit by bit?
    pub(crate) fn is_same(&self, other: &Constants) -> bool {
        match (self, other) {
            (Constants::None, Constants::None) => true,
            (Constants::Int(a), Constants::Int(b)) => a == b,
            (Constants::Many(a), Constants::Many(b)) => {
                a.len() == b.len() && a.iter().zip(b.iter()).all(|(a, b)| a.is_alike(b))
            }
            _ => false,
        }
    }

    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Constants::None | Constants::Int(_) => 0,
            Constants::Many(all) => {
                16 + size_of_val(&**all) + all.iter().map(Const::heap_bytes).sum::<usize>()
            }
        }
    }
}

/// Constants by slot, wherever they are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Borrowed<'p> {
    None,
    Int(i64),
    Many(&'p [Const]),
}

impl<'p> Borrowed<'p> {
    #[inline]
    pub(crate) fn value(self, slot: u32) -> Value<'p> {
        match self {
            Borrowed::Int(i) => Value::Int(i),
            Borrowed::Many(all) => all[slot as usize].value(),
            Borrowed::None => Value::Null,
        }
    }

    #[inline]
    pub(crate) fn set(self, slot: u32) -> Option<&'p InSet> {
        match self {
            Borrowed::Many(all) => match &all[slot as usize] {
                Const::Set(set) => Some(set),
                _ => None,
            },
            _ => None,
        }
    }
}

/// Above this many elements a list is searched by hash, PostgreSQL's too.
const LINEAR: usize = 8;

/// How PostgreSQL finds a value in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Search {
    /// By comparing it with one item after the other.
    InTurn,
    /// By the type's own equality, which a long list makes a hash table for.
    Hashed,
    /// By an equality that raises, as it knows no collation. Hashing a text raises too; hashing a
    /// name does not, so that a long list raises only where two names are found to be equal.
    Clash {
        /// Are they names?
        names: bool,
    },
}

/// What a list under [`Search::Clash`] does to a value that is no NULL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Clash {
    /// Compares it with the items that are no NULLs.
    Compares,
    /// Raises where it is in the list, and then only.
    SparesOthers,
    Raises,
}

/// The values of an IN list, all of one type.
pub(crate) struct InSet {
    values: Box<[Const]>,
    has_null: bool,
    clash: Clash,
    table: Option<(ahash::RandomState, HashTable<u32>)>,
}

impl InSet {
    pub(crate) fn new(items: Vec<Const>, search: Search) -> InSet {
        let has_null = items.iter().any(Const::is_null);
        let is_long = items.len() > LINEAR;
        let mut clash = match search {
            Search::Clash { names: true } if is_long => Clash::SparesOthers,
            Search::Clash { names: false } if is_long => Clash::Raises,
            _ => Clash::Compares,
        };
        let mut values: Vec<Const> = items.into_iter().filter(|item| !item.is_null()).collect();
        if search != Search::Hashed && clash != Clash::SparesOthers {
            return InSet { values: values.into(), has_null, clash, table: None };
        }
        if search == Search::Hashed && values.len() <= LINEAR {
            return InSet { values: values.into(), has_null, clash, table: None };
        }
        let state = ahash::RandomState::new();
        let mut table: HashTable<u32> = HashTable::with_capacity(values.len());
        let mut kept: Vec<Const> = Vec::with_capacity(values.len());
        for item in values.drain(..) {
            let value = item.value();
            let hash = hash(&state, &value);
            let known = table.find(hash, |&i| kept[i as usize].value().equals(&value));
            if known.is_none() {
                table.insert_unique(hash, kept.len() as u32, |&i| {
                    self::hash(&state, &kept[i as usize].value())
                });
                kept.push(item);
            } else if clash == Clash::SparesOthers {
                // Two equal ones meet while the table is made.
                clash = Clash::Raises;
            }
        }
        InSet { values: kept.into(), has_null, clash, table: Some((state, table)) }
    }

    /// Does the list's equality raise for this value, though maybe it is not even called? `None`: that
    /// is for the equality itself to say.
    pub(crate) fn clashes(&self, value: &Value<'_>) -> Option<bool> {
        match self.clash {
            Clash::Compares => None,
            Clash::SparesOthers => Some(self.contains(value)),
            Clash::Raises => Some(true),
        }
    }

    /// Patterns are among the values.
    pub(crate) fn has_pattern(&self) -> bool {
        self.values.iter().any(|item| matches!(item, Const::Pattern(_)))
    }

    pub(crate) fn has_null(&self) -> bool {
        self.has_null
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = Value<'_>> {
        self.values.iter().map(Const::value)
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Is one of the list's values equal to this one?
    #[inline]
    pub(crate) fn contains(&self, value: &Value<'_>) -> bool {
        match &self.table {
            None => self.values().any(|item| item.equals(value)),
            Some((state, table)) => table
                .find(hash(state, value), |&i| self.values[i as usize].value().equals(value))
                .is_some(),
        }
    }

    fn heap_bytes(&self) -> usize {
        let table = self.table.as_ref().map_or(0, |(_, table)| table.allocation_size());
        size_of_val(&*self.values)
            + table
            + self.values.iter().map(Const::heap_bytes).sum::<usize>()
    }
}

fn hash(state: &ahash::RandomState, value: &Value<'_>) -> u64 {
    let mut hasher = state.build_hasher();
    value.hash_equality(&mut hasher);
    hasher.finish()
}

impl fmt::Debug for InSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InSet")
            .field("values", &self.values)
            .field("has_null", &self.has_null)
            .finish_non_exhaustive()
    }
}

/// A constant's value as PostgreSQL would print it, for listings.
pub(crate) fn print(item: &Const) -> String {
    let arena = Bump::new();
    match item {
        Const::Set(set) => format!("set of {}", set.len()),
        Const::Pattern(pattern) => pattern.print(),
        _ => crate::values::output(&crate::types::Type::Unknown, &item.value(), &arena)
            .map_or_else(|| "NULL".to_owned(), |text| format!("{text:?}")),
    }
}
