//! Shapes in a row, as records of the journal and blocks of a snapshot have them.
//!
//! Each is written as what differs from the one before: its id, its serial, and the values of its
//! clause. `docs/formats.md` has the bytes.

use super::clause::{self, Cut};
use crate::spec::Snapshot;
use hashbrown::HashMap;
use lane_index::codec::{Bad, Input, put, put_bytes, unzigzag, zigzag};
use shape_expr::Param;

/// A shape as it is stored. Its keys are not part of it.
#[derive(Debug, Clone, Copy)]
pub struct StoredShape<'a> {
    /// Its number: given once, ascending.
    pub serial: u64,
    /// Its id.
    pub id: u64,
    /// Its clause; `None`: all rows.
    pub clause: Option<&'a str>,
    /// The values of `$1`, `$2` ...
    pub params: &'a [Param<'a>],
    /// Whether it is known which rows it holds.
    pub known: bool,
    /// Whether a column that its clause reads was dropped or retyped.
    pub stale: bool,
    /// What its keys were taken from.
    pub snapshot: Option<&'a Snapshot>,
}

const KNOWN: u8 = 1;
const STALE: u8 = 1 << 1;
const PARAMS: u8 = 1 << 2;
const LSN: u8 = 1 << 3;
const XIDS: u8 = 1 << 4;

/// A serial has so many bits less than a word that a router's record of a shape has room beside it.
pub(crate) const MOST_SERIALS: u64 = 1 << 55;

/// What stands for a clause: none, one whose frame follows, or from here on the number of a frame.
const NO_CLAUSE: u64 = 0;
const NEW_FRAME: u64 = 1;
const FRAMES: u64 = 2;

/// Writes shapes, their serials ascending.
#[derive(Default)]
pub(super) struct ShapeWriter {
    pub bytes: Vec<u8>,
    pub count: u64,
    last_id: u64,
    next_serial: u64,
    frames: HashMap<Box<[u8]>, u64, ahash::RandomState>,
    cut: Cut,
}

impl ShapeWriter {
    /// Begins anew; what was written is forgotten.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.frames.clear();
        (self.count, self.last_id, self.next_serial) = (0, 0, 0);
    }

    pub fn write(&mut self, shape: &StoredShape<'_>) {
        let out = &mut self.bytes;
        put(out, zigzag(shape.id.wrapping_sub(self.last_id).cast_signed()));
        put(out, shape.serial.wrapping_sub(self.next_serial));
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        out.push(
            flag(shape.known, KNOWN)
                | flag(shape.stale, STALE)
                | flag(!shape.params.is_empty(), PARAMS)
                | match shape.snapshot {
                    None => 0,
                    Some(Snapshot::Lsn(_)) => LSN,
                    Some(Snapshot::Xids { .. }) => XIDS,
                },
        );
        match shape.clause {
            None => put(out, NO_CLAUSE),
            Some(text) => {
                self.cut.cut(text);
                match self.frames.get(&*self.cut.frame) {
                    Some(number) => put(out, FRAMES + number),
                    None => {
                        put(out, NEW_FRAME);
                        out.extend_from_slice(&self.cut.frame);
                        let number = self.frames.len() as u64;
                        self.frames.insert(self.cut.frame.as_slice().into(), number);
                    }
                }
                out.extend_from_slice(&self.cut.values);
            }
        }
        if !shape.params.is_empty() {
            put_params(out, shape.params);
        }
        if let Some(snapshot) = shape.snapshot {
            put_snapshot(out, snapshot);
        }
        self.count += 1;
        self.last_id = shape.id;
        self.next_serial = shape.serial.wrapping_add(1);
    }
}

pub(crate) fn put_params(out: &mut Vec<u8>, params: &[Param<'_>]) {
    put(out, params.len() as u64);
    params.iter().for_each(|param| put_param(out, param));
}

pub(crate) fn params<'a>(input: &mut Input<'a>) -> Result<Vec<Param<'a>>, Bad> {
    let count = input.count(1)?;
    (0..count).map(|_| param(input)).collect()
}

