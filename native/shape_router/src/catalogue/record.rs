//! The records of the journal: what happened to the catalogue, each whole or not at all.

use super::meta::{RelationChange, StoredSchema};
use super::shape::{ShapeWriter, StoredShape, read_shapes};
use crate::membership::Held;
use crate::stored::StoredIndexes;
use lane_index::Error;
use lane_index::codec::{Bad, Input, put, put_bytes};
use lane_index::journal::PAYLOAD_UNIT;

const ADD: u8 = 1;
const REMOVE: u8 = 2;
const ACK: u8 = 3;

/// What catalogues are told, and what they tell when they are read back: in order.
///
/// A serial that is named and stands for no shape says nothing: the shape was removed.
pub trait Replay {
    /// So far shapes came, and nothing of what was told was changed; from here on it may be. Told again
    /// and again.
    fn settle(&mut self) {}
    /// Takes what is stored instead of what the snapshot would tell of shapes and keys; whether it did.
    /// The table was told.
    ///
    /// # Errors
    /// Why it could not: then nothing was taken, and everything is told.
    fn load(&mut self, _indexes: &StoredIndexes<'_>) -> Result<bool, Error> {
        Ok(false)
    }
    /// The columns are these from now on.
    fn schema(&mut self, schema: StoredSchema);
    /// The table's definition, as a Relation message told it.
    fn relation(&mut self, change: RelationChange);
    /// Everything up to this LSN was acknowledged.
    fn acked(&mut self, lsn: u64);
    /// Serials below this were given.
    fn serials_below(&mut self, next: u64);
    /// A shape came.
    fn shape(&mut self, shape: &StoredShape<'_>);
    /// A shape went.
    fn removed(&mut self, serial: u64);
    /// It is no longer known which rows a shape holds.
    fn lost_track(&mut self, serial: u64);
    /// A column that a shape's clause reads was dropped or retyped.
    fn stale(&mut self, serial: u64);
    /// What a shape says of a key; `None`: what it says of all that are not told.
    fn held(&mut self, key: u128, serial: u64, held: Option<Held>);
    /// Nothing is said of any key by the shapes below this serial, but for some (ascending).
    fn truncated(&mut self, below: u64, spared: &[u64]);
}

/// Writes a record of shapes that came together: all of them, or none.
#[derive(Default)]
pub struct AddWriter {
    shapes: ShapeWriter,
    keys: Vec<u8>,
}

impl AddWriter {
    /// The next shape, its serial above those before. The keys are for one that is known.
    pub fn shape(&mut self, shape: &StoredShape<'_>, keys: &[u128]) {
        self.shapes.write(shape);
        if shape.known {
            put(&mut self.keys, keys.len() as u64);
            keys.iter().for_each(|key| self.keys.extend_from_slice(&key.to_be_bytes()));
        }
    }

    /// The record. `schema`: the columns, where they are others than the catalogue knows. `stale`: the
    /// shapes that became so and are not told yet.
    #[must_use]
    pub fn finish(self, schema: Option<&StoredSchema>, stale: &[u64]) -> Vec<u8> {
        let mut out = begin(ADD);
        put_option(&mut out, schema.map(StoredSchema::encode).as_deref());
        put_serials(&mut out, stale);
        put(&mut out, self.shapes.count);
        put_bytes(&mut out, &self.shapes.bytes);
        out.extend_from_slice(&self.keys);
        end(out)
    }
}

/// The record of a shape that went.
#[must_use]
pub fn removal(serial: u64) -> Vec<u8> {
    let mut out = begin(REMOVE);
    put(&mut out, serial);
    end(out)
}

/// Writes a record of what an acknowledgement made real.
pub struct AckWriter {
    out: Vec<u8>,
    effects: Vec<u8>,
    count: u64,
}

const EFFECTS: u8 = 1;
const TRUNCATE: u8 = 2;

impl AckWriter {
    /// Begins with the LSN, what a Relation message changed, and the shapes that lost track or became
    /// stale since the last one.
    #[must_use]
    pub fn new(lsn: u64, relation: Option<&RelationChange>, lost: &[u64], stale: &[u64]) -> Self {
        let mut out = begin(ACK);
        put(&mut out, lsn);
        put_option(&mut out, relation.map(RelationChange::encode).as_deref());
        put_serials(&mut out, lost);
        put_serials(&mut out, stale);
        Self { out, effects: Vec::new(), count: 0 }
    }

    /// What a shape says of a key from now on; see [`Replay::held`].
    pub fn held(&mut self, key: u128, serial: u64, held: Option<Held>) {
        self.effects.extend_from_slice(&key.to_be_bytes());
        put(&mut self.effects, serial);
        self.effects.push(held.map_or(0, |held| held as u8 + 1));
        self.count += 1;
    }

    /// A TRUNCATE; see [`Replay::truncated`].
    pub fn truncate(&mut self, below: u64, spared: &[u64]) {
        self.flush();
        self.out.push(TRUNCATE);
        put(&mut self.out, below);
        put_serials(&mut self.out, spared);
    }

