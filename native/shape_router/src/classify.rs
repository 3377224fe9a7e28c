//! Layers 3 and 4: the predicate gate, and what a change means for one shape.
//!
//! The table of meanings, in one place: [`Context::decide`].

use crate::change::{Change, KeyParts, KeyRow, Merged, NoRow, Op};
use crate::index::Slot;
use crate::key::KeyHash;
use crate::membership::{Held, Membership};
use crate::sets::{SetView, Staged};
use crate::shapes::Shape;
use crate::state::State;
use bumpalo::Bump;
use shape_expr::{Bulk, ColumnSet, Datum, EvalError, PredicateRef, Row, RowSource, Sets, Vm};

/// What a shape's log must record for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// The row came into the shape.
    Insert,
    /// The row came into the shape, but the change does not carry all of its columns.
    InsertMissing,
    /// The row was in the shape and still is.
    Update,
    /// The row left the shape.
    Delete,
    /// The row is in the shape under a new key: what stands under the old key goes.
    Rekey,
    /// The row is in the shape; nobody knows whether it was before.
    Upsert,
    /// The row is not in the shape; nobody knows whether it was before.
    DeleteIfPresent,
    /// The shape is empty.
    Truncate,
    /// Whether the row is in the shape cannot be told: the clause raised, or needs a value that the
    /// WAL left out.
    Unknown,
}

/// What an UPDATE whose old row the WAL does not tell means for a shape of unknown membership.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OldRow {
    /// It may have held the row, unless the key alone rules that out.
    #[default]
    Superset,
    /// Only the new row counts.
    Ignore,
}

/// How to route.
#[derive(Clone, Copy, Debug, Default)]
pub struct RouteOptions {
    /// Tell the class of each shape, not only its id.
    pub classify: bool,
    /// See [`OldRow`].
    pub old_row: OldRow,
}

/// What a clause says of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    True,
    NotTrue,
    /// It depends on a value that is unknown.
    Open,
    Raised(EvalError),
}

/// Whether the row was in the shape before the change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Was {
    In,
    Out,
    Maybe,
}

/// What is decided for one shape.
pub(crate) struct Decision {
    /// `None`: the change does not belong to the shape.
    pub class: Option<Class>,
    /// What the clause says of the new row, where that was asked.
    pub new: Option<Verdict>,
    /// The error that made the class unknown.
    pub error: Option<EvalError>,
}

/// What a change's keys are read with.
#[derive(Clone, Copy)]
struct Unread<'a> {
    arena: &'a Bump,
    state: &'a State,
    change: &'a Change<'a>,
    sets: Option<&'a SetView<'a>>,
}

/// A row of this source. It lies in the arena, where it need not be dropped: as a value it would be
/// copied from hand to hand, which takes longer than most changes need of it.
#[inline(always)]
fn row<'a>(
    arena: &'a Bump,
    state: &'a State,
    sets: Option<&'a SetView<'a>>,
    source: &'a dyn RowSource,
) -> &'a mut Bulk<'a> {
    arena.alloc_with(|| {
        let row = Row::new(arena, &state.schema, source);
        Bulk::new(row.with_sets(sets.map(|sets| sets as &dyn Sets)))
    })
}

/// The rows of a change, as far as they are known. Their columns are decoded when they are asked for.
pub(crate) struct Rows<'a> {
    new: Option<&'a mut Bulk<'a>>,
    old: Option<&'a mut Bulk<'a>>,
    new_source: Option<&'a dyn RowSource>,
    /// What answers for sets, if there are any.
    pub sets: Option<&'a SetView<'a>>,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    pub fn new(
        arena: &'a Bump,
        state: &'a State,
        change: &'a Change<'a>,
        staged: Option<&'a Staged>,
    ) -> Self {
        let sets: Option<&'a SetView<'a>> = match state.sets.is_empty() {
            true => None,
            false => Some(arena.alloc(SetView { sets: &state.sets, staged })),
        };
        let new_source: Option<&'a dyn RowSource> = match (change.new, change.old) {
            (Some(new), Some(old)) => Some(arena.alloc(Merged { new, old })),
            (new, _) => new,
        };
        Self {
            new: new_source.map(|source| row(arena, state, sets, source)),
            old: change.old.map(|source| row(arena, state, sets, source)),
            new_source,
            sets,
        }
    }

    #[inline(always)]
    pub fn each(&self) -> impl Iterator<Item = &Row<'a>> {
        [&self.new, &self.old].into_iter().flatten().map(|bulk| bulk.row())
    }
}

/// One change, prepared: rows decode lazily, keys are hashed, and what the clauses of one template make
/// of a row alone is computed once as long as such shapes follow each other.
pub(crate) struct Context<'a> {
    pub op: Op,
    pub options: RouteOptions,
    pub new: Option<&'a mut Bulk<'a>>,
    pub old: Option<&'a mut Bulk<'a>>,
    /// The old row as far as its key tells it.
    key_row: Option<&'a mut Bulk<'a>>,
    /// What the keys are read with, as long as they are not.
    unread: Option<Unread<'a>>,
    pub key_new: Option<KeyHash>,
    pub key_old: Option<KeyHash>,
    key_changed: bool,
    changed: Option<&'a ColumnSet>,
    new_source: Option<&'a dyn RowSource>,
    pub membership: Membership<'a>,
    /// Membership of single keys is kept for shapes of unknown membership too.
    track: bool,
}

