//! A checkpoint: what is known of all logs at one transaction. Written as a whole, then never changed.
//!
//! A file of blocks: the logs by id, and an end that counts the blocks. `docs/formats.md` has the bytes.

use lane_index::blocks::{BLOCK, Block, BlockWriter, HEADER, Header};
use lane_index::codec::{Bad, Input};
use lane_index::storage::Storage;
use lane_index::{Error, sealed};

use crate::manifest::CheckpointEntry;

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"SHAPCKPT";

const LOGS: u32 = 1;
const END: u32 = 2;

/// A block is written when it has come to this length.
const FULL: usize = 64 << 10;

const PREFIX: &str = "checkpoint-";
const SUFFIX: &str = ".ckp";

/// The name of the checkpoint of this number.
pub(crate) fn name(number: u64) -> String {
    format!("{PREFIX}{number:016x}{SUFFIX}")
}

/// The number in a checkpoint's name. Only the spelling that we write counts.
pub(crate) fn number(file: &str) -> Option<u64> {
    let digits = file.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (name(number) == file).then_some(number)
}

/// What stands in the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub number: u64,
    /// The last transaction that it has.
    pub lsn: u64,
    /// It has what happened up to this frame of the redo log.
    pub applied_seq: u64,
    pub salt: u64,
    /// Whose it is.
    pub owner: u64,
}

impl Head {
    fn header(&self) -> Header {
        let fields = [self.number, self.lsn, self.applied_seq, self.salt, self.owner];
        Header { magic: MAGIC, version: VERSION, fields }
    }
}

/// Writes a checkpoint.
pub(crate) struct Writer {
    blocks: BlockWriter,
    payload: Vec<u8>,
    in_payload: u64,
    logs: u64,
}

impl Writer {
    pub fn create(storage: &dyn Storage, head: &Head) -> Result<Self, Error> {
        let file = sealed::create_anew(storage, &name(head.number))?;
        let blocks = BlockWriter::begin(file, &head.header(), head.salt)?;
        Ok(Self { blocks, payload: Vec::new(), in_payload: 0, logs: 0 })
    }

    /// The next log: `encode` appends what is said of it.
    pub fn log(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        encode(&mut self.payload);
        self.in_payload += 1;
        self.logs += 1;
        if self.payload.len() >= FULL { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.in_payload > 0 {
            self.blocks.block(LOGS, self.in_payload, &self.payload)?;
            self.payload.clear();
            self.in_payload = 0;
        }
        Ok(())
    }

    /// Makes it durable.
    pub fn finish(mut self, head: &Head) -> Result<CheckpointEntry, Error> {
        self.flush()?;
        Ok(CheckpointEntry {
            number: head.number,
            bytes: self.blocks.finish(END, &self.logs.to_le_bytes())?,
            logs: self.logs,
            lsn: head.lsn,
            salt: format!("{:016x}", head.salt),
        })
    }
}

/// Reads a checkpoint, and hands out what it says of each log; `each` takes that from the input.
pub(crate) fn read(
    storage: &dyn Storage,
    entry: &CheckpointEntry,
    applied_seq: u64,
    owner: u64,
    mut each: impl FnMut(&mut Input<'_>) -> Result<(), Bad>,
) -> Result<(), Error> {
    let path = name(entry.number);
    if !storage.list()?.contains(&path) {
        return Err(Error::Missing { path, why: "the manifest names it" });
    }
    let bytes = storage.map(&path, false)?;
    let damaged = |offset: usize, what| {
        let offset = offset.min(bytes.len()) as u64;
        Error::Damaged { path: path.clone(), offset, what }
    };
    let salt = u64::from_str_radix(&entry.salt, 16).unwrap_or_default();
    let head = Head { number: entry.number, lsn: entry.lsn, applied_seq, salt, owner };
    let (other_kind, other_file) = (
        "it does not start as a checkpoint does",
        "it is another checkpoint than the manifest names",
    );
    head.header().verify(&bytes, &path, [other_kind, other_file])?;
    if bytes.len() as u64 != entry.bytes {
        let what = "it has not the length that the manifest says";
        return Err(damaged(entry.bytes as usize, what));
    }
    let (mut at, mut blocks, mut logs) = (HEADER, 0, 0);
    loop {
        let rest = bytes.get(at..).unwrap_or_default();
        let block = Block::read(rest, at as u64, salt).map_err(|what| damaged(at, what))?;
        let Block { kind, count, payload } = block;
        let behind = at + block.bytes();
        match kind {
            LOGS => {
                let mut input = Input::new(payload);
                let mut read = || {
                    (0..count).try_for_each(|_| each(&mut input))?;
                    input.end()
                };
                read().map_err(|bad| damaged(at + BLOCK + bad.at, bad.what))?;
                logs += count;
            }
            END => {
                if count != blocks || payload != entry.logs.to_le_bytes() || logs != entry.logs {
                    return Err(damaged(at, "blocks are missing"));
                }
                if behind != bytes.len() {
                    return Err(damaged(behind, "something follows the end"));
                }
                return Ok(());
            }
            _ => return Err(damaged(at + 8, "a block of no known kind")),
        }
        (at, blocks) = (behind, blocks + 1);
    }
}
