//! Transactions: routed change by change, staged, then acknowledged.

use super::{Progress, Router, Writer, check};
use crate::answer::{Effects, Request, answer};
use crate::budget::Budget;
use crate::candidates::Cursor;
use crate::change::{Change, Op};
use crate::classify::RouteOptions;
use crate::error::Error;
use crate::index::Slot;
use crate::membership::{self, Membership};
use crate::metrics::Tally;
use crate::scratch::Scratch;
use crate::state::State;
use crate::transaction::{Open, Transaction};
use crate::upkeep;

impl Router {
    /// Routes one change of a transaction, classified, and stages its effects on membership.
    ///
    /// `index` counts the transaction's changes from 0: index 0 (without a cursor) opens it, and drops
    /// whatever was staged for it or after it. A transaction at or before the one acknowledged last is
    /// answered and stages nothing.
    ///
    /// # Errors
    /// As [`Router::route`]; [`Error::StaleTransaction`] if another transaction was opened meanwhile.
    pub fn route_txn(
        &self,
        transaction: Transaction,
        index: usize,
        change: &Change<'_>,
        scratch: &mut Scratch,
        budget: &mut Budget,
        cursor: Option<Cursor>,
    ) -> Result<Progress, Error> {
        check(change)?;
        scratch.reset();
        let started = self.counters.start(&mut scratch.meter);
        let mut writer = self.open_writer()?;
        let writer = &mut *writer;
        let replay = transaction.lsn <= writer.acked;
        let resumes = cursor.is_some();
        if index == 0 && !resumes {
            self.begin(writer, transaction);
        }
        let here = |open: &Open| open.transaction == transaction && open.next == index;
        if !writer.open.as_ref().is_some_and(here) {
            return Err(Error::StaleTransaction { lsn: transaction.lsn });
        }
        if !replay && !resumes {
            writer.overlay.next_change();
            if change.op == Op::Truncate {
                writer.overlay.truncate(transaction);
            }
        }
        let (mut effects, mut tally) = (Effects::default(), Tally::default());
        let state = self.state.read();
        let request = Request {
            change,
            options: RouteOptions { classify: true, ..RouteOptions::default() },
            membership: Membership::new(&state.base, Some(&writer.overlay)),
            transaction: Some(transaction),
            staged: Some(&writer.staged),
        };
        let progress = answer(&state, request, scratch, budget, cursor, &mut effects, &mut tally);
        drop(state);
        if !replay {
            for (key, slot, held) in effects.held {
                writer.overlay.set(key, slot, held);
            }
            if !effects.lost.is_empty() {
                let mut state = self.state.write();
                effects.lost.iter().for_each(|&slot| state.shapes.lose_track(slot));
                if self.durable.is_some() {
                    let serial = |&slot: &Slot| state.shapes.get(slot).map(|shape| shape.serial);
                    writer.untold.lost.extend(effects.lost.iter().filter_map(serial));
                }
            }
        }
        if matches!(progress, Progress::Done) {
            if let Some(open) = &mut writer.open {
                open.next += 1;
            }
            if let Some(relation) = change.relation {
                let stale = self.apply(relation);
                if let (Some(_), Some(stale)) = (&self.durable, stale) {
                    writer.untold.relation(transaction.lsn, relation, stale);
                }
            }
        }
        self.counters.record(&scratch.meter, &tally, started);
        Ok(progress)
    }

    pub(super) fn begin(&self, writer: &mut Writer, transaction: Transaction) {
        writer.open = Some(Open { transaction, next: 0 });
        if transaction.lsn > writer.acked {
            writer.overlay.begin(transaction);
            if !writer.staged.is_empty() {
                let secret = self.state.read().sets.contents.secret();
                writer.staged.begin(transaction, secret);
            }
        }
    }

    /// Opens a transaction (or fragment) that has no changes for this table.
    ///
    /// # Errors
    /// If the router is closed.
    pub fn begin_txn(&self, transaction: Transaction) -> Result<(), Error> {
        self.begin(&mut *self.open_writer()?, transaction);
        Ok(())
    }

    /// Ends the routing of a transaction (or fragment): now it may be acknowledged.
    ///
    /// # Errors
    /// [`Error::StaleTransaction`] if another transaction was opened meanwhile.
    pub fn finish_txn(&self, transaction: Transaction) -> Result<(), Error> {
        let mut writer = self.writer.lock();
        match writer.open {
            Some(open) if open.transaction == transaction => {
                writer.open = None;
                Ok(())
            }
            _ => Err(Error::StaleTransaction { lsn: transaction.lsn }),
        }
    }

    /// Makes the effects of all transactions up to an LSN real: at most `units` of them, and true
    /// once nothing is left to do.
    ///
    /// # Errors
    /// [`Error::TransactionInProgress`] if one of them is still being routed.
    pub fn ack(&self, lsn: u64, units: u64) -> Result<bool, Error> {
        let mut writer = self.open_writer()?;
        if let Some(open) = &writer.open
            && open.transaction.lsn <= lsn
            && open.transaction.lsn > writer.acked
        {
            return Err(Error::TransactionInProgress { lsn: open.transaction.lsn });
        }
        if lsn > writer.acked {
            self.tell_acked(&mut writer, lsn)?;
        }
        let mut state = self.state.write();
        let contents = &mut state.sets.contents;
        if !writer.staged.acknowledge(contents, lsn, units.max(1)) {
            return Ok(false);
        }
        let State { base, shapes, .. } = &mut *state;
        let done = membership::acknowledge(base, &mut writer.overlay, lsn, units.max(1), shapes);
        if done {
            writer.acked = writer.acked.max(lsn);
            shapes.free_dead(writer.overlay.oldest_sequence());
        }
        let told = if done { writer.untold.acked.take() } else { None };
        drop(state);
        drop(writer);
        upkeep::run(&self.state);
        self.make_durable(told)?;
        Ok(done)
    }
}
