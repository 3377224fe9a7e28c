//! What a regular expression is made of, as far as it matters for where its groups match.
//!
//! PostgreSQL finds the whole match first, the longest or the shortest from the first place there is
//! one, and then takes it apart from the outside in. Which part is asked for its longest match and
//! which for its shortest follows from how the expression is divided and from preferences that rise
//! from quantifiers; so division and preferences are PostgreSQL's own here.

use regex_syntax::hir::{Hir, Repetition};

/// It prefers longer matches.
pub(super) const LONGER: u8 = 1;
/// It prefers shorter matches.
pub(super) const SHORTER: u8 = 2;
/// Both preferences are in it.
pub(super) const MIXED: u8 = 4;
/// There are groups in it, or it is one.
pub(super) const CAPTURES: u8 = 8;
pub(super) const PREFERENCE: u8 = LONGER | SHORTER;

/// What a part's flags say of what it is part of.
pub(super) fn up(flags: u8) -> u8 {
    let mixed = if flags & PREFERENCE == PREFERENCE { MIXED } else { 0 };
    flags & !PREFERENCE | mixed
}

/// Must a match be taken apart?
pub(super) fn is_messy(flags: u8) -> bool {
    flags & (MIXED | CAPTURES) != 0
}

/// The flags of two parts in a row: the first preference there is prevails.
pub(super) fn combine(first: u8, second: u8) -> u8 {
    let preference = if first & PREFERENCE != 0 { first } else { second } & PREFERENCE;
    up(first | second) | preference
}

/// How a part is made.
pub(super) enum Kind {
    /// Its match need not be taken apart.
    Leaf,
    /// Two in a row.
    Concatenation(Box<[Node; 2]>),
    Alternation(Vec<Node>),
    /// So many rounds.
    Iteration(Box<Node>, u32, Option<u32>),
    /// A group that is nothing but another group.
    Wrapper(Box<Node>),
}

/// A part of an expression.
pub(super) struct Node {
    pub kind: Kind,
    pub flags: u8,
    /// Its number, if it is a group.
    pub group: Option<u32>,
    /// What it matches.
    pub hir: Hir,
}

impl Node {
    pub(super) fn leaf(hir: Hir, flags: u8) -> Node {
        Node { kind: Kind::Leaf, flags, group: None, hir }
    }

    pub(super) fn concatenation(first: Node, second: Node, flags: u8) -> Node {
        let hir = Hir::concat(vec![first.hir.clone(), second.hir.clone()]);
        let kind = Kind::Concatenation(Box::new([first, second]));
        Node { kind, flags, group: None, hir }
    }

    pub(super) fn alternation(branches: Vec<Node>) -> Node {
        let flags = branches.iter().fold(LONGER, |flags, branch| flags | up(flags | branch.flags));
        if !is_messy(flags) {
            let hirs = branches.into_iter().map(|branch| branch.hir).collect();
            return Node::leaf(Hir::alternation(hirs), flags);
        }
        let hir = Hir::alternation(branches.iter().map(|branch| branch.hir.clone()).collect());
        Node { kind: Kind::Alternation(branches), flags, group: None, hir }
    }

    pub(super) fn iteration(inner: Node, min: u32, max: Option<u32>, flags: u8) -> Node {
        let hir = repeat(inner.hir.clone(), min, max);
        Node { kind: Kind::Iteration(Box::new(inner), min, max), flags, group: None, hir }
    }

    /// As the group of this number.
    pub(super) fn captured(mut self, number: u32) -> Node {
        let flags = self.flags | CAPTURES;
        if self.group.is_none() {
            (self.flags, self.group) = (flags, Some(number));
            return self;
        }
        let hir = self.hir.clone();
        Node { kind: Kind::Wrapper(Box::new(self)), flags, group: Some(number), hir }
    }

    pub(super) fn is_leaf(&self) -> bool {
        matches!(self.kind, Kind::Leaf)
    }

    /// Is it a group, or is there one in it?
    pub(super) fn has_structure(&self) -> bool {
        self.flags & CAPTURES != 0
    }
}

/// So many in a row.
pub(super) fn repeat(hir: Hir, min: u32, max: Option<u32>) -> Hir {
    match (min, max) {
        (1, Some(1)) => hir,
        (0, Some(0)) => Hir::empty(),
        _ => Hir::repetition(Repetition { min, max, greedy: true, sub: Box::new(hir) }),
    }
}
