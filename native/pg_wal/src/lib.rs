//! pgoutput messages -> changes, and the replication connection that brings them.
