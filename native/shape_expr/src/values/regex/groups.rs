//! Where an expression matches, and where its groups do.

use std::sync::{Mutex, PoisonError};

use regex_automata::Input;
use regex_automata::hybrid::dfa::Cache;

use super::dissect::{self, Dissection, Part};
use super::parse::Parsed;
use super::{Refused, Regex, set};
use crate::error::{EvalError, Raise};
use crate::values::ctype::Locale;
use crate::vm::Context;

/// Characters from `start` to before `end`, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub start: usize,
    pub end: usize,
}

/// The parts of an expression, each with an automaton.
#[derive(Debug)]
pub(crate) struct Groups {
    parts: Vec<Part>,
    /// The whole.
    root: usize,
    /// How many groups there are.
    count: usize,
    /// The automata's caches, one set for each thread that ever searched at the same time.
    caches: Mutex<Vec<Vec<Cache>>>,
}

impl Groups {
    pub(super) fn new(parsed: &Parsed, largest: usize) -> Result<Groups, Refused> {
        let (mut parts, mut left) = (Vec::new(), largest);
        let root = dissect::compile(&parsed.tree, &mut parts, &mut left)?;
        Ok(Groups { parts, root, count: parsed.groups as usize, caches: Mutex::default() })
    }

    fn take(&self) -> Vec<Cache> {
        let kept = self.caches.lock().unwrap_or_else(PoisonError::into_inner).pop();
        kept.unwrap_or_else(|| self.parts.iter().map(|part| part.dfa.create_cache()).collect())
    }

    fn give_back(&self, caches: Vec<Cache>) {
        self.caches.lock().unwrap_or_else(PoisonError::into_inner).push(caches);
    }
}

/// A text as automata see it: character by character, with its words marked where they matter.
pub(super) struct Subject<'s> {
    pub bytes: &'s [u8],
    /// Where characters begin, unless every byte is one.
    starts: Option<&'s [u32]>,
    /// Are there marks beside characters?
    marked: bool,
}

impl Subject<'_> {
    /// Does a character begin here, or the text end? Before and behind a character within its marks
    /// an expression may match that takes a mark for a character.
    pub fn is_character(&self, byte: usize) -> bool {
        let begins = |starts: &[u32]| starts.binary_search(&(byte as u32)).is_ok();
        !self.marked || self.starts.is_none_or(begins)
    }

    pub fn byte(&self, place: usize) -> usize {
        self.starts.map_or(place, |starts| starts[place] as usize)
    }

    pub fn place(&self, byte: usize) -> usize {
        self.starts.map_or(byte, |starts| starts.partition_point(|start| (*start as usize) < byte))
    }
}

/// Matches of one expression in one text.
pub(crate) struct Search<'r, 'a> {
    regex: &'r Regex,
    groups: &'r Groups,
    text: &'a str,
    /// Where the text's characters begin, unless every byte is one.
    starts: Option<&'a [u32]>,
    subject: Subject<'a>,
    caches: Vec<Cache>,
}

fn starts<'a>(context: &mut Context<'a>, text: &str, step: usize) -> Result<&'a [u32], EvalError> {
    let count = text.chars().count() + 1;
    context.reserve(4 * count)?;
    let mut starts = bumpalo::collections::Vec::with_capacity_in(count, context.arena());
    let mut at = 0;
    // Marks stand on both sides of what is no ASCII.
    for c in text.chars() {
        starts.push(at as u32);
        at += if c.is_ascii() { 1 } else { c.len_utf8() + step };
    }
    starts.push(at as u32);
    Ok(starts.into_bump_slice())
}

impl<'r, 'a> Search<'r, 'a> {
    /// `None` if the expression was not compiled for this.
    pub(crate) fn new(
        context: &mut Context<'a>,
        regex: &'r Regex,
        text: &'a str,
        locale: Locale,
    ) -> Result<Option<Search<'r, 'a>>, EvalError> {
        let Some(groups) = &regex.groups else { return Ok(None) };
        let (mut own, mut subject) =
            (None, Subject { bytes: text.as_bytes(), starts: None, marked: false });
        if !text.is_ascii() {
            own = Some(starts(context, text, 0)?);
            subject.starts = own;
            if regex.words {
                context.reserve(regex.room(text))?;
                subject.bytes = set::mark_words(text, locale, context.arena()).as_bytes();
                subject.starts = Some(starts(context, text, 2)?);
                subject.marked = true;
            }
        }
        let caches = groups.take();
        Ok(Some(Search { regex, groups, text, starts: own, subject, caches }))
    }

    /// How many groups the expression has.
    pub(crate) fn count(&self) -> usize {
        self.groups.count
    }

    /// How many characters the text has.
    pub(crate) fn len(&self) -> usize {
        self.starts.map_or(self.text.len(), |starts| starts.len() - 1)
    }

    /// The characters there.
    pub(crate) fn slice(&self, place: Place) -> &'a str {
        let byte = |place: usize| self.starts.map_or(place, |starts| starts[place] as usize);
        &self.text[byte(place.start)..byte(place.end)]
    }

    /// The first match that begins here or later; with room for them, its groups too.
    pub(crate) fn find(
        &mut self,
        context: &mut Context<'a>,
        from: usize,
        found: &mut [Option<Place>],
    ) -> Result<bool, EvalError> {
        let last = self.len();
        found.fill(None);
        if from > last {
            return Ok(false);
        }
        let groups = self.groups;
        let first = match self.regex.words {
            // Marks are no places to begin at: each of the others is tried.
            true => Some(from),
            false => {
                let span = self.subject.byte(from)..self.subject.bytes.len();
                let found = self.regex.automaton.find(Input::new(self.subject.bytes).span(span));
                found.map(|found| self.subject.place(found.start()))
            }
        };
        // What was looked at to get there.
        context.charge(self.regex.cost(first.unwrap_or(last) - from))?;
        let Some(first) = first else { return Ok(false) };
        let allowed = context.fuel().saturating_mul(BYTES_PER_FUEL);
        let mut dissection = Dissection {
            parts: &groups.parts,
            caches: &mut self.caches,
            subject: &self.subject,
            groups: found,
            fuel: allowed,
        };
        let result = dissection.find(groups.root, first, last);
        let used = allowed - dissection.fuel;
        context.charge(used.div_ceil(BYTES_PER_FUEL))?;
        result
    }
}

/// What an automaton looks at is a small part of a step of fuel.
const BYTES_PER_FUEL: u64 = 16;

impl Drop for Search<'_, '_> {
    fn drop(&mut self) {
        self.groups.give_back(std::mem::take(&mut self.caches));
    }
}

impl Dissection<'_> {
    /// The first match that begins at `first` or later.
    fn find(&mut self, root: usize, first: usize, last: usize) -> Result<bool, EvalError> {
        let shorter = self.parts[root].shorter;
        for start in first..=last {
            let Some(end) = self.end(root, start, last, shorter.then_some(start))? else {
                continue;
            };
            if self.groups.len() > 1 && !self.dissect(root, start, end)? {
                // The automaton of the whole and those of its parts disagree.
                return Err(EvalError::new(Raise::NotSupported));
            }
            if let Some(whole) = self.groups.first_mut() {
                *whole = Some(Place { start, end });
            }
            return Ok(true);
        }
        Ok(false)
    }
}
