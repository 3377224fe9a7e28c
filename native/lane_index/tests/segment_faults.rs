//! The n-th step of writing or opening a segment fails, for every n: a typed error, and never a
//! segment that lacks something.

mod support;

use std::sync::Arc;

use lane_index::storage::simulation::{Effect, Fault, FaultStorage, Faults, SimStorage};
use lane_index::{Error, OpenOptions, Segment, SegmentBuilder, SegmentMeta};
use support::{Model, OPTIONS, assert_same};

/// Three blocks, since a new lane closes one of this size.
fn model() -> Model {
    let mut random = support::Random(8);
    let mut model = Model::new();
    for lane in 0..3 {
        while model.len() < 66_000 * (usize::from(lane) + 1) {
            model.insert((lane, random.next()), (vec![model.len() as u32], vec![]));
        }
    }
    model
}

/// Pushes everything whatever happens, as a careless caller would. Returns what `finish` said and
/// how many pushes failed.
fn write(storage: &FaultStorage, model: &Model) -> (Result<SegmentMeta, Error>, usize) {
    let mut builder = match SegmentBuilder::new(storage, "f.seg", OPTIONS) {
        Ok(builder) => builder,
        Err(error) => return (Err(error), 0),
    };
    let mut failed = 0;
    for (&(lane, hash), (adds, removes)) in model {
        match builder.push(lane, hash, adds, removes) {
            Ok(()) => assert_eq!(failed, 0, "a builder that failed works again"),
            Err(Error::Io { .. }) if failed == 0 => failed += 1,
            Err(Error::Failed { .. }) if failed > 0 => failed += 1,
            Err(other) => panic!("{other}"),
        }
    }
    (builder.finish(), failed)
}

fn faulty(disk: &SimStorage, nth: u64, effect: Effect) -> FaultStorage {
    let faults = Faults::new();
    faults.arm(Fault { effect, ..Fault::nth(nth) });
    FaultStorage::new(Arc::new(disk.clone()), faults)
}

#[test]
fn every_step_of_writing_may_fail() {
    let model = model();
    for effect in [Effect::Nothing, Effect::Half, Effect::All] {
        for nth in 1.. {
            let disk = SimStorage::default();
            let storage = faulty(&disk, nth, effect);
            let (finished, failed) = write(&storage, &model);
            if storage.faults().fired() == 0 {
                let meta = finished.expect("nothing failed");
                let segment = Segment::open(&disk, &meta, OpenOptions::default()).expect("sound");
                assert_same(&segment, &model);
                assert!(nth > 8, "create, header, two parts of three blocks, footer, sync");
                break;
            }
            match finished {
                Err(Error::Io { .. }) => assert_eq!(failed, 0),
                Err(Error::Failed { cause }) => {
                    assert!(failed > 0);
                    assert!(cause.contains("f.seg"), "{cause}");
                }
                other => panic!("step {nth}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_full_disk() {
    let model = model();
    let (meta, _) = support::bytes_of(&model);
    for room in [0, 63, 64, 1_000, 200_000, meta.bytes / 2, meta.bytes - 1] {
        let faults = Faults::new();
        faults.limit_space(room);
        let storage = FaultStorage::new(Arc::new(SimStorage::default()), faults);
        let (finished, _) = write(&storage, &model);
        assert!(matches!(finished, Err(Error::Io { .. } | Error::Failed { .. })), "{room}");
    }
}

#[test]
fn every_step_of_opening_may_fail() {
    let mut model = model();
    model.retain(|(lane, _), _| *lane == 0);
    let disk = SimStorage::default();
    drop(support::in_file(&model, &disk, true));
    let meta = SegmentMeta { name: "a.seg".to_owned(), ..support::bytes_of(&model).0 };
    for mmap in [true, false] {
        for nth in 1.. {
            let storage = faulty(&disk, nth, Effect::Nothing);
            let opened = Segment::open(&storage, &meta, OpenOptions { mmap });
            if storage.faults().fired() == 0 {
                assert_same(&opened.expect("nothing failed"), &model);
                assert!(nth > 1);
                break;
            }
            assert!(matches!(opened, Err(Error::Io { .. })), "step {nth}: {opened:?}");
        }
    }
}
