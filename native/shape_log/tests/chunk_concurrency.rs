//! Seals, look-ups, leases and removals at the same time: whoever has a lease has whole files.

mod chunks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use chunks::{at, check, content, open, ranges, seal};
use lane_index::Storage;
use lane_index::storage::Directory;
use shape_log::Error;

#[test]
fn leased_files_are_whole_while_chunks_come_and_go() {
    let directory = tempfile::tempdir().expect("a directory");
    let storage: Arc<dyn Storage> = Arc::new(Directory::open(directory.path()).expect("open"));
    let store = open(&storage).expect("open");
    let (newest, done) = (AtomicU64::new(0), AtomicBool::new(false));
    let read = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for reader in 0..3 {
            let (store, newest, done, read) = (&store, &newest, &done, &read);
            scope.spawn(move || {
                let mut random = fastrand::Rng::with_seed(reader);
                while !done.load(Ordering::Relaxed) {
                    let offset = at(random.u64(0..=newest.load(Ordering::Relaxed)));
                    let exact = store.find(offset);
                    let Some(chunk) = exact.or_else(|| store.covering(offset)) else { continue };
                    assert!(chunk.start <= offset && offset < chunk.end);
                    let lease = match store.lease(chunk.seq) {
                        Ok(lease) => lease,
                        Err(Error::NoSuchChunk { seq }) if seq == chunk.seq => continue,
                        Err(error) => panic!("{error}"),
                    };
                    if random.bool() {
                        std::thread::yield_now();
                    }
                    let found = std::fs::read(lease.path().expect("a path")).expect("leased");
                    assert_eq!(found, content(chunk.start.tx, chunk.end.tx));
                    if let Some(path) = lease.gzip_path() {
                        let length = std::fs::metadata(path).expect("leased").len();
                        assert_eq!(Some(length), chunk.gzip.map(|gzip| gzip.bytes));
                    }
                    read.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(50);
            while !done.load(Ordering::Relaxed) {
                let list = store.list();
                assert!(list.windows(2).all(|pair| pair[0].end <= pair[1].start));
                if list.len() < 12 {
                    std::thread::yield_now();
                    continue;
                }
                let chunk = list[random.usize(0..6)];
                match store.remove(chunk.seq) {
                    // Another seal took its place in the meantime.
                    Ok(()) | Err(Error::NoSuchChunk { .. }) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        // Two threads seal: new ranges, and ranges of whole chunks.
        let joins = scope.spawn(|| {
            let mut random = fastrand::Rng::with_seed(60);
            while !done.load(Ordering::Relaxed) {
                let list = store.list();
                if list.len() < 4 {
                    std::thread::yield_now();
                    continue;
                }
                let from = random.usize(0..list.len() - 2);
                let (start, end) = (list[from].start.tx, list[from + 1].end.tx);
                seal(&store, start, end, random.bool()).expect("whole ones, or gone ones");
            }
        });
        for number in 0..250 {
            let start = newest.load(Ordering::Relaxed);
            let end = start + 1 + number % 40;
            seal(&store, start, end, number % 3 == 0).expect("seal");
            newest.store(end, Ordering::Relaxed);
        }
        while read.load(Ordering::Relaxed) < 200 {
            std::thread::yield_now();
        }
        done.store(true, Ordering::Relaxed);
        joins.join().expect("it joined chunks");
    });
    check(&*storage, &store);
    let list = ranges(&store);
    drop(store);
    let store = open(&storage).expect("open");
    assert_eq!(ranges(&store), list);
    assert_eq!(store.opened().missing, Vec::<u64>::new());
}
