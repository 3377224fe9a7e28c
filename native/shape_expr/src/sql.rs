//! Queries by PostgreSQL's grammar, as a planner wants them: tables, conditions, what is selected.
//!
//! Nothing is resolved here; [`Compiler::analyse_condition`](crate::Compiler::analyse_condition) and
//! [`Compiler::analyse_value`](crate::Compiler::analyse_value) do that, against the columns that the
//! planner says are in scope.

use crate::error::Error;
use crate::parse::ast::{Ast, AstKind, TypeName};
use crate::parse::{self, select};
use crate::program::Test;

/// The relation whose columns stand for the answers of a query's subqueries. No text can name it.
pub const ANSWERS: &str = "\0answers";

/// What [`ANSWERS`] calls the answer of this subquery.
#[must_use]
pub fn answer_name(subquery: usize) -> String {
    format!("\0answer {subquery}")
}

/// The relation whose columns stand for the results of a query's aggregate functions. No text can name
/// it.
pub const AGGREGATES: &str = "\0aggregates";

/// What [`AGGREGATES`] calls the result of this aggregate function.
#[must_use]
pub fn aggregate_name(call: usize) -> String {
    format!("\0aggregate {call}")
}

/// A query: a SELECT, or several put together; sorted and cut.
#[derive(Clone, Debug)]
pub struct Query {
    /// What gives the rows.
    pub body: Body,
    /// ORDER BY.
    pub order: Vec<SortBy>,
    /// LIMIT.
    pub limit: Option<SqlExpr>,
    /// OFFSET.
    pub offset: Option<SqlExpr>,
    /// Where it begins.
    pub position: usize,
}

/// What gives a query's rows.
#[derive(Clone, Debug)]
pub enum Body {
    /// One SELECT.
    Select(Box<Select>),
    /// Two queries put together.
    Set {
        /// How.
        kind: SetKind,
        /// ALL: rows that are alike are counted.
        all: bool,
        /// The first query.
        left: Box<Query>,
        /// The second one.
        right: Box<Query>,
        /// Where the word stands.
        position: usize,
    },
}

/// How two queries are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetKind {
    /// Rows of either.
    Union,
    /// Rows of both.
    Intersect,
    /// Rows of the first that the second does not have.
    Except,
}

impl std::fmt::Display for SetKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            SetKind::Union => "UNION",
            SetKind::Intersect => "INTERSECT",
            SetKind::Except => "EXCEPT",
        })
    }
}

/// One of the values that rows are sorted by.
#[derive(Clone, Debug)]
pub struct SortBy {
    /// The value.
    pub value: SqlExpr,
    /// From the greatest to the least?
    pub descending: bool,
    /// Does NULL come before everything?
    pub nulls_first: bool,
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
    /// GROUP BY.
    pub group: Vec<SqlExpr>,
    /// HAVING.
    pub having: Option<SqlExpr>,
    /// The aggregate functions called in items, HAVING and ORDER BY, which name them by their places
    /// here.
    pub aggregates: Vec<AggregateCall>,
    /// Where it begins.
    pub position: usize,
}

/// A call of an aggregate function.
#[derive(Clone, Debug)]
pub struct AggregateCall {
    /// The function.
    pub name: String,
    /// Its arguments; of `count(*)` there are none.
    pub args: Vec<SqlExpr>,
    /// `(*)`?
    pub star: bool,
    /// DISTINCT: values that are equal count once.
    pub distinct: bool,
    /// FILTER: of which rows this is true.
    pub filter: Option<SqlExpr>,
    /// Where it stands.
    pub position: usize,
}

/// A table in FROM, or a query in its place.
#[derive(Clone, Debug)]
pub struct TableRef {
    /// Its schema, if it is said.
    pub namespace: Option<String>,
    /// Its name; of a query there is none.
    pub name: String,
    /// What the query calls it.
    pub alias: Option<String>,
    /// The query that gives its rows, if it is no table.
    pub query: Option<Box<Query>>,
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
        /// What it is called: by AS, or as PostgreSQL names such a value.
        name: Option<String>,
    },
    /// `ARRAY (SELECT ...)`, whose rows may have several columns: a branch of a tree.
    Branch {
        /// What gives its rows.
        query: Box<Query>,
        /// What it is called.
        name: String,
        /// Where it stands.
        position: usize,
    },
}

