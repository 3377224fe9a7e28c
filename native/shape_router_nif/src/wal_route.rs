//! A connection's bytes -> answers.

use crate::answer;
use crate::atoms;
use crate::error::{NifError, reply};
use crate::handle::{CursorHandle, Local, RouterHandle, with_local};
use crate::list::List;
use crate::router::{HEAVY_UNITS, Part, options, used};
use crate::timeslice::{self, READING};
use crate::wal_group::Asked;
use parking_lot::Mutex;
use pg_wal::decode::{Message, Streaming};
use rustler::{Atom, Binary, Encoder, Env, Resource, ResourceArc, Term};
use shape_router::{Budget, Cursor, Progress, RouteOptions, Transaction};
use std::panic::RefUnwindSafe;
use wal_change::WalDecoder;

mod names {
    rustler::atoms! { off, on, parallel }
}

/// A decoder, as Erlang holds it: one connection's.
pub(crate) struct WalDecoderHandle(Mutex<Connection>);

#[rustler::resource_impl]
impl Resource for WalDecoderHandle {}

// As with routers: a panic leaves the lock free and the state readable.
impl RefUnwindSafe for WalDecoderHandle {}

struct Connection {
    decoder: WalDecoder,
    open: Option<Open>,
}

/// The transaction that is being routed.
struct Open {
    transaction: Transaction,
    /// It began with a Begin, and must end with a Commit.
    began: bool,
    ended: bool,
    /// For each router, how many of its changes are answered.
    next: Vec<usize>,
}

/// The routers that are asked.
enum Targets<'a> {
    One(&'a RouterHandle),
    /// Each under the caller's name for it.
    Named(Vec<(Term<'a>, &'a RouterHandle)>),
}

impl<'a> Targets<'a> {
    fn decode(term: Term<'a>) -> Result<Self, NifError> {
        if let Ok(one) = term.decode() {
            return Ok(Self::One(one));
        }
        let invalid =
            |_| NifError::argument("neither a router nor a map or list of {name, router}");
        let List(named) = term.decode().map_err(invalid)?;
        Ok(Self::Named(named))
    }

    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Named(all) => all.len(),
        }
    }

    fn get(&self, index: usize) -> Option<&'a RouterHandle> {
        match self {
            Self::One(one) => (index == 0).then_some(*one),
            Self::Named(all) => all.get(index).map(|(_, handle)| *handle),
        }
    }

    fn handles(&self) -> impl Iterator<Item = &'a RouterHandle> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// How changes are answered.
#[derive(Clone, Copy)]
enum Mode {
    /// By what is acknowledged.
    Read(RouteOptions),
    /// As a transaction, of which the caller may have told which.
    Stage(Option<Transaction>),
}

/// Where a call that was cut goes on: which message, how many routers have answered it, and where the
/// next one goes on.
type From<'a> = Option<(usize, usize, Option<ResourceArc<CursorHandle>>)>;

/// `wal_decoder_new(protocol, :off | :on | :parallel)`.
#[rustler::nif]
fn wal_decoder_new<'a>(env: Env<'a>, protocol: u8, streaming: Atom) -> Term<'a> {
    let new = || -> Result<Term<'a>, NifError> {
        let streaming = if streaming == names::off() {
            Streaming::Off
        } else if streaming == names::on() {
            Streaming::On
        } else if streaming == names::parallel() {
            Streaming::Parallel
        } else {
            return Err(NifError::argument("streaming is none of :off, :on, :parallel"));
        };
        let connection = Connection { decoder: WalDecoder::new(protocol, streaming)?, open: None };
        let handle = WalDecoderHandle(Mutex::new(connection));
        Ok((atoms::ok(), ResourceArc::new(handle)).encode(env))
    };
    reply(env, new())
}

