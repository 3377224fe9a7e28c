//! Transactions: routed in WAL order by one writer, staged, then acknowledged.

/// Which transaction, or which fragment of a large one, is routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its commit LSN.
    pub lsn: u64,
    /// 0, and 1, 2, ... for the further fragments of a large transaction.
    pub fragment: u32,
    /// Its xid, where the caller knows it: compared with the snapshots that shapes were seeded from.
    pub xid: Option<u32>,
}

impl Transaction {
    /// A transaction in one fragment, of unknown xid.
    pub fn at(lsn: u64) -> Self {
        Self { lsn, fragment: 0, xid: None }
    }

    /// Its place in the order of the WAL.
    pub(crate) fn place(&self) -> (u64, u32) {
        (self.lsn, self.fragment)
    }
}

/// How far the routing of a transaction has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Open {
    pub transaction: Transaction,
    /// The change to route next.
    pub next: usize,
}
