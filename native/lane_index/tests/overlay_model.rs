//! Publishing deltas to readers that take no lock, under every interleaving that loom finds.
//!
//! The table of the overlay is compiled into this test with loom's atomics in the place of the standard
//! library's.

#[path = "../src/overlay/table.rs"]
#[allow(dead_code)]
mod table;

/// What `table` finds as its parent's `atomic`.
mod atomic {
    pub(super) use loom::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
}

use std::collections::BTreeSet;

use loom::sync::Arc;
use loom::thread;
use table::{Overlay, Written};

/// Two keys that want the same slot.
const KEY: u64 = 5;
const OTHER: u64 = 5 | 7 << 32;

/// What the chain of a key says, of the newest mention of each id.
fn ids(overlay: &Overlay, hash: u64) -> Vec<u32> {
    let mut seen = BTreeSet::new();
    let mut ids = vec![];
    for (id, removed) in overlay.chain(hash) {
        if seen.insert(id) && !removed {
            ids.push(id);
        }
    }
    ids.sort_unstable();
    ids
}

fn model(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}

/// A reader sees one of the states that the writer went through, and a later look no earlier one.
fn reader_sees_states(
    writes: &'static [(u64, u32, bool)],
    key: u64,
    states: &'static [&'static [u32]],
) {
    model(move || {
        let overlay = Arc::new(Overlay::with_room(3));
        let reader = {
            let overlay = Arc::clone(&overlay);
            thread::spawn(move || {
                let mut at = 0;
                for _ in 0..2 {
                    let ids = ids(&overlay, key);
                    let found = states[at..].iter().position(|state| *state == ids);
                    at += found.unwrap_or_else(|| panic!("{ids:?} is no state from {at} on"));
                }
            })
        };
        for &(hash, id, removed) in writes {
            assert_eq!(overlay.write(hash, id, removed, false), Written::Done);
        }
        assert_eq!(ids(&overlay, key), states[states.len() - 1]);
        reader.join().expect("reader");
    });
}

#[test]
fn an_id_that_moves_is_never_gone_and_nothing_comes_back() {
    let writes = &[(KEY, 1, false), (KEY, 2, false), (KEY, 1, true)];
    reader_sees_states(writes, KEY, &[&[], &[1], &[1, 2], &[2]]);
}

#[test]
fn a_delta_that_is_changed_in_place_is_seen_before_or_after() {
    let writes = &[(KEY, 1, false), (KEY, 1, true), (KEY, 2, false)];
    reader_sees_states(writes, KEY, &[&[], &[1], &[], &[2]]);
}

/// Regression: a slot that was found empty was read again, and led to a key that had come meanwhile.
#[test]
fn keys_in_each_others_way_do_not_mix() {
    let writes = &[(OTHER, 9, false), (KEY, 1, false), (OTHER, 8, false)];
    reader_sees_states(writes, KEY, &[&[], &[1]]);
}

/// A flush that counts entries finds each of them whole.
#[test]
fn what_is_counted_can_be_read() {
    model(|| {
        let overlay = Arc::new(Overlay::with_room(3));
        let reader = {
            let overlay = Arc::clone(&overlay);
            thread::spawn(move || {
                let found: Vec<_> = overlay.deltas().map(|delta| (delta.hash, delta.id)).collect();
                assert_eq!(found, [(KEY, 1), (OTHER, 2)][..found.len()]);
            })
        };
        assert_eq!(overlay.write(KEY, 1, false, false), Written::Done);
        assert_eq!(overlay.write(OTHER, 2, false, false), Written::Done);
        assert_eq!(overlay.len(), 2);
        reader.join().expect("reader");
    });
}
