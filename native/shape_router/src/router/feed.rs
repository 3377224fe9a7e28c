//! Values of sets: fed by the host as they stand, or by a transaction as they change.

use super::{LOCKED_SHAPES, Router};
use crate::change::KeyParts;
use crate::error::Error;
use crate::sets::{Gathered, Hashed, Moves, SetInfo, SetView};
use crate::shapes::Shape;
use crate::state::State;
use crate::transaction::{Open, Transaction};
use crate::upkeep;
use bumpalo::Bump;
use shape_expr::canonical_subquery;
use std::collections::BTreeSet;

/// What a subquery selected: a value for each of its columns.
pub type SetRow<'a> = KeyParts<'a>;

/// Rows of a set, by their hashes.
type Read = (u32, Vec<Hashed>);

impl Router {
    /// Lets go of sets that came with shapes which were not added after all.
    pub(crate) fn release_sets(&self) {
        if self.state.read().sets.has_fresh() {
            self.state.write().sets.release_fresh();
        }
    }

    /// All sets of values.
    pub fn value_sets(&self) -> Vec<SetInfo> {
        self.state.read().sets.infos()
    }

    /// How many columns a subquery selects; `None`: no shape uses it.
    pub fn set_columns(&self, subquery: &str) -> Option<usize> {
        let subquery = canonical_subquery(subquery).ok()?;
        let state = self.state.read();
        let set = state.sets.of_subquery(&subquery).first()?;
        Some(usize::from(state.sets.get(*set)?.width()))
    }

    /// How many shapes use a subquery.
    pub fn set_shapes(&self, subquery: &str) -> u64 {
        let Ok(subquery) = canonical_subquery(subquery) else { return 0 };
        let state = self.state.read();
        let sets = state.sets.of_subquery(&subquery).iter();
        sets.filter_map(|set| state.sets.get(*set)).map(|set| set.shapes).sum()
    }

    /// The text that a subquery has here, whatever it is written like.
    ///
    /// # Errors
    /// It is no subquery.
    pub fn subquery_text(subquery: &str) -> Result<String, Error> {
        Ok(canonical_subquery(subquery)?)
    }

    /// The sets of a subquery: one for each list of types that it is compared as.
    fn sets_of(state: &State, subquery: &str) -> Result<Vec<u32>, Error> {
        let found = state.sets.of_subquery(subquery);
        match found.is_empty() {
            true => Err(Error::UnknownSet(subquery.to_owned())),
            false => Ok(found.to_vec()),
        }
    }

