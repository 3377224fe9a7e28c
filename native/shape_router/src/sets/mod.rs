//! Value sets: what the subqueries of clauses select, once for all shapes that have the same subquery.
//!
//! A set belongs to a subquery's text and to the types that it is compared as. It comes with the first
//! shape that uses it and goes with the last. Until it is *ready* nothing is known of what it holds, and
//! whatever depends on it is included.
//!
//! | module | its one job |
//! |---|---|
//! | `row` | a row of a set by its hashes, and under which keys it counts |
//! | `values` | from a value to the sets that hold it |
//! | `content` | what each set holds, as counts by key |
//! | `registry` | which sets there are, who uses them, what they are compared as |
//! | `staged` | what transactions did that are not acknowledged |
//! | `view` | the answer to `IN` |
//! | `members` | which shapes are filed under a column and a set |
//! | `moves` | what a change of a set means to shapes |
//! | `group` | who feeds one set, and in what they differ |
//! | `feeders` | shapes that feed their sets themselves, each at its own time |

mod content;
mod feeders;
mod group;
mod members;
mod moves;
mod registry;
mod row;
mod staged;
mod values;
mod view;

pub(crate) use feeders::{Enrolled, Use};
pub(crate) use members::MemberIndex;
pub(crate) use moves::Gathered;
pub use moves::{Move, MoveKind, MovedValue, Moves};
pub(crate) use registry::{Asked, ValueSets};
pub use registry::{ItemTypes, SetInfo};
pub(crate) use row::{Hashed, Key};
pub(crate) use staged::Staged;
pub(crate) use view::SetView;
