//! Subqueries of a clause: the clause with their answers as columns, and each one's text in one form.

use std::cell::RefCell;

use pg_query::protobuf::{KeywordKind, ScanToken, Token, node::Node};

use super::ast::Ast;
use super::{PREFIX, select, statement, tree, where_clause};
use crate::compiler::Param;
use crate::error::Error;
use crate::sets::Subquery;

/// A subquery of a clause, and what it is compared with.
pub(crate) struct Compared {
    pub left: Vec<Ast>,
    pub subquery: Subquery,
    /// How many columns it selects; `None`: it has a star.
    pub selects: Option<usize>,
}

/// Parses a clause that passed [`super::check`], with subqueries. Wants a stack for that depth.
pub(crate) fn parse(clause: &str, params: &[Param<'_>]) -> Result<(Ast, Vec<Compared>), Error> {
    let result = statement(clause)?;
    let found = RefCell::new(Vec::new());
    let plain = tree::Tree::plain(clause, PREFIX.len());
    let tree = tree::Tree { subqueries: Some(&found), ..plain };
    let ast = tree.expression(where_clause(result, clause)?)?;
    let found = found.into_inner();
    if found.is_empty() {
        return Ok((ast, Vec::new()));
    }
    let scanned = pg_query::scan(clause)
        .map_err(|error| Error::syntax(format!("the clause cannot be read: {error}"), 0))?;
    let mut compared = Vec::with_capacity(found.len());
    for raw in found {
        let select::Raw { left, select, position } = raw;
        let Some(left) = left else {
            return Err(Error::unsupported("EXISTS in a shape's clause", position));
        };
        let star = |node: &pg_query::protobuf::Node| match &node.node {
            Some(Node::ResTarget(item)) => match item.val.as_ref().and_then(|v| v.node.as_ref()) {
                Some(Node::ColumnRef(column)) => column
                    .fields
                    .last()
                    .is_some_and(|field| matches!(field.node, Some(Node::AStar(_)))),
                _ => false,
            },
            _ => false,
        };
        let targets = match select.larg.as_deref() {
            // UNION and its kin select what their arms do.
            Some(_) => leftmost(&select),
            None => &select.target_list,
        };
        let selects = match select.values_lists.is_empty() && !targets.iter().any(star) {
            true => Some(targets.len()),
            false => None,
        };
        let columns = left.len();
        let Form { text, places, .. } = one_form(clause, &scanned.tokens, position, params)?;
        let subquery = Subquery { text, columns, position, places };
        compared.push(Compared { left, subquery, selects });
    }
    Ok((ast, compared))
}

fn leftmost(select: &pg_query::protobuf::SelectStmt) -> &[pg_query::protobuf::Node] {
    let mut select = select;
    while let Some(left) = select.larg.as_deref() {
        select = left;
    }
    &select.target_list
}

/// The subqueries of a clause.
pub(crate) fn list(clause: &str, params: &[Param<'_>]) -> Result<Vec<Subquery>, Error> {
    let depth = super::check(clause)?;
    let (_, found) = crate::compiler::on_big_stack(depth, || parse(clause, params))?;
    Ok(found.into_iter().map(|compared| compared.subquery).collect())
}

/// A subquery's text in one form, whatever the spacing, comments and case of words.
pub(crate) fn canonical(subquery: &str) -> Result<String, Error> {
    super::check(subquery)?;
    let text = format!("({subquery}\n)");
    let scanned = pg_query::scan(&text)
        .map_err(|error| Error::syntax(format!("the subquery cannot be read: {error}"), 0))?;
    let form = one_form(&text, &scanned.tokens, 0, &[])?;
    match form.end == text.len() {
        true => Ok(form.text),
        false => Err(Error::syntax("brackets that do not match in a subquery", 0)),
    }
}

/// The words of a subquery, each once removed from the next, and where they stand.
struct Form {
    text: String,
    places: Vec<(usize, usize)>,
    /// Where the bracket behind it ends.
    end: usize,
}

/// The text of the subquery that is compared at this place.
fn one_form(
    clause: &str,
    tokens: &[ScanToken],
    position: usize,
    params: &[Param<'_>],
) -> Result<Form, Error> {
    let words: Vec<&ScanToken> = tokens
        .iter()
        .filter(|token| !matches!(token.token(), Token::SqlComment | Token::CComment))
        .filter(|token| token.start as usize >= position)
        .collect();
    let is = |at: usize, kind: Token| words.get(at).is_some_and(|token| token.token() == kind);
    let begins = |at: &usize| {
        let select = [Token::Select, Token::With, Token::Values, Token::Table];
        is(*at, Token::Ascii40) && select.iter().any(|kind| is(at + 1, *kind))
    };
    let Some(open) = (0..words.len()).find(begins) else {
        return Err(Error::unsupported("this form of a subquery", position));
    };
    let (mut depth, mut text, mut places) = (0usize, String::new(), Vec::new());
    for token in &words[open + 1..] {
        match token.token() {
            Token::Ascii40 => depth += 1,
            Token::Ascii41 if depth == 0 => {
                return Ok(Form { text, places, end: token.end as usize });
            }
            Token::Ascii41 => depth -= 1,
            _ => {}
        }
        let start = token.start as usize;
        let word = clause.get(start..token.end as usize).unwrap_or("");
        if !text.is_empty() {
            text.push(' ');
        }
        places.push((text.len(), start));
        match token.token() {
            Token::Param => text.push_str(&parameter(word, start, params)?),
            Token::Ident if word.starts_with('"') => text.push_str(word),
            Token::Ident => text.push_str(&word.to_ascii_lowercase()),
            _ if token.keyword_kind() != KeywordKind::NoKeyword => {
                text.push_str(&word.to_ascii_lowercase());
            }
            _ => text.push_str(word),
        }
    }
    Err(Error::syntax("a subquery has no end", position))
}

/// A parameter's value, written out.
fn parameter(word: &str, position: usize, params: &[Param<'_>]) -> Result<String, Error> {
    let number: i64 = word.trim_start_matches('$').parse().unwrap_or(0);
    let index = usize::try_from(number).ok().and_then(|n| n.checked_sub(1));
    let Some(param) = index.and_then(|index| params.get(index)) else {
        return Err(Error::UnknownParameter { number, position });
    };
    Ok(match param {
        Param::Null => "NULL".to_owned(),
        Param::Text(text) if text.contains('\0') => {
            return Err(Error::syntax("a parameter contains a NUL byte", position));
        }
        // A backslash is nothing special in this form.
        Param::Text(text) => format!("'{}'", text.replace('\'', "''")),
        Param::Int(i) if *i < 0 => format!("({i})"),
        Param::Int(i) => i.to_string(),
        Param::Float(x) if x.is_finite() && *x >= 0.0 => crate::values::float::output8(*x),
        Param::Float(x) if x.is_finite() => format!("({})", crate::values::float::output8(*x)),
        Param::Float(x) => format!("'{}'::double precision", crate::values::float::output8(*x)),
        Param::Bool(b) => if *b { "TRUE" } else { "FALSE" }.to_owned(),
    })
}
