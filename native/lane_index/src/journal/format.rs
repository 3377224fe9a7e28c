//! The bytes of a journal file: a header of 64 bytes, then frames. `docs/formats.md` has the table.

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use super::Op;
use crate::Error;
use crate::bytes::{u32_at, u64_at};

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

/// What the files of an index start with.
pub(super) const MAGIC: [u8; 8] = *b"LANEJRNL";
const FRAME_MAGIC: [u8; 4] = *b"FRAM";
/// The length of the header of a file.
pub(super) const HEADER: usize = 64;
/// The length of the header of a frame, and of a mark.
pub(super) const FRAME: usize = 32;
/// The length of an operation. Frames start at multiples of it.
pub(super) const OP: usize = 16;
/// The last sequence number, and the last number of a file: each has a next one, so that sums cannot
/// overflow, whatever a file says.
pub(super) const LAST: u64 = u64::MAX - 1;
/// The operations of the longest batch.
pub(super) const MOST_OPS: usize = 1 << 24;

const INSERT: u8 = 1;
const REMOVE: u8 = 2;

/// The header of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    /// The number in the file's name.
    pub(super) number: u64,
    /// The sequence number of the first frame; everything before is durable in earlier files.
    pub(super) first_seq: u64,
    /// The length of the file.
    pub(super) allocated: u64,
    /// Seeds the checksums of the frames, so that no bytes that a caller or an earlier file left
    /// pass for a frame of this file.
    pub(super) salt: u64,
    /// Which index the file belongs to.
    pub(super) index: u64,
}

impl Header {
    pub(super) fn encode(&self, magic: &[u8; 8]) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        bytes[..8].copy_from_slice(magic);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let fields = [self.number, self.first_seq, self.allocated, self.salt, self.index];
        for (field, place) in fields.iter().zip(bytes[16..56].chunks_exact_mut(8)) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let checksum = xxh3_64(&bytes[..56]);
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads the header of the file `path`.
    pub(super) fn decode(bytes: &[u8; HEADER], path: &str, magic: &[u8; 8]) -> Result<Self, Error> {
        let damaged = |offset, what| Error::Damaged { path: path.to_owned(), offset, what };
        if bytes[..8] != *magic {
            return Err(damaged(0, "it does not start as a journal does"));
        }
        // Magic, version and checksum stay where they are in every version, so that damage is
        // told from a newer version.
        if u64_at(bytes, 56) != xxh3_64(&bytes[..56]) {
            return Err(damaged(56, "the checksum of the header does not match"));
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(Error::UnknownVersion {
                path: path.to_owned(),
                version,
                supported: VERSION,
            });
        }
        let header = Self {
            number: u64_at(bytes, 16),
            first_seq: u64_at(bytes, 24),
            allocated: u64_at(bytes, 32),
            salt: u64_at(bytes, 40),
            index: u64_at(bytes, 48),
        };
        if header.number > LAST || header.first_seq > LAST {
            return Err(damaged(16, "no file has such a number"));
        }
        Ok(header)
    }
}

/// A frame whose checksum is right.
#[derive(Debug, Clone, Copy)]
pub(super) struct Frame<'a> {
    pub(super) seq: u64,
    /// Up to here everything was durable when the frame was written.
    pub(super) synced: u64,
    pub(super) payload: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The frame that starts at `offset`, if a whole one does.
    pub(super) fn at(bytes: &'a [u8], offset: usize, salt: u64) -> Option<Self> {
        let rest = bytes.get(offset..)?;
        let header = rest.get(..FRAME)?;
        if header[8..12] != FRAME_MAGIC {
            return None;
        }
        let length = u32_at(header, 12) as usize;
        if !length.is_multiple_of(OP) || length > MOST_OPS * OP {
            return None;
        }
        let covered = rest.get(8..FRAME + length)?;
        if u64_at(header, 0) != xxh3_64_with_seed(covered, salt) {
            return None;
        }
        let payload = &rest[FRAME..FRAME + length];
        let seq = u64_at(header, 16);
        (seq <= LAST).then(|| Self { seq, synced: u64_at(header, 24), payload })
    }

    /// The length in the file.
    pub(super) fn len(&self) -> usize {
        FRAME + self.payload.len()
    }

    /// A mark holds no operations: it repeats the number of the frame before, and says that this
    /// is durable.
    pub(super) fn is_mark(&self) -> bool {
        self.payload.is_empty()
    }
}

/// Puts the operations of a payload into `ops`; `None` where one is of no known kind.
pub(super) fn decode_ops(payload: &[u8], ops: &mut Vec<Op>) -> Option<()> {
    ops.clear();
    for op in payload.chunks_exact(OP) {
        let (hash, id) = (u64_at(op, 0), u32_at(op, 8));
        ops.push(match op[12..] {
            [INSERT, 0, 0, 0] => Op::Insert { hash, id },
            [REMOVE, 0, 0, 0] => Op::Remove { hash, id },
            _ => return None,
        });
    }
    Some(())
}

/// What a frame is made of: operations, or bytes of a multiple of [`OP`].
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    Ops(&'a [Op]),
    Bytes(&'a [u8]),
}

impl Payload<'_> {
    /// The length in the file.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Ops(ops) => ops.len() * OP,
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

/// Writes a frame into `buffer`, in place of what is there.
pub(super) fn encode_frame(
    buffer: &mut Vec<u8>,
    seq: u64,
    synced: u64,
    payload: Payload<'_>,
    salt: u64,
) {
    buffer.clear();
    buffer.extend_from_slice(&[0; 8]);
    buffer.extend_from_slice(&FRAME_MAGIC);
    // At most `MOST_OPS * OP`, 2^28.
    buffer.extend_from_slice(&(payload.len() as u32).to_le_bytes());
    buffer.extend_from_slice(&seq.to_le_bytes());
    buffer.extend_from_slice(&synced.to_le_bytes());
    match payload {
        Payload::Bytes(bytes) => buffer.extend_from_slice(bytes),
        Payload::Ops(ops) => {
            for op in ops {
                let (kind, hash, id) = match *op {
                    Op::Insert { hash, id } => (INSERT, hash, id),
                    Op::Remove { hash, id } => (REMOVE, hash, id),
                };
                buffer.extend_from_slice(&hash.to_le_bytes());
                buffer.extend_from_slice(&id.to_le_bytes());
                buffer.extend_from_slice(&[kind, 0, 0, 0]);
            }
        }
    }
    let checksum = xxh3_64_with_seed(&buffer[8..], salt);
    buffer[..8].copy_from_slice(&checksum.to_le_bytes());
}
