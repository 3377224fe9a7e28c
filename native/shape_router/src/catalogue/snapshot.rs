//! A snapshot: all shapes and all that is acknowledged of their rows, at one record of the journal.
//!
//! A file of blocks: the table, the shapes by serial, what they say of keys by key and serial, and an end
//! that counts the blocks. Written from the first byte to the last, read so, and never changed.
//! `docs/formats.md` has the bytes.

use super::GoOn;
use super::meta::Meta;
use super::record::Replay;
use super::shape::{ShapeWriter, StoredShape, read_shapes};
use crate::membership::Held;
use lane_index::blocks::{BLOCK, Block, BlockWriter, HEADER, Header};
use lane_index::codec::{Bad, Input, put};
use lane_index::storage::{Mapped, Storage};
use lane_index::{Error, sealed};
use serde::{Deserialize, Serialize};

/// The version that is written, and the newest that is read.
pub const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"SHAPSNAP";

const META: u32 = 1;
const SHAPES: u32 = 2;
const KEYS: u32 = 3;
const END: u32 = 4;

/// A block is written when it has come to this length.
const FULL: usize = 64 << 10;

/// A snapshot, as the manifest names it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SnapshotEntry {
    /// The number in its name.
    pub number: u64,
    /// The length of its file.
    pub bytes: u64,
    /// How many shapes it has.
    pub shapes: u64,
    /// The salt of its checksums, 16 hex digits: tells it from another file of this name.
    salt: String,
}

impl SnapshotEntry {
    pub(crate) fn salt(&self) -> u64 {
        u64::from_str_radix(&self.salt, 16).unwrap_or_default()
    }

    /// Its file.
    #[must_use]
    pub fn name(&self) -> String {
        name(self.number)
    }
}

const PREFIX: &str = "shapes-";
const SUFFIX: &str = ".snap";

/// The name of the snapshot of this number.
#[must_use]
pub fn name(number: u64) -> String {
    format!("{PREFIX}{number:016x}{SUFFIX}")
}

/// The number in a snapshot's name. Only the spelling that we write counts.
#[must_use]
pub fn number(file: &str) -> Option<u64> {
    let digits = file.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (name(number) == file).then_some(number)
}

fn header(number: u64, applied_seq: u64, salt: u64, owner: u64) -> Header {
    Header { magic: MAGIC, version: VERSION, fields: [number, applied_seq, salt, owner, 0] }
}

/// Writes a snapshot under a name that it has until it is whole.
pub(super) struct SnapshotWriter {
    blocks: BlockWriter,
    entry: SnapshotEntry,
    shapes: ShapeWriter,
    keys: Vec<u8>,
    key_count: u64,
    last_key: Option<u128>,
}

impl SnapshotWriter {
    /// Begins the snapshot of this number in the file `path`. `owner`: whose it is.
    pub fn create(
        storage: &dyn Storage,
        path: &str,
        (number, applied_seq): (u64, u64),
        owner: u64,
        salt: u64,
        meta: &Meta,
    ) -> Result<Self, Error> {
        let file = sealed::create_anew(storage, path)?;
        let mut blocks = BlockWriter::begin(file, &header(number, applied_seq, salt, owner), salt)?;
        blocks.block(META, 1, &meta.encode())?;
        let entry = SnapshotEntry { number, bytes: 0, shapes: 0, salt: format!("{salt:016x}") };
        let (shapes, keys) = (ShapeWriter::default(), Vec::new());
        Ok(Self { blocks, entry, shapes, keys, key_count: 0, last_key: None })
    }

    /// The next shape, its serial above those before.
    pub fn shape(&mut self, shape: &StoredShape<'_>) -> Result<(), Error> {
        self.shapes.write(shape);
        self.entry.shapes += 1;
        if self.shapes.bytes.len() >= FULL { self.flush_shapes() } else { Ok(()) }
    }

    fn flush_shapes(&mut self) -> Result<(), Error> {
        if self.shapes.count > 0 {
            self.blocks.block(SHAPES, self.shapes.count, &self.shapes.bytes)?;
            self.shapes.clear();
        }
        Ok(())
    }

