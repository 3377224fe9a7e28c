//! Changes in groups: a group is read whole, then answered.

use crate::answer;
use crate::atoms;
use crate::bare::Bare;
use crate::change::{Reader, TermChange};
use crate::error::{NifError, reply};
use crate::handle::{Local, RouterHandle, with_local};
use crate::router::{options, route_with};
use crate::timeslice::{self, READING};
use rustler::{Encoder, Env, Term};
use shape_router::{Budget, Change, GROUP, RouteOptions};
use smallvec::SmallVec;

/// `[answer]`, or `{:more | :heavy, [answer], [change], cursor | nil, part}`: the answers so far, the
/// changes still to do, and where the first of those goes on.
#[rustler::nif]
fn router_route_batch<'a>(
    env: Env<'a>,
    handle: &RouterHandle,
    changes: Term<'a>,
    flags: u32,
) -> Term<'a> {
    let batch = Batch { env, handle, options: options(flags) };
    let budget = &mut Budget::slice();
    let answers = with_local(|local| batch.answer(local, changes, budget));
    timeslice::taken(env, budget);
    reply(env, answers)
}

#[derive(Clone, Copy)]
struct Batch<'a, 'h> {
    env: Env<'a>,
    handle: &'h RouterHandle,
    options: RouteOptions,
}

fn not_a_list(_: rustler::Error) -> NifError {
    NifError::argument("changes is not a list")
}

impl<'a> Batch<'a, '_> {
    fn answer(
        &self,
        local: &mut Local,
        changes: Term<'a>,
        budget: &mut Budget,
    ) -> Result<Term<'a>, NifError> {
        let Self { env, handle, options } = *self;
        let in_turn = |answers: Term<'a>| answers.list_reverse().map_err(not_a_list);
        let nothing = Term::list_new_empty(env);
        let (mut rest, mut answers, mut index) = (changes, nothing, 0);
        while !rest.is_empty_list() {
            let mut group = SmallVec::<[Term<'a>; GROUP]>::new();
            // The rest of the list after each change of the group.
            let mut tails = SmallVec::<[Term<'a>; GROUP]>::new();
            let mut tail = rest;
            while group.len() < GROUP && !tail.is_empty_list() {
                let (change, next) = tail.list_get_cell().map_err(not_a_list)?;
                group.push(change);
                tails.push(next);
                tail = next;
            }
            let answered = self.group(local, &group, index, budget, &mut answers)?;
            if answered > 0 {
                rest = tails[answered - 1];
                index += answered;
            }
            if answered == group.len() {
                continue;
            }
            if budget.is_exhausted() && index > 0 {
                let answers = in_turn(answers)?;
                return Ok((atoms::more(), answers, rest, atoms::nil(), nothing).encode(env));
            }
            // The next one is more than a group can wait for.
            let part = route_with(env, handle, local, group[answered], options, budget, None);
            let part = part.map_err(|e| e.at(format_args!("change {index}")))?;
            if let Some((how, cursor)) = part.rest {
                return Ok((how, in_turn(answers)?, rest, cursor, part.list).encode(env));
            }
            answers = answers.list_prepend(part.list);
            rest = tails[answered];
            index += 1;
        }
        in_turn(answers)
    }

    /// Puts the answers of a group, or of its first changes, before the others. How many there were.
    fn group(
        &self,
        local: &mut Local,
        group: &[Term<'a>],
        first: usize,
        budget: &mut Budget,
        answers: &mut Term<'a>,
    ) -> Result<usize, NifError> {
        let Self { env, handle, options } = *self;
        let (keys, arena, scratch) = local.parts(handle);
        let reader = Reader::new(&handle.router, keys, arena);
        let place = |at: usize| move |e: NifError| e.at(format_args!("change {}", first + at));
        let mut read: [TermChange<'_, 'a>; GROUP] = std::array::from_fn(|_| TermChange::default());
        for (at, (term, out)) in group.iter().zip(&mut read).enumerate() {
            reader.read(Bare::new(*term), out).map_err(place(at))?;
            // Reading a change costs something too, even if nothing is found.
            budget.spend(READING);
        }
        let changes: SmallVec<[Change<'_>; GROUP]> =
            read[..group.len()].iter_mut().map(TermChange::as_change).collect();
        let answered = handle.router.route_group(&changes, options, scratch, budget, |answer| {
            let name = |column| keys.name(column);
            let list = answer::parts(env, answer.routed, answer.missing, name, options.classify);
            *answers = answers.list_prepend(list);
        });
        answered.map_err(|(at, error)| place(at)(error.into()))
    }
}
