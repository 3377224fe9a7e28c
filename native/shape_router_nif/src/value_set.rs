//! What subqueries select, as the host feeds it, and what its changes move.

use crate::atoms;
use crate::columns::Kind;
use crate::error::{NifError, reply};
use crate::handle::RouterHandle;
use crate::list::{self, List};
use crate::param::params;
use crate::value;
use bumpalo::Bump;
use rustler::{Encoder, Env, Term};
use shape_router::{Budget, KeyParts, MoveKind, MovedValue, Moves, SetInfo, SetRow, Transaction};

/// More rows than this are not read on a normal scheduler.
const FEW_ROWS: usize = 128;

/// Nor are so many shapes told of.
const MANY_SHAPES: u64 = 5_000;

/// `{subquery, types, ready, values, shapes}`.
pub(crate) fn info<'a>(env: Env<'a>, set: SetInfo) -> Term<'a> {
    (set.subquery, set.types, set.ready, set.values, set.shapes).encode(env)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn router_value_sets<'a>(env: Env<'a>, handle: &RouterHandle) -> Vec<Term<'a>> {
    handle.router.value_sets().into_iter().map(|set| info(env, set)).collect()
}

/// The texts of a shape's subqueries.
#[rustler::nif]
fn router_subqueries<'a>(env: Env<'a>, handle: &RouterHandle, id: u64) -> Term<'a> {
    let texts = handle.router.subqueries(id).map_err(NifError::from);
    reply(env, texts.map(|texts| texts.encode(env)))
}

/// The rows of a subquery that selects so many columns: of one column its value, of several a list.
pub(crate) struct Rows<'a> {
    columns: usize,
    terms: Vec<Term<'a>>,
}

impl<'a> Rows<'a> {
    pub fn new(columns: usize, rows: Term<'a>) -> Result<Self, NifError> {
        let List(terms) = rows.decode().map_err(|_| NifError::argument("values is not a list"))?;
        Ok(Self { columns, terms })
    }

    pub fn read<'r>(&self, arena: &'r Bump) -> Result<Vec<SetRow<'r>>, NifError>
    where
        'a: 'r,
    {
        let row = |(index, term): (usize, &Term<'a>)| {
            if self.columns == 1 {
                return Ok(KeyParts::one(value::datum(*term, Kind::ANY, arena)));
            }
            let items = list::items(*term).ok_or_else(|| {
                let columns = self.columns;
                let message = format!("value {index} is no list of {columns} values: {term:?}");
                NifError::new("invalid_value", message)
            })?;
            Ok(items.map(|item| value::datum(item, Kind::ANY, arena)).collect())
        };
        self.terms.iter().enumerate().map(row).collect()
    }
}

/// How many columns a subquery has. Of one that nobody uses it does not matter: that is said later.
fn columns(handle: &RouterHandle, subquery: &str) -> usize {
    handle.router.set_columns(subquery).unwrap_or(1)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn router_seed_values<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    subquery: &str,
    rows: Term<'a>,
) -> Term<'a> {
    let seed = || -> Result<Term<'a>, NifError> {
        let arena = Bump::new();
        let rows = Rows::new(columns(handle, subquery), rows)?;
        handle.router.seed_values(subquery, &rows.read(&arena)?)?;
        Ok(atoms::ok().to_term(env))
    };
    reply(env, seed())
}

#[rustler::nif(schedule = "DirtyCpu")]
fn router_feed_values<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    subquery: &str,
    added: Term<'a>,
    removed: Term<'a>,
) -> Term<'a> {
    let feed = || -> Result<Term<'a>, NifError> {
        let (arena, columns) = (Bump::new(), columns(handle, subquery));
        let (added, removed) = (Rows::new(columns, added)?, Rows::new(columns, removed)?);
        handle.router.feed_values(subquery, &added.read(&arena)?, &removed.read(&arena)?)?;
        Ok(atoms::ok().to_term(env))
    };
    reply(env, feed())
}

#[rustler::nif]
fn router_mark_values<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    subquery: &str,
    ready: bool,
) -> Term<'a> {
    let marked = handle.router.mark_values(subquery, ready).map_err(NifError::from);
    reply(env, marked.map(|()| atoms::ok().to_term(env)))
}

/// The text that a subquery has in the library, whatever it is written like.
#[rustler::nif(schedule = "DirtyCpu")]
fn subquery_text<'a>(env: Env<'a>, subquery: &str) -> Term<'a> {
    let text = shape_router::Router::subquery_text(subquery).map_err(NifError::from);
    reply(env, text.map(|text| (atoms::ok(), text).encode(env)))
}

/// `[{text, place, columns, [place]}]`: the subqueries of a clause; `[]` where it has none.
#[rustler::nif(schedule = "DirtyCpu")]
fn clause_subqueries<'a>(env: Env<'a>, clause: &str, parameters: Term<'a>) -> Term<'a> {
    let list = || -> Result<Term<'a>, NifError> {
        let arena = Bump::new();
        let found = shape_expr::subqueries(clause, &params(parameters, &arena)?)?;
        let one = |subquery: shape_expr::Subquery| {
            (&subquery.text, subquery.position, subquery.columns).encode(env)
        };
        Ok(found.into_iter().map(one).collect::<Vec<_>>().encode(env))
    };
    reply(env, list())
}

