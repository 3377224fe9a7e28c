//! What a change of a set means to the shapes that use it.
//!
//! | the clause has the set | a value comes | a value goes |
//! |---|---|---|
//! | in `IN` | rows with it move in | rows with it move out |
//! | in `NOT IN` | rows with it move out | rows with it move in |
//! | in both, or where NULL and false are told apart | rows with it may do either | the same |
//!
//! NULL is no value like others. To `IN` it does not matter, neither in the set nor on the left. To `NOT
//! IN` it does: with a NULL in the set no row is in the shape, so when the first one comes all rows move
//! out, and when the last one goes all may move in; while it is there nothing moves. A row that is NULL on
//! the left is in `NOT IN` of an empty set only, so it moves when the first value comes and when the last
//! one goes: such a move names NULL beside the values. Of several columns those combinations are named in
//! which a row may agree with what came or went in all columns that are not NULL.

use super::registry::polarity;
use super::row::{Hashed, Key};
use super::view::SetView;
use ahash::RandomState;
use hashbrown::HashSet;
use shape_expr::{Polarity, PredicateRef};

/// Which way rows move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MoveKind {
    /// Into the shape.
    In,
    /// Out of it.
    Out,
}

/// Which rows move: those that have this on the left side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MovedValue {
    /// Which of the rows that came; those that went are counted on behind them.
    pub row: u32,
    /// The columns that are meant, as bits; the others are NULL.
    pub columns: u8,
}

/// Rows of a shape that move, or may move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Move {
    /// The shape's id.
    pub id: u64,
    /// Which way.
    pub kind: MoveKind,
    /// Which list of [`Moves::lists`] names the rows; `None`: all rows may.
    pub list: Option<usize>,
}

/// The answer to a change of a set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moves {
    /// By id, moves out before moves in.
    pub moves: Vec<Move>,
    /// What moves; shapes share it.
    pub lists: Vec<Vec<MovedValue>>,
}

impl Moves {
    /// Takes in the moves that another set has brought.
    pub(crate) fn join(&mut self, other: Moves) {
        let first = self.lists.len();
        let moved = |one: Move| Move { list: one.list.map(|list| list + first), ..one };
        self.moves.extend(other.moves.into_iter().map(moved));
        self.lists.extend(other.lists);
        self.moves.sort_by_key(|moved| (moved.id, moved.kind == MoveKind::In));
    }
}

/// How the moves of the shapes of one polarity are told: `None`, nothing moves that way.
#[derive(Clone, Default)]
struct Told {
    into: Option<Rows>,
    out: Option<Rows>,
}

/// The rows that move.
#[derive(Clone)]
enum Rows {
    All,
    These(Vec<MovedValue>),
}

/// What a change does to a set, as far as moves depend on it.
#[derive(Default)]
pub(crate) struct Gathered {
    /// Rows without NULL that came, and those that went.
    came: Vec<MovedValue>,
    went: Vec<MovedValue>,
    /// What rows with a NULL on the left may agree with from now on, and what they no longer may.
    open_came: Vec<MovedValue>,
    open_went: Vec<MovedValue>,
    any_came: bool,
    any_went: bool,
    null_before: bool,
    null_after: bool,
}

impl Gathered {
    /// Begins to watch a content.
    pub fn new(view: SetView<'_>, content: u32, columns: u8) -> Self {
        let null_before = view.rows(content, columns, true) > 0;
        Self { null_before, ..Self::default() }
    }

    /// A row came or went: it is that already in the view.
    pub fn note(
        &mut self,
        view: SetView<'_>,
        content: u32,
        row: u32,
        hashed: &Hashed,
        there: bool,
    ) {
        if there {
            self.any_came = true;
        } else {
            self.any_went = true;
        }
        if !hashed.is_whole() {
            return;
        }
        let all = hashed.all();
        let (whole, open) = match there {
            true => (&mut self.came, &mut self.open_came),
            false => (&mut self.went, &mut self.open_went),
        };
        whole.push(MovedValue { row, columns: all });
        let secret = view.sets.contents.secret();
        for columns in 0..all {
            let count = view.count(content, hashed.part(secret, all, columns));
            if count == i64::from(there) {
                open.push(MovedValue { row, columns });
            }
        }
    }

