//! Damage that comes while an index is open: what a merge reads is verified again, and what is not whole
//! is put aside instead of being written anew under a checksum that fits.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lane_index::{Answer, Error, Fsync, Journaling, LaneIndex, Maintenance, Op, Options};

const KEYS: u32 = 60;
const HEADER: u64 = 64;
/// The footer and the directory of one block, which nobody reads after opening.
const DIRECTORY: u64 = 64 + 88;

fn options(maintenance: Maintenance) -> Options {
    let journal = Journaling::Own(Fsync::Never);
    Options { lanes: Some(1), journal, maintenance, ..Options::default() }
}

fn hash(key: u32) -> u64 {
    u64::from(key).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn fill(index: &LaneIndex) {
    for key in 0..KEYS {
        let op = |id| Op::Insert { hash: hash(key), id };
        index.write(&[op(key), op(key + 1000)][..1 + key as usize % 2]).expect("written");
    }
}

/// An index with one segment, and newer writes in the overlay.
fn index(folder: &Path, maintenance: Maintenance) -> LaneIndex {
    let index = LaneIndex::open(folder, options(maintenance)).expect("opened");
    fill(&index);
    index.compact().expect("compacted");
    index.insert(hash(KEYS), KEYS).expect("written");
    index
}

fn segment(folder: &Path) -> PathBuf {
    let files = fs::read_dir(folder).expect("listed").map(|file| file.expect("an entry").path());
    let mut segments = files.filter(|file| file.extension().is_some_and(|end| end == "seg"));
    segments.next().expect("a segment")
}

/// Flips a bit of the file in place, so that it changes under the map.
fn flip(file: &Path, at: u64, bit: u8) {
    let file = OpenOptions::new().read(true).write(true).open(file).expect("opened");
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).expect("read");
    file.write_all_at(&[byte[0] ^ 1 << bit], at).expect("written");
}

fn get(index: &LaneIndex, key: u32) -> (Answer, Vec<u32>) {
    let mut ids = vec![];
    (index.get_verified(hash(key), &mut ids), ids)
}

fn assert_put_aside(index: &LaneIndex, folder: &Path, segment: &Path) {
    let name = segment.file_name().expect("a name").to_string_lossy();
    let stats = index.stats();
    assert_eq!(stats.quarantined, [format!("{name}.corrupt")]);
    assert!(stats.degraded && !stats.stopped && stats.failed_compactions > 0, "{stats:?}");
    assert!(stats.last_error.is_some_and(|error| error.contains(&*name)));
    assert!(!segment.exists() && folder.join(format!("{name}.corrupt")).exists());
    // What the segment had is missing, and the answer says so; what is newer is there.
    assert_eq!(get(index, 7), (Answer::Degraded, vec![]));
    assert_eq!(get(index, KEYS), (Answer::Degraded, vec![KEYS]));
}

#[test]
fn a_merge_puts_a_damaged_segment_aside_wherever_the_damage_is() {
    let length = {
        let folder = tempfile::tempdir().expect("a folder");
        let _index = index(folder.path(), Maintenance::Caller);
        fs::metadata(segment(folder.path())).expect("there").len()
    };
    assert!(length > HEADER + DIRECTORY + 300);
    for at in (HEADER..length - DIRECTORY).step_by(13) {
        let folder = tempfile::tempdir().expect("a folder");
        let index = index(folder.path(), Maintenance::Caller);
        let file = segment(folder.path());
        flip(&file, at, (at % 8) as u8);
        match index.reshard(2) {
            Err(Error::Damaged { path, offset, .. }) => {
                assert_eq!(path, file.file_name().expect("a name").to_string_lossy());
                assert!(offset <= at, "byte {at} is damaged, not {offset}");
            }
            other => panic!("byte {at}: {other:?}"),
        }
        assert_put_aside(&index, folder.path(), &file);
    }
}

#[test]
fn it_stays_degraded_until_it_is_rebuilt() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = index(folder.path(), Maintenance::Caller);
    let file = segment(folder.path());
    flip(&file, HEADER, 0);
    assert!(matches!(first.len(), Err(Error::Damaged { .. })), "whoever reads all is told");
    assert!(matches!(first.reshard(2), Err(Error::Damaged { .. })));
    // It goes on working meanwhile.
    first.insert(hash(3), 33).expect("written");
    first.compact().expect("compacted");
    assert_eq!(get(&first, 3), (Answer::Degraded, vec![33]));
    first.close().expect("closed");
    drop(first);
    let index = LaneIndex::open(folder.path(), options(Maintenance::Caller)).expect("opened");
    assert_eq!(get(&index, 7).0, Answer::Degraded);
    index.begin_rebuild().expect("emptied");
    fill(&index);
    assert_eq!(get(&index, 7), (Answer::Degraded, vec![7, 1007]));
    index.finish_rebuild().expect("whole");
    assert_eq!(get(&index, 7), (Answer::Complete, vec![7, 1007]));
    assert_eq!(index.len().expect("read"), u64::from(KEYS + KEYS / 2));
}

#[test]
fn it_is_put_aside_in_the_background_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options { overlay_limit: Some(1000), ..options(Maintenance::Background) };
    let index = LaneIndex::open(folder.path(), options).expect("opened");
    fill(&index);
    index.compact().expect("compacted");
    index.insert(hash(KEYS), KEYS).expect("written");
    let file = segment(folder.path());
    flip(&file, HEADER + 1, 3);
    // Removals enough to make a merge of everything due.
    for id in 0..2000 {
        index.remove(hash(KEYS + 1), id).expect("written");
    }
    let start = Instant::now();
    while index.stats().quarantined.is_empty() {
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", index.stats());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_put_aside(&index, folder.path(), &file);
}
