//! What flushes, merges and figures of an index let go of is freed, however it was held.

#![cfg(target_os = "linux")]

use std::time::{Duration, Instant};

use lane_index::{Fsync, Journaling, LaneIndex, Options};

/// Files of `folder` that this process has mapped.
fn mapped(folder: &str) -> usize {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("readable");
    maps.lines().filter(|line| line.contains(folder)).count()
}

/// Regression: whoever changed the runs gave the view of before to the reaper twice, which then waited
/// for itself for ever, and every segment that was merged away stayed mapped.
#[test]
fn segments_that_were_merged_away_are_unmapped() {
    let directory = tempfile::tempdir().expect("a directory");
    let options = Options { journal: Journaling::Own(Fsync::Never), ..Options::default() };
    let index = LaneIndex::open(directory.path(), options).expect("opened");
    for round in 0..12_u32 {
        for key in 0..1000_u64 {
            index.insert(key.wrapping_mul(0x9e37_79b9_7f4a_7c15), round).expect("written");
        }
        index.compact().expect("compacted");
        assert_eq!(index.stats().segments, 1);
        assert_eq!(index.len().expect("read"), 1000 * u64::from(round + 1));
    }
    let folder = directory.path().to_str().expect("a name that is text").to_owned();
    let start = Instant::now();
    while mapped(&folder) > 1 {
        assert!(start.elapsed() < Duration::from_secs(10), "{} files mapped", mapped(&folder));
        std::thread::sleep(Duration::from_millis(5));
    }
    index.close().expect("closed");
    drop(index);
    while mapped(&folder) > 0 {
        assert!(start.elapsed() < Duration::from_secs(20), "{} files mapped", mapped(&folder));
        std::thread::sleep(Duration::from_millis(5));
    }
}
