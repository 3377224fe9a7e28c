//! Sealing, finding and removing chunks.

mod chunks;

use std::io::Read;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chunks::{Numbers, at, check, content, open, ranges, read, seal};
use lane_index::Storage;
use lane_index::storage::Directory;
use lane_index::storage::simulation::SimStorage;
use shape_log::chunk::{ChunkOptions, ChunkStore};
use shape_log::collapse::{CollapseOptions, Plan};
use shape_log::{Entry, EntrySource, Error, Offset, Op};

fn simulated() -> Arc<dyn Storage> {
    Arc::new(SimStorage::new())
}

fn files(storage: &Arc<dyn Storage>) -> Vec<String> {
    let mut files = storage.list().expect("list");
    files.sort();
    files
}

#[test]
fn a_chunk_is_the_array_of_its_entries_and_is_found_by_its_start() {
    let storage = simulated();
    let store = open(&storage).expect("open");
    assert_eq!((store.list(), store.find(at(0)), store.covering(at(0))), (vec![], None, None));
    let first = seal(&store, 0, 40, true).expect("seal");
    let second = seal(&store, 40, 41, false).expect("seal");
    let third = seal(&store, 50, 60, true).expect("seal");
    assert_eq!(store.list(), [first, second, third]);
    assert_eq!((first.seq, first.count, first.name()), (1, 40, "000001.0_0.40_0.json".to_owned()));
    for (chunk, (start, end)) in store.list().into_iter().zip([(0, 40), (40, 41), (50, 60)]) {
        assert_eq!(read(&*storage, &chunk.name()), content(start, end));
        assert_eq!(chunk.bytes, content(start, end).len() as u64);
        store.verify(chunk.seq).expect("whole");
    }
    let packed = read(&*storage, &first.gzip_name().expect("asked for"));
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).expect("gzip");
    assert_eq!(unpacked, content(0, 40));
    assert_eq!((second.gzip, second.gzip_name()), (None, None));

    assert_eq!(store.find(at(40)), Some(second));
    for offset in [at(1), at(39), at(41), at(60), Offset::new(40, 1), Offset::MAX] {
        assert_eq!(store.find(offset), None, "{offset}");
    }
    assert_eq!(store.covering(Offset::new(39, 7)), Some(first));
    assert_eq!(store.covering(at(40)), Some(second));
    assert_eq!(store.covering(at(55)), Some(third));
    for offset in [at(41), at(45), at(60), Offset::MAX] {
        assert_eq!(store.covering(offset), None, "{offset}");
    }
    // Everything is there again after opening anew, which reads no chunk.
    let again = open(&storage).expect("open");
    assert_eq!(again.list(), store.list());
    assert_eq!(*again.opened(), Default::default());
}

#[test]
fn a_compacted_range_takes_the_place_of_its_chunks() {
    let row =
        |number: u64| format!("{{\"key\":\"1\",\"value\":{{\"n\":{number}}},\"headers\":{{}}}}");
    let texts: Vec<String> = (1..=30).map(row).collect();
    let entries: Vec<Entry<'_>> = (1..)
        .zip(&texts)
        .map(|(number, json)| Entry {
            offset: at(number),
            op: if number == 1 { Op::Insert } else { Op::Update },
            key: b"1",
            json: json.as_bytes(),
        })
        .collect();
    let storage = simulated();
    let store = open(&storage).expect("open");
    for (number, entries) in (0..).zip(entries.chunks(10)) {
        let (start, end) = (at(number * 10), at(number * 10 + 10));
        store.seal(start, end, &mut entries.iter(), true).expect("seal");
    }
    let old = entries[..20].to_vec();
    let plan = Plan::read(&mut old.iter(), CollapseOptions::default()).expect("ascending");
    let mut again = old.iter();
    let chunk = store.seal(at(0), at(20), &mut plan.collapse(&mut again), true).expect("seal");
    assert_eq!(read(&*storage, &chunk.name()), format!("[{},{}]", row(1), row(20)).into_bytes());
    assert_eq!((ranges(&store), chunk.count), (vec![(0, 20), (20, 30)], 2));
    store.verify(chunk.seq).expect("whole");
    // Who stands in the middle is given the rest from the log: no file begins there any more.
    assert_eq!((store.find(at(10)), store.covering(at(10))), (None, Some(chunk)));
}

