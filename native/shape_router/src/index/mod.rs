//! Condition indexes: from a column's value to the shapes that are filed under it.
//!
//! | module | conditions |
//! |---|---|
//! | `equality` | `=`, `IN`, `= ANY`, booleans, `IS NULL`, a document's keys and fields |
//! | `element` | `@>`, `&&`, `ANY` of arrays; `@>` of documents |
//! | `prefix` | `LIKE 'abc%'`, `^@` |
//! | `interval`, `edge` | `<`, `<=`, `>`, `>=`, `BETWEEN` |
//! | `infix` | `LIKE '%abc%'`, `ILIKE`, regular expressions with a literal |
//! | `column` | all of them for one column |
//! | `scan_list` | what none of them can hold |

mod column;
mod edge;
mod element;
mod equality;
mod infix;
mod interval;
mod posting;
mod prefix;
mod scan_list;
mod slot_set;

pub(crate) use column::{ColumnIndex, Elements, Hashed, Secret};
pub(crate) use edge::{Edge, edges, words};
pub(crate) use element::{Mark, mark};
pub(crate) use equality::EqualityIndex;
pub(crate) use infix::{InfixIndex, Merge, Seal, Tier, sought};
pub(crate) use prefix::Beginning;
pub(crate) use scan_list::ScanList;
pub(crate) use slot_set::SlotSet;

/// A shape's place in the table of shapes.
pub(crate) type Slot = u32;

/// A multimap from the keyed hash of a condition's value to the slots filed under it.
///
/// Collisions are harmless: every candidate is verified by its whole clause.
pub(crate) trait ConditionIndex {
    /// Files a slot under a hash. A slot is filed under a hash at most once.
    fn insert(&mut self, hash: u64, slot: Slot);
    /// Takes a slot from a hash.
    fn remove(&mut self, hash: u64, slot: Slot);
    /// Appends the slots that are filed under a hash.
    fn get(&self, hash: u64, out: &mut Vec<Slot>);
    /// Appends all slots: for a value that nobody knows. A slot filed twice comes twice.
    fn all(&self, out: &mut Vec<Slot>);
    /// How many slots are filed under a hash.
    fn count(&self, hash: u64) -> usize;
    /// How many hashes there are.
    fn keys(&self) -> usize;
    /// Resident bytes.
    fn memory_bytes(&self) -> usize;
}
