//! What an index says about itself.

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::state::Core;
use crate::view::Run;

/// One call in so many is timed: a clock read costs as much as a look-up.
pub const SAMPLE_EVERY: u32 = 64;
/// Two buckets for each power of two of nanoseconds, up to some seconds.
const BUCKETS: usize = 66;

/// Figures of an index at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Stats {
    /// Lanes that new segments are written with.
    pub num_lanes: u16,
    /// Deltas in overlays, removals included.
    pub overlay_entries: u64,
    /// Ids added and removed in segments.
    pub segment_entries: u64,
    /// Removals among them.
    pub segment_removes: u64,
    /// Keys in segments; a key in two segments counts twice.
    pub segment_keys: u64,
    /// Segments, and so the most that a look-up probes.
    pub segments: usize,
    /// The largest number of segments there has been since the index was opened.
    pub max_segments: usize,
    /// The level of each segment, newest first.
    pub levels: Vec<u8>,
    /// Bytes of the overlays in memory.
    pub overlay_bytes: u64,
    /// Bytes of the segments, the cold parts included.
    pub segment_bytes: u64,
    /// What look-ups touch: overlays, and the hot parts of segments.
    pub resident_bytes: u64,
    /// Resident bytes for each key in segments and entry in overlays.
    pub bytes_per_key: f64,
    /// Overlays that wait to be flushed.
    pub frozen_overlays: usize,
    /// Flushes done.
    pub flushes: u64,
    /// Merges done.
    pub compactions: u64,
    /// Flushes and merges that failed; the state before them was kept.
    pub failed_compactions: u64,
    /// Entries written by flushes and merges, for each entry that was flushed.
    pub write_amplification: f64,
    /// The overlay has outgrown its limit because merges are behind.
    pub behind: bool,
    /// Writes refused because they were too far behind.
    pub refused_behind: u64,
    /// What the last failed flush or merge said.
    pub last_error: Option<String>,
    /// A flush or merge panicked, so that none is tried again by itself until the index is opened anew.
    pub stopped: bool,
    /// Files that were found damaged and put aside since the index was opened.
    pub quarantined: Vec<String>,
    /// Answers are not complete until the index is rebuilt.
    pub degraded: bool,
    /// Look-ups, sampled.
    pub lookup_latency: Latency,
    /// Writes, sampled.
    pub write_latency: Latency,
}

/// The figures of the moment.
pub(crate) fn collect(core: &Core) -> Stats {
    let view = core.view.load_full();
    let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let counters = &core.counters;
    let sum = |of: fn(&Run) -> u64| view.runs.iter().map(|run| of(run)).sum::<u64>();
    let overlay_entries = view.overlays().map(|overlay| overlay.len() as u64).sum();
    let overlay_bytes = view.overlays().map(|overlay| overlay.bytes() as u64).sum();
    let (segment_keys, segment_bytes) = (sum(|run| run.keys), sum(|run| run.bytes));
    let resident_bytes = sum(|run| run.segment.hot_bytes()) + overlay_bytes;
    let flushed = load(&counters.flushed_entries);
    let (last_error, stopped, quarantined) = match &*core.trouble.lock() {
        Some(trouble) => {
            (trouble.last_error.clone(), trouble.panicked, trouble.quarantined.clone())
        }
        None => (None, false, vec![]),
    };
    Stats {
        num_lanes: core.lanes.load(Ordering::Relaxed),
        overlay_entries,
        segment_entries: sum(|run| run.adds + run.removes),
        segment_removes: sum(|run| run.removes),
        segment_keys,
        segments: view.runs.len(),
        max_segments: counters.max_runs.load(Ordering::Relaxed),
        levels: view.runs.iter().map(|run| run.level).collect(),
        overlay_bytes,
        segment_bytes,
        resident_bytes,
        bytes_per_key: resident_bytes as f64 / (segment_keys + overlay_entries).max(1) as f64,
        frozen_overlays: view.frozen.len(),
        flushes: load(&counters.flushes),
        compactions: load(&counters.merges),
        failed_compactions: load(&counters.failures),
        write_amplification: load(&counters.written_entries) as f64 / flushed.max(1) as f64,
        behind: core.is_behind(),
        refused_behind: load(&counters.refused_behind),
        last_error,
        stopped,
        quarantined,
        degraded: view.degraded,
        lookup_latency: counters.lookups.summary(),
        write_latency: counters.writes.summary(),
    }
}

