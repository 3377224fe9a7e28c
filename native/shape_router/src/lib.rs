//! Which shapes does a change belong to?
//!
//! A [`Router`] serves one table. Shapes (an id and a `WHERE` clause) are added and removed at any
//! time; [`Router::route`] tells for one change the ids of the shapes it belongs to, and, asked with
//! [`RouteOptions::classify`], what each shape's log must record. The answer is PostgreSQL's own: an
//! index only proposes candidates, and each of them is verified by its whole clause.
//!
//! ```
//! use shape_router::{Budget, Change, Config, Op, Router, Scratch, ShapeSpec};
//! use shape_expr::{Datum, RowSource};
//!
//! // A row is anything that can tell the value of a column by its position.
//! struct Todo(i64);
//! impl RowSource for Todo {
//!     fn datum(&self, column: usize) -> Datum<'_> {
//!         if column == 0 { Datum::Int(self.0) } else { Datum::Absent }
//!     }
//! }
//!
//! let router = Router::new(Config::open("todos"))?;
//! router.add_shape(ShapeSpec::new(7, Some("user_id = 123")))?;
//!
//! let mut scratch = Scratch::default();
//! let row = Todo(123);
//! let change = Change { new: Some(&row), ..Change::new(Op::Insert) };
//! router.route(&change, Default::default(), &mut scratch, &mut Budget::unlimited(), None)?;
//! assert_eq!(scratch.ids().collect::<Vec<_>>(), [7]);
//! # Ok::<(), shape_router::Error>(())
//! ```
//!
//! | module | its one job |
//! |---|---|
//! | [`router`](Router) | the facade: shapes come and go, changes are routed |
//! | `spec` | what a router and a shape are made with |
//! | `state` | what readers read, and the steps in which it is changed |
//! | `change` | what happened to a row, as far as the WAL tells |
//! | `shapes` | the table of shapes, by slot and by id |
//! | `sharded` | hash tables that grow a small part at a time |
//! | `filing` | under which conditions a clause is filed |
//! | `choose` | of all that a clause could be filed under, the most selective |
//! | `conditions` | the condition indexes of a table: what is filed, what a row looks up |
//! | `index` | condition indexes of every kind, and the list of what no index can hold |
//! | `upkeep` | what indexes leave to be done later, done where no reader waits for it |
//! | `membership` | which shapes hold a key: acknowledged, and staged by transactions |
//! | `sets` | what the subqueries of clauses select, and what a change of it means to shapes |
//! | `candidates` | layers 1 and 2: which shapes could a change concern |
//! | `classify` | layers 3 and 4: the predicate gate, and the meaning of a change for a shape |
//! | [`catalogue`] | the shapes in a directory: journal, snapshots, manifest |
//! | `durable` | what a router tells its catalogue, and how it comes back from it |
//! | `stored` | what is derived from a snapshot of the catalogue, stored beside it |
//! | `reaper` | large frees, on a thread of their own |
//! | `answer` | a change's answer: candidates walked within a budget, each through the gate |
//! | `group` | several changes, read first and answered second |
//! | `relation` | what a Relation message changes |
//! | `budget`, `metrics`, `scratch` | counted work, counters, reused memory |

mod answer;
mod budget;
mod candidates;
pub mod catalogue;
mod change;
mod choose;
mod classify;
mod conditions;
mod durable;
mod error;
mod explain;
mod filing;
mod group;
mod index;
mod key;
mod membership;
mod metrics;
mod reaper;
mod relation;
mod router;
mod scratch;
mod sets;
mod shapes;
mod sharded;
mod spec;
mod state;
mod stored;
mod transaction;
mod upkeep;

pub use budget::Budget;
pub use candidates::Cursor;
pub use change::{Change, KeyParts, Op};
pub use classify::{Class, OldRow, RouteOptions};
pub use durable::Closer;
pub use error::Error;
pub use explain::{Explanation, FiledUnder, Reason};
pub use group::{Answered, GROUP};
pub use metrics::Metrics;
pub use relation::{Relation, RelationColumn};
pub use router::{Progress, Router, SetRow};
pub use scratch::{Routed, Scratch};
pub use sets::{ItemTypes, Move, MoveKind, MovedValue, Moves, SetInfo};
pub use spec::{Config, Keys, OwnedParam, ShapeSpec, Snapshot};
pub use transaction::Transaction;
