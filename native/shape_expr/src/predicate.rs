//! [`Predicate`]: a compiled clause.

use std::sync::Arc;

use crate::analysis::Access;
use crate::column_set::ColumnSet;
use crate::constants::{Borrowed, Constants};
use crate::error::EvalError;
use crate::program::{self, Template};
use crate::row::Row;
use crate::schema::Schema;
use crate::sets::SetUse;
use crate::truth::Truth;
use crate::value::Value;
use crate::vm::Vm;

/// A compiled clause: a template that many clauses share, and this one's constants.
///
/// Where there are many, [`Predicates`](crate::Predicates) keeps them in less.
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
    predicate: PredicateRef<'p>,
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
        vm.run_residual(self.predicate.template, self.predicate.constants, row)
    }

    /// The bytecode, for people.
    #[must_use]
    pub fn describe(&self) -> String {
        let Some(residual) = &self.predicate.template.residual else { return String::new() };
        self.predicate.list(&residual.ops)
    }
}

/// A compiled clause, wherever it is kept: a [`Predicate`] by reference.
#[derive(Clone, Copy, Debug)]
pub struct PredicateRef<'p> {
    pub(crate) template: &'p Template,
    pub(crate) constants: Borrowed<'p>,
}

impl<'p> PredicateRef<'p> {
    /// The clause's answer for a row.
    ///
    /// # Errors
    /// PostgreSQL would raise for this row, a column is unreadable, or a limit was reached.
    #[inline]
    pub fn eval<'a>(self, row: &Row<'a>, vm: &mut Vm) -> Result<Truth, EvalError>
    where
        'p: 'a,
    {
        vm.run(self.template, self.constants, row)
    }

    /// The columns it reads.
    #[must_use]
    pub fn columns(self) -> &'p ColumnSet {
        &self.template.columns
    }

    /// What an index can do with it.
    #[must_use]
    pub fn access(self) -> Access<'p> {
        self.template.access.instantiate(self.constants)
    }

    /// What [`PredicateRef::access`] leaves open: the clause is true exactly where the whole access
    /// condition holds (not only a hash of it) and this is true. `None`: it leaves nothing open.
    ///
    /// This is about rows whose columns are all known and readable.
    #[must_use]
    pub fn residual(self) -> Option<Residual<'p>> {
        let residual = self.template.residual.as_ref()?;
        Some(Residual { predicate: self, columns: &residual.columns })
    }

    /// Can these columns, a key's say, tell the answer?
    #[must_use]
    pub fn reads_only(self, columns: &ColumnSet) -> bool {
        self.template.columns.is_subset(columns)
    }

    /// The sets that it uses, one after the other; one may come more than once.
    pub fn sets(self) -> impl Iterator<Item = SetUse> + 'p {
        self.template.sets.iter().filter_map(move |&(slot, polarity)| {
            match self.constants.value(slot) {
                Value::Int(set) => Some(SetUse { set: u32::try_from(set).ok()?, polarity }),
                _ => None,
            }
        })
    }

    /// Does it use sets?
    #[inline]
    #[must_use]
    pub fn uses_sets(self) -> bool {
        !self.template.sets.is_empty()
    }

    /// The same number for clauses that share a template.
    #[must_use]
    pub fn template_id(self) -> u64 {
        self.template.id
    }

    /// The bytecode, for people.
    #[must_use]
    pub fn describe(self) -> String {
        self.list(&self.template.ops)
    }

    fn list(self, ops: &[program::Op]) -> String {
        program::listing(ops, &|slot| match self.constants {
            Borrowed::None => String::new(),
            Borrowed::Int(i) => i.to_string(),
            Borrowed::Many(all) => crate::constants::print(&all[slot as usize]),
        })
    }
}

impl Predicate {
    /// The predicate by reference.
    #[inline]
    #[must_use]
    pub fn by_ref(&self) -> PredicateRef<'_> {
        PredicateRef { template: &self.template, constants: self.constants.borrow() }
    }

    /// See [`PredicateRef::eval`].
    ///
    /// # Errors
    /// As [`PredicateRef::eval`].
    #[inline]
    pub fn eval<'a>(&'a self, row: &Row<'a>, vm: &mut Vm) -> Result<Truth, EvalError> {
        self.by_ref().eval(row, vm)
    }

    /// The columns it reads.
    #[must_use]
    pub fn columns(&self) -> &ColumnSet {
        self.by_ref().columns()
    }

    /// What an index can do with it.
    #[must_use]
    pub fn access(&self) -> Access<'_> {
        self.by_ref().access()
    }

    /// See [`PredicateRef::residual`].
    #[must_use]
    pub fn residual(&self) -> Option<Residual<'_>> {
        self.by_ref().residual()
    }

    /// Can these columns, a key's say, tell the answer?
    #[must_use]
    pub fn reads_only(&self, columns: &ColumnSet) -> bool {
        self.by_ref().reads_only(columns)
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
        self.by_ref().describe()
    }
}
