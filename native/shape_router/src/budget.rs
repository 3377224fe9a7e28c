//! Counted work, so that one call never holds a scheduler for long.

use shape_expr::Limits;

/// How much work one call may still do. A unit is about 10 ns: one step of a predicate, or the
/// handling of one candidate. What is left over when a call ends is simply dropped.
#[derive(Debug)]
pub struct Budget {
    left: u64,
    spent: u64,
    /// What a single evaluation may use; one that needs more waits for a call that allows it.
    evaluation: Limits,
    patient: bool,
}

impl Budget {
    /// About 0.5 ms: what a call on a normal scheduler may use.
    pub const SCHEDULER_SLICE: u64 = 50_000;

    /// A budget of so many units, in which an evaluation may go to its own limits.
    pub fn new(units: u64) -> Self {
        Self { left: units, spent: 0, evaluation: Limits::default(), patient: true }
    }

    /// What a call on a normal scheduler may use: an evaluation that takes more than such a slice by
    /// itself ends the call with [`Progress::Heavy`](crate::Progress::Heavy).
    pub fn slice() -> Self {
        let fuel = 2 * Self::SCHEDULER_SLICE;
        let evaluation = Limits { fuel, ..Limits::default() };
        Self { evaluation, patient: false, ..Self::new(Self::SCHEDULER_SLICE) }
    }

    pub(crate) fn evaluation(&self) -> Limits {
        self.evaluation
    }

    /// Whether it is more than a call on a normal scheduler gets.
    #[must_use]
    pub fn is_patient(&self) -> bool {
        self.patient
    }

    /// A budget that is never exhausted: for callers on threads of their own.
    pub fn unlimited() -> Self {
        Self::new(u64::MAX)
    }

    /// Takes so many units.
    pub fn spend(&mut self, units: u64) {
        self.left = self.left.saturating_sub(units);
        self.spent = self.spent.saturating_add(units);
    }

    /// True once nothing is left.
    pub fn is_exhausted(&self) -> bool {
        self.left == 0
    }

    /// The units taken so far.
    pub fn spent(&self) -> u64 {
        self.spent
    }
}