/// `router_route_wal(routers, decoder, flags, [bytes], from | nil)`: `[answer]`, or
/// `{:more | :heavy, [answer], [bytes], from, part}`: the answers so far, the messages still to do, where
/// that goes on, and the part of the first one's answer that there is.
#[rustler::nif]
fn router_route_wal<'a>(
    env: Env<'a>,
    routers: Term<'a>,
    decoder: &WalDecoderHandle,
    flags: u32,
    messages: Term<'a>,
    from: From<'a>,
) -> Term<'a> {
    let mode = Mode::Read(options(flags));
    reply(env, route(env, routers, decoder, mode, messages, from, Budget::slice()))
}

/// The same after `:heavy`.
#[rustler::nif(schedule = "DirtyCpu")]
fn router_route_wal_heavy<'a>(
    env: Env<'a>,
    routers: Term<'a>,
    decoder: &WalDecoderHandle,
    flags: u32,
    messages: Term<'a>,
    from: From<'a>,
) -> Term<'a> {
    let mode = Mode::Read(options(flags));
    reply(env, route(env, routers, decoder, mode, messages, from, Budget::new(HEAVY_UNITS)))
}

/// `router_route_wal_txn(routers, decoder, {lsn, fragment, xid} | nil, [bytes], from | nil)`: as
/// `router_route_wal`.
#[rustler::nif]
fn router_route_wal_txn<'a>(
    env: Env<'a>,
    routers: Term<'a>,
    decoder: &WalDecoderHandle,
    transaction: Option<(u64, u32, Option<u32>)>,
    messages: Term<'a>,
    from: From<'a>,
) -> Term<'a> {
    reply(env, route(env, routers, decoder, stage(transaction), messages, from, Budget::slice()))
}

/// The same after `:heavy`.
#[rustler::nif(schedule = "DirtyCpu")]
fn router_route_wal_txn_heavy<'a>(
    env: Env<'a>,
    routers: Term<'a>,
    decoder: &WalDecoderHandle,
    transaction: Option<(u64, u32, Option<u32>)>,
    messages: Term<'a>,
    from: From<'a>,
) -> Term<'a> {
    let budget = Budget::new(HEAVY_UNITS);
    reply(env, route(env, routers, decoder, stage(transaction), messages, from, budget))
}

fn stage(transaction: Option<(u64, u32, Option<u32>)>) -> Mode {
    Mode::Stage(transaction.map(|(lsn, fragment, xid)| Transaction { lsn, fragment, xid }))
}

fn route<'a>(
    env: Env<'a>,
    routers: Term<'a>,
    decoder: &WalDecoderHandle,
    mode: Mode,
    messages: Term<'a>,
    from: From<'a>,
    mut budget: Budget,
) -> Result<Term<'a>, NifError> {
    let targets = Targets::decode(routers)?;
    let in_use = || NifError::argument("the decoder is in use by another process");
    let mut connection = decoder.0.try_lock().ok_or_else(in_use)?;
    if from.is_none() {
        connection.open = None;
        if let Mode::Stage(Some(transaction)) = mode {
            connection.open(&targets, transaction, false)?;
        }
    }
    let (mut index, mut skip, mut cursor) = match from {
        None => (0, 0, None),
        Some((index, skip, None)) => (index, skip, None),
        Some((index, skip, Some(cursor))) => (index, skip, Some(cursor.take().ok_or_else(used)?)),
    };
    let not_a_list = |_| NifError::argument("messages is not a list of binaries");
    let in_turn = |answers: Term<'a>| answers.list_reverse().map_err(not_a_list);
    let empty = Term::list_new_empty(env);
    let (mut rest, mut answers) = (messages, empty);
    let answered = with_local(|local| {
        while !rest.is_empty_list() {
            let (item, tail) = rest.list_get_cell().map_err(not_a_list)?;
            if budget.is_exhausted() {
                let from = (index, skip, atoms::nil());
                return Ok((atoms::more(), in_turn(answers)?, rest, from, empty).encode(env));
            }
            if let (Mode::Read(options), Targets::One(handle), None, 0) =
                (mode, &targets, &cursor, skip)
            {
                let asked = Asked { env, handle, options };
                let at = (rest, index);
                let decoder = &mut connection.decoder;
                let (after, count) =
                    asked.together(decoder, local, &mut budget, at, &mut answers)?;
                if count > 0 {
                    rest = after;
                    index += count;
                    continue;
                }
            }
            budget.spend(READING);
            let bytes = Binary::from_term(item).map_err(not_a_list)?;
            let place = |e: NifError| e.at(format_args!("message {index}"));
            let message = connection.follow(bytes.as_slice(), &targets, mode).map_err(place)?;
            let mut call = Call { env, targets: &targets, mode, local, budget: &mut budget };
            let answer = connection.answer(&mut call, &message, skip, cursor.take());
            match answer.map_err(place)? {
                Answer::Whole(answer) => answers = answers.list_prepend(answer),
                Answer::Part { how, skip, cursor, part } => {
                    let from = (index, skip, cursor);
                    return Ok((how, in_turn(answers)?, rest, from, part).encode(env));
                }
            }
            (rest, skip) = (tail, 0);
            index += 1;
        }
        connection.finish(&targets)?;
        in_turn(answers)
    });
    timeslice::taken(env, &budget);
    answered
}

