//! What shapes feed themselves: each says what it sees of its subqueries, at its own time.

use super::{LOCKED_SHAPES, Router};
use crate::error::Error;
use crate::index::Slot;
use crate::router::SetRow;
use crate::sets::{Hashed, Key, Use};
use crate::state::State;
use crate::upkeep;
use hashbrown::HashMap;
use shape_expr::canonical_subquery;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Rows as they are in one of the sets of a shape's subquery.
type Fed = (Use, Vec<Hashed>);

impl Router {
    /// From now on every shape that comes feeds its sets itself. Until it says that it is
    /// [ready](Router::feeder_ready) nothing is known of what its subqueries select. Such shapes have no
    /// parameters. To be said before the first shape comes.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] if there are shapes already, [`Error::Closed`].
    pub fn feed_by_shape(&self) -> Result<(), Error> {
        let mut state = self.state.write();
        self.check_open()?;
        if self.durable.is_some() || state.shapes.len() > 0 {
            let reason = "only a router in memory that has no shapes yet".to_owned();
            return Err(Error::InvalidSetting { setting: "feed_by_shape", reason });
        }
        state.sets.feeders.get_or_insert_default();
        Ok(())
    }

    /// What a shape's host calls its subqueries, by their texts. One that stands in the clause twice may
    /// have two names, and be seen differently under each. Nothing is known of what it sees after that.
    ///
    /// # Errors
    /// [`Error::UnknownShape`], [`Error::UnknownSet`] for what is no subquery's text.
    pub fn name_subqueries(&self, id: u64, names: &[(u32, &str)]) -> Result<(), Error> {
        let text = |(name, text): &(u32, &str)| Ok((*name, canonical_subquery(text)?));
        let names = names.iter().map(text).collect::<Result<Vec<_>, Error>>()?;
        let _feeding = self.feeding.lock();
        let mut state = self.state.write();
        self.check_open()?;
        let slot = slot(&state, id)?;
        state.sets.refer(slot, &names);
        Ok(())
    }

