//! Compaction of a range of a log: of the entries about a row those stay that readers need.
//!
//! **The law**: a reader who has applied every entry up to any offset, before the range or within, and is
//! then given the collapsed entries behind that offset, ends with the rows that the whole range would have
//! given him; and no reader is told to insert a row that he has, or to update or delete one that he has
//! not. The entries that stay keep their offsets, their order, and, but for merged values, their bytes.
//!
//! That decides what may be done with the entries about one row, as long as nothing stands between them
//! that could have changed it otherwise:
//!
//! | the entries | stay | because |
//! |---|---|---|
//! | update, update | one, at the last one's place, with the values of both, the newer ones first | who has applied the first is told its values again |
//! | upsert, upsert | the same | the same |
//! | insert, update | both | one insert at the first's place would be missed by readers between the two, one at the last's would be an insert of a row that they have |
//! | update, delete | the delete | whoever reads it has the row |
//! | upsert, delete | both | who has not read the upsert may not have the row |
//! | any of these, delete_if_present | that | it is right for whoever reads it |
//! | insert, delete | both | readers between the two need the delete, those before the insert could not apply it alone |
//! | delete or delete_if_present, insert | both | as it is |
//! | anything, truncate | the truncate | it leaves nothing of what was before |
//! | across a rekey | as if the range ended there | rows change their names there |
//! | across an unknown | the same, and it always stays | nobody knows what it does |
//!
//! Transactions are not kept together: a reader that stops in the middle has rows of several points in
//! time, until he reads on.
//!
//! The law is about readers that go on with collapsed entries, or with a later collapse of those. **Who
//! has read a part of a collapsed range must not be given the original entries behind it**: values that
//! were moved to a later place would be missing. Before a collapsed range is served, the original entries
//! in caches must go ([`OperationCache::evict_through`](crate::OperationCache::evict_through)), as must
//! chunks of it ([`ChunkStore::seal`](crate::ChunkStore::seal) over the range does that), and it must be
//! durable.
//!
//! Logs that are tables have no such readers: of them [only the rows](Plan::read_rows) stay.
//!
//! The range is read twice. What is kept in memory is one byte an entry, a record a key, and of rows with
//! updates that were met and wait for their last one, their values; never the entries.

mod plan;
mod rows;
mod value;

pub use plan::{CollapseOptions, Collapsed, Plan, Summary};
