//! A shape: what is its own, and which template its clause has.
//!
//! Of a template the first clause is written as its text, which opening compiles; a fingerprint of what
//! comes of it tells a library that compiles otherwise. Of all others only the constants are written,
//! where they are plain; else the text as well.

use super::filed::{filed, put_filed, put_word, word};
use crate::catalogue::StoredShape as Told;
use crate::catalogue::shape::{MOST_SERIALS, params, put_params, put_snapshot, snapshot};
use crate::conditions::Conditions;
use crate::filing::{Filed, Filing};
use crate::index::{Making, Secret};
use crate::shapes::{Shape, StoredShape, Tags};
use crate::spec::Snapshot;
use bumpalo::Bump;
use hashbrown::HashMap;
use lane_index::codec::{Bad, Input, put, put_bytes, unzigzag, zigzag};
use shape_expr::{Compiler, Predicate, PredicateRef, Schema};
use std::fmt::Write as _;
use xxhash_rust::xxh3::xxh3_64;

const KNOWN: u8 = 1;
const STALE: u8 = 1 << 1;
const CHOICE: u8 = 1 << 2;
const FILING: u8 = 3;
/// It is filed under what follows from its clause, and that is not all in indexes that are stored.
const AGAIN: u8 = 1 << 5;
const LSN: u8 = 1 << 6;
const XIDS: u8 = 1 << 7;

/// What stands for a clause: none, one of a template that comes for the first time, one that is written
/// as its text, or from here on the number of a template.
const NO_CLAUSE: u64 = 0;
const NEW_TEMPLATE: u64 = 1;
const TEXT: u64 = 2;
const TEMPLATES: u64 = 3;

/// The same for clauses of which the same is made: program, access conditions, hashes.
fn fingerprint(predicate: PredicateRef<'_>, secret: Secret) -> u64 {
    let arena = Bump::new();
    let access = predicate.access();
    // With nothing filed, so that it does not depend on what is.
    let empty = Conditions::stored(secret, Making::default());
    let mut made = predicate.describe();
    let residual = predicate.residual().map(|residual| residual.describe());
    // A string takes whatever is written.
    let _ = write!(made, "\n{residual:?}\n{:?}", empty.choose(&access, &arena));
    xxh3_64(made.as_bytes())
}

/// Writes shapes, in the order of their slots.
pub(super) struct RowWriter {
    pub bytes: Vec<u8>,
    pub count: u64,
    secret: Secret,
    last_id: u64,
    next_serial: u64,
    /// The templates by the numbers that the router has for them.
    templates: HashMap<u64, Template, ahash::RandomState>,
    kinds: Vec<u8>,
}

/// A template that was written.
struct Template {
    /// Its number here.
    number: u64,
    /// Of what kinds the constants of its first clause are.
    kinds: Box<[u8]>,
}

impl RowWriter {
    pub fn new(secret: Secret) -> Self {
        let (templates, kinds, bytes) = (HashMap::default(), Vec::new(), Vec::new());
        Self { bytes, count: 0, secret, last_id: 0, next_serial: 0, templates, kinds }
    }

    /// Begins another block. Templates that were written are known from then on.
    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.count, self.last_id, self.next_serial) = (0, 0, 0);
    }

    /// Writes a shape as it is, and was told; `filed`: what it is filed under.
    pub fn write(&mut self, told: &Told<'_>, shape: &Shape<'_>, tags: Tags, under: &Filed) {
        let out = &mut self.bytes;
        put(out, zigzag(shape.id.wrapping_sub(self.last_id).cast_signed()));
        put(out, shape.serial.wrapping_sub(self.next_serial));
        let flag = |on: bool, flag: u8| if on { flag } else { 0 };
        let derived = shape.filing == Filing::Derived;
        out.push(
            flag(shape.known, KNOWN)
                | flag(shape.stale, STALE)
                | flag(tags.choice(), CHOICE)
                | (shape.filing as u8) << FILING
                | flag(derived && !under.is_stored(), AGAIN)
                | match shape.snapshot {
                    None => 0,
                    Some(Snapshot::Lsn(_)) => LSN,
                    Some(Snapshot::Xids { .. }) => XIDS,
                },
        );
        match (shape.predicate, told.clause) {
            (Some(predicate), Some(text)) => {
                let id = predicate.template_id();
                self.kinds.clear();
                predicate.put_kinds(&mut self.kinds);
                let start = out.len();
                let known = self.templates.get(&id);
                let is_alike = known.is_some_and(|known| *known.kinds == *self.kinds);
                if let Some(known) = known {
                    put(out, TEMPLATES + known.number);
                }
                if !is_alike || !predicate.put_constants(out) {
                    out.truncate(start);
                    if known.is_some() {
                        put(out, TEXT);
                    } else {
                        put(out, NEW_TEMPLATE);
                        put_word(out, fingerprint(predicate, self.secret));
                        let number = self.templates.len() as u64;
                        let kinds = self.kinds.as_slice().into();
                        self.templates.insert(id, Template { number, kinds });
                    }
                    put_bytes(out, text.as_bytes());
                    put_params(out, told.params);
                }
            }
            _ => put(out, NO_CLAUSE),
        }
        if shape.filing == Filing::Kept {
            put_filed(out, under);
        }
        if let Some(snapshot) = shape.snapshot {
            put_snapshot(out, snapshot);
        }
        self.count += 1;
        self.last_id = shape.id;
        self.next_serial = shape.serial.wrapping_add(1);
    }
}