#[test]
fn entity_tags_differ_where_bytes_do() {
    let storage = simulated();
    let store = open(&storage).expect("open");
    let first = seal(&store, 0, 5, true).expect("seal");
    let etags = [first.etag(), first.gzip_etag().expect("has one")];
    assert_ne!(etags[0], etags[1]);
    assert_eq!(etags[0], format!("\"000001-{:016x}\"", first.checksum));
    let again = seal(&store, 0, 5, false).expect("the same range");
    assert_eq!((again.checksum, again.gzip_etag()), (first.checksum, None));
    assert_ne!(again.etag(), first.etag());
}

#[test]
fn a_chunk_may_hold_nothing() {
    let storage = simulated();
    let store = open(&storage).expect("open");
    let chunk = store.seal(at(3), at(9), &mut Numbers::new(0, 0), true).expect("seal");
    assert_eq!((chunk.count, read(&*storage, &chunk.name())), (0, b"[]".to_vec()));
    store.verify(chunk.seq).expect("whole");
}

#[test]
fn whole_chunks_are_replaced_and_none_is_cut_through() {
    let storage = simulated();
    let store = open(&storage).expect("open");
    for start in [0, 10, 20, 30] {
        seal(&store, start, start + 10, true).expect("seal");
    }
    for (start, end) in [(5, 20), (0, 15), (12, 15), (5, 45), (39, 41)] {
        let error = seal(&store, start, end, false).expect_err("it cuts through");
        assert!(matches!(error, Error::ChunkOverlap { .. }), "{error}");
    }
    let joined = seal(&store, 10, 30, false).expect("whole ones");
    assert_eq!(ranges(&store), [(0, 10), (10, 30), (30, 40)]);
    assert_eq!((store.find(at(10)), store.find(at(20))), (Some(joined), None));
    check(&*storage, &store);
    // Only files of chunks that are listed are left.
    let expected: Vec<_> = store
        .list()
        .iter()
        .flat_map(|chunk| [Some(chunk.name()), chunk.gzip_name()])
        .flatten()
        .chain(["index.json".to_owned()])
        .collect();
    assert_eq!(files(&storage).len(), expected.len());
    assert!(expected.iter().all(|name| files(&storage).contains(name)));
}

/// Fails after some entries.
struct Failing(Numbers, u32);

impl EntrySource for Failing {
    fn next(&mut self) -> Result<Option<Entry<'_>>, Error> {
        self.1 -= 1;
        if self.1 == 0 { Err(Error::NoSuchChunk { seq: 77 }) } else { self.0.next() }
    }
}

#[test]
fn what_cannot_be_sealed_leaves_nothing() {
    let storage = simulated();
    let store = open(&storage).expect("open");
    let (start, end) = (at(3), at(6));
    let of = |offsets: &[Offset]| -> Vec<Entry<'static>> {
        let entry = |offset| Entry { offset, op: Op::Insert, key: b"", json: b"1" };
        offsets.iter().copied().map(entry).collect()
    };
    for (offsets, beyond) in [
        (of(&[at(3)]), false),
        (of(&[at(4), at(4)]), false),
        (of(&[at(5), at(4)]), false),
        (of(&[at(4), Offset::new(6, 1)]), true),
    ] {
        let error = store.seal(start, end, &mut offsets.iter(), true).expect_err("wrong entries");
        assert_eq!(matches!(error, Error::BeyondChunk { .. }), beyond, "{error}");
        assert!(beyond || matches!(error, Error::OutOfOrder { .. }), "{error}");
    }
    let error = store.seal(end, start, &mut Numbers::new(0, 0), true).expect_err("no range");
    assert!(matches!(error, Error::EmptyChunk { .. }), "{error}");
    let mut failing = Failing(Numbers::new(0, 9), 5);
    let error = store.seal(at(0), at(9), &mut failing, true).expect_err("the source failed");
    assert!(matches!(error, Error::NoSuchChunk { seq: 77 }), "{error}");
    assert_eq!((store.list(), files(&storage)), (vec![], vec![]));
    assert_eq!(seal(&store, 0, 9, true).expect("seal").seq, 6);
}

