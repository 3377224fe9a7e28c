//! Blocks of entries: what segments are made of, in memory and in files alike.
//!
//! A block holds entries of one transaction of one log. It has a checksum, seeded by the log's salt, and
//! says which operations it holds, so that a reader can pass over it without reading it.

use std::sync::Arc;

use lane_index::codec::{Bad, Input, put, put_bytes};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::{Entry, Offset, Op};

/// The length of a block's header.
pub(crate) const HEADER: usize = 40;
/// A block that has grown to this is closed, and another one begins.
pub(crate) const FULL: usize = 64 << 10;

/// A block that is whole. Its bytes are those of the file.
#[derive(Clone, Debug)]
pub(crate) struct Block {
    pub bytes: Arc<[u8]>,
    pub tx: u64,
    pub last_op: u64,
    pub entries: u32,
    pub json_bytes: u64,
}

impl Block {
    pub fn last(&self) -> Offset {
        Offset::new(self.tx, self.last_op)
    }
}

/// What the header of a block says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    checksum: u64,
    /// The length of the payload.
    pub length: usize,
    pub entries: u32,
    pub tx: u64,
    first_op: u64,
    last_op: u64,
}

impl Header {
    pub fn decode(bytes: &[u8; HEADER]) -> Self {
        let u32_at = |at: usize| {
            let mut field = [0; 4];
            field.copy_from_slice(&bytes[at..at + 4]);
            u32::from_le_bytes(field)
        };
        let u64_at = |at: usize| {
            let mut field = [0; 8];
            field.copy_from_slice(&bytes[at..at + 8]);
            u64::from_le_bytes(field)
        };
        Self {
            checksum: u64_at(0),
            length: u32_at(8) as usize,
            entries: u32_at(12),
            tx: u64_at(16),
            first_op: u64_at(24),
            last_op: u64_at(32),
        }
    }

    /// The last offset of the block.
    pub fn last(&self) -> Offset {
        Offset::new(self.tx, self.last_op)
    }

    /// The first offset of the block.
    pub fn first(&self) -> Offset {
        Offset::new(self.tx, self.first_op)
    }

    /// Whether these are the block's bytes, from its header on.
    pub fn matches(&self, bytes: &[u8], salt: u64) -> bool {
        bytes.len() == HEADER + self.length && self.checksum == xxh3_64_with_seed(&bytes[8..], salt)
    }
}

/// Puts entries into blocks.
#[derive(Debug, Default)]
pub(crate) struct BlockBuilder {
    bytes: Vec<u8>,
    tx: u64,
    first_op: u64,
    last_op: u64,
    entries: u32,
    json_bytes: u64,
}

impl BlockBuilder {
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// Whether the entry must go into another block.
    pub fn is_full_for(&self, entry: &Entry<'_>) -> bool {
        self.entries > 0 && (self.bytes.len() >= HEADER + FULL || self.tx != entry.offset.tx)
    }

    /// Adds an entry; their offsets ascend, within a transaction.
    pub fn push(&mut self, entry: &Entry<'_>) {
        if self.entries == 0 {
            self.bytes.clear();
            self.bytes.resize(HEADER, 0);
            self.tx = entry.offset.tx;
            self.first_op = entry.offset.op;
            self.last_op = entry.offset.op;
            self.json_bytes = 0;
        }
        put(&mut self.bytes, entry.offset.op - self.last_op);
        self.bytes.push(entry.op as u8);
        put_bytes(&mut self.bytes, entry.key);
        put_bytes(&mut self.bytes, entry.json);
        self.last_op = entry.offset.op;
        self.entries += 1;
        self.json_bytes += entry.json.len() as u64;
    }

