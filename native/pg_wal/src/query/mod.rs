//! Rows as they stand in the database now, in the text forms that the WAL has them in.
//!
//! Two questions, each over a plain connection with the same session settings as the replication
//! connection's:
//!
//! - [`Reader`]: the rows of given keys. It connects when it is first asked, connects again when the
//!   connection was lost, and asks again then: reading twice changes nothing.
//! - [`Scan`]: all rows of a table, in portions, from one snapshot, and which transactions that snapshot shows.
//!
//! Keys travel as parameters, never as part of the SQL. Names are quoted. What a policy of row security
//! would hide is an error, since a row that does not come is taken for deleted.

mod reader;
mod row;
mod scan;
mod statement;

pub use reader::Reader;
pub use row::{Row, Rows};
pub use scan::{Scan, Snapshot};