    /// What the rows are in each of the sets, and nothing where one is refused.
    pub(super) fn read_rows<'a>(
        state: &State,
        sets: Vec<u32>,
        rows: impl Iterator<Item = &'a SetRow<'a>> + Clone,
    ) -> Result<Vec<Read>, Error> {
        let mut arena = Bump::new();
        let secret = state.sets.contents.secret();
        let mut all = Vec::with_capacity(sets.len());
        for number in sets {
            let Some(set) = state.sets.get(number) else { continue };
            let mut read = Vec::new();
            for (index, row) in rows.clone().enumerate() {
                read.push(set.read(secret, row, &arena).map_err(|reason| {
                    let subquery = set.subquery.clone();
                    Error::InvalidValue { subquery, index, reason }
                })?);
                if arena.allocated_bytes() > 1 << 20 {
                    arena.reset();
                }
            }
            all.push((number, read));
        }
        Ok(all)
    }

    /// Says all that a subquery selects, in the place of what was said before: from now on its set is
    /// ready. Nobody sees a part of it.
    ///
    /// # Errors
    /// [`Error::UnknownSet`], [`Error::InvalidValue`]: nothing has changed then.
    pub fn seed_values(&self, subquery: &str, rows: &[SetRow<'_>]) -> Result<(), Error> {
        let subquery = canonical_subquery(subquery)?;
        let read = {
            let state = self.open_state()?;
            Self::read_rows(&state, Self::sets_of(&state, &subquery)?, rows.iter())?
        };
        for (number, rows) in read {
            let content = self.state.write().sets.begin_seed(number);
            for rows in rows.chunks(LOCKED_SHAPES) {
                let mut state = self.state.write();
                for row in rows {
                    state.sets.contents.set(content, row, true);
                }
            }
            self.state.write().sets.end_seed(number, content);
        }
        upkeep::forget_values(&self.state);
        upkeep::run(&self.state);
        Ok(())
    }

    /// Adds values that a subquery selects, or takes such away, outside of transactions; what is there
    /// already, or is not, stays so. Whether the set is ready does not change.
    ///
    /// # Errors
    /// [`Error::UnknownSet`], [`Error::InvalidValue`]: nothing has changed then.
    pub fn feed_values(
        &self,
        subquery: &str,
        added: &[SetRow<'_>],
        removed: &[SetRow<'_>],
    ) -> Result<(), Error> {
        let subquery = canonical_subquery(subquery)?;
        let read = {
            let state = self.open_state()?;
            let rows = added.iter().chain(removed);
            Self::read_rows(&state, Self::sets_of(&state, &subquery)?, rows)?
        };
        for (number, rows) in read {
            let (added, removed) = rows.split_at(added.len());
            for (rows, there) in [(removed, false), (added, true)] {
                for rows in rows.chunks(LOCKED_SHAPES) {
                    let mut state = self.state.write();
                    let Some(content) = state.sets.get(number).map(|set| set.content) else {
                        break;
                    };
                    for row in rows {
                        state.sets.contents.set(content, row, there);
                    }
                }
            }
        }
        Ok(())
    }

    /// Says whether what a set holds is all that it holds: until then whatever depends on it is included.
    ///
    /// # Errors
    /// [`Error::UnknownSet`].
    pub fn mark_values(&self, subquery: &str, ready: bool) -> Result<(), Error> {
        let subquery = canonical_subquery(subquery)?;
        let mut state = self.state.write();
        self.check_open()?;
        for number in Self::sets_of(&state, &subquery)? {
            state.sets.mark(number, ready);
        }
        Ok(())
    }

    /// Takes over what a transaction does to what a subquery selects, and tells which rows move: the
    /// change of this `index`, as [`Router::route_txn`] counts them. Later changes of the transaction see
    /// it, others do once it is acknowledged; routing the transaction again drops it.
    ///
    /// A value that is there already, or is not, moves nothing, nor does one that goes and comes. A set
    /// that is not ready takes its values and moves nothing, and so does a transaction that was
    /// acknowledged. A subquery that no shape uses is none of this router's business.
    ///
    /// # Errors
    /// [`Error::InvalidValue`]: nothing has changed then; [`Error::StaleTransaction`] if another
    /// transaction was opened meanwhile.
    pub fn move_values(
        &self,
        transaction: Transaction,
        index: usize,
        subquery: &str,
        added: &[SetRow<'_>],
        removed: &[SetRow<'_>],
    ) -> Result<Moves, Error> {
        let subquery = canonical_subquery(subquery)?;
        let mut writer = self.open_writer()?;
        let writer = &mut *writer;
        let replay = transaction.lsn <= writer.acked;
        if index == 0 {
            self.begin(writer, transaction);
        }
        let here = |open: &Open| open.transaction == transaction && open.next == index;
        if !writer.open.as_ref().is_some_and(here) {
            return Err(Error::StaleTransaction { lsn: transaction.lsn });
        }
        let state = self.state.read();
        let rows = added.iter().chain(removed);
        let read = Self::read_rows(&state, state.sets.of_subquery(&subquery).to_vec(), rows)?;
        let mut all = Moves::default();
        for (number, rows) in read.into_iter().filter(|_| !replay) {
            let Some(set) = state.sets.get(number) else { continue };
            let (content, columns, contents) = (set.content, set.width(), &state.sets.contents);
            let view = SetView { sets: &state.sets, staged: Some(&writer.staged) };
            let mut gathered = Gathered::new(view, content, columns);
            let (come, go) = rows.split_at(added.len());
            let first = come.len() as u32;
            let go = go.iter().zip(first..).map(|row| (row, false));
            for ((row, at), there) in go.chain(come.iter().zip(0..).map(|row| (row, true))) {
                if writer.staged.set(transaction, contents, content, row, there) {
                    let view = SetView { sets: &state.sets, staged: Some(&writer.staged) };
                    gathered.note(view, content, at, row, there);
                }
            }
            if !set.ready {
                continue;
            }
            let secret = contents.secret();
            gathered.cancel(|moved| {
                let row = &rows[moved.row as usize];
                row.part(secret, row.all(), moved.columns)
            });
            let view = SetView { sets: &state.sets, staged: Some(&writer.staged) };
            let mut slots = Vec::new();
            state.sets.users(number, &mut slots);
            let moves = |shape: &Shape<'_>| !shape.stale && !shape.has_seen(&transaction);
            let shapes = slots.into_iter().filter_map(|slot| state.shapes.get(slot));
            let shapes = shapes.filter(moves);
            let shapes = shapes.filter_map(|shape| Some((shape.id, shape.predicate?)));
            all.join(gathered.tell(view, (number, content, columns), shapes));
        }
        drop(state);
        if let Some(open) = &mut writer.open {
            open.next += 1;
        }
        Ok(all)
    }

    /// The subqueries of a shape, by their texts.
    ///
    /// # Errors
    /// If there is no shape with this id.
    pub fn subqueries(&self, id: u64) -> Result<Vec<String>, Error> {
        let state = self.open_state()?;
        let shape = state.shapes.by_id(id).ok_or(Error::UnknownShape(id))?;
        let used = shape.predicate.into_iter().flat_map(|predicate| predicate.sets());
        let texts = used.filter_map(|used| Some(state.sets.get(used.set)?.subquery.clone()));
        let texts: BTreeSet<String> = texts.collect();
        Ok(texts.into_iter().collect())
    }
}
