//! Look-ups of many keys, whose cache misses overlap.
//!
//! Keys are taken in groups, and a group in steps: each step asks for the cache lines that the next one
//! reads, for all keys, so that none waits for its own. Where everything lies in the processor's own
//! cache anyway, the steps would only cost.

use smallvec::SmallVec;

use crate::segment::Probe;
use crate::view::View;

/// Keys that are under way at the same time: enough to hide a cache miss, few enough for the
/// processor to remember.
const GROUP: usize = 32;
/// Segments of so many bytes together are read key by key.
const CACHED: u64 = 1 << 20;

impl View {
    /// Asks for the cache lines that a look-up reads, unless they are there anyway.
    #[inline]
    pub(crate) fn prefetch(&self, hash: u64) {
        if self.runs.iter().map(|run| run.bytes).sum::<u64>() < CACHED {
            return;
        }
        self.overlays().for_each(|overlay| overlay.prefetch(hash));
        for run in &*self.runs {
            run.segment.prefetch(run.lanes.lane(hash), hash);
        }
    }

    /// Hands `each` the number of each key and appends its ids to what `each` returns, key after key.
    #[inline(always)]
    pub(crate) fn get_each(&self, hashes: &[u64], mut out: impl Sink) {
        if self.runs.iter().map(|run| run.bytes).sum::<u64>() < CACHED {
            for (at, hash) in hashes.iter().enumerate() {
                self.get(*hash, out.begin());
                if !out.end(at) {
                    return;
                }
            }
            return;
        }
        // The probes of a run side by side, from the oldest run to the newest.
        let mut probes = SmallVec::<[Probe<'_>; 2 * GROUP]>::new();
        for (group, hashes) in hashes.chunks(GROUP).enumerate() {
            probes.clear();
            for run in self.runs.iter().rev() {
                let probe = |hash: &u64| run.segment.probe(run.lanes.lane(*hash), *hash);
                probes.extend(hashes.iter().map(probe));
            }
            for overlay in self.overlays() {
                hashes.iter().for_each(|hash| overlay.prefetch(*hash));
            }
            probes.iter_mut().for_each(Probe::advance);
            for (at, hash) in hashes.iter().enumerate() {
                let found = |run: usize, _: &_| probes[run * hashes.len() + at].found();
                self.join(*hash, out.begin(), found);
                if !out.end(group * GROUP + at) {
                    return;
                }
            }
        }
    }
}

/// Where the ids of many keys go.
pub(crate) trait Sink {
    /// What the ids of the next key are appended to.
    fn begin(&mut self) -> &mut Vec<u32>;
    /// They are there. It is key `at`. Whether to go on.
    fn end(&mut self, at: usize) -> bool;
}

/// All into one list.
impl Sink for &mut Vec<u32> {
    #[inline(always)]
    fn begin(&mut self) -> &mut Vec<u32> {
        self
    }

    #[inline(always)]
    fn end(&mut self, _: usize) -> bool {
        true
    }
}

/// Those of each key that has any to a function, as long as that says so.
pub(crate) struct Found<'a, F> {
    pub ids: &'a mut Vec<u32>,
    pub found: F,
}

impl<F: FnMut(usize, &[u32]) -> bool> Sink for Found<'_, F> {
    #[inline(always)]
    fn begin(&mut self) -> &mut Vec<u32> {
        self.ids.clear();
        self.ids
    }

    #[inline(always)]
    fn end(&mut self, at: usize) -> bool {
        self.ids.is_empty() || (self.found)(at, self.ids)
    }
}