    fn flush(&mut self) {
        if self.count > 0 {
            self.out.push(EFFECTS);
            put(&mut self.out, self.count);
            self.out.append(&mut self.effects);
            self.count = 0;
        }
    }

    /// The record.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.flush();
        end(self.out)
    }
}

/// A payload begins with the length of the record in it; the journal wants whole units.
const LENGTH: usize = 4;

fn begin(kind: u8) -> Vec<u8> {
    let mut out = vec![0; LENGTH];
    out.push(kind);
    out
}

fn end(mut out: Vec<u8>) -> Vec<u8> {
    // The journal refuses what is longer than its longest payload, so this is the length.
    let length = u32::try_from(out.len() - LENGTH).unwrap_or(u32::MAX);
    out[..LENGTH].copy_from_slice(&length.to_le_bytes());
    out.resize(out.len().next_multiple_of(PAYLOAD_UNIT), 0);
    out
}

fn put_option(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    put_bytes(out, bytes.unwrap_or_default());
}

fn put_serials(out: &mut Vec<u8>, serials: &[u64]) {
    put(out, serials.len() as u64);
    serials.iter().for_each(|serial| put(out, *serial));
}

fn serials(input: &mut Input<'_>) -> Result<Vec<u64>, Bad> {
    let count = input.count(1)?;
    (0..count).map(|_| input.number()).collect()
}

/// Reads a payload of the journal, telling what it says; what is wrong with it, if anything is, and
/// where.
pub fn read_record(payload: &[u8], replay: &mut impl Replay) -> Result<(), Bad> {
    let mut length = [0; LENGTH];
    length.copy_from_slice(payload.get(..LENGTH).ok_or(Bad { at: 0, what: "it is cut off" })?);
    let end = LENGTH.saturating_add(u32::from_le_bytes(length) as usize);
    let record =
        payload.get(LENGTH..end).ok_or(Bad { at: 0, what: "a length beyond its frame" })?;
    let padding = &payload[end..];
    if padding.len() >= PAYLOAD_UNIT || padding.iter().any(|byte| *byte != 0) {
        return Err(Bad { at: end, what: "something follows the record" });
    }
    let mut input = Input::new(record);
    let read = match input.byte() {
        Ok(ADD) => read_add(&mut input, replay),
        Ok(REMOVE) => {
            replay.settle();
            input.number().map(|serial| replay.removed(serial))
        }
        Ok(ACK) => {
            replay.settle();
            read_ack(&mut input, replay)
        }
        Ok(_) => input.bad("a record of no known kind"),
        Err(bad) => Err(bad),
    };
    let read = read.and_then(|()| input.end());
    read.map_err(|bad| Bad { at: LENGTH + bad.at, ..bad })
}

fn read_add(input: &mut Input<'_>, replay: &mut impl Replay) -> Result<(), Bad> {
    let schema = input.bytes()?;
    if !schema.is_empty() {
        match StoredSchema::decode(schema) {
            Some(schema) => replay.schema(schema),
            None => return input.bad("columns that are none"),
        }
    }
    for serial in serials(input)? {
        replay.settle();
        replay.stale(serial);
    }
    let count = input.number()?;
    let bytes = input.bytes()?;
    let shift = input.at() - bytes.len();
    let mut shapes = Input::new(bytes);
    let mut known = Vec::new();
    let read = read_shapes(&mut shapes, count, |shape| {
        if shape.known {
            known.push(shape.serial);
        }
        replay.shape(shape);
        Ok::<(), Bad>(())
    });
    read.and_then(|()| shapes.end()).map_err(|bad| Bad { at: shift + bad.at, ..bad })?;
    for serial in known {
        for _ in 0..input.count(16)? {
            replay.held(input.key()?, serial, Some(Held::Yes));
        }
    }
    Ok(())
}

fn read_ack(input: &mut Input<'_>, replay: &mut impl Replay) -> Result<(), Bad> {
    let lsn = input.number()?;
    let relation = input.bytes()?;
    if !relation.is_empty() {
        match RelationChange::decode(relation) {
            Some(change) => replay.relation(change),
            None => return input.bad("a relation that is none"),
        }
    }
    serials(input)?.into_iter().for_each(|serial| replay.lost_track(serial));
    serials(input)?.into_iter().for_each(|serial| replay.stale(serial));
    while !input.is_done() {
        match input.byte()? {
            EFFECTS => {
                for _ in 0..input.count(18)? {
                    let (key, serial) = (input.key()?, input.number()?);
                    let held = match input.byte()? {
                        0 => None,
                        1 => Some(Held::No),
                        2 => Some(Held::Yes),
                        3 => Some(Held::Maybe),
                        _ => return input.bad("an effect of no known kind"),
                    };
                    replay.held(key, serial, held);
                }
            }
            TRUNCATE => {
                let below = input.number()?;
                replay.truncated(below, &serials(input)?);
            }
            _ => return input.bad("an effect of no known kind"),
        }
    }
    replay.acked(lsn);
    Ok(())
}
