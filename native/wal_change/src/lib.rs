//! pgoutput messages -> changes for a router, read straight from their bytes.
//!
//! A [`WalDecoder`] follows one replication connection: it keeps the tables that Relation messages
//! define. Of a row's message it makes a [`Change`](shape_router::Change) whose columns are slices of
//! the message: nothing is copied, and nothing is read that no clause asks for.
//!
//! ```
//! use pg_wal::decode::Streaming;
//! use shape_router::{Budget, Config, Router, Scratch, ShapeSpec};
//! use wal_change::{TableName, Target, WalDecoder};
//!
//! let router = Router::new(Config::open("todos"))?;
//! router.add_shape(ShapeSpec::new(7, Some("user_id = 123")))?;
//! let table: TableName = "public.todos".parse()?;
//! let target = Target { number: 1, table: &table, router: &router };
//!
//! let mut decoder = WalDecoder::new(1, Streaming::Off)?;
//! // The table todos with the OID 16385 has one column, user_id of type int8.
//! decoder.decode(b"R\0\0\x40\x01public\0todos\0d\0\x01\x01user_id\0\0\0\0\x14\xff\xff\xff\xff")?;
//! // A row of it.
//! let message = decoder.decode(b"I\0\0\x40\x01N\0\x01t\0\0\0\x03123")?;
//! decoder.prepare(&message, &target)?;
//! let (arena, mut scratch) = (bumpalo::Bump::new(), Scratch::default());
//! let mut row = decoder.change(&message, &target, &arena)?.expect("a row of todos");
//! let change = row.as_change();
//! router.route(&change, Default::default(), &mut scratch, &mut Budget::unlimited(), None)?;
//! assert_eq!(scratch.ids().collect::<Vec<_>>(), [7]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | its one job |
//! |---|---|
//! | `decoder` | a connection: its tables, by OID and by name |
//! | `mapping` | a router's columns -> their places in a table's rows |
//! | `row` | a row's bytes -> the values of the columns that are asked for |
//! | `binary` | the binary form of a value |
//! | `change` | a message -> a change |
//! | `name` | the names of tables |

mod binary;
mod change;
mod decoder;
mod error;
mod mapping;
mod name;
mod row;

pub use change::WalChange;
pub use decoder::{Target, WalDecoder};
pub use error::Error;
pub use name::TableName;
