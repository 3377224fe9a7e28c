//! [`Predicate`]: a compiled clause.

use std::sync::Arc;

use crate::analysis::Access;
use crate::column_set::ColumnSet;
use crate::constants::Constants;
use crate::error::EvalError;
use crate::program::{self, Template};
use crate::row::Row;
use crate::schema::Schema;
use crate::truth::Truth;
use crate::vm::Vm;

/// A compiled clause: a template that many clauses share, and this one's constants.
///
/// 24 bytes and, for a clause with one integer constant, nothing else of its own.
#[derive(Clone, Debug)]
pub struct Predicate {
    pub(crate) template: Arc<Template>,
    pub(crate) constants: Constants,
}

/// What [`Compiler::compile`](crate::Compiler::compile) gives.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The clause.
    pub predicate: Predicate,
    /// The open schema as the clause leaves it, if it grew or a column's type was fixed. Existing
    /// positions never change.
    pub schema: Option<Schema>,
}

/// The part of a clause that its access condition does not decide.
#[derive(Clone, Copy, Debug)]
pub struct Residual<'p> {
    predicate: &'p Predicate,
    columns: &'p ColumnSet,
}

impl<'p> Residual<'p> {
    /// The columns it reads.
    #[must_use]
    pub fn columns(&self) -> &'p ColumnSet {
        self.columns
    }

    /// Its answer for a row.
    ///
    /// # Errors
    /// As [`Predicate::eval`].
    pub fn eval<'a>(&self, row: &Row<'a>, vm: &mut Vm) -> Result<Truth, EvalError>
    where
        'p: 'a,
    {
        vm.run_residual(&self.predicate.template, &self.predicate.constants, row)
    }

    /// The bytecode, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let Some(residual) = &self.predicate.template.residual else { return String::new() };
        self.predicate.list(&residual.ops)
    }
}

impl Predicate {
    /// The clause's answer for a row.
    ///
    /// # Errors
    /// PostgreSQL would raise for this row, a column is unreadable, or a limit was reached.
    #[inline]
    pub fn eval<'a>(&'a self, row: &Row<'a>, vm: &mut Vm) -> Result<Truth, EvalError> {
        vm.run(&self.template, &self.constants, row)
    }

    /// The columns it reads.
    #[must_use]
    pub fn columns(&self) -> &ColumnSet {
        &self.template.columns
    }

    /// What an index can do with it.
    #[must_use]
    pub fn access(&self) -> Access<'_> {
        self.template.access.instantiate(&self.constants)
    }

    /// What [`Predicate::access`] leaves open: the clause is true exactly where the whole access
    /// condition holds (not only a hash of it) and this is true. `None`: it leaves nothing open.
    ///
    /// This is about rows whose columns are all known and readable.
    #[must_use]
    pub fn residual(&self) -> Option<Residual<'_>> {
        let residual = self.template.residual.as_ref()?;
        Some(Residual { predicate: self, columns: &residual.columns })
    }

    /// Can these columns, a key's say, tell the answer?
    #[must_use]
    pub fn reads_only(&self, columns: &ColumnSet) -> bool {
        self.template.columns.is_subset(columns)
    }

    /// The same number for clauses that share a template.
    #[must_use]
    pub fn template_id(&self) -> u64 {
        self.template.id
    }

    /// Bytes of this predicate's own: itself and its constants, not the template.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Predicate>() + self.constants.heap_bytes()
    }

    /// The bytecode, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        self.list(&self.template.ops)
    }

    fn list(&self, ops: &[program::Op]) -> String {
        program::listing(ops, &|slot| match &self.constants {
            Constants::None => String::new(),
            Constants::Int(i) => i.to_string(),
            Constants::Many(all) => crate::constants::print(&all[slot as usize]),
        })
    }
}
