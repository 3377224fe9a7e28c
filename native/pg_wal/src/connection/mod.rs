//! A connection to the server: address, encryption, authentication, messages.

mod connect;
mod tls;
mod wire;

pub(crate) use connect::{Purpose, connect};
pub(crate) use wire::{Connection, Frame, Row, is_fatal, unexpected};
