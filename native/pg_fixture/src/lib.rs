//! A private PostgreSQL server for tests: started in a temporary directory, gone when dropped.
//!
//! ```no_run
//! let server = pg_fixture::Server::start()?;
//! assert_eq!(server.psql("postgres", "SELECT 1 + 1")?, "2\n");
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! The server listens on 127.0.0.1 (a free port) and on a unix socket in its own directory, trusts
//! everybody, and does not `fsync`. It is supervised by a small shell that waits on a pipe: when
//! the [`Server`] is dropped, *or the process that holds it dies in whatever way*, the pipe closes,
//! the shell stops PostgreSQL and removes the directory. So a `static` server is cleaned up too.

mod install;
mod server;

pub use server::Server;