    /// The next thing that is said of a key, after all shapes: by key and serial.
    pub fn held(&mut self, key: u128, serial: u64, held: Held) -> Result<(), Error> {
        self.flush_shapes()?;
        if self.last_key == Some(key) {
            self.keys.push(held as u8);
        } else {
            self.keys.push(NEW_KEY | held as u8);
            self.keys.extend_from_slice(&key.to_be_bytes());
            self.last_key = Some(key);
        }
        put(&mut self.keys, serial);
        self.key_count += 1;
        if self.keys.len() >= FULL { self.flush_keys() } else { Ok(()) }
    }

    fn flush_keys(&mut self) -> Result<(), Error> {
        if self.key_count > 0 {
            self.blocks.block(KEYS, self.key_count, &self.keys)?;
            self.keys.clear();
            (self.key_count, self.last_key) = (0, None);
        }
        Ok(())
    }

    /// Makes it durable; its name is the caller's to give.
    pub fn finish(mut self) -> Result<SnapshotEntry, Error> {
        self.flush_shapes()?;
        self.flush_keys()?;
        let mut counts = Vec::new();
        put(&mut counts, self.entry.shapes);
        let bytes = self.blocks.finish(END, &counts)?;
        Ok(SnapshotEntry { bytes, ..self.entry })
    }
}

/// The key is another one than that of the entry before, and follows.
const NEW_KEY: u8 = 1 << 7;

/// A snapshot that is read.
pub(crate) struct Snapshot {
    path: String,
    bytes: Box<dyn Mapped>,
    salt: u64,
    shapes: u64,
}

/// Why reading was given up.
pub(super) enum Stop {
    Bad(Bad),
    Error(Error),
}

