//! What a source tells its consumer.

use crate::{Error, Fragment, Lsn};
use std::time::Duration;

/// What the sink is called with.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The slot is there, and streaming is about to begin. Comes once, first.
    Started {
        /// Whether the slot was created just now.
        slot_created: bool,
        /// Transactions that end after it come: the consistent point of a new slot, else what was
        /// confirmed last (or [`Options::start_lsn`](super::Options::start_lsn)).
        start_lsn: Lsn,
        /// The cluster's identifier: another one means another history, whatever the LSNs say.
        system_id: String,
        /// The snapshot that shows the database exactly at `start_lsn`, if asked for and the slot
        /// was created. It can be used (`SET TRANSACTION SNAPSHOT`) until
        /// [`Handle::release_snapshot`](super::Handle::release_snapshot).
        snapshot: Option<String>,
    },
    /// A transaction or a part of one; it has taken one credit.
    Fragment(Fragment),
    /// The connection is lost, or could not be made; it will be tried again.
    Disconnected {
        /// Why.
        error: Error,
        /// After how long it is tried again.
        retry_in: Duration,
    },
    /// Streaming again. Transactions that were not confirmed come again; a half-delivered one
    /// starts over from its fragment 0.
    Reconnected {
        /// Transactions that end after it come.
        start_lsn: Lsn,
    },
    /// The source has ended: on request (`None`), or for good (`Some`). The last event.
    Stopped(Option<Error>),
}

/// Where a source stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Connecting, or making slot and publication ready.
    Connecting,
    /// Holding an exported snapshot.
    HoldingSnapshot,
    /// Streaming.
    Streaming,
    /// Waiting before it connects again.
    BackingOff,
    /// Ended.
    Stopped,
}

/// The answer of [`Handle::status`](super::Handle::status).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// What it is doing.
    pub state: State,
    /// Up to where everything is confirmed.
    pub confirmed: Lsn,
    /// The end of the WAL that the server has sent, or passed over as not for us.
    pub received: Lsn,
    /// The end of the last transaction that was delivered as a whole.
    pub delivered: Lsn,
    /// Fragments that may be delivered without a further grant.
    pub credits: u64,
    /// The last error, if any, as text.
    pub last_error: Option<String>,
}