/// Where in a clause something stands that stands at this byte of one of its subqueries' texts.
#[rustler::nif(schedule = "DirtyCpu")]
fn clause_position<'a>(
    env: Env<'a>,
    clause: &str,
    parameters: Term<'a>,
    text: &str,
    position: usize,
) -> Term<'a> {
    let place = || -> Result<Term<'a>, NifError> {
        let arena = Bump::new();
        let found = shape_expr::subqueries(clause, &params(parameters, &arena)?)?;
        let found = found.iter().find(|subquery| subquery.text == text);
        Ok(found.map(|subquery| subquery.position_of(position)).encode(env))
    };
    reply(env, place())
}

/// Says which types a subquery selects, before a shape with it is added.
#[rustler::nif]
fn router_item_types<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    subquery: &str,
    List(types): List<String>,
) -> Term<'a> {
    let types: Option<Vec<shape_expr::ColumnType>> =
        types.iter().map(|ty| ty.parse().ok()).collect();
    // A type without a text of its own, an enum say, is taken to be that of what it is compared with.
    if let Some(types) = types {
        handle.types.lock().insert(subquery.to_owned(), types);
    }
    atoms::ok().to_term(env)
}

/// `{:values, subquery, added, removed}`: what a transaction does to what a subquery selects.
pub(crate) struct Delta<'a> {
    subquery: &'a str,
    added: Term<'a>,
    removed: Term<'a>,
    rows: usize,
}

impl<'a> Delta<'a> {
    pub fn read(term: Term<'a>) -> Result<Self, NifError> {
        let wrong = || {
            let message = "neither a change nor {:values, subquery, added, removed}";
            NifError::new("invalid_change", format!("{message}: {term:?}"))
        };
        let (kind, subquery, added, removed): (rustler::Atom, &str, Term<'a>, Term<'a>) =
            term.decode().map_err(|_| wrong())?;
        let length = |list: Term<'a>| list.list_length().map_err(|_| wrong());
        let rows = length(added)? + length(removed)?;
        match kind == atoms::values() {
            true => Ok(Self { subquery, added, removed, rows }),
            false => Err(wrong()),
        }
    }

    /// Does it take more than a call on a normal scheduler may?
    pub fn is_large(&self, handle: &RouterHandle) -> bool {
        self.rows > FEW_ROWS || handle.router.set_shapes(self.subquery) > MANY_SHAPES
    }

    /// `[{:move_in | :move_out, id, [value] | :all}]`.
    pub fn route(
        &self,
        env: Env<'a>,
        handle: &RouterHandle,
        transaction: Transaction,
        index: usize,
        budget: &mut Budget,
    ) -> Result<Term<'a>, NifError> {
        let (arena, columns) = (Bump::new(), columns(handle, self.subquery));
        let (added, removed) = (Rows::new(columns, self.added)?, Rows::new(columns, self.removed)?);
        let (come, go) = (added.read(&arena)?, removed.read(&arena)?);
        let moves = handle.router.move_values(transaction, index, self.subquery, &come, &go)?;
        budget.spend(16 * self.rows as u64 + 4 * moves.moves.len() as u64);
        let rows: Vec<Term<'a>> = added.terms.into_iter().chain(removed.terms).collect();
        Ok(self::moves(env, &moves, &rows, columns))
    }
}

/// Moves as terms. Shapes share the lists of values.
fn moves<'a>(env: Env<'a>, moves: &Moves, rows: &[Term<'a>], columns: usize) -> Term<'a> {
    let value = |moved: &MovedValue| -> Term<'a> {
        let row = rows.get(moved.row as usize).copied();
        let row = row.unwrap_or_else(|| atoms::nil().to_term(env));
        let whole = moved.columns == (1 << columns) - 1;
        match columns {
            _ if whole => row,
            1 => atoms::nil().to_term(env),
            _ => {
                let items = list::items(row).into_iter().flatten().enumerate();
                let shown = items.map(|(at, item)| match moved.columns & 1 << at {
                    0 => atoms::nil().to_term(env),
                    _ => item,
                });
                shown.collect::<Vec<_>>().encode(env)
            }
        }
    };
    let lists = moves.lists.iter().map(|list| list.iter().map(value).collect::<Vec<_>>());
    let lists: Vec<Term<'a>> = lists.map(|list| list.encode(env)).collect();
    let all = atoms::all().to_term(env);
    let moves = moves.moves.iter().map(|moved| {
        let kind = match moved.kind {
            MoveKind::In => atoms::move_in(),
            MoveKind::Out => atoms::move_out(),
        };
        let values = moved.list.and_then(|list| lists.get(list)).copied().unwrap_or(all);
        (kind, moved.id, values)
    });
    moves.collect::<Vec<_>>().encode(env)
}
