//! Shapes come and go, changes are routed.

use crate::answer;
use crate::atoms;
use crate::bare::Bare;
use crate::change::{Reader, TermChange};
use crate::circuit::CircuitHandle;
use crate::direct::{NewRouter, direct_nif, monotonic_time};
use crate::error::{NifError, reply};
use crate::handle::{CursorHandle, Local, RouterHandle, SubqueryTypes, item_types, with_local};
use crate::list::{self, List};
use crate::param::params;
use crate::schema::schema;
use crate::timeslice;
use crate::value_set;
use bumpalo::Bump;
use rustler::{Atom, Encoder, Env, ResourceArc, Term, TermType};
use shape_expr::Options;
use shape_router::{
    Budget, Config, Cursor, Keys, OldRow, Progress, RouteOptions, Router, ShapeSpec, Snapshot,
};

const CLASSIFY: u32 = 1;
const OLD_ROW_IGNORE: u32 = 2;

/// What a call off the scheduler does at most before it is asked again: some 50 ms.
pub(crate) const HEAVY_UNITS: u64 = 5_000_000;

pub(crate) fn options(flags: u32) -> RouteOptions {
    RouteOptions {
        classify: flags & CLASSIFY != 0,
        old_row: if flags & OLD_ROW_IGNORE != 0 { OldRow::Ignore } else { OldRow::Superset },
    }
}

/// How clauses are compiled.
pub(crate) fn compile_options(time_zone: &str) -> Options {
    let mut options = Options::default();
    options.time_zone = time_zone.to_owned();
    options
}

pub(crate) type SettingTerms<'a> = (
    Term<'a>,
    List<String>,
    bool,
    (Option<usize>, Option<usize>),
    &'a str,
    (Option<u16>, f64),
    Option<ResourceArc<CircuitHandle>>,
);

/// `{columns, primary_key, track_membership, {max_shapes, max_bytes}, time_zone, {num_lanes,
/// rebuild_threshold}, circuit | nil}`.
pub(crate) fn config(
    table: &str,
    settings: SettingTerms<'_>,
) -> Result<(Config, SubqueryTypes), NifError> {
    let (columns, List(primary_key), track_membership, limits, time_zone, indexes, circuit) =
        settings;
    let (types, item_types) = item_types(circuit);
    let config = Config {
        item_types: Some(item_types),
        primary_key,
        track_membership,
        max_shapes: limits.0,
        max_bytes: limits.1,
        options: compile_options(time_zone),
        num_lanes: indexes.0,
        rebuild_threshold: indexes.1,
        ..Config::new(schema(table, columns)?)
    };
    Ok((config, types))
}

/// A router in memory.
#[rustler::nif(schedule = "DirtyCpu")]
fn router_new<'a>(env: Env<'a>, table: &str, settings: SettingTerms<'a>) -> Term<'a> {
    let new = || -> Result<Term<'a>, NifError> {
        let (config, types) = config(table, settings)?;
        let router = Router::new(config)?;
        Ok((atoms::ok(), NewRouter::new(RouterHandle::new(router, table, types)).into_term(env))
            .encode(env))
    };
    reply(env, new())
}

/// `[{id, where | nil, keys | :unknown, params, nil | lsn | {xmin, xmax, xip}}]`.
#[rustler::nif(schedule = "DirtyCpu")]
fn router_add<'a>(env: Env<'a>, handle: &RouterHandle, shapes: Term<'a>) -> Term<'a> {
    let add = || -> Result<Term<'a>, NifError> {
        let (arena, keys) = (Bump::new(), handle.keys());
        let reader = Reader::new(&handle.router, &keys, &arena);
        let shapes =
            list::items(shapes).ok_or_else(|| NifError::argument("shapes is not a list"))?;
        let specs = shapes.map(|term| spec(term, &reader)).collect::<Result<Vec<_>, _>>()?;
        handle.router.add_shapes(specs)?;
        Ok(atoms::ok().to_term(env))
    };
    reply(env, add())
}

