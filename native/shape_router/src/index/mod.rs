//! Condition indexes: from a column's value to the shapes that are filed under it.
//!
//! | module | conditions |
//! |---|---|
//! | `multimap` | `=`, `IN`, `= ANY`, booleans, `IS NULL`, a document's keys and fields |
//! | `element` | `@>`, `&&`, `ANY` of arrays; `@>` of documents |
//! | `prefix` | `LIKE 'abc%'`, `^@` |
//! | `interval`, `edge` | `<`, `<=`, `>`, `>=`, `BETWEEN` |
//! | `infix` | `LIKE '%abc%'`, `ILIKE`, regular expressions with a literal |
//! | `column` | all of them for one column |
//! | `scan_list` | what none of them can hold |

mod column;
mod edge;
mod element;
mod infix;
mod interval;
mod multimap;
mod prefix;
mod scan_list;
mod slot_set;

pub(crate) use column::{ColumnIndex, Elements, Hashed, Secret};
pub(crate) use edge::{Edge, edges, words};
pub(crate) use element::{Mark, mark};
pub(crate) use infix::InfixIndex;
pub(crate) use infix::{Gram, has_choice as infix_has_choice};
pub(crate) use multimap::{Making, Multimap, Parts, SMALL, Walk};
pub(crate) use prefix::{Beginning, PrefixIndex};
pub(crate) use scan_list::ScanList;
pub(crate) use slot_set::SlotSet;

/// A shape's place in the table of shapes.
pub(crate) type Slot = u32;