#[test]
fn a_removal_waits_for_the_last_lease() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage: Arc<dyn Storage> = Arc::new(Directory::open(directory.path()).expect("open"));
    let store = open(&storage).expect("open");
    let chunk = seal(&store, 0, 9, true).expect("seal");
    let leases = [store.lease(chunk.seq).expect("lease"), store.lease(chunk.seq).expect("lease")];
    let path = leases[0].path().expect("a path");
    let gzip = leases[1].gzip_path().expect("a path");
    store.remove(chunk.seq).expect("remove");
    assert_eq!((store.find(at(0)), store.list()), (None, vec![]));
    assert!(matches!(store.lease(chunk.seq), Err(Error::NoSuchChunk { seq: 1 })));
    assert!(matches!(store.remove(chunk.seq), Err(Error::NoSuchChunk { seq: 1 })));
    assert_eq!(std::fs::read(&path).expect("still there"), content(0, 9));
    let [one, other] = leases;
    drop(one);
    assert!(path.exists() && gzip.exists());
    drop(other);
    let began = Instant::now();
    while path.exists() || gzip.exists() {
        assert!(began.elapsed() < Duration::from_secs(10), "the files stay");
        std::thread::sleep(Duration::from_millis(2));
    }
    // The same range again is another file.
    assert_eq!(seal(&store, 0, 9, true).expect("seal").seq, 2);
}

#[test]
fn what_stands_beside_the_chunks_is_sorted_out_on_open() {
    let storage = SimStorage::new();
    let all: Arc<dyn Storage> = Arc::new(storage.clone());
    let store = open(&all).expect("open");
    for start in [0, 10, 20] {
        seal(&store, start, start + 10, true).expect("seal");
    }
    drop(store);
    let stray = [
        "000004.30_0.40_0.json",
        "000001.0_0.10_0.json.tmp",
        "000009.0_0.10_0.json.gz.tmp",
        "index.json.tmp",
        "000003.20_0.30_1.json.gz",
    ];
    let foreign = ["notes.txt", "000004.30_0.40_0.json.corrupt", "4.1_0.2_0.json"];
    for name in stray.iter().chain(&foreign) {
        storage.put(name, content(30, 40));
    }
    all.remove("000002.10_0.20_0.json").expect("remove");
    all.remove("000003.20_0.30_0.json.gz").expect("remove");
    let store = open(&all).expect("open");
    assert_eq!(ranges(&store), [(0, 10), (20, 30)]);
    assert_eq!(store.opened().missing, [2]);
    let mut swept = store.opened().swept.clone();
    swept.sort();
    let mut expected = stray.to_vec();
    expected.push("000002.10_0.20_0.json.gz");
    expected.sort_unstable();
    assert_eq!(swept, expected);
    assert_eq!(store.find(at(20)).expect("listed").gzip, None);
    check(&storage, &store);
    for name in foreign {
        assert!(storage.read(name).is_some(), "{name}");
    }
    // Above every number that a name has.
    assert_eq!(seal(&store, 50, 51, false).expect("seal").seq, 10);
}

#[test]
fn thousands_of_chunks_are_opened_without_reading_them() {
    use lane_index::storage::simulation::{FaultStorage, Faults, Operation};
    let storage = SimStorage::new();
    let store = ChunkStore::open(Arc::new(storage.clone()), ChunkOptions::default()).expect("open");
    for number in 0..1_500 {
        seal(&store, number, number + 1, false).expect("seal");
    }
    let faults = Faults::new();
    let counted: Arc<dyn Storage> = Arc::new(FaultStorage::new(Arc::new(storage), faults.clone()));
    let store = open(&counted).expect("open");
    assert_eq!((faults.count(Operation::Open), faults.count(Operation::List)), (1, 1));
    assert_eq!(store.list().len(), 1_500);
    for number in [0, 700, 1_499] {
        let chunk = store.find(at(number)).expect("found");
        assert_eq!(store.covering(at(number)), Some(chunk));
        store.verify(chunk.seq).expect("whole");
    }
}
