//! Taking a match apart: where the groups are, as PostgreSQL's engine finds it.
//!
//! Every part has an automaton of its own. A part's place is tried from its longest (or shortest)
//! match on; the rest follows, and if nothing does, the next place is tried. Places are counted in
//! characters.

use regex_automata::hybrid::dfa::{Cache, Config, DFA};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::{Anchored, Input, MatchKind};

use super::groups::{Place, Subject};
use super::tree::{Kind, Node, SHORTER};
use super::{CACHE, Refused};
use crate::error::{EvalError, Raise};

/// A part of an expression, compiled.
#[derive(Debug)]
pub(super) struct Part {
    kind: PartKind,
    pub shorter: bool,
    group: Option<usize>,
    pub dfa: DFA,
}

/// Parts by their numbers.
#[derive(Debug)]
enum PartKind {
    Leaf,
    Concatenation(usize, usize),
    Alternation(Box<[usize]>),
    Iteration { inner: usize, min: usize, max: Option<usize> },
    Wrapper(usize),
}

/// Compiles a part and those it is made of, and says which it is.
pub(super) fn compile(
    node: &Node,
    parts: &mut Vec<Part>,
    largest: &mut usize,
) -> Result<usize, Refused> {
    let kind = match &node.kind {
        Kind::Leaf => PartKind::Leaf,
        Kind::Concatenation(pair) => {
            let first = compile(&pair[0], parts, largest)?;
            PartKind::Concatenation(first, compile(&pair[1], parts, largest)?)
        }
        Kind::Alternation(branches) => {
            let all: Result<Box<[usize]>, Refused> =
                branches.iter().map(|branch| compile(branch, parts, largest)).collect();
            PartKind::Alternation(all?)
        }
        Kind::Iteration(inner, min, max) => PartKind::Iteration {
            inner: compile(inner, parts, largest)?,
            min: *min as usize,
            max: max.map(|max| max as usize),
        },
        Kind::Wrapper(inner) => PartKind::Wrapper(compile(inner, parts, largest)?),
    };
    let config =
        thompson::Config::new().which_captures(WhichCaptures::None).nfa_size_limit(Some(*largest));
    let nfa = thompson::Compiler::new().configure(config).build_from_hir(&node.hir);
    let nfa = nfa.map_err(|_| Refused::TooLarge)?;
    *largest = largest.saturating_sub(nfa.memory_usage());
    let config = Config::new()
        .match_kind(MatchKind::All)
        .cache_capacity(CACHE / 4)
        .skip_cache_capacity_check(true);
    let dfa = DFA::builder().configure(config).build_from_nfa(nfa);
    let dfa = dfa.map_err(|_| Refused::TooLarge)?;
    let group = node.group.map(|group| group as usize);
    parts.push(Part { kind, shorter: node.flags & SHORTER != 0, group, dfa });
    Ok(parts.len() - 1)
}

/// One match being taken apart.
pub(super) struct Dissection<'s> {
    pub parts: &'s [Part],
    pub caches: &'s mut [Cache],
    pub subject: &'s Subject<'s>,
    /// Where each group matched, the whole being group 0.
    pub groups: &'s mut [Option<Place>],
    /// Bytes it may still look at.
    pub fuel: u64,
}

type Tried = Result<bool, EvalError>;

