//! The NIF behind `ShapeRouter.Native`: decodes Erlang terms, calls one function, encodes the answer.
//!
//! | module | its one job |
//! |---|---|
//! | `router` | shapes come and go, changes are routed |
//! | `durable` | routers in a directory |
//! | `batch` | many changes, read in groups |
//! | `transaction` | whole transactions, staged and acknowledged |
//! | `value_set` | what subqueries select, as the host feeds it |
//! | `predicate` | a clause by itself |
//! | `change` | a change's term -> a change |
//! | `row`, `value` | a record's term -> values, one column at a time |
//! | `structure` | Elixir's dates, times and decimals -> text |
//! | `json` | a term -> JSON text |
//! | `schema` | a table's columns and their types |
//! | `param` | the values of a clause's parameters |
//! | `columns` | how a table's columns are named in records |
//! | `list` | lists that may be improper |
//! | `name_terms` | their names as terms that are made once |
//! | `answer` | an answer -> terms |
//! | `error` | errors -> terms |
//! | `source` | the replication connection |
//! | `query` | rows as they stand in the database now |
//! | `wal` | the transactions that it brings -> terms |
//! | `wal_route` | a connection's bytes -> answers |
//! | `wal_group` | rows' bytes in groups |
//! | `terms` | which number stands for which term |
//! | `filter` | what `ShapeRouter.Filter` asks of a router |
//! | `bare` | terms in two machine words
//! | `direct` | calls without what takes time in others; routers as resources |
//! | `handle` | what Erlang holds: routers, cursors, predicates |
//! | `value_key` | a value -> the bytes that all values equal to it have |
//! | `log_entry` | a change's term -> what is logged of it |
//! | `log_store` | the logs of a collector |
//! | `log_read` | files, the cache and streams of a log |
//! | `log_replay` | a log of the collector itself, read back as rows |
//! | `notify` | telling a process from threads of the library |
//! | `operation_cache` | the newest operations of a shape |
//! | `lanes` | the LSM index of `ShapeRouter.Index.LsmEqualityIndex` |
//! | `circuit` | tables, views and steps of `ShapeRouter.Circuit` |
//! | `circuit_batch` | a batch's terms -> operations |
//! | `circuit_view` | a caller's ids of views, and what is known of each |
//! | `circuit_answer` | views' changes and rows -> terms |
//! | `circuit_read` | what a circuit is asked |
//! | `circuit_store` | a circuit in a directory |
//! | `timeslice` | a call's work counts against its process's turn |
//! | `clock` | what a thread has worked, for the benchmarks |
//! | `pin` | the library stays in memory |

mod answer;
mod atoms;
mod bare;
mod batch;
mod change;
mod circuit;
mod circuit_answer;
mod circuit_batch;
mod circuit_read;
mod circuit_store;
mod circuit_view;
mod clock;
mod columns;
mod direct;
mod durable;
mod error;
mod feeder;
mod filter;
mod handle;
mod json;
mod lanes;
mod list;
mod log_entry;
mod log_read;
mod log_replay;
mod log_store;
mod name_terms;
mod notify;
mod operation_cache;
mod param;
mod pin;
mod predicate;
mod query;
mod router;
mod row;
mod schema;
mod source;
mod structure;
mod terms;
mod timeslice;
mod transaction;
mod value;
mod value_key;
mod value_set;
mod wal;
mod wal_group;
mod wal_route;

/// One allocator for all of the library: what its indexes replace goes back to the system.
#[global_allocator]
static ALLOCATOR: lane_index::Allocator = lane_index::Allocator;

rustler::init!("Elixir.ShapeRouter.Native", load = pin::on_load);
