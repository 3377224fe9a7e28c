//! Keys to 64-bit hashes, and hashes to lanes.
//!
//! The hash is keyed with 128 random bits, so that nobody who chooses keys can make them collide or
//! crowd into one lane. A lane is found by jump consistent hash, computed once for each of
//! [`VIRTUAL_BUCKETS`] buckets: a full jump costs 33 ns at 64 lanes, a look-up in the table about one,
//! and growing the lane count still moves only what must move.

use std::collections::BTreeMap;
use std::hash::Hasher;
use std::sync::{Arc, OnceLock, Weak};

use parking_lot::Mutex;
use siphasher::sip::SipHasher13;

use crate::Error;

/// How many virtual buckets the hashes fall into before a lane is chosen. Part of the format.
pub const VIRTUAL_BUCKETS: usize = 8192;
/// The most lanes an index can have.
pub const MAX_LANES: u16 = 256;

/// The secret of an index: 128 random bits that key its SipHash-1-3.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct HashKey([u64; 2]);

impl HashKey {
    /// A new key from the random source of the operating system.
    ///
    /// # Errors
    /// [`Error::Io`] where the system has no randomness to give.
    pub fn random() -> Result<Self, Error> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map_err(|source| Error::Io {
            operation: "random",
            path: String::new(),
            source: std::io::Error::other(source.to_string()),
        })?;
        Ok(Self::from_bytes(bytes))
    }

    /// The key that [`HashKey::to_bytes`] gave.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        let whole = u128::from_le_bytes(bytes);
        Self([whole as u64, (whole >> 64) as u64])
    }

    /// The key as bytes, to be kept.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.0[0]) | u128::from(self.0[1]) << 64).to_le_bytes()
    }

    /// The hash of a key that is bytes.
    #[must_use]
    pub fn hash_bytes(self, bytes: &[u8]) -> u64 {
        let mut hasher = SipHasher13::new_with_keys(self.0[0], self.0[1]);
        hasher.write(bytes);
        hasher.finish()
    }

    /// The hash of a key that is a number: that of its eight little-endian bytes.
    #[must_use]
    pub fn hash_u64(self, number: u64) -> u64 {
        self.hash_bytes(&number.to_le_bytes())
    }
}

impl std::fmt::Debug for HashKey {
    // The key is what keeps keys from being chosen to collide: it has no place in a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HashKey(..)")
    }
}

/// Jump consistent hash (Lamping and Veach): the lane of `key` among `lanes`.
#[must_use]
pub fn jump(mut key: u64, lanes: u16) -> u16 {
    let mut lane: i64 = -1;
    let mut next: i64 = 0;
    while next < i64::from(lanes.max(1)) {
        lane = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        let scale = (1_u64 << 31) as f64 / ((key >> 33) + 1) as f64;
        next = ((lane + 1) as f64 * scale) as i64;
    }
    lane as u16
}

/// Which lane a hash belongs to, for one lane count.
pub struct LaneMap {
    lanes: u16,
    table: [u8; VIRTUAL_BUCKETS],
}

impl LaneMap {
    /// The map for `lanes` lanes. All indexes with as many lanes share one.
    ///
    /// # Errors
    /// [`Error::BadOption`] unless `lanes` is 1 to [`MAX_LANES`].
    pub fn shared(lanes: u16) -> Result<Arc<Self>, Error> {
        static MAPS: OnceLock<Mutex<BTreeMap<u16, Weak<LaneMap>>>> = OnceLock::new();
        if lanes == 0 || lanes > MAX_LANES {
            return Err(Error::BadOption {
                option: "lanes",
                what: format!("{lanes} is not between 1 and {MAX_LANES}"),
            });
        }
        let mut maps = MAPS.get_or_init(Mutex::default).lock();
        if let Some(map) = maps.get(&lanes).and_then(Weak::upgrade) {
            return Ok(map);
        }
        let map = Arc::new(Self::new(lanes));
        maps.insert(lanes, Arc::downgrade(&map));
        Ok(map)
    }

    fn new(lanes: u16) -> Self {
        let table = std::array::from_fn(|bucket| jump(spread(bucket as u64), lanes) as u8);
        Self { lanes, table }
    }

    /// How many lanes there are.
    #[must_use]
    pub fn lanes(&self) -> u16 {
        self.lanes
    }

    /// The lane of `hash`: by its low bits, which nothing inside a lane should rely upon.
    #[inline]
    #[must_use]
    pub fn lane(&self, hash: u64) -> u16 {
        u16::from(self.table[hash as usize % VIRTUAL_BUCKETS])
    }
}

impl std::fmt::Debug for LaneMap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LaneMap").field("lanes", &self.lanes).finish_non_exhaustive()
    }
}

/// Bucket numbers are consecutive; jump wants them spread (the finaliser of SplitMix64).
fn spread(bucket: u64) -> u64 {
    let mut z = bucket.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jump_has_the_values_of_the_paper() {
        // From the test of the reference implementation.
        assert_eq!(jump(0, 60), 0);
        assert_eq!(jump(1, 60), 55);
        assert_eq!(jump(2, 60), 46);
    }

    #[test]
    fn growth_moves_only_what_must_move() {
        for (few, many) in [(1, 2), (8, 9), (8, 64), (64, 256)] {
            let (before, after) = (LaneMap::new(few), LaneMap::new(many));
            let mut moved = 0;
            for hash in 0..VIRTUAL_BUCKETS as u64 {
                let (from, to) = (before.lane(hash), after.lane(hash));
                // Between two old lanes nothing ever moves.
                assert!(from == to || to >= few);
                moved += usize::from(from != to);
            }
            let share = moved as f64 / VIRTUAL_BUCKETS as f64;
            let needed = 1.0 - f64::from(few) / f64::from(many);
            assert!((share - needed).abs() < 0.03, "{few} -> {many}: {share} instead of {needed}");
        }
    }

    #[test]
    fn lanes_are_balanced_and_frozen() {
        let map = LaneMap::new(64);
        let mut load = [0; 64];
        map.table.iter().for_each(|lane| load[usize::from(*lane)] += 1);
        let mean = VIRTUAL_BUCKETS / 64;
        assert!(load.iter().all(|n| (mean * 6 / 10..mean * 14 / 10).contains(n)), "{load:?}");
        // The map is part of the format: a segment of lane 3 must be found in lane 3 for ever.
        let sum = map.table.iter().fold(0_u64, |h, l| h.wrapping_mul(31).wrapping_add((*l).into()));
        assert_eq!(sum, FROZEN);
    }
    const FROZEN: u64 = 956_079_943_707_481_591;

    #[test]
    fn the_hash_is_siphash_1_3_of_the_key() {
        let key = HashKey::from_bytes(std::array::from_fn(|i| i as u8));
        assert_eq!(HashKey::from_bytes(key.to_bytes()), key);
        assert_eq!(key.hash_bytes(&[]), 0xabac_0158_050f_c4dc);
        assert_eq!(key.hash_u64(7), key.hash_bytes(&7_u64.to_le_bytes()));
        assert_ne!(HashKey::random().expect("random").to_bytes(), key.to_bytes());
        assert_eq!(format!("{key:?}"), "HashKey(..)");
    }
}
