//! A perfect hash function in the manner of PTHash and PtrHash: keys fall into small buckets, and a
//! byte a bucket, its *pilot*, says how the bucket's keys are spread so that no two keys of the
//! whole set meet in a slot.
//!
//! Why not the `ptr_hash` crate itself: what it writes is the memory image of its fields, under a
//! type hash that changes with compilers and versions, read back by code that trusts it without
//! bounds checks; its builds differ from run to run and can print and panic. Here the function on
//! disk is a seed, two counts and the pilots, every access is checked, and equal input gives equal
//! bytes. The function is not minimal: one slot in a hundred stays empty, which costs less than
//! looking up where a key was moved to.

use std::collections::BinaryHeap;

const MIX_1: u64 = 0x2d35_8dcc_aa6c_78a5;
const MIX_2: u64 = 0x8bb8_4b93_962e_acc9;
const PILOT: u64 = 0x9e37_79b9_7f4a_7c15;
const SPREAD: u64 = 0xd6e8_feb8_6659_fd93;
/// Keys a bucket on average. More make fewer pilots and a slower search.
const BUCKET_KEYS: f64 = 3.1;
/// Slots in use.
const LOAD: f64 = 0.99;
const PILOTS: u32 = 256;
/// A bucket is never near this size unless the seed is a bad one.
const BUCKET_MAX: usize = 64;
const ATTEMPTS: u64 = 64;

/// The key as the function sees it: all 80 bits of lane and hash, mixed with the seed, so that
/// neither chosen hashes nor the way hashes fall into lanes leave a pattern.
#[inline(always)]
pub(super) fn mix(lane: u16, hash: u64, seed: u64) -> u64 {
    let first = u128::from(hash ^ seed ^ MIX_1) * u128::from(u64::from(lane) ^ MIX_2);
    let (low, high) = (first as u64 ^ MIX_1, (first >> 64) as u64 ^ MIX_2);
    let second = u128::from(low) * u128::from(high);
    second as u64 ^ (second >> 64) as u64
}

/// How many buckets and slots a function has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    pub buckets: u32,
    pub slots: u32,
}

impl Shape {
    fn of(keys: usize, load: f64) -> Shape {
        let slots = (keys as f64 / load).ceil() as u32;
        let buckets = (keys as f64 / BUCKET_KEYS).ceil() as u32;
        Shape { buckets: buckets.max(1), slots: slots.max(1) }
    }

    /// The bucket of a mixed key: from its upper half.
    #[inline(always)]
    pub(super) fn bucket(self, key: u64) -> usize {
        (((key >> 32) * u64::from(self.buckets)) >> 32) as usize
    }

    /// The slot of a mixed key, below `slots` whatever the pilot is.
    #[inline(always)]
    pub(super) fn slot(self, key: u64, pilot: u8) -> usize {
        self.slot_of(key, pilot_hash(u32::from(pilot)))
    }

    #[inline(always)]
    fn slot_of(self, key: u64, pilot_hash: u64) -> usize {
        let spread = (key ^ pilot_hash).wrapping_mul(SPREAD) >> 32;
        ((spread * u64::from(self.slots)) >> 32) as usize
    }
}

#[inline(always)]
fn pilot_hash(pilot: u32) -> u64 {
    u64::from(pilot).wrapping_mul(PILOT)
}

/// A function that was found: [`mix`] with `seed`, then [`Shape::bucket`], its pilot,
/// [`Shape::slot`].
#[derive(Debug)]
pub(super) struct Found {
    pub seed: u64,
    pub shape: Shape,
    pub pilots: Vec<u8>,
}

/// Finds a function for distinct keys (lane, hash). `None` only where keys repeat: each attempt has
/// another seed, and later ones leave more slots empty.
pub(super) fn find(keys: &[(u16, u64)]) -> Option<Found> {
    for attempt in 0..ATTEMPTS {
        let seed = (attempt + 1).wrapping_mul(0xa076_1d64_78bd_642f);
        let load = LOAD - 0.01 * (attempt / 4) as f64;
        let shape = Shape::of(keys.len(), load);
        let mixed = keys.iter().map(|&(lane, hash)| mix(lane, hash, seed));
        let buckets = Buckets::sort(mixed, keys.len(), shape);
        if let Some(pilots) = Search::new(shape, &buckets).run() {
            return Some(Found { seed, shape, pilots });
        }
    }
    None
}