impl Dissection<'_> {
    fn pay(&mut self, bytes: usize) -> Result<(), EvalError> {
        let rest = self.fuel.checked_sub(bytes as u64 + 1);
        self.fuel = rest.ok_or(EvalError::new(Raise::LimitExceeded))?;
        Ok(())
    }

    /// The end of the part's longest match from here, not beyond `stop`; or of its shortest one that
    /// ends at `least` or later.
    pub fn end(
        &mut self,
        part: usize,
        start: usize,
        stop: usize,
        shortest: Option<usize>,
    ) -> Result<Option<usize>, EvalError> {
        let (dfa, cache) = (&self.parts[part].dfa, &mut self.caches[part]);
        let bytes = self.subject.bytes;
        let (from, to) = (self.subject.byte(start), self.subject.byte(stop));
        let least = shortest.map_or(from, |least| self.subject.byte(least));
        let broken = EvalError::new(Raise::LimitExceeded);
        let input = Input::new(bytes).span(from..to).anchored(Anchored::Yes);
        let mut state = dfa.start_state_forward(cache, &input).map_err(|_| broken)?;
        let mut found = None;
        let mut at = from;
        loop {
            // Automata know of a match one byte later.
            state = match bytes.get(at) {
                Some(byte) => dfa.next_state(cache, state, *byte),
                None => dfa.next_eoi_state(cache, state),
            }
            .map_err(|_| broken)?;
            if state.is_match() && at >= least && self.subject.is_character(at) {
                found = Some(at);
                if shortest.is_some() {
                    break;
                }
            } else if state.is_quit() {
                return Err(broken);
            }
            if state.is_dead() || at >= to {
                break;
            }
            at += 1;
        }
        self.pay(at - from)?;
        Ok(found.map(|byte| self.subject.place(byte)))
    }

    fn fits(&mut self, part: usize, start: usize, stop: usize) -> Tried {
        Ok(self.end(part, start, stop, None)? == Some(stop))
    }

    /// Finds the groups of a part that is known to match from `start` to `end`.
    pub fn dissect(&mut self, part: usize, start: usize, end: usize) -> Tried {
        let parts = self.parts;
        let ok = match &parts[part].kind {
            PartKind::Leaf => true,
            PartKind::Concatenation(first, second) => {
                self.concatenation(*first, *second, start, end)?
            }
            PartKind::Alternation(branches) => self.alternation(branches, start, end)?,
            PartKind::Iteration { inner, min, max } => match parts[*inner].shorter {
                false => self.longest_rounds(*inner, *min, *max, start, end)?,
                true => self.shortest_rounds(*inner, *min, *max, start, end)?,
            },
            PartKind::Wrapper(inner) => self.dissect(*inner, start, end)?,
        };
        if let (true, Some(group)) = (ok, parts[part].group)
            && let Some(slot) = self.groups.get_mut(group)
        {
            *slot = Some(Place { start, end });
        }
        Ok(ok)
    }

    fn concatenation(&mut self, first: usize, second: usize, start: usize, end: usize) -> Tried {
        let shorter = self.parts[first].shorter;
        let mut middle = self.end(first, start, end, shorter.then_some(start))?;
        while let Some(at) = middle {
            if self.fits(second, at, end)? && self.dissect(first, start, at)? {
                if self.dissect(second, at, end)? {
                    return Ok(true);
                }
                self.forget(first);
            }
            if at == if shorter { end } else { start } {
                return Ok(false);
            }
            middle = match shorter {
                true => self.end(first, start, end, Some(at + 1))?,
                false => self.end(first, start, at - 1, None)?,
            };
        }
        Ok(false)
    }

    fn alternation(&mut self, branches: &[usize], start: usize, end: usize) -> Tried {
        for branch in branches {
            if self.fits(*branch, start, end)? && self.dissect(*branch, start, end)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Takes the groups of a part for unmatched.
    fn forget(&mut self, part: usize) {
        let parts = self.parts;
        if let Some(group) = parts[part].group
            && let Some(slot) = self.groups.get_mut(group)
        {
            *slot = None;
        }
        match &parts[part].kind {
            PartKind::Leaf => {}
            PartKind::Concatenation(first, second) => {
                self.forget(*first);
                self.forget(*second);
            }
            PartKind::Alternation(branches) => branches.iter().for_each(|at| self.forget(*at)),
            PartKind::Iteration { inner, .. } | PartKind::Wrapper(inner) => self.forget(*inner),
        }
    }

    /// Room for the places where rounds end, and how many rounds there must be. A round is empty only
    /// where more of them are needed than there are characters.
    fn rounds(
        &mut self,
        (min, max): (usize, Option<usize>),
        (start, end): (usize, usize),
    ) -> Result<(usize, Ends), EvalError> {
        let min = min.max(1);
        let most = max.map_or(end - start, |max| max.min(end - start)).max(min);
        self.pay(most / 4)?;
        let mut ends = Ends::from_elem(start, most + 1);
        ends[0] = start;
        Ok((min, ends))
    }

    /// Takes rounds apart, those after the first `good` ones. The number of the round that cannot be,
    /// if there is one.
    fn verify(
        &mut self,
        inner: usize,
        ends: &[usize],
        good: &mut usize,
    ) -> Result<Option<usize>, EvalError> {
        for round in *good + 1..ends.len() {
            self.forget(inner);
            if !self.dissect(inner, ends[round - 1], ends[round])? {
                return Ok(Some(round));
            }
            *good = round;
        }
        Ok(None)
    }

    fn longest_rounds(
        &mut self,
        inner: usize,
        min: usize,
        max: Option<usize>,
        start: usize,
        end: usize,
    ) -> Tried {
        // No round at all is the last thing tried.
        let none_will_do = min == 0 && start == end;
        let (min, mut ends) = self.rounds((min, max), (start, end))?;
        let most = ends.len() - 1;
        let (mut round, mut good, mut limit) = (1, 0, end);
        while round > 0 {
            match self.end(inner, ends[round - 1], limit, None)? {
                None => round -= 1,
                Some(at) => {
                    ends[round] = at;
                    good = good.min(round - 1);
                    if at != end {
                        let empty =
                            at == ends[round - 1] && (round >= min || min - round < end - at);
                        if round >= most {
                            round -= 1;
                        } else if !empty {
                            (round, limit) = (round + 1, end);
                            continue;
                        }
                    } else if round >= min {
                        match self.verify(inner, &ends[..=round], &mut good)? {
                            None => return Ok(true),
                            Some(bad) => round = bad,
                        }
                    }
                }
            }
            // A shorter one for this round, or for one before.
            while round > 0 {
                let before = ends[round - 1];
                if ends[round] > before {
                    limit = ends[round] - 1;
                    if limit > before || (round < min && min - round >= end - before) {
                        break;
                    }
                }
                round -= 1;
            }
        }
        Ok(none_will_do)
    }

    fn shortest_rounds(
        &mut self,
        inner: usize,
        min: usize,
        max: Option<usize>,
        start: usize,
        end: usize,
    ) -> Tried {
        if min == 0 && start == end {
            return Ok(true);
        }
        let (min, mut ends) = self.rounds((min, max), (start, end))?;
        let most = ends.len() - 1;
        let (mut round, mut good, mut limit) = (1, 0, start);
        while round > 0 {
            if limit == ends[round - 1]
                && limit != end
                && (round >= min || min - round < end - limit)
            {
                limit += 1;
            }
            // The last one there may be must reach the end.
            if round >= most {
                limit = end;
            }
            match self.end(inner, ends[round - 1], end, Some(limit))? {
                None => round -= 1,
                Some(at) => {
                    ends[round] = at;
                    good = good.min(round - 1);
                    if at != end {
                        if round >= most {
                            round -= 1;
                        } else {
                            (round, limit) = (round + 1, at);
                            continue;
                        }
                    } else if round >= min {
                        match self.verify(inner, &ends[..=round], &mut good)? {
                            None => return Ok(true),
                            Some(bad) => round = bad,
                        }
                    }
                }
            }
            // A longer one for this round, or for one before.
            while round > 0 {
                if ends[round] < end {
                    limit = ends[round] + 1;
                    break;
                }
                round -= 1;
            }
        }
        Ok(false)
    }
}

type Ends = smallvec::SmallVec<[usize; 16]>;