    /// Closes the block, and begins another one.
    pub fn finish(&mut self, salt: u64) -> Block {
        // An entry fits into a frame of the redo log, which is shorter than 4 GiB.
        let length = (self.bytes.len() - HEADER) as u32;
        self.bytes[8..12].copy_from_slice(&length.to_le_bytes());
        self.bytes[12..16].copy_from_slice(&self.entries.to_le_bytes());
        let numbers = [self.tx, self.first_op, self.last_op];
        for (number, place) in numbers.iter().zip(self.bytes[16..HEADER].chunks_exact_mut(8)) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        let checksum = xxh3_64_with_seed(&self.bytes[8..], salt);
        self.bytes[..8].copy_from_slice(&checksum.to_le_bytes());
        let block = Block {
            bytes: Arc::from(&*self.bytes),
            tx: self.tx,
            last_op: self.last_op,
            entries: self.entries,
            json_bytes: self.json_bytes,
        };
        self.clear();
        block
    }

    /// Forgets what it has.
    pub fn clear(&mut self) {
        self.entries = 0;
        // Ten thousand logs have one each.
        if self.bytes.capacity() > 4096 {
            self.bytes = Vec::new();
        }
    }
}

/// A place within the entries of a block: what was read, and what comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    at: usize,
    left: u32,
    op: u64,
}

impl Cursor {
    /// Before the first entry.
    pub fn new(header: &Header) -> Self {
        Self { at: HEADER, left: header.entries, op: header.first_op }
    }

    /// The next entry of a block whose checksum is right.
    pub fn next<'b>(&mut self, header: &Header, block: &'b [u8]) -> Result<Option<Entry<'b>>, Bad> {
        let mut input = Input::new(block.get(self.at..).unwrap_or_default());
        let result = self.read(header, &mut input);
        self.at += input.at();
        result.map_err(|bad| Bad { at: self.at, ..bad })
    }

    fn read<'b>(
        &mut self,
        header: &Header,
        input: &mut Input<'b>,
    ) -> Result<Option<Entry<'b>>, Bad> {
        let Some(left) = self.left.checked_sub(1) else {
            if self.op != header.last_op {
                return input.bad("the last operation is another one than the header says");
            }
            return input.end().map(|()| None);
        };
        let first = self.left == header.entries;
        let step = input.number()?;
        if (step == 0) != first {
            return input.bad("operations that do not ascend");
        }
        let Some(op) = self.op.checked_add(step) else {
            return input.bad("an operation of more than 64 bits");
        };
        let Some(kind) = Op::from_number(input.byte()?) else {
            return input.bad("an operation of no known kind");
        };
        let (key, json) = (input.bytes()?, input.bytes()?);
        self.left = left;
        self.op = op;
        Ok(Some(Entry { offset: Offset::new(header.tx, op), op: kind, key, json }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_read_as_pushed_and_no_other_bytes_are() {
        let mut builder = BlockBuilder::default();
        let entries =
            [(3, Op::Insert, "k", "{}"), (4, Op::Delete, "", ""), (900, Op::Rekey, "a", "1")];
        for (op, kind, key, json) in entries {
            let (key, json) = (key.as_bytes(), json.as_bytes());
            builder.push(&Entry { offset: Offset::new(7, op), op: kind, key, json });
        }
        let block = builder.finish(5);
        assert!(builder.is_empty());
        assert_eq!((block.last(), block.json_bytes), (Offset::new(7, 900), 3));
        let header = Header::decode(block.bytes.first_chunk().expect("a header"));
        assert!(header.matches(&block.bytes, 5) && !header.matches(&block.bytes, 6));
        assert_eq!((header.first(), header.last()), (Offset::new(7, 3), Offset::new(7, 900)));
        let mut cursor = Cursor::new(&header);
        for (op, kind, key, json) in entries {
            let entry = cursor.next(&header, &block.bytes).expect("whole").expect("there is one");
            let expected = (Offset::new(7, op), kind, key.as_bytes(), json.as_bytes());
            assert_eq!((entry.offset, entry.op, entry.key, entry.json), expected);
        }
        assert_eq!(cursor.next(&header, &block.bytes), Ok(None));
        for at in 0..block.bytes.len() {
            let mut bytes = block.bytes.to_vec();
            bytes[at] ^= 1;
            let header = Header::decode(bytes.first_chunk().expect("a header"));
            assert!(!header.matches(&bytes, 5), "byte {at}");
        }
    }
}