impl<'a> Context<'a> {
    #[inline(always)]
    pub fn prepare(
        arena: &'a Bump,
        state: &'a State,
        change: &'a Change<'a>,
        rows: Rows<'a>,
        options: RouteOptions,
        membership: Membership<'a>,
        tracking: bool,
    ) -> Self {
        let Rows { new, old, new_source, sets } = rows;
        let unread = Unread { arena, state, change, sets };
        let mut context = Self {
            op: change.op,
            options,
            new,
            old,
            key_row: None,
            unread: Some(unread),
            key_new: None,
            key_old: None,
            key_changed: false,
            changed: change.changed.as_ref(),
            new_source,
            membership,
            track: state.track,
        };
        // Where both rows are known, hardly a shape asks for the keys.
        let keys_matter = change.op != Op::Insert && (change.old.is_none() || options.classify);
        if tracking || keys_matter {
            context.read_keys();
        }
        context
    }

    /// Reads the keys, if that is not done yet.
    #[inline(never)]
    fn read_keys(&mut self) {
        let Some(unread) = self.unread.take() else { return };
        let Unread { arena, state, change, sets } = unread;
        let hash = |parts: &KeyParts<'_>| state.keys.hash(parts, arena).ok();
        let of_row = |source: Option<&'a dyn RowSource>| key_parts(&state.key_columns, source);
        let own = change.key.clone();
        let (new_parts, old_parts) = match change.op {
            Op::Delete => (None, change.old_key.clone().or(own).or_else(|| of_row(change.old))),
            _ => {
                let new = own.or_else(|| of_row(self.new_source));
                let old = change.old_key.clone().or_else(|| of_row(change.old));
                let old = if change.op == Op::Update { old.or_else(|| new.clone()) } else { None };
                (new, old)
            }
        };
        self.key_new = new_parts.as_ref().and_then(hash);
        self.key_old = old_parts.as_ref().and_then(hash);
        self.key_changed =
            self.key_new.is_some() && self.key_old.is_some() && self.key_new != self.key_old;
        if change.op != Op::Insert {
            self.key_row = Some(match old_parts {
                Some(parts) if parts.as_slice().len() == state.key_columns.len() => {
                    let parts = arena.alloc_slice_copy(parts.as_slice());
                    row(
                        arena,
                        state,
                        sets,
                        arena.alloc(KeyRow { columns: &state.key_columns, parts }),
                    )
                }
                _ => row(arena, state, sets, &NoRow),
            });
        }
    }

    /// The columns, of those that the table declares, that the new row lacks.
    pub fn missing(&self, state: &State, out: &mut Vec<usize>) {
        let Some(source) = self.new_source else { return };
        if state.schema.is_open() {
            return;
        }
        let columns = 0..state.schema.columns().len();
        out.extend(columns.filter(|&c| matches!(source.datum(c), Datum::Absent)));
    }

    /// What the change means for a shape.
    pub fn decide(&mut self, slot: Slot, shape: &Shape<'a>, vm: &mut Vm) -> Decision {
        if self.op == Op::Truncate {
            return Decision { class: Some(Class::Truncate), new: None, error: None };
        }
        if shape.stale {
            return Decision::unknown(None);
        }
        if self.op == Op::Update && self.keeps(slot, shape) {
            return Decision { class: Some(Class::Update), new: Some(Verdict::True), error: None };
        }
        let new = match &mut self.new {
            None => None,
            Some(row) => match verdict(shape.predicate.as_ref(), row, vm) {
                // Most of what is asked ends here.
                Verdict::NotTrue if self.op == Op::Insert => {
                    return Decision { class: None, new: Some(Verdict::NotTrue), error: None };
                }
                verdict => Some(verdict),
            },
        };
        let class = match (self.op, &new) {
            (_, Some(Verdict::Raised(error))) => return Decision::unknown(Some(*error)),
            (_, Some(Verdict::Open)) => Some(Class::Unknown),
            (Op::Insert, Some(Verdict::True)) => Some(Class::Insert),
            (Op::Insert, _) => None,
            (Op::Update, Some(Verdict::True)) if !self.options.classify => Some(Class::Update),
            _ => match self.was(slot, shape, new.as_ref(), vm) {
                Err(error) => {
                    return Decision { class: Some(Class::Unknown), new, error: Some(error) };
                }
                Ok(was) => self.meaning(new == Some(Verdict::True), was),
            },
        };
        Decision { class, new, error: None }
    }

    /// A row that is known to be a member stays one if nothing that the clause reads was changed.
    fn keeps(&self, slot: Slot, shape: &Shape<'_>) -> bool {
        let (true, Some(changed), Some(predicate)) = (shape.known, self.changed, &shape.predicate)
        else {
            return false;
        };
        !self.key_changed
            && self.old.is_none()
            && !changed.intersects(predicate.columns())
            && self.key_old.and_then(|key| self.membership.get(key, slot, shape)) == Some(Held::Yes)
    }