/// A latency histogram's summary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Latency {
    /// Calls that were timed.
    pub samples: u64,
    /// Half of them took at most this.
    pub p50: Duration,
    /// All but one in a hundred.
    pub p99: Duration,
    /// All but one in a thousand.
    pub p999: Duration,
}

/// Counts of sampled latencies. It takes its memory with the first sample, so that an idle index is
/// small.
#[derive(Default)]
pub(crate) struct Histogram(OnceLock<Box<[AtomicU64; BUCKETS]>>);

/// A call that may be timed.
pub(crate) struct Timer(Option<Instant>);

impl Timer {
    /// Starts the clock for one call in [`SAMPLE_EVERY`] of this thread.
    #[inline]
    pub(crate) fn start() -> Self {
        thread_local!(static CALLS: Cell<u32> = const { Cell::new(0) });
        let call = CALLS.get();
        CALLS.set(call.wrapping_add(1));
        Self::when(call.is_multiple_of(SAMPLE_EVERY))
    }

    /// Starts the clock for this call, or not.
    #[inline(always)]
    pub(crate) fn when(is_sampled: bool) -> Self {
        Self(is_sampled.then(Instant::now))
    }
}

impl Histogram {
    #[inline]
    pub(crate) fn record(&self, timer: Timer) {
        if let Some(start) = timer.0 {
            self.count(start.elapsed());
        }
    }

    fn count(&self, took: Duration) {
        let counts = self.0.get_or_init(|| Box::new([const { AtomicU64::new(0) }; BUCKETS]));
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        counts[bucket(nanos)].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn summary(&self) -> Latency {
        let Some(counts) = self.0.get() else { return Latency::default() };
        let counts: Vec<u64> = counts.iter().map(|count| count.load(Ordering::Relaxed)).collect();
        let samples: u64 = counts.iter().sum();
        let at = |per_mille: u64| {
            let rank = (samples * per_mille).div_ceil(1000);
            let mut seen = 0;
            let found = counts.iter().position(|count| {
                seen += count;
                seen >= rank
            });
            Duration::from_nanos(upper(found.unwrap_or(0)))
        };
        Latency { samples, p50: at(500), p99: at(990), p999: at(999) }
    }
}

/// Bucket `2n` holds `2^n ..= 1.5 * 2^n`, bucket `2n + 1` the rest up to the next power of two.
fn bucket(nanos: u64) -> usize {
    let nanos = nanos.max(1);
    let power = nanos.ilog2();
    let upper_half = power > 0 && nanos >> (power - 1) & 1 == 1;
    (power as usize * 2 + usize::from(upper_half)).min(BUCKETS - 1)
}

fn upper(bucket: usize) -> u64 {
    let power = 1_u64 << (bucket / 2);
    if bucket.is_multiple_of(2) { power + power / 2 } else { power * 2 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_within_a_bucket() {
        let histogram = Histogram::default();
        assert_eq!(histogram.summary(), Latency::default());
        for nanos in 1..=1000 {
            histogram.count(Duration::from_nanos(nanos));
        }
        let summary = histogram.summary();
        assert_eq!(summary.samples, 1000);
        for (got, want) in [(summary.p50, 500.0), (summary.p99, 990.0), (summary.p999, 999.0)] {
            let got = got.as_nanos() as f64;
            assert!((want..=want * 1.5).contains(&got), "{got} for {want}");
        }
        histogram.count(Duration::MAX);
        assert_eq!(histogram.summary().samples, 1001);
    }

    #[test]
    fn one_call_in_sixty_four_is_timed() {
        std::thread::spawn(|| {
            let timed = (0..640).filter(|_| Timer::start().0.is_some()).count();
            assert_eq!(timed, 10);
        })
        .join()
        .expect("the thread ends well");
    }
}
