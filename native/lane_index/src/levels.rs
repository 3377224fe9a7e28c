//! Which runs to merge: a pure function of their sizes, so that it can be tested as one.
//!
//! A *run* is one segment over the whole key space. Runs are ordered from the newest to the oldest;
//! level 0 is what flushes wrote, and each older run should be [`RATIO`] times as large as the one
//! above it. A merge takes the newest runs up to some older one, so that it always joins neighbours
//! and order is kept.

use std::time::Duration;

/// How much larger than the runs above it an older run should be.
pub const RATIO: u64 = 10;
/// The most segments that a look-up probes. A flush that would make more waits for a merge.
pub const MAX_RUNS: usize = 4;
/// How many flushed runs of level 0 may wait for a merge.
const MAX_LEVEL_0: usize = 2;

/// What the choice depends on, for one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RunFigures {
    /// Ids added and removed.
    pub entries: u64,
    /// Removed ones among them.
    pub removes: u64,
    /// 0 for what a flush wrote.
    pub level: u8,
    /// Since it was written.
    pub age: Duration,
}

/// Why a merge is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Enough flushed runs wait at level 0.
    Size,
    /// A look-up would have to probe too many segments.
    ReadAmplification,
    /// Too large a share of what is stored are tombstones.
    Tombstones,
    /// Tombstones have waited long enough to be applied.
    Age,
}

/// The adaptive part of the choice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thresholds {
    /// The share of tombstones, in percent of all entries, from which everything is merged.
    pub tombstone_percent: u64,
    /// How long tombstones wait at most.
    pub max_age: Duration,
}

/// How many of the newest runs to merge now, and why; none where the runs are in good shape.
pub(crate) fn pick(runs: &[RunFigures], thresholds: &Thresholds) -> Option<(usize, Reason)> {
    if runs.len() < 2 {
        return None;
    }
    let entries: u64 = runs.iter().map(|run| run.entries).sum();
    let removes: u64 = runs.iter().map(|run| run.removes).sum();
    if removes * 100 > entries * thresholds.tombstone_percent {
        return Some((runs.len(), Reason::Tombstones));
    }
    if runs.iter().any(|run| run.removes > 0 && run.age > thresholds.max_age) {
        return Some((runs.len(), Reason::Age));
    }
    let level_0 = runs.iter().filter(|run| run.level == 0).count();
    if level_0 >= MAX_LEVEL_0 {
        return Some((misshapen(runs).max(2), Reason::Size));
    }
    if runs.len() >= MAX_RUNS {
        return Some((misshapen(runs).max(2), Reason::ReadAmplification));
    }
    None
}

/// How many of the newest runs are together too large for the older run below them.
fn misshapen(runs: &[RunFigures]) -> usize {
    let mut above = runs[0].entries;
    let mut count = 1;
    while count < runs.len() && above * RATIO >= runs[count].entries {
        above += runs[count].entries;
        count += 1;
    }
    count
}

/// The level of a run of `entries` entries: level `n` holds up to `base * RATIO^n`.
pub(crate) fn level_of(entries: u64, base: u64) -> u8 {
    let (mut level, mut room) = (1, base.max(1).saturating_mul(RATIO));
    while entries > room {
        level += 1;
        room = room.saturating_mul(RATIO);
    }
    level
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const THRESHOLDS: Thresholds =
        Thresholds { tombstone_percent: 20, max_age: Duration::from_secs(60) };

    fn run(entries: u64, level: u8) -> RunFigures {
        RunFigures { entries, removes: 0, level, age: Duration::ZERO }
    }

    #[test]
    fn runs_in_good_shape_are_left_alone() {
        assert_eq!(pick(&[], &THRESHOLDS), None);
        assert_eq!(pick(&[run(10, 0)], &THRESHOLDS), None);
        assert_eq!(pick(&[run(10, 0), run(100_000, 2)], &THRESHOLDS), None);
    }

    #[test]
    fn two_flushes_are_merged_and_small_neighbours_with_them() {
        let (l1, l2) = (run(90, 1), run(1_000_000, 4));
        let size = |count| Some((count, Reason::Size));
        assert_eq!(pick(&[run(10, 0), run(10, 0), l2], &THRESHOLDS), size(2));
        assert_eq!(pick(&[run(10, 0), run(10, 0), l1, l2], &THRESHOLDS), size(3));
        assert_eq!(pick(&[run(10, 0), run(10, 0), run(99, 1)], &THRESHOLDS), size(3));
    }

    #[test]
    fn four_probes_are_too_many_even_in_good_shape() {
        let runs = [run(1, 0), run(100, 1), run(10_000, 2), run(1_000_000, 3)];
        assert_eq!(pick(&runs, &THRESHOLDS), Some((2, Reason::ReadAmplification)));
    }

    #[test]
    fn tombstones_go_to_the_last_level_by_share_and_by_age() {
        let mut runs = [run(300, 0), run(1_000, 2)];
        runs[0].removes = 261;
        assert_eq!(pick(&runs, &THRESHOLDS), Some((2, Reason::Tombstones)));
        runs[0].removes = 1;
        assert_eq!(pick(&runs, &THRESHOLDS), None);
        runs[0].age = Duration::from_secs(61);
        assert_eq!(pick(&runs, &THRESHOLDS), Some((2, Reason::Age)));
    }

    #[test]
    fn levels_grow_by_the_ratio() {
        assert_eq!(level_of(1, 10), 1);
        assert_eq!(level_of(100, 10), 1);
        assert_eq!(level_of(101, 10), 2);
        assert_eq!(level_of(u64::MAX, 0), 20);
    }

    proptest! {
        /// Whatever the flushes are: the runs stay few, and a byte is not rewritten for ever.
        #[test]
        fn flushes_and_merges_stay_in_bounds(sizes in prop::collection::vec(1_u64..2_000, 1..400)) {
            let mut runs: Vec<RunFigures> = Vec::new();
            let (mut flushed, mut written) = (0, 0);
            for size in sizes {
                runs.insert(0, run(size, 0));
                flushed += size;
                written += size;
                prop_assert!(runs.len() <= MAX_RUNS);
                while let Some((count, _)) = pick(&runs, &THRESHOLDS) {
                    prop_assert!((2..=runs.len()).contains(&count));
                    let entries = runs[..count].iter().map(|run| run.entries).sum();
                    written += entries;
                    runs.splice(..count, [run(entries, level_of(entries, 1_000))]);
                }
                prop_assert!(runs.len() < MAX_RUNS);
            }
            let bound = 2.0 * RATIO as f64 * (1.0 + (flushed as f64).log10());
            prop_assert!((written as f64) < flushed as f64 * bound);
        }
    }
}
