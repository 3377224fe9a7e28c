//! One handle per directory, whoever asks and however it ends.

use std::sync::Arc;

use lane_index::Error;
use lane_index::lock::DirectoryLock;
use lane_index::storage::simulation::SimStorage;
use lane_index::storage::{Directory, Storage};

#[test]
fn a_directory_has_one_holder_at_a_time() {
    let folder = tempfile::tempdir().expect("folder");
    let real: Arc<dyn Storage> = Arc::new(Directory::open(folder.path()).expect("directory"));
    let again: Arc<dyn Storage> = Arc::new(Directory::open(folder.path()).expect("directory"));
    let simulated = SimStorage::new();
    let pairs: [(Arc<dyn Storage>, Arc<dyn Storage>); 2] =
        [(real, again), (Arc::new(simulated.clone()), Arc::new(simulated))];
    for (one, other) in pairs {
        let held = DirectoryLock::acquire(&*one).expect("free");
        assert!(matches!(DirectoryLock::acquire(&*other), Err(Error::Locked { .. })));
        assert!(matches!(DirectoryLock::acquire(&*one), Err(Error::Locked { .. })));
        drop(held);
        drop(DirectoryLock::acquire(&*other).expect("free again"));
    }
}

#[test]
fn a_killed_process_holds_nothing() {
    let storage = SimStorage::new();
    let _held = DirectoryLock::acquire(&storage).expect("free");
    DirectoryLock::acquire(&storage.kill()).expect("free after a kill");
    DirectoryLock::acquire(&storage.crash(7)).expect("free after a crash");
}

/// The lock of the real directory belongs to the process: killed, it is free.
#[test]
fn a_killed_process_frees_the_real_lock() {
    const CHILD: &str = "LANE_INDEX_LOCK_CHILD";
    if let Some(path) = std::env::var_os(CHILD) {
        let storage = Directory::open(path).expect("directory");
        let _held = DirectoryLock::acquire(&storage).expect("free");
        println!("held");
        loop {
            std::thread::park();
        }
    }
    let folder = tempfile::tempdir().expect("folder");
    let mut child = std::process::Command::new(std::env::current_exe().expect("test binary"))
        .args(["--exact", "a_killed_process_frees_the_real_lock", "--nocapture"])
        .env(CHILD, folder.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("child");
    let output = std::io::BufReader::new(child.stdout.take().expect("output"));
    let held = std::io::BufRead::lines(output).any(|line| line.expect("line").contains("held"));
    assert!(held);
    let storage = Directory::open(folder.path()).expect("directory");
    assert!(matches!(DirectoryLock::acquire(&storage), Err(Error::Locked { .. })));
    child.kill().expect("kill");
    child.wait().expect("end");
    DirectoryLock::acquire(&storage).expect("free after the kill");
}
