//! How an index is opened.

use std::time::Duration;

use crate::Error;
use crate::hash::MAX_LANES;
use crate::journal::Fsync;

/// Who remembers the writes that no segment has yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Journaling {
    /// The index: it writes a journal of its own.
    Own(Fsync),
    /// The caller: it gives each write a sequence number ([`crate::LaneIndex::apply`]) and, after
    /// opening, gives again what comes after [`crate::LaneIndex::applied_seq`].
    Caller,
}

/// Who flushes and merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// The library's threads, as soon as there is something to do.
    Background,
    /// The caller, by [`crate::LaneIndex::maintain`].
    Caller,
}

/// How an index is opened. `Options::default()` is right for most.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many lanes; `None` lets the count grow with the index from 1 to 64. An index that exists
    /// already keeps its count; see [`crate::LaneIndex::reshard`].
    pub lanes: Option<u16>,
    /// Whether segments are mapped (the default) or read into memory.
    pub mmap: bool,
    /// Who remembers the writes that no segment has yet. By default a journal that is synced before a
    /// write returns. Without meaning in memory.
    pub journal: Journaling,
    /// From how many entries on the overlay is flushed. `None`: 10,000, growing with the index to one
    /// in a hundred.
    pub overlay_limit: Option<usize>,
    /// The most entries that overlays may hold while merges are behind; then writes are refused with
    /// [`Error::Behind`]. `None`: one million, growing with the index.
    pub backlog_limit: Option<usize>,
    /// The most ids the index may hold, an id counted under each of its keys; a removal of what is not
    /// there counts as one until it is merged.
    pub max_entries: Option<u64>,
    /// The most bytes, in memory and on disk, that it may take.
    pub max_bytes: Option<u64>,
    /// The share of tombstones, in percent of all entries, from which everything is merged: 20.
    pub tombstone_percent: u8,
    /// How long at most writes wait for a flush and tombstones for a merge: ten minutes.
    pub max_age: Duration,
    /// Who flushes and merges; by default the library's threads.
    pub maintenance: Maintenance,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            lanes: None,
            mmap: true,
            journal: Journaling::Own(Fsync::Always),
            overlay_limit: None,
            backlog_limit: None,
            max_entries: None,
            max_bytes: None,
            tombstone_percent: 20,
            max_age: Duration::from_secs(600),
            maintenance: Maintenance::Background,
        }
    }
}

const SMALLEST_OVERLAY: usize = 10_000;
const SMALLEST_BACKLOG: usize = 1_000_000;
const MOST_AUTOMATIC_LANES: u64 = 64;
/// So many entries make a lane large enough that its fixed costs do not matter.
const ENTRIES_A_LANE: u64 = 1 << 16;

impl Options {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if let Some(lanes) = self.lanes.filter(|lanes| *lanes == 0 || *lanes > MAX_LANES) {
            let what = format!("{lanes} is not between 1 and {MAX_LANES}");
            return Err(Error::BadOption { option: "lanes", what });
        }
        if self.overlay_limit == Some(0) {
            let what = "an overlay must hold at least one entry".to_owned();
            return Err(Error::BadOption { option: "overlay_limit", what });
        }
        if self.tombstone_percent > 100 {
            let what = format!("{} is more than a hundred", self.tombstone_percent);
            return Err(Error::BadOption { option: "tombstone_percent", what });
        }
        Ok(())
    }

    /// How many entries an overlay takes in an index of `stored` entries.
    pub(crate) fn overlay_room(&self, stored: u64) -> usize {
        self.overlay_limit.unwrap_or_else(|| {
            SMALLEST_OVERLAY.max(usize::try_from(stored / 100).unwrap_or(usize::MAX))
        })
    }

    /// How many entries all overlays may hold.
    pub(crate) fn backlog_room(&self, stored: u64) -> usize {
        self.backlog_limit
            .unwrap_or_else(|| SMALLEST_BACKLOG.max(usize::try_from(stored).unwrap_or(usize::MAX)))
    }

    /// The lane count for an index of `entries` entries that has `lanes` lanes now.
    pub(crate) fn lanes_for(&self, entries: u64, lanes: u16) -> u16 {
        match self.lanes {
            Some(_) => lanes,
            None => {
                let wanted = (entries / ENTRIES_A_LANE).next_power_of_two();
                lanes.max(wanted.clamp(1, MOST_AUTOMATIC_LANES) as u16)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_and_lanes_grow_with_the_index() {
        let options = Options::default();
        assert_eq!(options.overlay_room(0), 10_000);
        assert_eq!(options.overlay_room(10_000_000), 100_000);
        assert_eq!(options.backlog_room(10_000_000), 10_000_000);
        assert_eq!(options.lanes_for(0, 1), 1);
        assert_eq!(options.lanes_for(1_000_000, 1), 16);
        assert_eq!(options.lanes_for(1 << 40, 1), 64);
        assert_eq!(options.lanes_for(0, 8), 8, "the count never falls by itself");
        let fixed = Options { lanes: Some(3), ..Options::default() };
        assert_eq!(fixed.lanes_for(1 << 40, 3), 3);
    }

    #[test]
    fn options_that_make_no_sense_are_refused() {
        let bad = [
            Options { lanes: Some(0), ..Options::default() },
            Options { lanes: Some(257), ..Options::default() },
            Options { overlay_limit: Some(0), ..Options::default() },
            Options { tombstone_percent: 101, ..Options::default() },
        ];
        for options in bad {
            assert!(matches!(options.check(), Err(Error::BadOption { .. })), "{options:?}");
        }
    }
}
