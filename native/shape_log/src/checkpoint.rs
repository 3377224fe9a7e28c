//! A checkpoint: what is known of all logs at one transaction. Written as a whole, then never changed.
//!
//! A header, then blocks that each have a checksum and know their place: the logs by id, and an end that
//! counts the blocks. `docs/formats.md` has the bytes.

use lane_index::codec::{Bad, Input};
use lane_index::storage::Storage;
use lane_index::{Error, StorageFile, sealed};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::manifest::CheckpointEntry;

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"SHAPCKPT";
const HEADER: usize = 64;
const BLOCK: usize = 32;

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
    fn encode(&self) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let fields = [self.number, self.lsn, self.applied_seq, self.salt, self.owner];
        for (field, place) in fields.iter().zip(header[16..56].chunks_exact_mut(8)) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let checksum = xxh3_64(&header[..56]);
        header[56..].copy_from_slice(&checksum.to_le_bytes());
        header
    }
}

/// Writes a checkpoint.
pub(crate) struct Writer {
    file: Box<dyn StorageFile>,
    salt: u64,
    bytes: u64,
    blocks: u64,
    payload: Vec<u8>,
    in_payload: u64,
    logs: u64,
    buffer: Vec<u8>,
}

impl Writer {
    pub fn create(storage: &dyn Storage, head: &Head) -> Result<Self, Error> {
        let mut file = sealed::create_anew(storage, &name(head.number))?;
        file.write_all(&head.encode())?;
        Ok(Self {
            file,
            salt: head.salt,
            bytes: HEADER as u64,
            blocks: 0,
            payload: Vec::new(),
            in_payload: 0,
            logs: 0,
            buffer: Vec::new(),
        })
    }

    /// The next log: `encode` appends what is said of it.
    pub fn log(&mut self, encode: impl FnOnce(&mut Vec<u8>)) -> Result<(), Error> {
        encode(&mut self.payload);
        self.in_payload += 1;
        self.logs += 1;
        if self.payload.len() >= FULL { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<(), Error> {
        if self.in_payload == 0 {
            return Ok(());
        }
        let mut payload = std::mem::take(&mut self.payload);
        let written = self.block(LOGS, self.in_payload, &payload);
        payload.clear();
        (self.payload, self.in_payload) = (payload, 0);
        written
    }

    fn block(&mut self, kind: u32, count: u64, payload: &[u8]) -> Result<(), Error> {
        let length = u32::try_from(payload.len()).map_err(|_| Error::Limit {
            what: "bytes of a block",
            got: payload.len() as u64,
            limit: u32::MAX.into(),
        })?;
        self.buffer.clear();
        self.buffer.extend_from_slice(&[0; 8]);
        self.buffer.extend_from_slice(&kind.to_le_bytes());
        self.buffer.extend_from_slice(&length.to_le_bytes());
        self.buffer.extend_from_slice(&self.bytes.to_le_bytes());
        self.buffer.extend_from_slice(&count.to_le_bytes());
        self.buffer.extend_from_slice(payload);
        let checksum = xxh3_64_with_seed(&self.buffer[8..], self.salt);
        self.buffer[..8].copy_from_slice(&checksum.to_le_bytes());
        self.file.write_all(&self.buffer)?;
        self.bytes += self.buffer.len() as u64;
        self.blocks += 1;
        Ok(())
    }

    /// Makes it durable.
    pub fn finish(mut self, head: &Head) -> Result<CheckpointEntry, Error> {
        self.flush()?;
        self.block(END, self.blocks, &self.logs.to_le_bytes())?;
        self.file.sync()?;
        Ok(CheckpointEntry {
            number: head.number,
            bytes: self.bytes,
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
    let header: &[u8; HEADER] = bytes.first_chunk().ok_or_else(|| damaged(0, "it is cut off"))?;
    if header[..8] != MAGIC {
        return Err(damaged(0, "it does not start as a checkpoint does"));
    }
    let mut checksum = [0; 8];
    checksum.copy_from_slice(&header[56..]);
    if u64::from_le_bytes(checksum) != xxh3_64(&header[..56]) {
        return Err(damaged(56, "the checksum of the header does not match"));
    }
    let mut version = [0; 4];
    version.copy_from_slice(&header[8..12]);
    let version = u32::from_le_bytes(version);
    if version != VERSION {
        return Err(Error::UnknownVersion { path, version, supported: VERSION });
    }
    let salt = u64::from_str_radix(&entry.salt, 16).unwrap_or_default();
    let head = Head { number: entry.number, lsn: entry.lsn, applied_seq, salt, owner };
    if *header != head.encode() {
        return Err(damaged(16, "it is another checkpoint than the manifest names"));
    }
    if bytes.len() as u64 != entry.bytes {
        let what = "it has not the length that the manifest says";
        return Err(damaged(entry.bytes as usize, what));
    }
    let (mut at, mut blocks, mut logs) = (HEADER, 0, 0);
    loop {
        let header: Option<&[u8; BLOCK]> = bytes.get(at..).and_then(|rest| rest.first_chunk());
        let header = header.ok_or_else(|| damaged(at, "it ends without an end"))?;
        let u64_at = |from: usize| {
            let mut number = [0; 8];
            number.copy_from_slice(&header[from..from + 8]);
            u64::from_le_bytes(number)
        };
        let (kind, length) = (u64_at(8) as u32, (u64_at(8) >> 32) as usize);
        let block = bytes.get(at..at + BLOCK + length);
        let block = block.ok_or_else(|| damaged(at, "a block beyond the end of the file"))?;
        if u64_at(0) != xxh3_64_with_seed(&block[8..], salt) {
            return Err(damaged(at, "the checksum of a block does not match"));
        }
        if u64_at(16) != at as u64 {
            return Err(damaged(at, "a block out of its place"));
        }
        let (count, payload) = (u64_at(24), &block[BLOCK..]);
        let behind = at + BLOCK + length;
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