    /// All that a shape sees of a subquery, or more of it: from the first time on, it is taken to see
    /// nothing else.
    ///
    /// # Errors
    /// [`Error::UnknownShape`], [`Error::UnknownSet`], [`Error::InvalidValue`]: nothing has changed then.
    pub fn seed_feeder(&self, id: u64, name: u32, rows: &[SetRow<'_>]) -> Result<(), Error> {
        self.check_open()?;
        let _feeding = self.feeding.lock();
        let read = self.read_uses(id, name, rows.iter())?;
        for (used, rows) in read {
            self.feed(&used, &rows, true);
            self.count(&used);
        }
        Ok(())
    }

    /// Rows come to what a shape sees of a subquery, and rows go. `false`: nothing has happened, since
    /// somebody else feeds and this call is not to `wait`.
    ///
    /// # Errors
    /// [`Error::UnknownShape`], [`Error::UnknownSet`], [`Error::InvalidValue`]: nothing has changed then.
    pub fn feed_feeder(
        &self,
        id: u64,
        name: u32,
        (added, removed): (&[SetRow<'_>], &[SetRow<'_>]),
        wait: bool,
    ) -> Result<bool, Error> {
        self.check_open()?;
        let _feeding = match self.feeding.try_lock() {
            Some(feeding) => feeding,
            None if wait => self.feeding.lock(),
            None => return Ok(false),
        };
        let read = self.read_uses(id, name, added.iter().chain(removed))?;
        for (used, rows) in read {
            let (added, removed) = rows.split_at(added.len());
            self.feed(&used, removed, false);
            self.feed(&used, added, true);
        }
        Ok(true)
    }

    /// A shape has said all that it sees: from now on it is routed by that. What it said nothing of, it
    /// sees nothing of.
    ///
    /// # Errors
    /// [`Error::UnknownShape`]; its clause is refused, since the table's columns are others now: then
    /// the shape stays as it was.
    pub fn feeder_ready(&self, id: u64) -> Result<(), Error> {
        self.check_open()?;
        let mut compiler = self.adder.lock();
        let _feeding = self.feeding.lock();
        let (slot, uses) = {
            let state = self.open_state()?;
            let slot = slot(&state, id)?;
            if state.sets.awaited(slot).is_none() {
                return Ok(());
            }
            (slot, state.sets.all_uses(slot))
        };
        uses.iter().for_each(|used| self.count(used));
        loop {
            let (schema, clause, mut own) = {
                let state = self.state.read();
                let Some(clause) = state.sets.awaited(slot).map(str::to_owned) else {
                    return Ok(());
                };
                (state.schema.clone(), clause, state.sets.own(slot))
            };
            let compiled = compiler.compile_with_sets(&clause, &schema, &[], &mut own);
            let compiled = compiled.map_err(|source| Error::Clause { id, source })?;
            if let Some(subquery) = own.missing() {
                return Err(Error::UnknownSet(subquery));
            }
            let mut state = self.state.write();
            if !Arc::ptr_eq(&state.schema, &schema) {
                continue;
            }
            if let Some(grown) = compiled.schema {
                state.schema = Arc::new(grown);
                self.schema_version.fetch_add(1, Ordering::AcqRel);
            }
            state.replace(slot, compiled.predicate);
            state.sets.ready(slot);
            break;
        }
        upkeep::run(&self.state);
        Ok(())
    }

    /// Is a shape with subqueries one that is not ready yet?
    ///
    /// # Errors
    /// [`Error::UnknownShape`].
    pub fn awaits_feeder(&self, id: u64) -> Result<bool, Error> {
        let state = self.open_state()?;
        Ok(state.sets.awaited(slot(&state, id)?).is_some())
    }

    /// Does a shape see this row among those that a subquery selects?
    ///
    /// # Errors
    /// [`Error::UnknownShape`], [`Error::UnknownSet`], [`Error::InvalidValue`].
    pub fn is_fed(&self, id: u64, name: u32, row: &SetRow<'_>) -> Result<bool, Error> {
        let read = self.read_uses(id, name, std::iter::once(row))?;
        let state = self.open_state()?;
        let is_member = |(used, rows): &Fed| rows.iter().any(|row| state.sets.is_member(used, row));
        Ok(read.iter().any(is_member))
    }

    /// How many columns a shape's subquery selects.
    ///
    /// # Errors
    /// [`Error::UnknownShape`], [`Error::UnknownSet`].
    pub fn feeder_columns(&self, id: u64, name: u32) -> Result<usize, Error> {
        let state = self.open_state()?;
        let uses = state.sets.uses(slot(&state, id)?, name).ok_or_else(|| unnamed(name))?;
        let set = uses.first().and_then(|used| state.sets.get(used.set));
        Ok(set.map_or(1, |set| usize::from(set.width())))
    }

    /// What rows are in each of the sets of a shape's subquery, and nothing where one is refused.
    fn read_uses<'a>(
        &self,
        id: u64,
        name: u32,
        rows: impl Iterator<Item = &'a SetRow<'a>> + Clone,
    ) -> Result<Vec<Fed>, Error> {
        let state = self.open_state()?;
        let slot = slot(&state, id)?;
        let uses = state.sets.uses(slot, name).ok_or_else(|| unnamed(name))?;
        let mut all = Vec::with_capacity(uses.len());
        for used in uses {
            let read = Self::read_rows(&state, vec![used.set], rows.clone())?;
            all.extend(read.into_iter().map(|(_, rows)| (used, rows)));
        }
        Ok(all)
    }

    fn feed(&self, used: &Use, rows: &[Hashed], there: bool) {
        for rows in rows.chunks(LOCKED_SHAPES) {
            let mut state = self.state.write();
            rows.iter().for_each(|row| state.sets.feed(used, row, there));
        }
    }

    /// From now on a shape counts among those that feed a set, with the rows that it said so far. Nobody
    /// else feeds meanwhile. It is taken to have what any has, which it is not asked for as long as it
    /// is not ready; then what it has beside that comes, and what it has not goes.
    fn count(&self, used: &Use) {
        let (rows, secret) = {
            let state = self.state.read();
            let Some(rows) = state.sets.pending(used) else { return };
            (rows, state.sets.contents.secret())
        };
        self.state.write().sets.join(used);
        self.feed(used, &rows, true);
        let by_key = |row: Hashed| (row.own(secret), row);
        let own: HashMap<Key, Hashed, ahash::RandomState> = rows.into_iter().map(by_key).collect();
        let lacking = self.state.read().sets.beside(used.set, &own);
        self.feed(used, &lacking, false);
    }
}

fn slot(state: &State, id: u64) -> Result<Slot, Error> {
    let slot = state.shapes.slot(id).ok_or(Error::UnknownShape(id))?;
    // One that is reserved only is none yet.
    state.shapes.get(slot).map(|_| slot).ok_or(Error::UnknownShape(id))
}

fn unnamed(name: u32) -> Error {
    Error::UnknownSet(format!("number {name} of the shape"))
}
