//! Under which conditions a clause is filed.

use crate::index::{Beginning, Edge, Elements, Hashed, Mark};
use std::sync::Arc;

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
    /// Its text holds these bytes; with `fold`, in lower case.
    Infix { column: u32, fold: bool, literal: Arc<[u8]> },
}

impl Condition {
    pub fn column(&self) -> usize {
        let (Self::Hash { column, .. }
        | Self::Element { column, .. }
        | Self::Prefix { column, .. }
        | Self::Words { column, .. }
        | Self::Edges { column, .. }
        | Self::Infix { column, .. }) = self;
        *column as usize
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
        }
    }
}

/// How a shape is filed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Filing {
    /// It can never be true.
    Never,
    /// No index can hold it.
    Scan,
    /// Under this: where the clause is true, it holds.
    One(Condition),
    /// Under each of these: where the clause is true, one of them holds.
    Many(Box<[Condition]>),
}

impl Filing {
    pub fn is_never(&self) -> bool {
        matches!(self, Self::Never)
    }
    pub fn is_scan(&self) -> bool {
        matches!(self, Self::Scan)
    }

    pub fn conditions(&self) -> &[Condition] {
        match self {
            Self::Never | Self::Scan => &[],
            Self::One(condition) => std::slice::from_ref(condition),
            Self::Many(conditions) => conditions,
        }
    }
}