/// A subquery in a condition.
#[derive(Clone, Debug)]
pub struct Subquery {
    /// What it is compared with; of EXISTS nothing.
    pub left: Option<Vec<SqlExpr>>,
    /// The subquery.
    pub query: Query,
    /// Where it stands.
    pub position: usize,
}

/// An expression of a query, not yet resolved.
#[derive(Clone, Debug)]
pub struct SqlExpr {
    pub(crate) ast: Ast,
    pub(crate) depth: usize,
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// It is none, or uses what is not supported; the error says what and at which byte.
    pub fn parse(text: &str) -> Result<Query, Error> {
        let depth = parse::check(text)?;
        crate::compiler::on_big_stack(depth, || select::parse(text, depth))
    }
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

    /// The integer that it is, written as one: of GROUP BY and ORDER BY a column's place.
    #[must_use]
    pub fn as_integer(&self) -> Option<i64> {
        match &self.ast.kind {
            AstKind::Integer(i) => Some(i64::from(*i)),
            AstKind::Number(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Is it a literal?
    #[must_use]
    pub fn is_literal(&self) -> bool {
        matches!(
            self.ast.kind,
            AstKind::Null
                | AstKind::Bool(_)
                | AstKind::Integer(_)
                | AstKind::Number(_)
                | AstKind::String(_)
        )
    }

    /// The name that it is, if it is one without a table.
    #[must_use]
    pub fn as_name(&self) -> Option<&str> {
        match &self.ast.kind {
            AstKind::Column(names) => match names.as_slice() {
                [name] => Some(name),
                _ => None,
            },
            _ => None,
        }
    }

    /// Does it call an aggregate function?
    #[must_use]
    pub fn has_aggregates(&self) -> bool {
        fn has(ast: &mut Ast) -> bool {
            if let AstKind::Column(names) = &ast.kind {
                return names.first().is_some_and(|relation| relation == AGGREGATES);
            }
            let mut found = false;
            ast.children_mut(&mut |child| found |= has(child));
            found
        }
        has(&mut self.ast.clone())
    }

    /// `CAST(self AS bigint)`.
    #[must_use]
    pub fn as_bigint(self) -> SqlExpr {
        let (position, depth) = (self.ast.position, self.depth + 1);
        let (name, modifiers) = ("int8".to_owned(), Vec::new());
        let ty = TypeName { name, modifiers, dimensions: 0, position };
        let kind = AstKind::Cast { value: Box::new(self.ast), ty };
        SqlExpr { ast: Ast::new(position, kind), depth }
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

    /// `NOT self`.
    #[must_use]
    pub fn negated(self) -> SqlExpr {
        let (position, depth) = (self.ast.position, self.depth + 1);
        SqlExpr { ast: Ast::new(position, AstKind::Not(Box::new(self.ast))), depth }
    }

    /// All of these, by AND; `None` where there are none.
    #[must_use]
    pub fn all(mut arms: Vec<SqlExpr>) -> Option<SqlExpr> {
        if arms.len() <= 1 {
            return arms.pop();
        }
        let depth = arms.iter().map(|arm| arm.depth).max().unwrap_or_default() + 1;
        let position = arms.first().map_or(0, SqlExpr::position);
        let arms = arms.into_iter().map(|arm| arm.ast).collect();
        Some(SqlExpr { ast: Ast::new(position, AstKind::And(arms)), depth })
    }

    /// The column's own name, if it is nothing but a column.
    #[must_use]
    pub fn column_name(&self) -> Option<&str> {
        match &self.ast.kind {
            AstKind::Column(names) => names.last().map(String::as_str),
            _ => None,
        }
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
