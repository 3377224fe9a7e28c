//! What the benches of the index share: keys, clocks, and rounds that take turns.

use std::hint::black_box;

use ptr_hash::{PtrHash, PtrHashParams, bucket_fn::Linear, hash::NoHash};

/// Look-ups in one round.
pub const QUERIES: usize = 1_000_000;
const ROUNDS: usize = 7;

/// All keys of a run: the `n`-th is the same whenever it is asked for.
pub fn key(n: usize) -> u64 {
    let mut z = (n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A bare perfect hash function with an array of values: the yardstick.
pub struct Bare {
    function: PtrHash<u64, Linear, Vec<u32>, NoHash, Vec<u8>>,
    values: Vec<u32>,
}

impl Bare {
    /// Of the first `keys` keys.
    pub fn new(keys: usize) -> Self {
        let all: Vec<u64> = (0..keys).map(key).collect();
        let function = PtrHash::new(&all, PtrHashParams::default_fast());
        let mut values = vec![0; keys];
        for (n, key) in all.iter().enumerate() {
            values[function.index(key)] = n as u32;
        }
        Self { function, values }
    }

    pub fn get(&self, key: u64) -> u64 {
        self.values[self.function.index(&key)].into()
    }
}

/// The processor time of this thread in nanoseconds: what others do on the machine counts little.
pub fn now() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes the time to the structure, which lives on the stack, and that is all.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// What is measured: a name, its queries, and the sum of what they find.
pub type Case<'a> = (&'static str, &'a [u64], &'a mut dyn FnMut(&[u64]) -> u64);

/// Prints the median of rounds that take turns, in ns a query, beside the first case's.
pub fn rounds(cases: &mut [Case<'_>]) {
    let mut times = vec![vec![]; cases.len()];
    for _ in 0..ROUNDS {
        for (times, (_, queries, case)) in times.iter_mut().zip(cases.iter_mut()) {
            let start = now();
            black_box(case(queries));
            times.push((now() - start) / queries.len() as f64);
        }
    }
    let medians = times.iter_mut().map(|times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    });
    let medians: Vec<f64> = medians.collect();
    for ((name, ..), median) in cases.iter().zip(&medians) {
        println!("    {name:<42} {median:6.1} ns  {:5.2} x", median / medians[0]);
    }
}
