//! Counters that cost nothing that shows: striped by thread, and times sampled.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// What a router has done and what it holds. Times are of sampled calls (1 in 64).
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Metrics {
    /// Shapes now.
    pub shapes: u64,
    /// Programs that they share.
    pub templates: u64,
    /// Shapes that no index can hold.
    pub scan_shapes: u64,
    /// Shapes of known membership.
    pub known_shapes: u64,
    /// Changes routed.
    pub changes: u64,
    /// Changes for which an index, the scan list or the membership named a candidate.
    pub changes_with_candidates: u64,
    /// Changes that belonged to some shape.
    pub changes_with_matches: u64,
    /// Candidates looked at.
    pub candidates: u64,
    /// Shapes answered.
    pub matches: u64,
    /// Evaluations that raised or met an unreadable value.
    pub eval_errors: u64,
    /// Answers of class unknown.
    pub unknown_answers: u64,
    /// Calls that ended with their budget spent.
    pub continuations: u64,
    /// The mean time of a sampled call, in microseconds.
    pub avg_route_us: f64,
    /// The 99th percentile of sampled calls, in microseconds, at most 25 % too high.
    pub p99_route_us: f64,
    /// Keys in the membership.
    pub membership_keys: u64,
    /// Sets of values that subqueries select.
    pub value_sets: u64,
    /// Those of them that are not seeded.
    pub unready_sets: u64,
    /// Values in all of them.
    pub set_values: u64,
    /// Bytes of them, which [`Metrics::memory_bytes`] has too.
    pub set_bytes: u64,
    /// Transactions routed and not acknowledged.
    pub staged_transactions: u64,
    /// The LSN acknowledged last.
    pub acked_lsn: u64,
    /// Bytes that the router accounts for.
    pub memory_bytes: u64,
    /// Bytes of the journal that the snapshot of the directory has not.
    pub journal_bytes: u64,
    /// Bytes of the snapshot of the directory.
    pub snapshot_bytes: u64,
    /// Bytes of what is stored of that snapshot's indexes; 0: nothing is.
    pub index_bytes: u64,
    /// How long opening the directory took, in milliseconds.
    pub open_ms: f64,
    /// 1 if opening found the snapshot's indexes stored and took them as they were; 0 if it derived them.
    pub open_loaded: u64,
    /// 1 if indexes were stored and opening could not use them: damaged, of another snapshot or version.
    pub open_refused: u64,
    /// 1 if the last attempt to store the snapshot's indexes failed.
    pub index_failed: u64,
}

impl Metrics {
    /// The share of changes that got past layer 1, from 0 to 1.
    pub fn presence_hit_rate(&self) -> f64 {
        ratio(self.changes_with_candidates, self.changes)
    }

    /// The share of candidates that their clause turned down, from 0 to 1.
    pub fn false_positive_rate(&self) -> f64 {
        ratio(self.candidates.saturating_sub(self.matches), self.candidates)
    }

    /// Accounted bytes a shape.
    pub fn bytes_per_shape(&self) -> f64 {
        ratio(self.memory_bytes, self.shapes)
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

const STRIPES: usize = 16;
/// Four buckets for each doubling of nanoseconds.
const BUCKETS: usize = 4 * 48;

#[derive(Default)]
#[repr(align(128))]
struct Stripe {
    changes: AtomicU64,
    with_candidates: AtomicU64,
    with_matches: AtomicU64,
    candidates: AtomicU64,
    matches: AtomicU64,
    eval_errors: AtomicU64,
    unknown: AtomicU64,
    continuations: AtomicU64,
}

/// What one call did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    /// The first part of a change, not a continuation of it.
    pub first: bool,
    pub candidates: u64,
    pub matches: u64,
    pub eval_errors: u64,
    pub unknown: u64,
    pub more: bool,
    /// Of a group: how many changes had a candidate, how many belonged to some shape.
    pub with_candidates: u64,
    pub with_matches: u64,
}

impl Tally {
    /// Adds up the calls of a group; then `first` says nothing.
    pub fn add(&mut self, other: &Tally) {
        self.with_candidates += u64::from(other.candidates > 0);
        self.with_matches += u64::from(other.matches > 0);
        self.candidates += other.candidates;
        self.matches += other.matches;
        self.eval_errors += other.eval_errors;
        self.unknown += other.unknown;
    }
}

pub(crate) struct Counters {
    stripes: [Stripe; STRIPES],
    histogram: [AtomicU64; BUCKETS],
    sampled_ns: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Self {
            stripes: Default::default(),
            histogram: [const { AtomicU64::new(0) }; BUCKETS],
            sampled_ns: AtomicU64::new(0),
        }
    }
}

/// What counting needs to know of a thread. It comes with the [scratch](crate::Scratch): to look it up
/// by the thread would take longer than to count.
pub(crate) struct Meter {
    stripe: usize,
    calls: u32,
}

impl Default for Meter {
    fn default() -> Self {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        Self { stripe: NEXT.fetch_add(1, Relaxed) % STRIPES, calls: 0 }
    }
}