    fn meaning(&self, now: bool, was: Was) -> Option<Class> {
        match (self.op, now, was) {
            (Op::Delete, _, Was::In) => Some(Class::Delete),
            (Op::Delete, _, Was::Maybe) => Some(Class::DeleteIfPresent),
            (Op::Delete, _, Was::Out) => None,
            (_, true, Was::In) if self.key_changed => Some(Class::Rekey),
            (_, true, Was::In) => Some(Class::Update),
            (_, true, Was::Out) => Some(Class::Insert),
            (_, true, Was::Maybe) if self.key_changed => Some(Class::Rekey),
            (_, true, Was::Maybe) => Some(Class::Upsert),
            (_, false, Was::In) => Some(Class::Delete),
            (_, false, Was::Out) => None,
            (_, false, Was::Maybe) => Some(Class::DeleteIfPresent),
        }
    }

    /// Whether the row was in the shape: by the old row where it is known, else by membership, else
    /// as far as the key alone tells.
    fn was(
        &mut self,
        slot: Slot,
        shape: &Shape<'a>,
        new: Option<&Verdict>,
        vm: &mut Vm,
    ) -> Result<Was, EvalError> {
        let predicate = shape.predicate.as_ref();
        if let Some(old) = &mut self.old {
            let same = match (self.changed, predicate, new) {
                // Nothing that the clause reads was changed: one evaluation serves both rows.
                (Some(changed), Some(p), Some(v)) if !changed.intersects(p.columns()) => Some(v),
                _ => None,
            };
            match same.cloned().unwrap_or_else(|| verdict(predicate, old, vm)) {
                Verdict::True => return Ok(Was::In),
                Verdict::NotTrue => return Ok(Was::Out),
                Verdict::Raised(error) => return Err(error),
                Verdict::Open => {}
            }
        }
        self.read_keys();
        if shape.is_tracked(self.track) {
            let held = self.key_old.and_then(|key| self.membership.get(key, slot, shape));
            match held {
                Some(Held::Yes) => return Ok(Was::In),
                Some(Held::No) => return Ok(Was::Out),
                Some(Held::Maybe) => return Ok(Was::Maybe),
                None if shape.known && self.key_old.is_some() => return Ok(Was::Out),
                None => {}
            }
        }
        if self.op == Op::Update
            && self.options.old_row == OldRow::Ignore
            && self.old.is_none()
            && !shape.known
        {
            return Ok(if new == Some(&Verdict::True) { Was::Maybe } else { Was::Out });
        }
        // A clause that raises on what the key tells cannot be ruled out by it.
        Ok(match self.key_row.as_mut().map(|row| verdict(predicate, row, vm)) {
            Some(Verdict::NotTrue) => Was::Out,
            _ => Was::Maybe,
        })
    }

    /// What the change leaves in a shape's membership: keys, and whether it holds them.
    pub fn effects(&self, decision: &Decision) -> [Option<(KeyHash, Held)>; 2] {
        let after = match &decision.new {
            Some(Verdict::True) => Held::Yes,
            Some(Verdict::NotTrue) => Held::No,
            _ => Held::Maybe,
        };
        match self.op {
            Op::Insert => [self.key_new.map(|key| (key, after)), None],
            Op::Update => {
                let left = self.key_old.filter(|_| self.key_changed).map(|key| (key, Held::No));
                [left, self.key_new.map(|key| (key, after))]
            }
            Op::Delete => [self.key_old.map(|key| (key, Held::No)), None],
            Op::Truncate | Op::Relation => [None, None],
        }
    }

    /// The row may have come into a shape under a key that nobody knows.
    pub fn loses_track(&self, decision: &Decision) -> bool {
        let enters = matches!(self.op, Op::Insert | Op::Update);
        enters && self.key_new.is_none() && decision.new != Some(Verdict::NotTrue)
    }
}

impl Decision {
    fn unknown(error: Option<EvalError>) -> Self {
        let new = error.map(Verdict::Raised);
        Self { class: Some(Class::Unknown), new, error }
    }
}

#[inline]
pub(crate) fn verdict<'a>(
    predicate: Option<&PredicateRef<'a>>,
    row: &mut Bulk<'a>,
    vm: &mut Vm,
) -> Verdict {
    let Some(predicate) = predicate else { return Verdict::True };
    match row.eval(predicate, vm) {
        Ok(truth) if truth.is_true() => Verdict::True,
        Ok(truth) if truth.may_be_true() => Verdict::Open,
        Ok(_) => Verdict::NotTrue,
        Err(error) => Verdict::Raised(error),
    }
}

fn key_parts<'a>(columns: &[usize], source: Option<&'a dyn RowSource>) -> Option<KeyParts<'a>> {
    let source = source?;
    if columns.is_empty() {
        return None;
    }
    Some(columns.iter().map(|&c| source.datum(c)).collect())
}