/// Reads shapes.
pub(super) struct RowReader<'c> {
    compiler: &'c mut Compiler,
    schema: &'c Schema,
    secret: Secret,
    templates: Vec<Predicate>,
}

impl<'c> RowReader<'c> {
    pub fn new(compiler: &'c mut Compiler, schema: &'c Schema, secret: Secret) -> Self {
        Self { compiler, schema, secret, templates: Vec::new() }
    }

    /// Hands out the shapes of a block, and whether each is to be filed
    /// [again](Conditions::file_again).
    pub fn read(
        &mut self,
        payload: &[u8],
        count: u64,
        mut each: impl FnMut(StoredShape, bool),
    ) -> Result<(), Bad> {
        let mut input = Input::new(payload);
        let (mut id, mut serial) = (0u64, 0u64);
        for _ in 0..count {
            id = id.wrapping_add(unzigzag(input.number()?).cast_unsigned());
            serial = match serial.checked_add(input.number()?) {
                Some(serial) if serial < MOST_SERIALS => serial,
                _ => return input.bad("serials that are used up"),
            };
            let flags = input.byte()?;
            if flags & LSN != 0 && flags & XIDS != 0 {
                return input.bad("a shape with unknown flags");
            }
            let predicate = self.predicate(&mut input)?;
            let filing = match flags >> FILING & 3 {
                0 => Filing::Never,
                1 => Filing::Scan,
                2 => Filing::Derived,
                _ => Filing::Kept,
            };
            if filing == Filing::Derived && predicate.is_none() {
                return input.bad("a shape that is filed and has no clause");
            }
            let kept = if filing == Filing::Kept { Some(filed(&mut input)?) } else { None };
            let snapshot = match flags & (LSN | XIDS) {
                0 => None,
                flag => Some(snapshot(&mut input, flag == XIDS)?),
            };
            let again = flags & AGAIN != 0 || kept.as_ref().is_some_and(|kept| !kept.is_stored());
            let shape = StoredShape {
                id,
                serial,
                predicate,
                filing,
                kept,
                choice: flags & CHOICE != 0,
                known: flags & KNOWN != 0,
                stale: flags & STALE != 0,
                snapshot,
            };
            each(shape, again);
            serial += 1;
        }
        input.end()
    }

    fn predicate(&mut self, input: &mut Input<'_>) -> Result<Option<Predicate>, Bad> {
        let reference = input.number()?;
        if reference >= TEMPLATES {
            let number = usize::try_from(reference - TEMPLATES).unwrap_or(usize::MAX);
            let template = self.templates.get(number);
            return match template.and_then(|template| template.with_constants(input.rest())) {
                Some((predicate, length)) => {
                    input.take(length)?;
                    Ok(Some(predicate))
                }
                None => input.bad("constants of no template"),
            };
        }
        if reference == NO_CLAUSE {
            return Ok(None);
        }
        let expected = if reference == NEW_TEMPLATE { Some(word(input)?) } else { None };
        let text = input.text()?;
        let params = params(input)?;
        let Ok(compiled) = self.compiler.compile(text, self.schema, &params) else {
            return input.bad("a clause that this version refuses");
        };
        let predicate = compiled.predicate;
        if let Some(expected) = expected {
            if fingerprint(predicate.by_ref(), self.secret) != expected {
                return input.bad("a clause that this version compiles otherwise");
            }
            self.templates.push(predicate.clone());
        }
        Ok(Some(predicate))
    }
}