fn bucket(ns: u64) -> usize {
    let ns = ns.max(4);
    let log = 63 - ns.leading_zeros() as usize;
    (4 * log + ((ns >> (log - 2)) & 3) as usize).min(BUCKETS - 1)
}

fn bucket_end_ns(bucket: usize) -> f64 {
    let (log, quarter) = (bucket / 4, bucket % 4);
    (1u64 << log) as f64 * (1.0 + (quarter + 1) as f64 / 4.0)
}

impl Counters {
    /// A clock for this call, if it is one of the sampled.
    #[inline]
    pub fn start(&self, meter: &mut Meter) -> Option<Instant> {
        meter.calls = meter.calls.wrapping_add(1);
        meter.calls.is_multiple_of(64).then(Instant::now)
    }

    #[inline]
    pub fn record(&self, meter: &Meter, tally: &Tally, started: Option<Instant>) {
        let stripe = &self.stripes[meter.stripe];
        if tally.first {
            stripe.changes.fetch_add(1, Relaxed);
            if tally.candidates > 0 {
                stripe.with_candidates.fetch_add(1, Relaxed);
            }
        }
        if tally.candidates > 0 {
            stripe.candidates.fetch_add(tally.candidates, Relaxed);
        }
        if tally.matches > 0 {
            stripe.matches.fetch_add(tally.matches, Relaxed);
            if tally.first {
                stripe.with_matches.fetch_add(1, Relaxed);
            }
        }
        if tally.eval_errors > 0 {
            stripe.eval_errors.fetch_add(tally.eval_errors, Relaxed);
        }
        if tally.unknown > 0 {
            stripe.unknown.fetch_add(tally.unknown, Relaxed);
        }
        if tally.more {
            stripe.continuations.fetch_add(1, Relaxed);
        }
        if let Some(started) = started {
            self.sample(started.elapsed());
        }
    }

    /// Records the calls of a group; its time is sampled as that of one of them.
    pub fn record_group(
        &self,
        meter: &Meter,
        changes: u64,
        total: &Tally,
        started: Option<Instant>,
    ) {
        let stripe = &self.stripes[meter.stripe];
        let counts = [
            (&stripe.changes, changes),
            (&stripe.with_candidates, total.with_candidates),
            (&stripe.with_matches, total.with_matches),
            (&stripe.candidates, total.candidates),
            (&stripe.matches, total.matches),
            (&stripe.eval_errors, total.eval_errors),
            (&stripe.unknown, total.unknown),
        ];
        for (counter, count) in counts {
            if count > 0 {
                counter.fetch_add(count, Relaxed);
            }
        }
        if let (Some(started), Ok(changes @ 1..)) = (started, u32::try_from(changes)) {
            self.sample(started.elapsed() / changes);
        }
    }

    #[cold]
    fn sample(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.histogram[bucket(ns)].fetch_add(1, Relaxed);
        self.sampled_ns.fetch_add(ns, Relaxed);
    }

    /// The counters' part of the metrics.
    pub fn read(&self) -> Metrics {
        let sum = |field: fn(&Stripe) -> &AtomicU64| {
            self.stripes.iter().map(|s| field(s).load(Relaxed)).sum::<u64>()
        };
        let samples: Vec<u64> = self.histogram.iter().map(|b| b.load(Relaxed)).collect();
        let count: u64 = samples.iter().sum();
        let rank = count - count / 100;
        let mut seen = 0;
        let p99 = samples.iter().position(|n| {
            seen += n;
            seen >= rank
        });
        Metrics {
            changes: sum(|s| &s.changes),
            changes_with_candidates: sum(|s| &s.with_candidates),
            changes_with_matches: sum(|s| &s.with_matches),
            candidates: sum(|s| &s.candidates),
            matches: sum(|s| &s.matches),
            eval_errors: sum(|s| &s.eval_errors),
            unknown_answers: sum(|s| &s.unknown),
            continuations: sum(|s| &s.continuations),
            avg_route_us: ratio(self.sampled_ns.load(Relaxed), count) / 1000.0,
            p99_route_us: match p99 {
                Some(bucket) if count > 0 => bucket_end_ns(bucket) / 1000.0,
                _ => 0.0,
            },
            ..Metrics::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_they_say() {
        for ns in [4u64, 5, 7, 8, 100, 999, 1000, 123_456, 10_000_000_000] {
            let end = bucket_end_ns(bucket(ns));
            assert!(end > ns as f64 && end <= ns as f64 * 1.25 + 1.0, "{ns} ns ends at {end}");
        }
    }

    #[test]
    fn the_99th_percentile_is_near_the_top() {
        let counters = Counters::default();
        for us in 1..=1000 {
            counters.sample(Duration::from_micros(us));
        }
        let metrics = counters.read();
        assert!((990.0..=1250.0).contains(&metrics.p99_route_us), "{}", metrics.p99_route_us);
        assert!((500.0..=501.0).contains(&metrics.avg_route_us));
    }
}