    /// Takes back what came and went again, or went and came again.
    pub fn cancel(&mut self, key: impl Fn(&MovedValue) -> Key) {
        let pairs = [(&mut self.came, &mut self.went), (&mut self.open_came, &mut self.open_went)];
        for (came, went) in pairs {
            if came.is_empty() || went.is_empty() {
                continue;
            }
            let gone: HashSet<Key, RandomState> = went.iter().map(&key).collect();
            let back: HashSet<Key, RandomState> =
                came.iter().map(&key).filter(|key| gone.contains(key)).collect();
            for list in [came, went] {
                list.retain(|moved| !back.contains(&key(moved)));
            }
        }
    }

    /// What the shapes among these that use the set have to be told.
    pub fn tell<'p>(
        mut self,
        view: SetView<'_>,
        (set, content, columns): (u32, u32, u8),
        shapes: impl Iterator<Item = (u64, PredicateRef<'p>)>,
    ) -> Moves {
        self.null_after = view.rows(content, columns, true) > 0;
        let told = [Polarity::Positive, Polarity::Negative, Polarity::Both];
        let told = told.map(|polarity| self.told(polarity, columns));
        let mut moves = Moves::default();
        let mut lists: [[Option<usize>; 2]; 3] = Default::default();
        for (id, predicate) in shapes {
            let at = match polarity(predicate, set) {
                None => continue,
                Some(Polarity::Positive) => 0,
                Some(Polarity::Negative) => 1,
                Some(Polarity::Both) => 2,
            };
            let both = [(MoveKind::Out, &told[at].out), (MoveKind::In, &told[at].into)];
            for (way, (kind, rows)) in both.into_iter().enumerate() {
                let list = match rows {
                    None => continue,
                    Some(Rows::All) => None,
                    Some(Rows::These(rows)) => {
                        let list = lists[at][way].get_or_insert_with(|| {
                            moves.lists.push(rows.clone());
                            moves.lists.len() - 1
                        });
                        Some(*list)
                    }
                };
                moves.moves.push(Move { id, kind, list });
            }
        }
        moves.moves.sort_by_key(|moved| (moved.id, moved.kind == MoveKind::In));
        moves
    }

    fn told(&self, polarity: Polarity, columns: u8) -> Told {
        let these = |rows: Vec<MovedValue>| (!rows.is_empty()).then_some(Rows::These(rows));
        let joined = |lists: &[&Vec<MovedValue>]| {
            let mut all: Vec<MovedValue> =
                lists.iter().flat_map(|list| list.iter().copied()).collect();
            all.sort_unstable();
            all.dedup();
            all
        };
        if polarity == Polarity::Positive {
            return Told { into: these(self.came.clone()), out: these(self.went.clone()) };
        }
        let null = self.null_before || self.null_after;
        let changed = self.any_came || self.any_went;
        match (polarity, null) {
            (Polarity::Negative, true) if columns == 1 => {
                match (self.null_before, self.null_after) {
                    (false, true) => Told { into: None, out: Some(Rows::All) },
                    (true, false) => Told { into: Some(Rows::All), out: None },
                    _ => Told::default(),
                }
            }
            (Polarity::Negative, true) => Told {
                into: self.any_went.then_some(Rows::All),
                out: self.any_came.then_some(Rows::All),
            },
            (Polarity::Negative, false) => Told {
                into: these(joined(&[&self.went, &self.open_went])),
                out: these(joined(&[&self.came, &self.open_came])),
            },
            (_, true) if columns > 1 || self.null_before != self.null_after => {
                let all = changed.then_some(Rows::All);
                Told { into: all.clone(), out: all }
            }
            _ => {
                let any = [&self.came, &self.went, &self.open_came, &self.open_went];
                let rows = these(joined(&any));
                Told { into: rows.clone(), out: rows }
            }
        }
    }
}