/// The mixed keys, those of a bucket side by side.
struct Buckets {
    keys: Vec<u64>,
    starts: Vec<u32>,
}

impl Buckets {
    fn sort(keys: impl Iterator<Item = u64> + Clone, count: usize, shape: Shape) -> Buckets {
        let mut starts = vec![0u32; shape.buckets as usize + 1];
        for key in keys.clone() {
            starts[shape.bucket(key) + 1] += 1;
        }
        for index in 1..starts.len() {
            starts[index] += starts[index - 1];
        }
        let mut next = starts.clone();
        let mut sorted = vec![0u64; count];
        for key in keys {
            let at = &mut next[shape.bucket(key)];
            sorted[*at as usize] = key;
            *at += 1;
        }
        Buckets { keys: sorted, starts }
    }

    fn of(&self, bucket: u32) -> &[u64] {
        &self.keys[self.starts[bucket as usize] as usize..self.starts[bucket as usize + 1] as usize]
    }

    /// The buckets that have keys, largest first: they are the hardest to place.
    fn order(&self) -> Option<Vec<u32>> {
        let buckets = self.starts.len() - 1;
        let mut counts = [0u32; BUCKET_MAX + 2];
        for bucket in 0..buckets as u32 {
            let size = self.of(bucket).len();
            if size > BUCKET_MAX {
                return None;
            }
            counts[BUCKET_MAX - size + 1] += 1;
        }
        for index in 1..counts.len() {
            counts[index] += counts[index - 1];
        }
        let filled = counts[BUCKET_MAX] as usize;
        let mut order = vec![0u32; buckets];
        for bucket in 0..buckets as u32 {
            let at = &mut counts[BUCKET_MAX - self.of(bucket).len()];
            order[*at as usize] = bucket;
            *at += 1;
        }
        order.truncate(filled);
        Some(order)
    }
}

const FREE: u32 = u32::MAX;

/// Places bucket after bucket; one that finds no free slots takes those of others, which are then
/// placed anew.
struct Search<'a> {
    shape: Shape,
    buckets: &'a Buckets,
    pilots: Vec<u8>,
    /// Which bucket has a slot.
    owners: Vec<u32>,
    /// One bit a slot: the same as `owners`, small enough for the cache.
    taken: Vec<u64>,
    random: u64,
}

impl<'a> Search<'a> {
    fn new(shape: Shape, buckets: &'a Buckets) -> Self {
        Search {
            shape,
            buckets,
            pilots: vec![0; shape.buckets as usize],
            owners: vec![FREE; shape.slots as usize],
            taken: vec![0; (shape.slots as usize).div_ceil(64)],
            random: 0x2545_f491_4f6c_dd1d,
        }
    }

    fn run(mut self) -> Option<Vec<u8>> {
        let limit = 10 * self.owners.len() + 1_000;
        let mut evictions = 0;
        let mut waiting = BinaryHeap::new();
        for bucket in self.buckets.order()? {
            // Buckets placed lately are not evicted, or two would take turns for ever.
            let mut recent = [FREE; 16];
            let mut placed = 0;
            waiting.push((self.buckets.of(bucket).len(), bucket));
            while let Some((_, bucket)) = waiting.pop() {
                if self.place_free(bucket) {
                    continue;
                }
                let pilot = self.least_harm(bucket, &recent)?;
                recent[placed % recent.len()] = bucket;
                placed += 1;
                self.pilots[bucket as usize] = pilot;
                for &key in self.buckets.of(bucket) {
                    let slot = self.shape.slot(key, pilot);
                    let owner = self.owners[slot];
                    if owner != FREE {
                        self.lift(owner);
                        waiting.push((self.buckets.of(owner).len(), owner));
                        evictions += 1;
                    }
                    self.set(slot, bucket);
                }
                if evictions > limit {
                    return None;
                }
            }
        }
        Some(self.pilots)
    }

    fn is_taken(&self, slot: usize) -> bool {
        self.taken[slot / 64] >> (slot % 64) & 1 == 1
    }

    fn set(&mut self, slot: usize, bucket: u32) {
        self.owners[slot] = bucket;
        self.taken[slot / 64] |= 1 << (slot % 64);
    }

