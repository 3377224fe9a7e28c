//! Histories of writes, power cuts, kills and recoveries, over several generations.
//!
//! Whatever the policy: what is found is a prefix of what was written (order kept, nothing
//! invented), and it ends no earlier than what was known to be durable.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{batch, histories, open, options, rng, start};
use fastrand::Rng;
use lane_index::journal::{Fsync, JournalOptions};
use lane_index::storage::Storage;
use lane_index::storage::simulation::{Fault, FaultStorage, Faults, SimStorage};

/// What a history may find on the next open.
struct Expected {
    /// The batches below are known to be durable.
    durable: u64,
    /// The last batch that was written, acknowledged or not.
    written: u64,
    /// What the segments cover, and the oldest file that is needed then.
    applied: u64,
    oldest: Option<u64>,
}

fn any_options(rng: &mut Rng) -> JournalOptions {
    let fsync = match rng.u8(0..4) {
        0 => Fsync::Never,
        1 => Fsync::Interval(Duration::from_secs(rng.u64(0..2))),
        _ => Fsync::Always,
    };
    options(fsync, rng.u64(96..4096))
}

/// Opens, checks what is found, writes on, and ends in some way; returns the disk afterwards.
fn generation(storage: SimStorage, expected: &mut Expected, rng: &mut Rng) -> SimStorage {
    let mut storage = storage;
    // Some recoveries are themselves cut short, or fail at some step.
    for _ in 0..rng.u8(0..3) {
        let faults = Faults::new();
        faults.arm(Fault::nth(rng.u64(1..12)));
        let faulty = FaultStorage::new(Arc::new(storage.clone()), faults);
        drop(open(Arc::new(faulty), any_options(rng), start(expected.applied, expected.oldest)));
        storage = end(&storage, rng);
    }
    let options = any_options(rng);
    let (journal, recovered, found) =
        open(Arc::new(storage.clone()), options, start(expected.applied, expected.oldest))
            .expect("a crash never makes a journal unreadable");
    let mut seq = expected.applied;
    for (number, ops) in found {
        seq += 1;
        assert_eq!((number, &ops), (seq, &batch(seq)), "order kept, nothing invented");
    }
    assert_eq!(recovered.last_seq, seq);
    assert!(seq >= expected.durable.max(expected.applied), "{seq} {}", expected.durable);
    assert!(seq <= expected.written.max(expected.applied), "{seq} {}", expected.written);
    // What was found is served, so it must stay.
    (expected.durable, expected.written) = (seq, seq);

    for _ in 0..rng.u8(0..40) {
        match rng.u8(0..12) {
            0 => {
                // A flush: the segments cover everything up to some batch.
                let applied = rng.u64(expected.applied..=expected.written);
                let oldest = journal.oldest_needed(applied);
                (expected.applied, expected.oldest) = (applied, oldest);
                expected.durable = expected.durable.max(applied);
                if let Some(oldest) = oldest.filter(|_| rng.bool()) {
                    journal.release(oldest).expect("release");
                }
            }
            1 => journal.sync().expect("sync"),
            2..4 => {
                expected.written = journal.write(&batch(expected.written + 1)).expect("write");
            }
            _ => {
                expected.written = journal.append(&batch(expected.written + 1)).expect("append");
                if options.fsync == Fsync::Always {
                    assert!(journal.durable_seq() >= expected.written);
                }
            }
        }
        expected.durable = expected.durable.max(journal.durable_seq());
    }
    if rng.u8(0..4) == 0 {
        journal.close().expect("close");
        expected.durable = expected.written;
        return end(&storage, rng);
    }
    let after = end(&storage, rng);
    // Dropping it writes to the disk that is nobody's any more.
    drop(journal);
    after
}

fn end(storage: &SimStorage, rng: &mut Rng) -> SimStorage {
    match rng.u8(0..4) {
        0 => storage.kill(),
        1 => storage.kill().crash(rng.u64(..)),
        _ => storage.crash(rng.u64(..)),
    }
}

#[test]
fn what_was_durable_is_found_over_generations_of_crashes() {
    for seed in 0..histories(1500) {
        let mut rng = rng(seed);
        let mut storage = SimStorage::new();
        let mut expected = Expected { durable: 0, written: 0, applied: 0, oldest: None };
        for number in 0..6 {
            let run = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                generation(storage.clone(), &mut expected, &mut rng)
            }));
            storage = run.unwrap_or_else(|cause| {
                eprintln!("seed {seed}, generation {number}");
                std::panic::resume_unwind(cause)
            });
        }
    }
}

/// The crash that comes in the middle of a write is the one that matters; check that the simulated
/// disk really tears and loses, or the test above proves nothing.
#[test]
fn the_simulated_disk_does_lose_and_tear() {
    let (mut lost, mut torn, mut all) = (0, 0, 0);
    for seed in 0..200 {
        let storage = SimStorage::new();
        let (journal, ..) =
            open(Arc::new(storage.clone()), options(Fsync::Never, 1 << 14), start(0, None))
                .expect("open");
        for seq in 1..=20 {
            journal.append(&batch(seq)).expect("append");
        }
        let storage: Arc<dyn Storage> = Arc::new(storage.crash(seed));
        let (_, recovered, _) =
            open(storage, options(Fsync::Never, 1 << 14), start(0, None)).expect("open");
        torn += u32::from(recovered.torn.is_some());
        lost += u32::from(recovered.last_seq == 0);
        all += u32::from(recovered.last_seq == 20);
    }
    assert!(lost > 10 && torn > 10 && all > 10, "{lost} {torn} {all}");
}
