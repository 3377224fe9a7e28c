//! Looking up: the part of the handle that readers use.

use crate::group::Found;
use crate::index::LaneIndex;
use crate::stats::{SAMPLE_EVERY, Timer};
use crate::swap::Guard;
use crate::view::View;

/// Whether an answer can be relied upon to be whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Answer {
    /// No id that is filed under the key is missing.
    Complete,
    /// Part of the index was lost, or it is closed: ids may be missing.
    Degraded,
}

/// The index as it is at one moment, for several look-ups: each is a little cheaper than one of its
/// own, and all answer from the same segments. Writes that come meanwhile may be seen or not.
///
/// It is for the time of a call: as long as it lives, what it sees takes memory, and files that were
/// merged away take disk space. It stays in its thread.
pub struct Reader<'a> {
    view: Guard<'a, View>,
}

impl Reader<'_> {
    /// As [`LaneIndex::get`].
    #[inline]
    pub fn get(&self, hash: u64, ids: &mut Vec<u32>) -> Answer {
        self.view.get(hash, ids);
        self.answer()
    }

    /// As [`LaneIndex::get_verified`].
    pub fn get_verified(&self, hash: u64, ids: &mut Vec<u32>) -> Answer {
        self.view.get_verified(hash, ids);
        self.answer()
    }

    /// As [`LaneIndex::get_each`].
    pub fn get_each(&self, hashes: &[u64], ids: &mut Vec<u32>) -> Answer {
        self.view.get_each(hashes, ids);
        self.answer()
    }

    /// As [`LaneIndex::contains`].
    pub fn contains(&self, hash: u64, id: u32) -> bool {
        self.view.contains(hash, id)
    }

    /// Whether the answers can be relied upon to be whole.
    #[inline]
    pub fn answer(&self) -> Answer {
        answer(&self.view)
    }
}

impl LaneIndex {
    /// The index as it is now, for several look-ups of this call.
    #[inline]
    #[must_use]
    pub fn reader(&self) -> Reader<'_> {
        Reader { view: self.core.view.load() }
    }

    /// Appends the ids under the key with this hash to `ids`, ascending, each once.
    ///
    /// A key whose fingerprint is like another's gets the other's ids too, about once in 65,000 times
    /// for a key that is not there: a caller that has no predicate of its own behind the index uses
    /// [`LaneIndex::get_verified`].
    #[inline]
    pub fn get(&self, hash: u64, ids: &mut Vec<u32>) -> Answer {
        let view = self.core.view.load();
        if view.is_sampled(SAMPLE_EVERY) {
            return self.get_timed(&view, hash, ids);
        }
        view.get(hash, ids);
        answer(&view)
    }

    #[cold]
    #[inline(never)]
    fn get_timed(&self, view: &View, hash: u64, ids: &mut Vec<u32>) -> Answer {
        let timer = Timer::when(true);
        view.get(hash, ids);
        self.core.counters.lookups.record(timer);
        answer(view)
    }

    /// As [`LaneIndex::get`], with the whole hash compared: one more cache miss for a hit, and no id of
    /// another hash.
    pub fn get_verified(&self, hash: u64, ids: &mut Vec<u32>) -> Answer {
        let view = self.core.view.load();
        let timer = Timer::when(view.is_sampled(SAMPLE_EVERY));
        view.get_verified(hash, ids);
        self.core.counters.lookups.record(timer);
        answer(&view)
    }

    /// Looks up many keys with their cache misses overlapping. `found` gets the index of each key that
    /// has ids, and the ids, which are kept in `ids` only until it returns.
    pub fn get_batch(
        &self,
        hashes: &[u64],
        ids: &mut Vec<u32>,
        mut found: impl FnMut(usize, &[u32]),
    ) -> Answer {
        self.get_batch_while(hashes, ids, |at, ids| {
            found(at, ids);
            true
        })
    }

    /// As [`LaneIndex::get_batch`], as long as `found` says so.
    #[inline]
    pub fn get_batch_while(
        &self,
        hashes: &[u64],
        ids: &mut Vec<u32>,
        found: impl FnMut(usize, &[u32]) -> bool,
    ) -> Answer {
        let view = self.core.view.load();
        view.get_each(hashes, Found { ids, found });
        answer(&view)
    }

    /// Appends the ids under each of several keys to `ids`, key after key, as [`LaneIndex::get`] does,
    /// with the cache misses of them overlapping.
    pub fn get_each(&self, hashes: &[u64], ids: &mut Vec<u32>) -> Answer {
        let view = self.core.view.load();
        view.get_each(hashes, ids);
        answer(&view)
    }

    /// Asks for what looking up a key reads, for a caller that will do so a little later. For keys that
    /// are all known now there is [`LaneIndex::get_each`].
    #[inline]
    pub fn prefetch(&self, hash: u64) {
        self.core.view.load().prefetch(hash);
    }

    /// Whether `id` is filed under the key with this hash, by the whole hash. However many ids the key
    /// has, they are not read one by one, apart from those of up to [`crate::DELTA_MAX`] that lie together.
    pub fn contains(&self, hash: u64, id: u32) -> bool {
        self.core.view.load().contains(hash, id)
    }
}

pub(crate) fn answer(view: &View) -> Answer {
    if view.degraded { Answer::Degraded } else { Answer::Complete }
}