/// Whether a shape is soon read: without keys, and with few and short parameters.
fn is_small(shape: Term<'_>) -> bool {
    const MOST: usize = 16;
    const LONGEST: usize = 1024;
    let Ok((_, _, keys, parameters, snapshot)) =
        shape.decode::<(Term<'_>, Term<'_>, Term<'_>, Term<'_>, Term<'_>)>()
    else {
        return false;
    };
    let is_short = |term: Term<'_>| match Bare::new(term).bytes() {
        Some(text) => text.len() <= LONGEST,
        None => term.is_number() || term.is_atom(),
    };
    (keys.is_atom() || keys.is_empty_list())
        && !snapshot.is_tuple()
        && parameters.list_length().is_ok_and(|length| length <= MOST)
        && list::items(parameters).is_some_and(|mut all| all.all(is_short))
}

/// `:ok | :dirty | error` for `{id, where | nil, keys | :unknown, params, nil | lsn | {xmin, xmax, xip}}`.
/// `:dirty`: it would have to parse, or might have to wait. Then it is done off the scheduler.
fn router_add_one<'a>(_env: Env<'a>, [handle, shape]: [Term<'a>; 2]) -> Option<Bare<'a>> {
    let handle: &RouterHandle = handle.decode().ok()?;
    let added = with_local(|local| -> Result<bool, NifError> {
        let (keys, arena, _) = local.parts(handle);
        if !is_small(shape) {
            return Ok(false);
        }
        let spec = spec(shape, &Reader::new(&handle.router, keys, arena))?;
        Ok(handle.router.try_add_shape(&spec).transpose()?.is_some())
    });
    let shape = Bare::new(shape);
    Some(match added {
        Ok(true) => shape.atom(atoms::ok()),
        Ok(false) => shape.atom(atoms::dirty()),
        Err(error) => refused(shape, error),
    })
}

direct_nif!("router_add_one" / 2, router_add_one);

type SpecTerms<'t> = (Term<'t>, Option<&'t str>, Term<'t>, Term<'t>, Term<'t>);

fn spec<'r, 't: 'r>(term: Term<'t>, reader: &Reader<'r>) -> Result<ShapeSpec<'r>, NifError> {
    let (id, clause, keys, parameters, snapshot): SpecTerms<'t> =
        term.decode().map_err(|_| NifError::argument(format!("not a shape: {term:?}")))?;
    let id: u64 = id.decode().map_err(|_| {
        NifError::argument(format!("a shape's id is an integer from 0 to 2^64-1, not {id:?}"))
    })?;
    let at = |error: NifError| error.at(format_args!("shape {id}"));
    let keys = if keys.is_atom() {
        Keys::Unknown
    } else {
        let list = list::items(keys)
            .ok_or_else(|| at(NifError::argument("its keys are neither a list nor :unknown")))?;
        Keys::Known(list.map(|key| reader.key(key)).collect::<Result<_, _>>().map_err(at)?)
    };
    let params = params(parameters, reader.arena).map_err(at)?;
    Ok(ShapeSpec { id, clause, params, keys, snapshot: self::snapshot(snapshot).map_err(at)? })
}

fn snapshot(term: Term<'_>) -> Result<Option<Snapshot>, NifError> {
    let xids = || {
        let (xmin, xmax, List(xip)) = term.decode().ok()?;
        Some(Snapshot::Xids { xmin, xmax, xip })
    };
    let snapshot = match term.get_type() {
        TermType::Atom => return Ok(None),
        TermType::Integer => term.decode().ok().map(Snapshot::Lsn),
        _ => xids(),
    };
    let message = "its snapshot is neither an LSN nor {xmin, xmax, xip}";
    Ok(Some(snapshot.ok_or_else(|| NifError::argument(message))?))
}