impl From<Bad> for Stop {
    fn from(bad: Bad) -> Self {
        Self::Bad(bad)
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Snapshot {
    /// Opens what the manifest names, and reads its header.
    pub fn open(
        storage: &dyn Storage,
        entry: &SnapshotEntry,
        applied_seq: u64,
        owner: u64,
        mmap: bool,
    ) -> Result<Self, Error> {
        let path = entry.name();
        if !storage.list()?.contains(&path) {
            return Err(Error::Missing { path, why: "the manifest names it" });
        }
        let bytes = storage.map(&path, mmap)?;
        let salt = entry.salt();
        let (other_kind, other_file) = (
            "it does not start as a snapshot does",
            "it is another snapshot than the manifest names, or another router's",
        );
        let header = header(entry.number, applied_seq, salt, owner);
        header.verify(&bytes, &path, [other_kind, other_file])?;
        if bytes.len() as u64 != entry.bytes {
            let offset = entry.bytes.min(bytes.len() as u64);
            let what = "it has not the length that the manifest says";
            return Err(Error::Damaged { path, offset, what });
        }
        Ok(Self { path, bytes, salt, shapes: entry.shapes })
    }

    /// Tells everything. What was told before an error may not be used.
    pub fn read(&self, replay: &mut impl Replay) -> Result<(), Error> {
        self.read_while(replay, &|| Ok(()))
    }

    /// As [`Snapshot::read`], as long as `go_on` says nothing against it.
    pub fn read_while(&self, replay: &mut impl Replay, go_on: &GoOn<'_>) -> Result<(), Error> {
        self.blocks(|kind, count, payload| {
            go_on()?;
            match kind {
                META => tell(self.meta_of(payload)?, replay),
                SHAPES => read_shapes(&mut Input::new(payload), count, |shape| {
                    replay.shape(shape);
                    Ok::<(), Stop>(())
                })?,
                _ => read_keys(payload, count, |key, serial, held| {
                    replay.held(key, serial, Some(held));
                    Ok(())
                })?,
            }
            Ok(())
        })
    }

    /// Verifies everything, as reading it would, and tells the table.
    pub fn verify(&self, replay: &mut impl Replay) -> Result<(), Error> {
        self.blocks(|kind, _, payload| {
            if kind == META {
                tell(self.meta_of(payload)?, replay);
            }
            Ok(())
        })
    }

    /// The table.
    pub fn meta(&self) -> Result<Meta, Error> {
        let mut meta = Meta::default();
        self.blocks_of(META, |_, payload| {
            meta = self.meta_of(payload)?;
            Ok(())
        })?;
        Ok(meta)
    }

    fn meta_of(&self, payload: &[u8]) -> Result<Meta, Stop> {
        Meta::decode(payload).ok_or(Stop::Bad(Bad { at: 0, what: "a table that is none" }))
    }

    /// Hands out the shapes by serial.
    pub fn shapes(
        &self,
        mut each: impl FnMut(&StoredShape<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.blocks_of(SHAPES, |count, payload| {
            read_shapes(&mut Input::new(payload), count, |shape| Ok(each(shape)?))
        })
    }

    /// Hands out what is said of keys, by key and serial.
    pub fn keys(
        &self,
        mut each: impl FnMut(u128, u64, Held) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.blocks_of(KEYS, |count, payload| read_keys(payload, count, &mut each))
    }

    fn blocks_of(
        &self,
        wanted: u32,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), Stop>,
    ) -> Result<(), Error> {
        self.blocks(
            |kind, count, payload| {
                if kind == wanted { each(count, payload) } else { Ok(()) }
            },
        )
    }

    /// Hands out the blocks in order, the end not among them, each verified.
    fn blocks(
        &self,
        mut each: impl FnMut(u32, u64, &[u8]) -> Result<(), Stop>,
    ) -> Result<(), Error> {
        let (mut at, mut blocks, mut last) = (HEADER, 0, META);
        loop {
            let damaged = |offset: usize, what| {
                let offset = offset.min(self.bytes.len()) as u64;
                Error::Damaged { path: self.path.clone(), offset, what }
            };
            let rest = self.bytes.get(at..).unwrap_or_default();
            let block =
                Block::read(rest, at as u64, self.salt).map_err(|what| damaged(at, what))?;
            let Block { kind, count, payload } = block;
            if (blocks == 0) != (kind == META) || kind < last {
                return Err(damaged(at, "a block out of its place"));
            }
            let behind = at + block.bytes();
            match kind {
                END => {
                    let mut input = Input::new(payload);
                    let shapes = input.number();
                    if count != blocks || shapes != Ok(self.shapes) || input.end().is_err() {
                        return Err(damaged(at, "blocks are missing"));
                    }
                    if behind != self.bytes.len() {
                        return Err(damaged(behind, "something follows the end"));
                    }
                    return Ok(());
                }
                META | SHAPES | KEYS => each(kind, count, payload).map_err(|stop| match stop {
                    Stop::Bad(bad) => damaged(at + BLOCK + bad.at, bad.what),
                    Stop::Error(error) => error,
                })?,
                _ => return Err(damaged(at + 8, "a block of no known kind")),
            }
            (at, blocks, last) = (behind, blocks + 1, kind);
        }
    }
}

fn tell(meta: Meta, replay: &mut impl Replay) {
    if let Some(change) = meta.relation {
        replay.relation(change);
    }
    if let Some(schema) = meta.schema {
        replay.schema(schema);
    }
    replay.serials_below(meta.next_serial);
    replay.acked(meta.acked);
}

fn read_keys(
    payload: &[u8],
    count: u64,
    mut each: impl FnMut(u128, u64, Held) -> Result<(), Error>,
) -> Result<(), Stop> {
    let mut input = Input::new(payload);
    let mut key = None;
    for _ in 0..count {
        let flags = input.byte()?;
        if flags & NEW_KEY != 0 {
            key = Some(input.key()?);
        }
        let held = match flags & !NEW_KEY {
            0 => Held::No,
            1 => Held::Yes,
            2 => Held::Maybe,
            _ => return Ok(input.bad("an effect of no known kind")?),
        };
        let Some(key) = key else { return Ok(input.bad("an entry without a key")?) };
        each(key, input.number()?, held)?;
    }
    Ok(input.end()?)
}