pub(crate) fn put_snapshot(out: &mut Vec<u8>, snapshot: &Snapshot) {
    match snapshot {
        Snapshot::Lsn(lsn) => put(out, *lsn),
        Snapshot::Xids { xmin, xmax, xip } => {
            put(out, *xmin);
            put(out, *xmax);
            put(out, xip.len() as u64);
            xip.iter().for_each(|xid| put(out, *xid));
        }
    }
}

/// What [`put_snapshot`] has written of a snapshot of this kind.
pub(crate) fn snapshot(input: &mut Input<'_>, by_xids: bool) -> Result<Snapshot, Bad> {
    if !by_xids {
        return Ok(Snapshot::Lsn(input.number()?));
    }
    let (xmin, xmax) = (input.number()?, input.number()?);
    let count = input.count(1)?;
    let xip = (0..count).map(|_| input.number()).collect::<Result<_, _>>()?;
    Ok(Snapshot::Xids { xmin, xmax, xip })
}

fn put_param(out: &mut Vec<u8>, param: &Param<'_>) {
    match param {
        Param::Null => out.push(0),
        Param::Text(text) => {
            out.push(1);
            put_bytes(out, text.as_bytes());
        }
        Param::Int(int) => {
            out.push(2);
            put(out, zigzag(*int));
        }
        Param::Float(float) => {
            out.push(3);
            out.extend_from_slice(&float.to_bits().to_le_bytes());
        }
        Param::Bool(bool) => out.push(4 | u8::from(*bool)),
    }
}

fn param<'a>(input: &mut Input<'a>) -> Result<Param<'a>, Bad> {
    Ok(match input.byte()? {
        0 => Param::Null,
        1 => Param::Text(input.text()?),
        2 => Param::Int(unzigzag(input.number()?)),
        3 => {
            let mut bits = [0; 8];
            bits.copy_from_slice(input.take(8)?);
            Param::Float(f64::from_bits(u64::from_le_bytes(bits)))
        }
        4 => Param::Bool(false),
        5 => Param::Bool(true),
        _ => return input.bad("a parameter of no known kind"),
    })
}

/// Hands out `count` shapes, each once.
pub(super) fn read_shapes<'a, E: From<Bad>>(
    input: &mut Input<'a>,
    count: u64,
    mut each: impl FnMut(&StoredShape<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut frames: Vec<Box<[&'a str]>> = Vec::new();
    let (mut id, mut serial) = (0u64, 0u64);
    let mut text = String::new();
    for _ in 0..count {
        id = id.wrapping_add(unzigzag(input.number()?).cast_unsigned());
        serial = match serial.checked_add(input.number()?) {
            Some(serial) if serial < MOST_SERIALS => serial,
            _ => return Ok(input.bad("serials that are used up")?),
        };
        let flags = input.byte()?;
        if flags >= XIDS << 1 || flags & LSN != 0 && flags & XIDS != 0 {
            return Ok(input.bad("a shape with unknown flags")?);
        }
        let has_clause = match input.number()? {
            NO_CLAUSE => false,
            reference => {
                if reference == NEW_FRAME {
                    frames.push(clause::frame(input)?);
                }
                let number = match reference {
                    NEW_FRAME => frames.len() - 1,
                    number => usize::try_from(number - FRAMES).unwrap_or(usize::MAX),
                };
                let Some(frame) = frames.get(number) else {
                    return Ok(input.bad("a clause of no frame")?);
                };
                clause::join(frame, input, &mut text)?;
                true
            }
        };
        let params = if flags & PARAMS != 0 { params(input)? } else { Vec::new() };
        let snapshot = match flags & (LSN | XIDS) {
            0 => None,
            flag => Some(snapshot(input, flag == XIDS)?),
        };
        each(&StoredShape {
            serial,
            id,
            clause: has_clause.then_some(text.as_str()),
            params: &params,
            known: flags & KNOWN != 0,
            stale: flags & STALE != 0,
            snapshot: snapshot.as_ref(),
        })?;
        serial += 1;
    }
    Ok(())
}