/// `:dirty` where it may wait for a disk: then it is done off the scheduler.
#[rustler::nif]
fn router_remove<'a>(env: Env<'a>, handle: &RouterHandle, id: u64) -> Term<'a> {
    if handle.router.may_wait() {
        return atoms::dirty().to_term(env);
    }
    remove(env, handle, id)
}

#[rustler::nif(schedule = "DirtyIo")]
fn router_remove_dirty<'a>(env: Env<'a>, handle: &RouterHandle, id: u64) -> Term<'a> {
    remove(env, handle, id)
}

fn remove<'a>(env: Env<'a>, handle: &RouterHandle, id: u64) -> Term<'a> {
    let removed = handle.router.remove_shape(id).map_err(NifError::from);
    reply(env, removed.map(|()| atoms::ok().to_term(env)))
}

/// `[id] | [{id, op}] | {:more | :heavy, cursor, part} | error`: the answer, or a part of it. After
/// `:heavy` it goes on off the scheduler. For one call in 64: `{:sampled, started, answer}`, with the
/// monotonic time in nanoseconds.
fn router_route<'a>(env: Env<'a>, [handle, change, flags]: [Term<'a>; 3]) -> Option<Bare<'a>> {
    let handle: &RouterHandle = handle.decode().ok()?;
    let options = options(flags.decode().ok()?);
    Some(with_local(|local| {
        let started = local.is_sampled().then(|| monotonic_time(env));
        let answer = route_at_once(handle, local, Bare::new(change), options);
        match started {
            None => answer,
            Some(started) => Bare::new((atoms::sampled(), started, answer.term()).encode(env)),
        }
    }))
}

/// The first part of an answer, which is mostly all of it. Small pieces are handed on here, in registers.
#[inline]
fn route_at_once<'a>(
    handle: &RouterHandle,
    local: &mut Local,
    term: Bare<'a>,
    options: RouteOptions,
) -> Bare<'a> {
    let (keys, arena, scratch) = local.parts(handle);
    let mut change = TermChange::default();
    if let Err(error) = Reader::new(&handle.router, keys, arena).read(term, &mut change) {
        return refused(term, error);
    }
    let mut budget = Budget::slice();
    let routed = handle.router.route(&change.as_change(), options, scratch, &mut budget, None);
    timeslice::taken(term.env(), &budget);
    match routed {
        Ok(Progress::Done) if !options.classify => {
            term.list(scratch.routed().iter().rev().map(|routed| routed.id))
        }
        Ok(progress) => {
            let name = |column| keys.name(column);
            let list = answer::list(term.env(), scratch, name, options.classify);
            Bare::new(Part::new(list, progress).encode(term.env()))
        }
        Err(error) => refused(term, error.into()),
    }
}

#[cold]
fn refused<'a>(term: Bare<'a>, error: NifError) -> Bare<'a> {
    Bare::new(error.encode(term.env()))
}

direct_nif!("router_route" / 3, router_route);

/// The next part of an answer that was `{:more, cursor, part}`.
#[rustler::nif]
fn router_continue<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    change: Term<'a>,
    flags: u32,
    cursor: &CursorHandle,
) -> Term<'a> {
    proceed(env, handle, change, flags, cursor, Budget::slice())
}

/// The next part of an answer that was `{:heavy, cursor, part}`.
#[rustler::nif(schedule = "DirtyCpu")]
fn router_continue_heavy<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    change: Term<'a>,
    flags: u32,
    cursor: &CursorHandle,
) -> Term<'a> {
    proceed(env, handle, change, flags, cursor, Budget::new(HEAVY_UNITS))
}

fn proceed<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    change: Term<'a>,
    flags: u32,
    cursor: &CursorHandle,
    mut budget: Budget,
) -> Term<'a> {
    let mut next = || {
        let cursor = cursor.take().ok_or_else(used)?;
        route(env, handle, change, flags, &mut budget, Some(cursor))
    };
    reply(env, next().map(|part| part.encode(env)))
}