/// What a message's answer needs besides the connection.
struct Call<'c, 'a> {
    env: Env<'a>,
    targets: &'c Targets<'a>,
    mode: Mode,
    local: &'c mut Local,
    budget: &'c mut Budget,
}

enum Answer<'a> {
    Whole(Term<'a>),
    Part { how: Atom, skip: usize, cursor: ResourceArc<CursorHandle>, part: Term<'a> },
}

impl Connection {
    /// Takes in the next message, and what it says of the transaction.
    fn follow<'m>(
        &mut self,
        bytes: &'m [u8],
        targets: &Targets<'_>,
        mode: Mode,
    ) -> Result<Message<'m>, NifError> {
        let message = self.decoder.decode(bytes)?;
        if let Mode::Stage(told) = mode {
            self.stage(&message, targets, told.is_some())?;
        }
        Ok(message)
    }

    fn stage(
        &mut self,
        message: &Message<'_>,
        targets: &Targets<'_>,
        told: bool,
    ) -> Result<(), NifError> {
        let out_of_place = |reason: &str| {
            let message = format!("unexpected `{}` message: {reason}", message.name());
            Err(NifError::new("out_of_place", message))
        };
        let ended = self.open.as_ref().is_some_and(|open| open.ended);
        let here = self.open.as_ref().map(|open| open.transaction.lsn);
        match message {
            _ if ended => out_of_place("the transaction has ended"),
            Message::Begin(begin) if here.is_none() => {
                let (lsn, xid) = (begin.final_lsn.0, Some(begin.xid));
                self.open(targets, Transaction { lsn, fragment: 0, xid }, true)
            }
            Message::Begin(begin) if told && here == Some(begin.final_lsn.0) => Ok(()),
            Message::Begin(_) => out_of_place("another transaction is being routed"),
            Message::Commit(pg_wal::decode::Commit { commit_lsn, .. })
            | Message::StreamCommit(pg_wal::decode::StreamCommit { commit_lsn, .. }) => {
                match &mut self.open {
                    Some(open) if open.transaction.lsn == commit_lsn.0 => {
                        open.ended = true;
                        Ok(())
                    }
                    Some(_) => out_of_place("it commits another transaction"),
                    None => out_of_place("no transaction has begun"),
                }
            }
            Message::StreamStart(_) | Message::StreamStop if !told => out_of_place(
                "where a transaction in progress will commit has to be told with the option lsn",
            ),
            Message::StreamAbort(_) => out_of_place("what was rolled back is not to be routed"),
            Message::Insert(_)
            | Message::Update(_)
            | Message::Delete(_)
            | Message::Truncate(_)
            | Message::Relation(_)
                if here.is_none() =>
            {
                out_of_place("no transaction has begun")
            }
            Message::BeginPrepare(_)
            | Message::Prepare(_)
            | Message::CommitPrepared(_)
            | Message::RollbackPrepared(_)
            | Message::StreamPrepare(_) => {
                Err(pg_wal::Error::Unsupported { message: message.name() }.into())
            }
            _ => Ok(()),
        }
    }

    fn open(
        &mut self,
        targets: &Targets<'_>,
        transaction: Transaction,
        began: bool,
    ) -> Result<(), NifError> {
        for handle in targets.handles() {
            handle.router.begin_txn(transaction)?;
        }
        let next = vec![0; targets.len()];
        self.open = Some(Open { transaction, began, ended: false, next });
        Ok(())
    }

    /// All messages are answered.
    fn finish(&mut self, targets: &Targets<'_>) -> Result<(), NifError> {
        let Some(open) = self.open.take() else { return Ok(()) };
        if open.began && !open.ended {
            let message = "the transaction does not end here: route it up to its Commit in one call, \
                           or tell its commit LSN with the option lsn";
            return Err(NifError::new("out_of_place", message));
        }
        for handle in targets.handles() {
            handle.router.finish_txn(open.transaction)?;
        }
        Ok(())
    }

    /// A message's answer, of the routers after the first `skip`: of one router `nil` or a list, of
    /// named ones `[{name, list}]`.
    fn answer<'a>(
        &mut self,
        call: &mut Call<'_, 'a>,
        message: &Message<'_>,
        skip: usize,
        mut cursor: Option<Cursor>,
    ) -> Result<Answer<'a>, NifError> {
        let env = call.env;
        match call.targets {
            Targets::One(handle) => {
                let part = self.route(call, handle, 0, message, cursor)?;
                let nil = || atoms::nil().to_term(env);
                Ok(match part {
                    None => Answer::Whole(nil()),
                    Some(Part { list, rest: None }) => Answer::Whole(list),
                    Some(Part { list, rest: Some((how, cursor)) }) => {
                        Answer::Part { how, skip: 0, cursor, part: list }
                    }
                })
            }
            Targets::Named(all) => {
                let mut answer = Term::list_new_empty(env);
                for (index, (name, handle)) in all.iter().enumerate().skip(skip) {
                    let part = self.route(call, handle, index, message, cursor.take())?;
                    let Some(Part { list, rest }) = part else { continue };
                    answer = answer.list_prepend((*name, list));
                    if let Some((how, cursor)) = rest {
                        let part = answer.list_reverse().unwrap_or(answer);
                        return Ok(Answer::Part { how, skip: index, cursor, part });
                    }
                }
                Ok(Answer::Whole(answer.list_reverse().unwrap_or(answer)))
            }
        }
    }

    /// One router's answer; `None` if the message does not concern its table.
    fn route<'a>(
        &mut self,
        call: &mut Call<'_, 'a>,
        handle: &RouterHandle,
        index: usize,
        message: &Message<'_>,
        cursor: Option<Cursor>,
    ) -> Result<Option<Part<'a>>, NifError> {
        let target = handle.target();
        if !self.decoder.concerns(message, target.table) {
            return Ok(None);
        }
        self.decoder.prepare(message, &target)?;
        let (arena, scratch) = call.local.memory();
        let Some(mut read) = self.decoder.change(message, &target, arena)? else {
            return Ok(None);
        };
        let change = read.as_change();
        let (router, classify, progress);
        match call.mode {
            Mode::Read(options) => {
                router = &handle.router;
                classify = options.classify;
                progress = router.route(&change, options, scratch, call.budget, cursor)?;
                if let (Progress::Done, Some(relation)) = (&progress, change.relation) {
                    router.define(relation)?;
                }
            }
            Mode::Stage(_) => {
                router = &handle.router;
                classify = true;
                let begun = || NifError::new("internal", "no transaction has begun");
                let open = self.open.as_mut().ok_or_else(begun)?;
                let next = open.next.get_mut(index).ok_or_else(begun)?;
                let transaction = open.transaction;
                progress =
                    router.route_txn(transaction, *next, &change, scratch, call.budget, cursor)?;
                *next += usize::from(matches!(progress, Progress::Done));
            }
        }
        let keys = (!scratch.missing().is_empty()).then(|| handle.keys());
        let name = |column| keys.as_deref().and_then(|keys| keys.name(column));
        Ok(Some(Part::new(answer::list(call.env, scratch, name, classify), progress)))
    }
}