    fn lift(&mut self, bucket: u32) {
        for &key in self.buckets.of(bucket) {
            let slot = self.shape.slot(key, self.pilots[bucket as usize]);
            self.owners[slot] = FREE;
            self.taken[slot / 64] &= !(1 << (slot % 64));
        }
    }

    /// Places a bucket on slots that are all free, if a pilot does that.
    fn place_free(&mut self, bucket: u32) -> bool {
        let keys = self.buckets.of(bucket);
        let mut slots = [0usize; BUCKET_MAX];
        for pilot in 0..PILOTS {
            let hash = pilot_hash(pilot);
            let mut busy = false;
            for (slot, &key) in slots.iter_mut().zip(keys) {
                *slot = self.shape.slot_of(key, hash);
                busy |= self.is_taken(*slot);
            }
            let slots = &slots[..keys.len()];
            if busy || repeats(slots) {
                continue;
            }
            self.pilots[bucket as usize] = pilot as u8;
            for &slot in slots {
                self.set(slot, bucket);
            }
            return true;
        }
        false
    }

    /// The pilot that evicts least: buckets are weighed by the square of their size.
    fn least_harm(&mut self, bucket: u32, recent: &[u32]) -> Option<u8> {
        // From a random pilot on, so that evictions do not go in circles.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        let first = (self.random >> 32) as u32;
        let keys = self.buckets.of(bucket);
        let mut slots = [0usize; BUCKET_MAX];
        let mut best = None;
        'pilots: for pilot in (0..PILOTS).map(|step| (first.wrapping_add(step)) % PILOTS) {
            let hash = pilot_hash(pilot);
            let mut harm = 0;
            for (slot, &key) in slots.iter_mut().zip(keys) {
                *slot = self.shape.slot_of(key, hash);
                let owner = self.owners[*slot];
                if owner == FREE {
                    continue;
                }
                if recent.contains(&owner) {
                    continue 'pilots;
                }
                harm += self.buckets.of(owner).len().pow(2);
                if best.is_some_and(|(least, _)| harm >= least) {
                    continue 'pilots;
                }
            }
            if !repeats(&slots[..keys.len()]) {
                best = Some((harm, pilot as u8));
            }
        }
        best.map(|(_, pilot)| pilot)
    }
}

fn repeats(slots: &[usize]) -> bool {
    slots.iter().enumerate().any(|(index, slot)| slots[..index].contains(slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(keys: &[(u16, u64)]) -> Found {
        let found = find(keys).expect("distinct keys");
        let mut used = vec![false; found.shape.slots as usize];
        for &(lane, hash) in keys {
            let key = mix(lane, hash, found.seed);
            let pilot = found.pilots[found.shape.bucket(key)];
            let slot = found.shape.slot(key, pilot);
            assert!(!std::mem::replace(&mut used[slot], true), "two keys in slot {slot}");
        }
        found
    }

    #[test]
    fn every_small_set_gets_a_function() {
        for count in 1..300 {
            let keys: Vec<_> =
                (0..count).map(|i: u64| (0, i.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
            let found = check(&keys);
            assert!(found.shape.slots as u64 <= count + count / 4 + 2);
        }
    }

    #[test]
    fn patterns_in_hashes_and_lanes_do_no_harm() {
        let consecutive: Vec<_> = (0..20_000).map(|i| (0, i)).collect();
        let top: Vec<_> = (0..20_000u64).map(|i| (3, i << 44)).collect();
        let lanes: Vec<_> = (0..20_000u16).map(|lane| (lane, u64::MAX)).collect();
        let grid: Vec<_> = (0..20_000u64).map(|i| ((i % 141) as u16, i / 141)).collect();
        for keys in [consecutive, top, lanes, grid] {
            let found = check(&keys);
            assert!(f64::from(found.shape.slots) <= 20_000.0 / 0.97);
        }
    }

    #[test]
    fn repeated_keys_have_none() {
        assert!(find(&[(0, 1), (0, 1)]).is_none());
        let mut keys: Vec<_> = (0..100).map(|i| (0, i)).collect();
        keys.push((0, 7));
        assert!(find(&keys).is_none());
    }

    #[test]
    fn equal_keys_give_equal_functions() {
        let keys: Vec<_> = (0..5_000).map(|i| (1, i * 77)).collect();
        assert_eq!(check(&keys).pilots, check(&keys).pilots);
    }
}
