//! From memory to the caches, once it is durable.

use std::sync::Arc;

use super::progress::Commit;
use super::{LogStore, Shared};
use crate::block::{Block, Cursor, Header};
use crate::log::{Log, Recent};
use crate::{Error, Offset, OperationCache};

impl LogStore {
    /// The cache of a log: the newest of its operations. It is fed by the store, with what is durable.
    /// `None` where there are no caches, or nothing that was appended since the store was opened.
    ///
    /// # Errors
    /// [`Error::UnknownLog`].
    pub fn cache(&self, log: u64) -> Result<Option<OperationCache>, Error> {
        Ok(self.shared.log(log)?.cache.get().cloned())
    }

    /// Evicts what is too old, of all caches. A thread of the store does this, where it has threads.
    pub fn expire_caches(&self) {
        self.shared.expire_caches();
    }
}

impl Shared {
    /// The time that caches count in: milliseconds since the store was opened.
    pub fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    pub fn expire_caches(&self) {
        if let Some(pool) = &self.caches {
            pool.expire(self.now());
        }
    }

    /// Feeds the caches of the logs that have something of a transaction.
    pub fn feed(&self, commit: &Commit) {
        let now = self.now();
        for log in &commit.touched {
            self.feed_log(log, commit.lsn, now);
        }
    }

    fn feed_log(&self, log: &Arc<Log>, lsn: u64, now: u64) {
        let Some(pool) = &self.caches else { return };
        let mut state = log.state.lock();
        if state.is_table {
            return;
        }
        let recent = state.recent(lsn);
        drop(state);
        match recent {
            Recent::Nothing => {}
            Recent::Blocks { before, blocks } => {
                let cache = log.cache.get_or_init(|| pool.cache(before));
                let mut operations = Vec::new();
                if blocks.iter().try_for_each(|block| entries(block, &mut operations)).is_none()
                    || cache.append(&operations, now).is_err()
                {
                    // Bytes of our own that cannot be read: the cache says nothing of them.
                    let last = blocks.last().map_or(before, Block::last);
                    cache.evict_through(last);
                }
            }
            // A part of it is in the file already: such a transaction is too large for a cache.
            Recent::Spilled { last } => {
                if let Some(cache) = log.cache.get() {
                    cache.evict_through(last);
                }
            }
        }
    }
}

fn entries<'b>(block: &'b Block, operations: &mut Vec<(Offset, &'b [u8])>) -> Option<()> {
    let header = Header::decode(block.bytes.first_chunk()?);
    let mut cursor = Cursor::new(&header);
    while let Some(entry) = cursor.next(&header, &block.bytes).ok()? {
        operations.push((entry.offset, entry.json));
    }
    Some(())
}