pub(crate) fn used() -> NifError {
    NifError::argument("this cursor was used already")
}

/// A list, and how it goes on.
pub(crate) struct Part<'a> {
    pub list: Term<'a>,
    /// How (`:more` or `:heavy`), and from where.
    pub rest: Option<(Atom, ResourceArc<CursorHandle>)>,
}

impl<'a> Part<'a> {
    #[inline]
    pub fn new(list: Term<'a>, progress: Progress) -> Self {
        let rest = match progress {
            Progress::Done => return Self { list, rest: None },
            Progress::More(cursor) => (atoms::more(), CursorHandle::wrap(cursor)),
            Progress::Heavy(cursor) => (atoms::heavy(), CursorHandle::wrap(cursor)),
        };
        Self { list, rest: Some(rest) }
    }
}

impl Encoder for Part<'_> {
    fn encode<'b>(&self, env: Env<'b>) -> Term<'b> {
        let list = self.list.in_env(env);
        match &self.rest {
            None => list,
            Some((how, cursor)) => (how, cursor, list).encode(env),
        }
    }
}

fn route<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    change: Term<'a>,
    flags: u32,
    budget: &mut Budget,
    cursor: Option<Cursor>,
) -> Result<Part<'a>, NifError> {
    let options = options(flags);
    let part = with_local(|local| route_with(env, handle, local, change, options, budget, cursor));
    timeslice::taken(env, budget);
    part
}

pub(crate) fn route_with<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    local: &mut Local,
    term: Term<'a>,
    options: RouteOptions,
    budget: &mut Budget,
    cursor: Option<Cursor>,
) -> Result<Part<'a>, NifError> {
    let (keys, arena, scratch) = local.parts(handle);
    let mut change = TermChange::default();
    Reader::new(&handle.router, keys, arena).read(Bare::new(term), &mut change)?;
    let progress = handle.router.route(&change.as_change(), options, scratch, budget, cursor)?;
    let list = answer::list(env, scratch, |column| keys.name(column), options.classify);
    Ok(Part::new(list, progress))
}

/// Answers a list's items in order until one is not whole. `answer` gives `None` for "not now".
pub(crate) fn in_order<'a>(
    env: Env<'a>,
    items: Term<'a>,
    mut answer: impl FnMut(usize, Term<'a>) -> Result<Option<Part<'a>>, NifError>,
) -> Result<Term<'a>, NifError> {
    let not_a_list = |_| NifError::argument("changes is not a list");
    let mut rest = items;
    let mut answers = Term::list_new_empty(env);
    let mut index = 0;
    let in_turn = |answers: Term<'a>| answers.list_reverse().map_err(not_a_list);
    while !rest.is_empty_list() {
        let (item, tail) = rest.list_get_cell().map_err(not_a_list)?;
        let part = answer(index, item).map_err(|e| e.at(format_args!("change {index}")))?;
        let Some(part) = part else {
            let empty = Term::list_new_empty(env);
            return Ok((atoms::more(), in_turn(answers)?, rest, atoms::nil(), empty).encode(env));
        };
        if let Some((how, cursor)) = part.rest {
            return Ok((how, in_turn(answers)?, rest, cursor, part.list).encode(env));
        }
        answers = answers.list_prepend(part.list);
        rest = tail;
        index += 1;
    }
    in_turn(answers)
}

#[rustler::nif(schedule = "DirtyCpu")]
fn router_shapes(handle: &RouterHandle) -> Vec<u64> {
    handle.router.shapes()
}

