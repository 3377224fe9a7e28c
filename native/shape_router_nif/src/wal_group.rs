//! Rows' messages in groups: a group is read whole, then answered.

use crate::answer;
use crate::atoms;
use crate::bare::Bare;
use crate::error::NifError;
use crate::handle::{Local, RouterHandle};
use crate::timeslice::READING;
use pg_wal::decode::Message;
use rustler::{Env, Term};
use shape_router::{Answered, Budget, Change, GROUP, RouteOptions};
use smallvec::SmallVec;
use wal_change::{WalChange, WalDecoder};

/// How one router answers by what is acknowledged.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a, 'h> {
    pub env: Env<'a>,
    pub handle: &'h RouterHandle,
    pub options: RouteOptions,
}

impl<'a> Asked<'a, '_> {
    /// Puts the answers to the messages that `rest` begins with before `answers`: as many as are rows'
    /// and fit into a group and the budget. The messages after them, and how many they are. `index` is
    /// the first one's number, for errors.
    pub fn together(
        &self,
        decoder: &mut WalDecoder,
        local: &mut Local,
        budget: &mut Budget,
        (rest, index): (Term<'a>, usize),
        answers: &mut Term<'a>,
    ) -> Result<(Term<'a>, usize), NifError> {
        let Self { env, handle, options } = *self;
        let target = handle.target();
        let place = |at: usize| move |e: NifError| e.at(format_args!("message {}", index + at));
        let mut messages = SmallVec::<[Message<'a>; GROUP]>::new();
        // The rest of the list after each message.
        let mut tails = SmallVec::<[Term<'a>; GROUP]>::new();
        let mut tail = rest;
        // One by itself is no group.
        if rest.list_get_cell().is_ok_and(|(_, tail)| tail.is_empty_list()) {
            return Ok((rest, 0));
        }
        while messages.len() < GROUP
            && let Ok((item, next)) = tail.list_get_cell()
            && let Some(bytes) = Bare::new(item).bytes()
            // Whatever else comes may change what the rows after it mean.
            && matches!(bytes.first(), Some(b'I' | b'U' | b'D'))
        {
            let read = |decoder: &mut WalDecoder| -> Result<Message<'a>, NifError> {
                let message = decoder.decode(bytes)?;
                if decoder.concerns(&message, target.table) {
                    decoder.prepare(&message, &target)?;
                }
                Ok(message)
            };
            messages.push(read(decoder).map_err(place(messages.len()))?);
            tails.push(next);
            tail = next;
            budget.spend(READING);
        }
        let (arena, scratch) = local.memory();
        let mut read = SmallVec::<[Option<WalChange<'_>>; GROUP]>::new();
        for (at, message) in messages.iter().enumerate() {
            let change = decoder.change(message, &target, arena);
            read.push(change.map_err(|error| place(at)(error.into()))?);
        }
        // Which message each change is of: the others concern another table.
        let mut numbers = SmallVec::<[usize; GROUP]>::new();
        let mut changes = SmallVec::<[Change<'_>; GROUP]>::new();
        for (number, change) in read.iter_mut().enumerate() {
            if let Some(change) = change {
                numbers.push(number);
                changes.push(change.as_change());
            }
        }
        let nil = atoms::nil().to_term(env);
        let (mut done, mut ordinal) = (0, 0);
        let mut answered = |answer: &Answered<'_>| {
            let number = numbers[ordinal];
            for _ in done..number {
                *answers = answers.list_prepend(nil);
            }
            let keys = (!answer.missing.is_empty()).then(|| handle.keys());
            let name = |column| keys.as_deref().and_then(|keys| keys.name(column));
            let list = answer::parts(env, answer.routed, answer.missing, name, options.classify);
            *answers = answers.list_prepend(list);
            (done, ordinal) = (number + 1, ordinal + 1);
        };
        // A router that is not concerned is not asked: it may be closed.
        if !changes.is_empty() {
            let routed =
                handle.router.route_group(&changes, options, scratch, budget, &mut answered);
            routed.map_err(|(at, error)| {
                place(numbers.get(at).copied().unwrap_or(0))(error.into())
            })?;
        }
        if ordinal == changes.len() {
            for _ in done..messages.len() {
                *answers = answers.list_prepend(nil);
            }
            done = messages.len();
        }
        Ok((if done == 0 { rest } else { tails[done - 1] }, done))
    }
}
