//! What transactions did to sets that are not acknowledged: counts that differ from what is, and what
//! becomes of them. The transactions are those of the membership's overlay, in the same order.

use super::content::Contents;
use super::row::{Hashed, Key, Secret};
use crate::transaction::Transaction;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::VecDeque;

/// A row that came or went.
#[derive(Clone, Copy)]
struct Step {
    content: u32,
    row: Hashed,
    there: bool,
}

struct Stage {
    transaction: Transaction,
    steps: VecDeque<Step>,
}

/// The effects of transactions that are routed and not acknowledged.
#[derive(Default)]
pub(crate) struct Staged {
    stages: VecDeque<Stage>,
    /// By how much counts differ from those that are acknowledged.
    counts: HashMap<(u32, Key), i64, ahash::RandomState>,
    /// The contents that a value came to, by what is staged: exactly those whose count of it is above zero.
    /// It does not matter by which steps, done or undone in whatever order.
    owners: HashMap<u128, SmallVec<[u32; 2]>, ahash::RandomState>,
}

impl Staged {
    pub fn is_empty(&self) -> bool {
        self.stages.is_empty()
    }

    /// By how much a count differs.
    #[inline]
    pub fn count(&self, content: u32, key: Key) -> i64 {
        if self.counts.is_empty() {
            return 0;
        }
        self.counts.get(&(content, key)).copied().unwrap_or(0)
    }

    /// Contents that a value may have come to.
    pub fn owners(&self, hash: u128) -> &[u32] {
        self.owners.get(&hash).map_or(&[], |owners| owners)
    }

    /// Whatever is staged for this transaction, and after it, is dropped.
    pub fn begin(&mut self, transaction: Transaction, secret: Secret) {
        let place = transaction.place();
        while self.stages.back().is_some_and(|s| s.transaction.place() >= place) {
            let Some(stage) = self.stages.pop_back() else { break };
            for step in stage.steps.iter().rev() {
                self.undo(step, secret);
            }
        }
    }

    /// Stages a row's coming or going, where that changes anything.
    pub fn set(
        &mut self,
        transaction: Transaction,
        contents: &Contents,
        content: u32,
        row: &Hashed,
        there: bool,
    ) -> bool {
        let own = row.own(contents.secret());
        let is_there = contents.count(content, own) + self.count(content, own) > 0;
        if is_there == there || contents.set_of(content).is_none() {
            return false;
        }
        for key in row.keys(contents.secret()) {
            self.add(content, key, if there { 1 } else { -1 });
        }
        let step = Step { content, row: *row, there };
        match self.stages.back_mut() {
            Some(stage) if stage.transaction == transaction => stage.steps.push_back(step),
            _ => self.stages.push_back(Stage { transaction, steps: [step].into() }),
        }
        true
    }

    fn add(&mut self, content: u32, key: Key, by: i64) {
        let count = self.counts.entry((content, key)).or_insert(0);
        *count += by;
        let count = *count;
        if count == 0 {
            self.counts.remove(&(content, key));
        }
        let Key::Value(hash) = key else { return };
        if count > 0 {
            let owners = self.owners.entry(hash).or_default();
            if !owners.contains(&content) {
                owners.push(content);
            }
        } else if let Some(owners) = self.owners.get_mut(&hash) {
            owners.retain(|owner| *owner != content);
            if owners.is_empty() {
                self.owners.remove(&hash);
            }
        }
    }

    /// Takes a step back that is dropped, or that is acknowledged and counts elsewhere now.
    fn undo(&mut self, step: &Step, secret: Secret) {
        for key in step.row.keys(secret) {
            self.add(step.content, key, if step.there { -1 } else { 1 });
        }
    }

    /// Makes the effects of all transactions up to an LSN real: at most `units` of them, and true once
    /// nothing is left to do.
    pub fn acknowledge(&mut self, contents: &mut Contents, lsn: u64, units: u64) -> bool {
        let mut left = units;
        while let Some(stage) = self.stages.front_mut() {
            if stage.transaction.lsn > lsn {
                break;
            }
            let Some(step) = stage.steps.pop_front() else {
                self.stages.pop_front();
                continue;
            };
            if left == 0 {
                stage.steps.push_front(step);
                return false;
            }
            left -= 1;
            contents.set(step.content, &step.row, step.there);
            self.undo(&step, contents.secret());
        }
        true
    }
}
