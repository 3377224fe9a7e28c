//! Limits: a typed error that says what is full, nothing of the refused write done, and room again when
//! something goes.

use lane_index::{Error, Fsync, Journaling, LaneIndex, Maintenance, Op, Options};

fn options() -> Options {
    Options {
        journal: Journaling::Own(Fsync::Never),
        maintenance: Maintenance::Caller,
        ..Options::default()
    }
}

fn insert(n: u32) -> Op {
    Op::Insert { hash: u64::from(n).wrapping_mul(0x9e37_79b9_7f4a_7c15), id: n }
}

fn remove(n: u32) -> Op {
    let Op::Insert { hash, id } = insert(n) else { unreachable!() };
    Op::Remove { hash, id }
}

#[test]
fn entries_are_counted_over_overlays_segments_and_reopening() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { max_entries: Some(100), ..options() };
    let mut index = LaneIndex::open(folder.path(), options.clone()).expect("opened");
    for n in 0..100 {
        index.write(&[insert(n)]).expect("written");
        if n % 30 == 0 {
            index.flush().expect("flushed");
        }
        if n == 70 {
            index.close().expect("closed");
            index = LaneIndex::open(folder.path(), options.clone()).expect("opened");
        }
    }
    let refused = |index: &LaneIndex, ops: &[Op]| match index.write(ops) {
        Err(Error::Limit { what, got, limit }) => (what, got, limit),
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(&index, &[insert(100)]), ("entries of the index", 101, 100));
    // All of a batch or nothing.
    index.write(&[remove(3), remove(4)]).expect("removing is always possible");
    refused(&index, &[insert(100), insert(101), insert(102)]);
    assert_eq!(index.len().expect("read"), 98);
    index.write(&[insert(100), insert(101)]).expect("there is room again");
    refused(&index, &[insert(102)]);
    index.compact().expect("compacted");
    refused(&index, &[insert(102)]);
    assert_eq!(index.len().expect("read"), 100);
}

#[test]
fn bytes_are_counted_over_overlays_and_segments() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { max_bytes: Some(200_000), ..options() };
    let index = LaneIndex::open(folder.path(), options).expect("opened");
    let mut written = 0;
    let refused = loop {
        match index.write(&[insert(written)]) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(refused, Error::Limit { what: "bytes of the index", limit: 200_000, .. }),
        "{refused:?}"
    );
    assert!((1_000..20_000).contains(&written), "{written}");
    assert_eq!(index.len().expect("read"), u64::from(written));
    // In a segment the same takes less.
    index.compact().expect("compacted");
    index.write(&[insert(written)]).expect("there is room again");
    // What is full of what was removed has room after a merge.
    let more = (written + 1..).find(|n| index.write(&[insert(*n)]).is_err()).expect("an end");
    let removes: Vec<Op> = (0..more).map(remove).collect();
    index.write(&removes).expect("removing is always possible");
    index.compact().expect("compacted");
    assert!(index.is_empty().expect("read"));
    index.write(&[insert(1)]).expect("there is room again");
}

#[test]
fn writes_that_flushes_cannot_keep_up_with_are_refused_and_counted() {
    let options = Options { backlog_limit: Some(50), ..options() };
    let index = LaneIndex::in_memory(options).expect("opened");
    for n in 0..50 {
        index.write(&[insert(n)]).expect("written");
    }
    for refused in 1..4 {
        match index.write(&[insert(50)]) {
            Err(Error::Behind { waiting, limit }) => assert_eq!((waiting, limit), (51, 50)),
            other => panic!("{other:?}"),
        }
        assert_eq!(index.stats().refused_behind, refused);
    }
    index.flush().expect("flushed");
    index.write(&[insert(50)]).expect("there is room again");
    // A batch that no overlay could take is taken by an empty one.
    index.flush().expect("flushed");
    let many: Vec<Op> = (100..300).map(insert).collect();
    index.write(&many).expect("written");
    assert_eq!(index.len().expect("read"), 251);
}
