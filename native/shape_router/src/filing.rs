//! Under which conditions a clause is filed.

use crate::index::{Beginning, Edge, Elements, Gram, Hashed, Mark};

/// One condition: a column, and what must hold of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Condition {
    /// It has this hash in the index of hashes.
    Hash { column: u32, kind: Hashed, hash: u64 },
    /// It has this element, and one of this mark.
    Element { column: u32, kind: Elements, also: Mark, hash: u64 },
    /// Its text begins with these bytes.
    Prefix { column: u32, beginning: Beginning },
    /// It lies between these words.
    Words { column: u32, low: u64, high: u64 },
    /// It lies between these byte strings.
    Edges { column: u32, edges: Box<(Edge, Edge)> },
    /// It, or they if there are several, are in a set.
    Member { columns: Box<[u32]>, set: u32 },
    /// Its text holds this gram; with `fold`, in lower case.
    Infix { column: u32, fold: bool, gram: Gram },
}

impl Condition {
    pub fn column(&self) -> usize {
        let (Self::Hash { column, .. }
        | Self::Element { column, .. }
        | Self::Prefix { column, .. }
        | Self::Words { column, .. }
        | Self::Edges { column, .. }
        | Self::Infix { column, .. }) = self
        else {
            return self.columns().first().map_or(0, |column| *column as usize);
        };
        *column as usize
    }

    /// The columns of a set's condition.
    pub fn columns(&self) -> &[u32] {
        if let Self::Member { columns, .. } = self { columns } else { &[] }
    }

    /// The name of the index that holds it.
    pub fn index(&self) -> &'static str {
        match self {
            Self::Hash { kind: Hashed::Equal, .. } => "equality",
            Self::Hash { kind: Hashed::Null, .. } => "null",
            Self::Hash { kind: Hashed::AnyArray, .. }
            | Self::Element { kind: Elements::Array, .. } => "element",
            Self::Hash { kind: Hashed::Key | Hashed::Field, .. }
            | Self::Element { kind: Elements::Leaf, .. } => "json",
            Self::Prefix { .. } => "prefix",
            Self::Words { .. } | Self::Edges { .. } => "range",
            Self::Infix { .. } => "infix",
            Self::Member { .. } => "set",
        }
    }
}

/// How a shape is filed, as its record says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filing {
    /// It can never be true.
    Never,
    /// No index can hold it.
    Scan,
    /// Under what follows from its clause alone, so that it need not be kept.
    Derived,
    /// Under what is kept for it.
    Kept,
}

impl Filing {
    /// How a record says that a shape is filed under this.
    pub fn of(filed: &Filed, choice: bool) -> Self {
        match filed {
            Filed::Never => Self::Never,
            Filed::Scan => Self::Scan,
            // Choices depend on what was filed at the time.
            filed if !choice && filed.follows_from_clause() => Self::Derived,
            _ => Self::Kept,
        }
    }

    pub fn is_never(self) -> bool {
        self == Self::Never
    }
    pub fn is_scan(self) -> bool {
        self == Self::Scan
    }
}

/// What a shape is filed under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filed {
    /// It can never be true.
    Never,
    /// No index can hold it.
    Scan,
    /// Under this: where the clause is true, it holds.
    One(Condition),
    /// Under each of these: where the clause is true, one of them holds.
    Many(Box<[Condition]>),
}

impl Filed {
    pub fn new(mut conditions: Vec<Condition>) -> Self {
        match (conditions.pop(), conditions.is_empty()) {
            (None, _) => Self::Never,
            (Some(only), true) => Self::One(only),
            (Some(last), false) => {
                conditions.push(last);
                Self::Many(conditions.into_boxed_slice())
            }
        }
    }

    /// True if none of the conditions has a place that depends on what else is filed, provided that
    /// there was no choice among them.
    pub fn follows_from_clause(&self) -> bool {
        self.conditions().iter().all(|condition| match condition {
            Condition::Hash { .. }
            | Condition::Element { .. }
            | Condition::Words { .. }
            | Condition::Member { .. }
            | Condition::Edges { .. } => true,
            Condition::Prefix { .. } | Condition::Infix { .. } => false,
        })
    }

    /// True if all conditions are kept in indexes of hashes, which are stored as they are.
    pub fn is_stored(&self) -> bool {
        self.conditions().iter().all(|condition| match condition {
            Condition::Hash { .. } | Condition::Prefix { .. } | Condition::Infix { .. } => true,
            Condition::Element { .. }
            | Condition::Words { .. }
            | Condition::Member { .. }
            | Condition::Edges { .. } => false,
        })
    }

    /// Bytes that are this filing's own.
    pub fn heap_bytes(&self) -> usize {
        let of_edges = |condition: &Condition| match condition {
            Condition::Edges { edges, .. } => {
                size_of::<(Edge, Edge)>() + edges.0.heap_bytes() + edges.1.heap_bytes()
            }
            Condition::Member { columns, .. } => size_of_val(&**columns),
            _ => 0,
        };
        let own = match self {
            Self::Many(conditions) => size_of_val(&**conditions),
            _ => 0,
        };
        own + self.conditions().iter().map(of_edges).sum::<usize>()
    }

    pub fn conditions(&self) -> &[Condition] {
        match self {
            Self::Never | Self::Scan => &[],
            Self::One(condition) => std::slice::from_ref(condition),
            Self::Many(conditions) => conditions,
        }
    }
}
