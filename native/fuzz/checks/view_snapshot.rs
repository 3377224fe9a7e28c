//! Any bytes as a snapshot of a circuit, as they are and in blocks whose checksums are right: it is read, and
//! is the same when it is written and read again, or an error says what is wrong.

use lane_index::blocks::{BlockWriter, Header};
use lane_index::storage::Storage;
use lane_index::storage::simulation::SimStorage;
use view_circuit::{Circuit, Error, ViewId};

const FILE: &str = "circuit.snap";

/// A file with these five numbers in its header, one of which is the salt, and these blocks.
fn sealed(input: &[u8]) -> SimStorage {
    let storage = SimStorage::new();
    let (numbers, mut rest) = input.split_at(input.len().min(4));
    let number = |at: usize| numbers.get(at).map_or(0, |byte| u64::from(*byte));
    let fields = [number(0), 7, number(1), number(2), number(3)];
    let header = Header { magic: *b"VIEWSNAP", version: 1, fields };
    let file = storage.create(FILE).expect("a file");
    let mut file = BlockWriter::begin(file, &header, 7).expect("begun");
    // Kind, count, two bytes of length, and so many bytes.
    while let Some((&[kind, count, low, high], more)) = rest.split_first_chunk::<4>() {
        let length = usize::from(u16::from_le_bytes([low, high])).min(more.len());
        file.block(kind.into(), count.into(), &more[..length]).expect("written");
        rest = &more[length..];
    }
    let _ = file.finish(4, &[]).expect("finished");
    storage
}

fn read(storage: &SimStorage) {
    let (circuit, mark) = match Circuit::restore_from(storage) {
        Ok(restored) => restored,
        Err(Error::Io { .. }) => panic!("a file that is there can be read"),
        Err(error) => {
            assert!(!error.code().is_empty() && !error.to_string().is_empty());
            return;
        }
    };
    let again = SimStorage::new();
    circuit.snapshot_to(&again, mark).expect("written");
    let (restored, same_mark) = Circuit::restore_from(&again).expect("what it wrote itself");
    assert_eq!(mark, same_mark);
    assert_eq!(circuit.stats(), restored.stats());
    for id in 0..256 {
        assert_eq!(circuit.hash(ViewId(id)), restored.hash(ViewId(id)));
    }
}

/// What must hold for all bytes.
pub fn check(input: &[u8]) {
    let storage = SimStorage::new();
    storage.put(FILE, input.to_vec());
    read(&storage);
    read(&sealed(input));
}
