//! A circuit's views as Erlang knows them: the caller's ids, and how rows become terms.

use crate::atoms;
use crate::error::NifError;
use hashbrown::HashMap;
use rustler::{Atom, Encoder, Env, Term, TermType};
use shape_expr::Type;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use view_circuit::{Branch, Circuit, OutputColumn, ViewId};

/// What a caller calls a view.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum ViewName {
    Int(u64),
    Atom(Atom),
    Text(Box<str>),
}

impl ViewName {
    pub fn read(term: Term<'_>) -> Result<Self, NifError> {
        let name = match term.get_type() {
            TermType::Integer => term.decode().ok().map(Self::Int),
            // nil is what is left out by mistake.
            TermType::Atom => {
                term.decode().ok().filter(|atom| *atom != atoms::nil()).map(Self::Atom)
            }
            TermType::Binary => term.decode::<&str>().ok().map(|text| Self::Text(text.into())),
            _ => None,
        };
        name.ok_or_else(|| {
            let message = "a view's id is an integer from 0 to 2^64-1, an atom or a string, not";
            NifError::argument(format!("{message} {}", Shown(term)))
        })
    }
}

impl Encoder for ViewName {
    fn encode<'a>(&self, env: Env<'a>) -> Term<'a> {
        match self {
            Self::Int(int) => int.encode(env),
            Self::Atom(atom) => atom.encode(env),
            Self::Text(text) => text.encode(env),
        }
    }
}

/// A term in a message. What may be huge is only named.
pub(crate) struct Shown<'t>(pub Term<'t>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LONGEST: usize = 80;
        let term = self.0;
        f.write_str(match term.get_type() {
            TermType::Integer if term.decode::<i64>().is_ok() => return write!(f, "{term:?}"),
            TermType::Integer => "an integer of more than 64 bits",
            TermType::Atom | TermType::Float => return write!(f, "{term:?}"),
            TermType::Binary => match term.decode::<&str>() {
                Ok(text) if text.len() <= LONGEST => return write!(f, "{text:?}"),
                Ok(text) => return write!(f, "a text of {} bytes", text.len()),
                Err(_) => "a binary that is no UTF-8",
            },
            TermType::List => "a list",
            TermType::Map => "a map",
            TermType::Tuple => "a tuple",
            _ => "a term of another kind",
        })
    }
}

/// What is told of a view's changes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Telling {
    pub format: Atom,
    /// All ids of a view of at most so many rows are told with each change.
    pub most_ids: usize,
    /// Every value as PostgreSQL's text.
    pub as_text: bool,
}

/// What it takes to tell of a view.
pub(crate) struct ViewInfo {
    pub name: ViewName,
    pub telling: Telling,
    pub level: Level,
}

/// A level of a view's rows: the only one, but in trees.
pub(crate) struct Level {
    /// Each once: what the query calls twice has a number. Those of the branches follow the columns'.
    pub names: Vec<String>,
    pub types: Vec<Type>,
    pub id_types: Vec<Type>,
    pub branches: Vec<Level>,
}

impl ViewInfo {
    /// Of a view that the circuit has.
    pub fn new(
        name: ViewName,
        telling: Telling,
        circuit: &Circuit,
        id: ViewId,
    ) -> Result<Self, view_circuit::Error> {
        let id_types = circuit.id_types(id)?.cloned().collect();
        let level = Level::new(circuit.columns(id)?, id_types, &circuit.branches(id)?);
        Ok(Self { name, telling, level })
    }
}

impl Level {
    fn new(columns: &[OutputColumn], id_types: Vec<Type>, branches: &[Branch]) -> Self {
        let own = || {
            let branches = branches.iter().map(|branch| &branch.name);
            columns.iter().map(|column| &column.name).chain(branches)
        };
        let mut names: Vec<String> = Vec::with_capacity(columns.len() + branches.len());
        for called in own() {
            let is_taken = |name: &String| names.contains(name);
            let mut name = called.clone();
            if is_taken(&name) {
                // Nor a name that a later column has by itself.
                let is_own = |name: &String| own().any(|own| own == name);
                let numbered = (1..).map(|n: u32| format!("{called}_{n}"));
                let free = |name: &String| !is_taken(name) && !is_own(name);
                name = { numbered }.find(free).unwrap_or(name);
            }
            names.push(name);
        }
        let types = columns.iter().map(|column| column.ty.clone()).collect();
        let branch = |branch: &Branch| {
            Level::new(&branch.columns, branch.id_types.clone(), &branch.branches)
        };
        Self { names, types, id_types, branches: branches.iter().map(branch).collect() }
    }
}

/// The views of a circuit by what they are called, and by the circuit's own numbers.
#[derive(Default)]
pub(crate) struct Views {
    numbers: HashMap<ViewName, ViewId>,
    /// In the order of registration.
    infos: BTreeMap<ViewId, Arc<ViewInfo>>,
    next: u64,
}

impl Views {
    pub fn find(&self, name: &ViewName) -> Result<(ViewId, &Arc<ViewInfo>), NifError> {
        let found = self.numbers.get(name).and_then(|id| Some((*id, self.infos.get(id)?)));
        found.ok_or_else(|| NifError::new("unknown_view", format!("there is no view {name}")))
    }

    /// A number for a new view.
    pub fn number(&self, name: &ViewName) -> Result<ViewId, NifError> {
        if self.numbers.contains_key(name) {
            let message = format!("view {name} is registered already");
            return Err(NifError::new("duplicate_view", message));
        }
        Ok(ViewId(self.next))
    }

    pub fn add(&mut self, id: ViewId, info: ViewInfo) -> Arc<ViewInfo> {
        let info = Arc::new(info);
        self.numbers.insert(info.name.clone(), id);
        self.infos.insert(id, Arc::clone(&info));
        self.next = self.next.max(id.0 + 1);
        info
    }

    pub fn remove(&mut self, name: &ViewName) {
        if let Some(id) = self.numbers.remove(name) {
            self.infos.remove(&id);
        }
    }

    /// The views with the circuit's numbers for them.
    pub fn numbered(&self) -> impl Iterator<Item = (&ViewId, &Arc<ViewInfo>)> {
        self.infos.iter()
    }

    /// No view has had this number, nor a higher one.
    pub fn next_number(&self) -> u64 {
        self.next
    }

    /// Lower numbers than this one were given.
    pub fn skip_to(&mut self, next: u64) {
        self.next = self.next.max(next);
    }

    pub fn info(&self, id: ViewId) -> Option<&Arc<ViewInfo>> {
        self.infos.get(&id)
    }

    pub fn all(&self) -> impl Iterator<Item = &Arc<ViewInfo>> {
        self.infos.values()
    }
}

impl fmt::Display for ViewName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Int(int) => int.fmt(f),
            Self::Atom(atom) => write!(f, "{atom:?}"),
            Self::Text(text) => write!(f, "{text:?}"),
        }
    }
}
