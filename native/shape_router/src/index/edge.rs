//! The ends of intervals: of words, and of bytes.

use std::cmp::Ordering;
use std::ops::Bound;
use std::sync::Arc;

/// One end of an interval that holds both its ends.
pub(crate) trait End: Clone + Ord {
    /// What an interval may hold.
    type Point<'p>: Copy;
    /// Is this end greater than the point?
    fn is_after(&self, point: Self::Point<'_>) -> bool;
    /// Is it less?
    fn is_before(&self, point: Self::Point<'_>) -> bool;
}

impl End for u64 {
    type Point<'p> = u64;

    fn is_after(&self, point: u64) -> bool {
        *self > point
    }

    fn is_before(&self, point: u64) -> bool {
        *self < point
    }
}

/// The interval of words between two bounds. One that no word lies in ends before it begins.
pub(crate) fn words(low: Bound<u64>, high: Bound<u64>) -> (u64, u64) {
    const EMPTY: (u64, u64) = (u64::MAX, 0);
    let low = match low {
        Bound::Unbounded => Some(0),
        Bound::Included(low) => Some(low),
        Bound::Excluded(low) => low.checked_add(1),
    };
    let high = match high {
        Bound::Unbounded => Some(u64::MAX),
        Bound::Included(high) => Some(high),
        Bound::Excluded(high) => high.checked_sub(1),
    };
    low.zip(high).unwrap_or(EMPTY)
}

const BEFORE: u8 = 0;
const AFTER: u8 = 2;

/// An end that lies right before or right after some bytes: they and a byte that says which. Without
/// any it is greater than all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Edge(Arc<[u8]>);

impl Edge {
    fn new(bytes: &[u8], side: u8) -> Self {
        Self(bytes.iter().copied().chain([side]).collect())
    }

    /// An edge of the bytes that [`Edge::bytes`] gave.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// What it consists of.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn parts(&self) -> Option<(&[u8], u8)> {
        self.0.split_last().map(|(side, bytes)| (bytes, *side))
    }

    fn compare(&self, point: &[u8]) -> Ordering {
        match self.parts() {
            None => Ordering::Greater,
            // The point lies between the two sides.
            Some((bytes, side)) => bytes.cmp(point).then(side.cmp(&1)),
        }
    }

    /// Is nothing less?
    pub fn is_least(&self) -> bool {
        self.parts() == Some((&[], BEFORE))
    }

    /// Is nothing greater?
    pub fn is_greatest(&self) -> bool {
        self.0.is_empty()
    }

    /// What its bytes take, wherever they lie.
    pub fn heap_bytes(&self) -> usize {
        16 + self.0.len()
    }
}

impl Ord for Edge {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self.parts(), other.parts()) {
            (Some(a), Some(b)) => a.cmp(&b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        }
    }
}

impl PartialOrd for Edge {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl End for Edge {
    type Point<'p> = &'p [u8];

    fn is_after(&self, point: &[u8]) -> bool {
        self.compare(point).is_gt()
    }

    fn is_before(&self, point: &[u8]) -> bool {
        self.compare(point).is_lt()
    }
}

/// The interval of byte strings between two bounds. One that none lies in ends before it begins.
pub(crate) fn edges(low: Bound<&[u8]>, high: Bound<&[u8]>) -> (Edge, Edge) {
    let low = match low {
        Bound::Unbounded => Edge::new(&[], BEFORE),
        Bound::Included(low) => Edge::new(low, BEFORE),
        Bound::Excluded(low) => Edge::new(low, AFTER),
    };
    let high = match high {
        Bound::Unbounded => Edge(Arc::new([])),
        Bound::Included(high) => Edge::new(high, AFTER),
        Bound::Excluded(high) => Edge::new(high, BEFORE),
    };
    (low, high)
}
