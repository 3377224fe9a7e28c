//! Keys that somebody chose so that they fall together: they are hashed with the index's own secret, so
//! that what crowds one index is spread in every other.

use lane_index::hash::{HashKey, LaneMap, VIRTUAL_BUCKETS};
use lane_index::{Answer, LaneIndex, Options};

/// Keys that under `secret` share the lane and the place in every overlay of up to 8,192 slots.
fn crowded(secret: HashKey, count: usize) -> Vec<u64> {
    let bucket = |key: &u64| secret.hash_u64(*key) as usize % VIRTUAL_BUCKETS == 5;
    (0..).filter(bucket).take(count).collect()
}

fn loads(secret: HashKey, keys: &[u64], lanes: u16) -> Vec<usize> {
    let map = LaneMap::shared(lanes).expect("a lane count that can be");
    let mut loads = vec![0; lanes.into()];
    for key in keys {
        loads[usize::from(map.lane(secret.hash_u64(*key)))] += 1;
    }
    loads
}

#[test]
fn keys_chosen_against_one_secret_are_spread_under_another() {
    let known = HashKey::from_bytes(*b"a known secret..");
    let keys = crowded(known, 1_000);
    assert_eq!(loads(known, &keys, 64).into_iter().filter(|load| *load > 0).count(), 1);
    for _ in 0..50 {
        let secret = HashKey::random().expect("randomness");
        // 16 a lane on average; a random spread has its fullest lane below 40 but once in a million.
        let loads = loads(secret, &keys, 64);
        assert!(loads.iter().all(|load| *load < 45), "{loads:?}");
        // And over the places of an overlay: at random 940 of the 8,192 are hit.
        let mut places: Vec<u64> =
            keys.iter().map(|key| secret.hash_u64(*key) % VIRTUAL_BUCKETS as u64).collect();
        places.sort_unstable();
        places.dedup();
        assert!(places.len() > 880, "{}", places.len());
    }
}

/// Every index draws a secret of its own, keeps it over reopening, and does not show it.
#[test]
fn no_two_indexes_share_a_secret() {
    let (a, b) =
        (LaneIndex::in_memory(Options::default()), LaneIndex::in_memory(Options::default()));
    let (a, b) = (a.expect("opened"), b.expect("opened"));
    assert_ne!(a.hash_key().to_bytes(), b.hash_key().to_bytes());
    assert!(!format!("{:?}", a.hash_key()).contains(char::is_numeric));
    let folder = tempfile::tempdir().expect("a folder");
    let open = || LaneIndex::open(folder.path(), Options::default()).expect("opened");
    let index = open();
    let secret = index.hash_key().to_bytes();
    index.close().expect("closed");
    assert_eq!(open().hash_key().to_bytes(), secret);
}

/// Hashes themselves that are chosen, as if the secret were out: slower, but right, through overlay,
/// flush and merge.
#[test]
fn hashes_that_fall_together_are_answered_right() {
    let index = LaneIndex::in_memory(Options { lanes: Some(64), ..Options::default() });
    let index = index.expect("opened");
    // The same lane, and the same place and bit in every overlay of up to 2^20 slots.
    let hash = |n: u32| u64::from(n) << 52 | 5;
    let other = |n: u32| u64::from(n) << 20 | 5;
    for n in 0..3_000 {
        index.insert(hash(n), n).expect("written");
        index.insert(other(n), n).expect("written");
    }
    for round in 0..3 {
        for n in 0..3_000 {
            for hash in [hash(n), other(n)] {
                let mut ids = vec![];
                assert_eq!(index.get_verified(hash, &mut ids), Answer::Complete);
                assert!(ids.contains(&n), "{n} in round {round}: {ids:?}");
            }
        }
        let mut ids = vec![];
        let _ = index.get_verified(u64::MAX << 21 | 7, &mut ids);
        assert_eq!(ids, [] as [u32; 0]);
        if round == 0 { index.flush() } else { index.compact() }.expect("flushed and merged");
    }
}
