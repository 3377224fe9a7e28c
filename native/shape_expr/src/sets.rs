//! Subqueries in a clause: `(a, b) IN (SELECT ...)` as a question to a set of values.
//!
//! A clause only *names* sets. Who compiles it ([`Subqueries`]) says of each subquery which types it
//! selects and which number its set has; who evaluates it ([`Sets`], given to a
//! [`Row`](crate::Row::with_sets)) answers what is in the set at that moment. The number is a constant
//! of the clause, so that clauses which differ only in it share a template.

use crate::error::Error;
use crate::expr::{Expr, Node};
use crate::expression::Expression;
use crate::program::Test;
use crate::truth::Truth;
use crate::types::{ColumnType, Type};
use crate::value::Value;

/// The most columns that may be compared with a subquery.
pub const MAX_SET_COLUMNS: usize = 4;

/// Where a placeholder for what a subquery selects stands among the columns: no table has so many.
pub(crate) const FIRST_ITEM: usize = usize::MAX / 2;

/// Answers for sets, at the moment of an evaluation.
pub trait Sets {
    /// `(left) IN (set)` as PostgreSQL has it: NULL on either side makes the answer NULL where nothing
    /// else settles it, and nothing is in an empty set. [`Truth::ANY`] where the set is not known. None
    /// of the values on the left is unknown.
    fn contains(&self, set: u32, left: &[Value<'_>]) -> Truth;
}

/// How the answer of a clause depends on whether something is in a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Polarity {
    /// More values in the set only make the clause true of more rows. Whether `IN` is false or NULL does
    /// not matter to such a clause.
    Positive,
    /// More values only make it true of fewer rows (`NOT IN`). Whether `IN` is true or NULL does not
    /// matter.
    Negative,
    /// Nothing of the kind can be said.
    Both,
}

impl Polarity {
    fn negate(self) -> Polarity {
        match self {
            Polarity::Positive => Polarity::Negative,
            Polarity::Negative => Polarity::Positive,
            Polarity::Both => Polarity::Both,
        }
    }

    /// What it is for a clause that uses a set in both ways.
    #[must_use]
    pub fn with(self, other: Polarity) -> Polarity {
        if self == other { self } else { Polarity::Both }
    }
}

/// A set that a clause uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetUse {
    /// Its number.
    pub set: u32,
    /// How.
    pub polarity: Polarity,
}

/// A subquery as a clause has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subquery {
    /// Its text in one form, whatever the spacing, comments and case of words: with parameters put in,
    /// it can be run as it is.
    pub text: String,
    /// How many columns it is compared with.
    pub columns: usize,
    /// Where in the clause the comparison stands.
    pub position: usize,
    /// Where the words of `text` begin, there and in the clause.
    pub(crate) places: Vec<(usize, usize)>,
}

impl Subquery {
    /// Where in the clause something stands that stands here in the subquery's text.
    #[must_use]
    pub fn position_of(&self, in_text: usize) -> usize {
        let after = self.places.partition_point(|(at, _)| *at <= in_text);
        after.checked_sub(1).map_or(self.position, |found| self.places[found].1)
    }
}

/// A column of a set: what is compared, and how what the subquery selects becomes that.
#[derive(Clone, Debug)]
pub struct SetColumn {
    /// The type of what the subquery selects.
    pub item: ColumnType,
    /// The type of what is compared.
    pub compared: Type,
    /// Makes one of the other, over a row whose columns are the items; `None`: they are the same to
    /// equality.
    pub convert: Option<Expression>,
}

/// What a compiler asks about subqueries.
pub trait Subqueries {
    /// The types that it selects; `None`: those of what it is compared with.
    ///
    /// # Errors
    /// It is refused; positions are those in the clause.
    fn types(&mut self, subquery: &Subquery) -> Result<Option<Vec<ColumnType>>, Error>;

    /// The number of its set.
    ///
    /// # Errors
    /// There can be no such set.
    fn set(&mut self, subquery: &Subquery, columns: Vec<SetColumn>) -> Result<u32, Error>;
}

/// Every set in a folded tree, with its polarity.
pub(crate) fn polarities<'e>(
    expr: &'e Expr,
    polarity: Polarity,
    visit: &mut dyn FnMut(&'e Expr, Polarity),
) {
    match &expr.node {
        Node::InSet { left, .. } => {
            visit(expr, polarity);
            left.iter().for_each(|child| polarities(child, Polarity::Both, visit));
        }
        Node::And(arms) | Node::Or(arms) => {
            arms.iter().for_each(|arm| polarities(arm, polarity, visit));
        }
        Node::Not(inner) => polarities(inner, polarity.negate(), visit),
        // Where these make a true answer of one, they keep what is said of NULL; elsewhere not.
        Node::Test(Test::True, inner) if polarity == Polarity::Positive => {
            polarities(inner, polarity, visit);
        }
        Node::Test(Test::NotTrue, inner) if polarity == Polarity::Negative => {
            polarities(inner, Polarity::Positive, visit);
        }
        Node::Test(Test::False, inner) if polarity == Polarity::Positive => {
            polarities(inner, Polarity::Negative, visit);
        }
        Node::Test(Test::NotFalse, inner) if polarity == Polarity::Negative => {
            polarities(inner, polarity, visit);
        }
        _ => expr.children(&mut |child| polarities(child, Polarity::Both, visit)),
    }
}
