//! Queries by PostgreSQL's grammar, as a planner wants them: tables, conditions, what is selected.
//!
//! Nothing is resolved here; [`Compiler::analyse_condition`](crate::Compiler::analyse_condition) and
//! [`Compiler::analyse_value`](crate::Compiler::analyse_value) do that, against the columns that the
//! planner says are in scope.

use crate::error::Error;
use crate::parse::ast::{Ast, AstKind};
use crate::parse::{self, select};
use crate::program::Test;

/// The relation whose columns stand for the answers of a query's subqueries. No text can name it.
pub const ANSWERS: &str = "\0answers";

/// What [`ANSWERS`] calls the answer of this subquery.
#[must_use]
pub fn answer_name(subquery: usize) -> String {
    format!("\0answer {subquery}")
}

/// A SELECT.
#[derive(Clone, Debug)]
pub struct Select {
    /// DISTINCT.
    pub distinct: bool,
    /// What is selected.
    pub items: Vec<Item>,
    /// The tables, in their order.
    pub tables: Vec<TableRef>,
    /// What ON says, and of how many tables before the end of the range it may speak.
    pub on: Vec<(SqlExpr, std::ops::Range<usize>)>,
    /// WHERE.
    pub condition: Option<SqlExpr>,
    /// The subqueries that the conditions contain, which name them by their places here.
    pub subqueries: Vec<Subquery>,
    /// Where it begins.
    pub position: usize,
}

/// A table in FROM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableRef {
    /// Its schema, if it is said.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// What the query calls it.
    pub alias: Option<String>,
    /// Where it stands.
    pub position: usize,
}

/// One of the things selected.
#[derive(Clone, Debug)]
pub enum Item {
    /// `*`, or `t.*` with the names before the star.
    All {
        /// The names before the star.
        qualifiers: Vec<String>,
        /// Where it stands.
        position: usize,
    },
    /// A value.
    Value {
        /// The value.
        value: SqlExpr,
        /// What it is called: by AS, or by the column's own name.
        name: Option<String>,
    },
}

/// A subquery in a condition.
#[derive(Clone, Debug)]
pub struct Subquery {
    /// What it is compared with; of EXISTS nothing.
    pub left: Option<Vec<SqlExpr>>,
    /// The subquery.
    pub select: Select,
    /// Where it stands.
    pub position: usize,
}

/// An expression of a query, not yet resolved.
#[derive(Clone, Debug)]
pub struct SqlExpr {
    pub(crate) ast: Ast,
    pub(crate) depth: usize,
}

impl Select {
    /// Reads a query.
    ///
    /// # Errors
    /// It is none, or uses what is not supported; the error says what and at which byte.
    pub fn parse(text: &str) -> Result<Select, Error> {
        let depth = parse::check(text)?;
        crate::compiler::on_big_stack(depth, || select::parse(text, depth))
    }
}

/// The tables that the subqueries of a clause name, in their order; none where it has no subquery.
///
/// What passes is one expression and nothing else, so that it may stand behind a WHERE of any query.
///
/// # Errors
/// It is no clause, or has what is not supported in one.
pub fn tables_of_clause(clause: &str) -> Result<Vec<TableRef>, Error> {
    fn collect(select: &mut Select, into: &mut Vec<TableRef>) {
        into.append(&mut select.tables);
        for subquery in &mut select.subqueries {
            collect(&mut subquery.select, into);
        }
    }
    let depth = parse::check(clause)?;
    crate::compiler::on_big_stack(depth, || {
        let mut select = select::of_clause(clause, depth)?;
        let mut tables = Vec::new();
        collect(&mut select, &mut tables);
        Ok(tables)
    })
}

impl SqlExpr {
    /// Reads an expression that stands alone. Subqueries are refused.
    ///
    /// # Errors
    /// As [`Compiler::compile`](crate::Compiler::compile) for what it cannot parse.
    pub fn parse(text: &str) -> Result<SqlExpr, Error> {
        let depth = parse::check(text)?;
        let ast = crate::compiler::on_big_stack(depth, || parse::parse(text))?;
        Ok(SqlExpr { ast, depth })
    }

    /// Where it stands.
    #[must_use]
    pub fn position(&self) -> usize {
        self.ast.position
    }

    /// The arms of its top ANDs, which is itself where there is none.
    #[must_use]
    pub fn conjuncts(self) -> Vec<SqlExpr> {
        let mut all = Vec::new();
        flatten(self.ast, self.depth, &mut all);
        all
    }

    /// The subquery that it is, and whether negated.
    #[must_use]
    pub fn as_subquery(&self) -> Option<(usize, bool)> {
        match &self.ast.kind {
            AstKind::Not(inner) => match &inner.kind {
                // NOT NOT, and IS NOT TRUE, are conditions like any other.
                AstKind::Column(names) => Some((answer(names)?, true)),
                _ => None,
            },
            AstKind::Column(names) => Some((answer(names)?, false)),
            _ => None,
        }
    }

    /// The subqueries in it.
    #[must_use]
    pub fn subqueries(&self) -> Vec<usize> {
        fn collect(ast: &mut Ast, into: &mut Vec<usize>) {
            if let AstKind::Column(names) = &ast.kind {
                into.extend(answer(names));
            }
            ast.children_mut(&mut |child| collect(child, into));
        }
        let mut found = Vec::new();
        collect(&mut self.ast.clone(), &mut found);
        found
    }

    /// `self = other`.
    #[must_use]
    pub fn equals(self, other: SqlExpr) -> SqlExpr {
        let (position, depth) = (self.ast.position, self.depth.max(other.depth) + 1);
        let (left, right) = (Some(Box::new(self.ast)), Box::new(other.ast));
        let kind = AstKind::Operator { name: "=".to_owned(), left, right };
        SqlExpr { ast: Ast::new(position, kind), depth }
    }

    /// A column by its names, the last of which is its own.
    #[must_use]
    pub fn column(names: &[&str], position: usize) -> SqlExpr {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        SqlExpr { ast: Ast::new(position, AstKind::Column(names)), depth: 1 }
    }

    /// `self IS NOT NULL`.
    #[must_use]
    pub fn is_not_null(self) -> SqlExpr {
        let (position, depth) = (self.ast.position, self.depth + 1);
        let kind = AstKind::Test(Test::NotNull, Box::new(self.ast));
        SqlExpr { ast: Ast::new(position, kind), depth }
    }
}

/// The subquery whose answer the column is.
pub(crate) fn answer(names: &[String]) -> Option<usize> {
    match names {
        [relation, name] if relation == ANSWERS => {
            name.strip_prefix("\0answer ").and_then(|number| number.parse().ok())
        }
        _ => None,
    }
}

fn flatten(ast: Ast, depth: usize, into: &mut Vec<SqlExpr>) {
    match ast.kind {
        AstKind::And(arms) => {
            for arm in arms {
                flatten(arm, depth, into);
            }
        }
        _ => into.push(SqlExpr { ast, depth }),
    }
}