#[rustler::nif(schedule = "DirtyCpu")]
fn router_metrics<'a>(env: Env<'a>, handle: &RouterHandle) -> Term<'a> {
    let m = handle.router.metrics();
    let integers = [
        ("shapes", m.shapes),
        ("templates", m.templates),
        ("scan_shapes", m.scan_shapes),
        ("known_shapes", m.known_shapes),
        ("changes", m.changes),
        ("changes_with_candidates", m.changes_with_candidates),
        ("changes_with_matches", m.changes_with_matches),
        ("candidates", m.candidates),
        ("matches", m.matches),
        ("eval_errors", m.eval_errors),
        ("unknown_answers", m.unknown_answers),
        ("continuations", m.continuations),
        ("membership_keys", m.membership_keys),
        ("staged_transactions", m.staged_transactions),
        ("acked_lsn", m.acked_lsn),
        ("value_sets", m.value_sets),
        ("unready_sets", m.unready_sets),
        ("set_values", m.set_values),
        ("set_bytes", m.set_bytes),
        ("memory_bytes", m.memory_bytes),
        ("journal_bytes", m.journal_bytes),
        ("snapshot_bytes", m.snapshot_bytes),
        ("index_bytes", m.index_bytes),
        ("index_failed", m.index_failed),
        ("open_loaded", m.open_loaded),
        ("open_refused", m.open_refused),
    ];
    let floats = [
        ("avg_route_us", m.avg_route_us),
        ("p99_route_us", m.p99_route_us),
        ("presence_hit_rate", m.presence_hit_rate()),
        ("false_positive_rate", m.false_positive_rate()),
        ("bytes_per_shape", m.bytes_per_shape()),
        ("open_ms", m.open_ms),
    ];
    let pairs = integers.iter().map(|(name, value)| (name.encode(env), value.encode(env)));
    let pairs =
        pairs.chain(floats.iter().map(|(name, value)| (name.encode(env), value.encode(env))));
    let metrics = Term::map_from_pairs(env, &pairs.collect::<Vec<_>>());
    reply(env, metrics.map_err(|_| NifError::new("internal", "the metrics are no map")))
}

/// `{filed, [{column, index, shapes}], columns, template | nil, known, [set]}`.
#[rustler::nif]
fn router_explain<'a>(env: Env<'a>, handle: &RouterHandle, id: u64) -> Term<'a> {
    let explained = handle.router.explain(id).map_err(NifError::from);
    let term = |e: shape_router::Explanation| {
        let conditions = e.conditions.into_iter().map(|c| (c.column, c.index, c.shapes));
        let conditions: Vec<_> = conditions.collect();
        let sets: Vec<_> = e.sets.into_iter().map(|set| value_set::info(env, set)).collect();
        (e.filed, conditions, e.columns, e.template, e.known, sets).encode(env)
    };
    reply(env, explained.map(term))
}

/// `{candidate, new | nil, old | nil, class | nil}`.
#[rustler::nif(schedule = "DirtyCpu")]
fn router_why<'a>(env: Env<'a>, handle: &RouterHandle, change: Term<'a>, id: u64) -> Term<'a> {
    let why = || -> Result<Term<'a>, NifError> {
        let (arena, keys) = (Bump::new(), handle.keys());
        let mut read = TermChange::default();
        Reader::new(&handle.router, &keys, &arena)
            .with_keys()
            .read(Bare::new(change), &mut read)?;
        let why = handle.router.why(&read.as_change(), id)?;
        Ok((why.candidate, why.new, why.old, why.class.map(answer::class)).encode(env))
    };
    reply(env, why())
}

#[rustler::nif(schedule = "DirtyCpu")]
fn router_rebuild<'a>(env: Env<'a>, handle: &RouterHandle) -> Term<'a> {
    let rebuilt = handle.router.rebuild().map_err(NifError::from);
    reply(env, rebuilt.map(|()| atoms::ok().to_term(env)))
}

#[rustler::nif(schedule = "DirtyIo")]
fn router_close<'a>(env: Env<'a>, handle: &RouterHandle) -> Term<'a> {
    let closed = handle.router.close().map_err(NifError::from);
    reply(env, closed.map(|()| atoms::ok().to_term(env)))
}
