//! Regular expressions as PostgreSQL has them ("advanced", ARE), answered by automata.
//!
//! Whether there is a match ([`Regex`]) does not depend on which match comes first, and takes time
//! linear in the text. Where a match and its groups are ([`Groups`]) is PostgreSQL's own choice. Back
//! references and lookaround are refused.

mod dissect;
mod groups;
mod options;
mod parse;
mod set;
mod tree;

pub(crate) use groups::{Groups, Place, Search};
pub(crate) use options::{Flags, Options, flags};

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};

use bumpalo::Bump;
use regex_automata::meta;
use regex_automata::nfa::thompson::WhichCaptures;
use regex_automata::{Anchored, Input};

use super::ctype::Locale;
use crate::error::Raise;

/// Why an expression is not compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// PostgreSQL refuses it too: 2201B.
    Invalid,
    /// PostgreSQL has an answer, this crate has not.
    Unsupported(&'static str),
    /// Its automaton would be too big.
    TooLarge,
}

impl Refused {
    /// What evaluating it raises.
    pub(crate) const fn raise(self) -> Raise {
        match self {
            Refused::Invalid => Raise::InvalidRegex,
            Refused::Unsupported(_) => Raise::NotSupported,
            Refused::TooLarge => Raise::LimitExceeded,
        }
    }
}

/// A compiled expression.
#[derive(Debug)]
pub(crate) struct Regex {
    automaton: meta::Regex,
    /// It asks where words begin and end: texts beyond ASCII are rewritten for it.
    words: bool,
    /// How much work a byte of text can be, in steps.
    steps: usize,
    /// Where it was compiled to tell where groups are.
    groups: Option<Groups>,
}

/// What decides an expression's meaning beside its text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Flavor {
    /// `~*` rather than `~`.
    pub ignore_case: bool,
    pub locale: Locale,
    /// What a function's flags say besides.
    pub options: Options,
    /// Must it tell where groups are, or only whether there is a match?
    pub groups: bool,
}

/// Bytes of an automaton: of a constant's, and of one that a row's value makes.
const LARGEST: usize = 16 << 20;
const LARGEST_OF_ROW: usize = 4 << 20;
/// Bytes of states that a thread keeps for one expression.
const CACHE: usize = 512 << 10;

impl Regex {
    /// Compiles a constant's expression; equal ones share the automaton.
    pub(crate) fn shared(pattern: &str, flavor: Flavor) -> Result<Arc<Regex>, Refused> {
        type Known = HashMap<(Box<str>, Flavor), Weak<Regex>>;
        static KNOWN: LazyLock<Mutex<Known>> = LazyLock::new(Mutex::default);
        let key = (Box::from(pattern), flavor);
        let known = |map: &Known| map.get(&key).and_then(Weak::upgrade);
        if let Some(regex) = known(&KNOWN.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(regex);
        }
        let regex = Arc::new(Regex::new(pattern, flavor, LARGEST)?);
        let mut map = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if map.len() == map.capacity() {
            map.retain(|_, regex| regex.strong_count() > 0);
        }
        map.insert(key, Arc::downgrade(&regex));
        Ok(regex)
    }

    /// Compiles an expression that a row's value is. The last few are kept by each thread.
    pub(crate) fn of_row(pattern: &str, flavor: Flavor) -> Result<Arc<Regex>, Refused> {
        type Recent = Vec<(Box<str>, Flavor, Result<Arc<Regex>, Refused>)>;
        const KEPT: usize = 16;
        thread_local! {
            static RECENT: std::cell::RefCell<Recent> =
                const { std::cell::RefCell::new(Recent::new()) };
        }
        RECENT.with_borrow_mut(|recent| {
            let same =
                |(text, own, _): &(Box<str>, Flavor, _)| **text == *pattern && *own == flavor;
            match recent.iter().position(same) {
                Some(at) => recent[..=at].rotate_right(1),
                None => {
                    let regex = Regex::new(pattern, flavor, LARGEST_OF_ROW).map(Arc::new);
                    recent.truncate(KEPT - 1);
                    recent.insert(0, (pattern.into(), flavor, regex));
                }
            }
            recent[0].2.clone()
        })
    }

    fn new(pattern: &str, flavor: Flavor, largest: usize) -> Result<Regex, Refused> {
        // Evaluations run on small stacks too.
        stacker::maybe_grow(512 << 10, 2 << 20, || {
            let parsed = parse::parse(pattern, flavor, flavor.groups)?;
            let words = parsed.words.is_some();
            let groups = match flavor.groups {
                true => Some(Groups::new(&parsed, largest)?),
                false => None,
            };
            let hir = match &parsed.words {
                Some(words) if !flavor.groups => set::amid_the_whole(parsed.tree.hir, words),
                _ => parsed.tree.hir,
            };
            let captures =
                if flavor.groups { WhichCaptures::Implicit } else { WhichCaptures::None };
            let config = meta::Config::new()
                .which_captures(captures)
                .nfa_size_limit(Some(largest))
                .hybrid_cache_capacity(CACHE)
                .dfa(false)
                .onepass(false);
            let built = meta::Builder::new().configure(config).build_from_hir(&hir);
            let automaton = built.map_err(|_| Refused::TooLarge)?;
            let steps = 1 + automaton.memory_usage() / (16 << 10);
            Ok(Regex { automaton, words, steps, groups })
        })
    }

    /// Steps of fuel that a search in a text of so many bytes may cost.
    pub(crate) fn cost(&self, bytes: usize) -> u64 {
        1 + (bytes as u64 / 16 + 1) * self.steps as u64
    }

    /// Bytes in the arena that a search in this text needs.
    pub(crate) fn room(&self, text: &str) -> usize {
        if self.words && !text.is_ascii() { 2 * text.len() } else { 0 }
    }

    /// Is there a match in the text?
    pub(crate) fn is_match(&self, text: &str, flavor: Locale, arena: &Bump) -> bool {
        if !self.words {
            return self.automaton.is_match(text);
        }
        let text = if text.is_ascii() { text } else { set::mark_words(text, flavor, arena) };
        self.automaton.is_match(Input::new(text).anchored(Anchored::Yes))
    }
}
