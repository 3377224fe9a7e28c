//! Shapes over sets, beside an evaluator that knows nothing of indexes: random clauses, sets and rows,
//! transactions that change both in any order, replays, acknowledgements, removals and reopening.
#![allow(clippy::unwrap_used)]

mod subquery_support;

use proptest::prelude::*;
use shape_router::{Change, Class, MoveKind, Op, Router, Transaction};
use std::collections::BTreeMap;
use subquery_support::*;

/// What a transaction does.
#[derive(Clone, Debug)]
enum Item {
    Insert(Row),
    Update(Row, Row),
    Delete(Row),
    Delta { set: usize, added: Vec<Vec<Value>>, removed: Vec<Vec<Value>> },
}

#[derive(Clone, Debug)]
enum Step {
    Add(Clause),
    Remove(prop::sample::Index),
    Txn { items: Vec<Item>, again: bool, ack: bool },
    Seed { set: usize, rows: Vec<Vec<Value>> },
    Feed { set: usize, added: Vec<Vec<Value>>, removed: Vec<Vec<Value>> },
    Unready(usize),
    Rebuild,
    Reopen,
}

fn set() -> std::ops::Range<usize> {
    0..SINGLES + PAIRS
}

fn item() -> impl Strategy<Value = Item> {
    let delta = set().prop_flat_map(|set| {
        (rows_of(set, 3), rows_of(set, 3)).prop_map(move |(added, removed)| Item::Delta {
            set,
            added,
            removed,
        })
    });
    prop_oneof![
        2 => row().prop_map(Item::Insert),
        1 => (row(), row()).prop_map(|(a, b)| Item::Update(a, Row { id: a.id, ..b })),
        1 => row().prop_map(Item::Delete),
        3 => delta,
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let feed = set().prop_flat_map(|set| {
        (rows_of(set, 3), rows_of(set, 3)).prop_map(move |(added, removed)| Step::Feed {
            set,
            added,
            removed,
        })
    });
    let seed =
        set().prop_flat_map(|set| rows_of(set, 4).prop_map(move |rows| Step::Seed { set, rows }));
    let txn = (prop::collection::vec(item(), 1..6), any::<bool>(), prop::bool::weighted(0.7));
    prop_oneof![
        6 => clause().prop_map(Step::Add),
        2 => any::<prop::sample::Index>().prop_map(Step::Remove),
        8 => txn.prop_map(|(items, again, ack)| Step::Txn { items, again, ack }),
        4 => seed,
        1 => feed,
        1 => set().prop_map(Step::Unready),
        1 => Just(Step::Rebuild),
        1 => Just(Step::Reopen),
    ]
}

/// The row before a change, and after it.
type Rows<'r> = (Option<&'r Row>, Option<&'r Row>);

/// A router and what it should know.
struct World {
    router: Option<Router>,
    shapes: BTreeMap<u64, Clause>,
    /// By what is acknowledged, and with what is routed. A set that no shape uses is not there.
    acked: Known,
    now: Known,
    next_id: u64,
    lsn: u64,
    folder: Option<tempfile::TempDir>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    sets: Sets,
    ready: BTreeMap<usize, bool>,
}

impl World {
    fn new(durable: bool) -> Self {
        let folder = durable.then(|| tempfile::tempdir().unwrap());
        let mut world = Self {
            router: None,
            shapes: BTreeMap::new(),
            acked: Known::default(),
            now: Known::default(),
            next_id: 1,
            lsn: 10,
            folder,
        };
        world.open();
        world
    }

    fn open(&mut self) {
        // Short lists, so that lane indexes are met.
        let config = shape_router::Config { short_list: 4, ..config() };
        self.router = Some(match &self.folder {
            Some(folder) => Router::open(config, folder.path(), Default::default()).unwrap(),
            None => Router::new(config).unwrap(),
        });
    }

    fn router(&self) -> &Router {
        self.router.as_ref().unwrap()
    }

    fn is_used(&self, set: usize) -> bool {
        self.shapes.values().any(|clause| {
            let mut uses = Vec::new();
            clause.uses(&mut uses);
            uses.iter().any(|(used, _)| *used == set)
        })
    }

    /// Sets come and go with the shapes that use them. One that is compared as two types is two; both
    /// are fed alike, and both are unknown as soon as one is.
    fn settle(&mut self) {
        for set in set() {
            let used = self.is_used(set);
            for known in [&mut self.acked, &mut self.now] {
                if !used {
                    known.sets.0.remove(&set);
                    known.ready.remove(&set);
                }
            }
        }
    }

    fn is_known(&self, known: &Known, clause: &Clause) -> bool {
        let mut uses = Vec::new();
        clause.uses(&mut uses);
        uses.iter().all(|(set, _)| known.ready.get(set).copied().unwrap_or(false))
    }

    /// True is contained in the answer, and nothing else but what is not known.
    fn check(&self, known: &Known, rows: Rows<'_>, answer: &[(u64, Class)]) {
        for (id, clause) in &self.shapes {
            let found = answer.iter().find(|(found, _)| found == id).map(|(_, class)| *class);
            let is = |row: Option<&Row>| {
                row.is_some_and(|row| clause.eval(row, &known.sets) == Some(true))
            };
            if !self.is_known(known, clause) {
                continue;
            }
            let expected = match (is(rows.0), is(rows.1)) {
                (true, true) => Some(Class::Update),
                (false, true) => Some(Class::Insert),
                (true, false) => Some(Class::Delete),
                (false, false) => None,
            };
            assert_eq!(found, expected, "{id}: {} of {rows:?} in {known:?}", clause.sql());
        }
        assert!(answer.iter().all(|(id, _)| self.shapes.contains_key(id)));
    }

    fn change(item: &Item) -> Option<(Change<'_>, Rows<'_>)> {
        Some(match item {
            Item::Insert(row) => (insert(row), (None, Some(row))),
            Item::Update(old, new) => (
                Change { old: Some(old), new: Some(new), ..Change::new(Op::Update) },
                (Some(old), Some(new)),
            ),
            Item::Delete(row) => {
                (Change { old: Some(row), ..Change::new(Op::Delete) }, (Some(row), None))
            }
            Item::Delta { .. } => return None,
        })
    }

    fn transaction(&mut self, items: &[Item], transaction: Transaction) {
        self.router().begin_txn(transaction).unwrap();
        for (index, item) in items.iter().enumerate() {
            if let Some((change, rows)) = Self::change(item) {
                let answer = route_txn(self.router(), transaction, index, &change);
                self.check(&self.now, rows, &answer);
                // What is routed and not acknowledged is nobody else's business.
                self.check(&self.acked, rows, &route(self.router(), &change));
            }
            if let Item::Delta { set, added, removed } = item {
                self.delta(transaction, index, *set, added, removed);
            }
        }
        self.router().finish_txn(transaction).unwrap();
    }

    fn delta(
        &mut self,
        transaction: Transaction,
        index: usize,
        set: usize,
        added: &[Vec<Value>],
        removed: &[Vec<Value>],
    ) {
        let before = self.now.sets.clone();
        if self.is_used(set) {
            let rows = self.now.sets.0.entry(set).or_default();
            removed.iter().for_each(|row| {
                rows.remove(row);
            });
            rows.extend(added.iter().cloned());
        }
        let (come, go) = (set_rows(added), set_rows(removed));
        let moves =
            self.router().move_values(transaction, index, &subquery(set), &come, &go).unwrap();
        let moves = written(&moves, added, removed);
        assert!(moves.is_sorted_by_key(|moved| moved.id));
        for (id, clause) in &self.shapes {
            let mut uses = Vec::new();
            clause.uses(&mut uses);
            let lefts: Vec<Left> =
                uses.iter().filter(|(used, _)| *used == set).map(|(_, left)| *left).collect();
            let own: Vec<&Moved> = moves.iter().filter(|moved| moved.id == *id).collect();
            if lefts.is_empty() || before == self.now.sets {
                assert!(own.is_empty(), "{}: nothing came or went: {own:?}", clause.sql());
            }
            if !self.is_known(&self.now, clause) {
                continue;
            }
            for row in world() {
                let is = |sets| clause.eval(&row, sets) == Some(true);
                let kind = match (is(&before), is(&self.now.sets)) {
                    (false, true) => MoveKind::In,
                    (true, false) => MoveKind::Out,
                    _ => continue,
                };
                let names = |moved: &&&Moved| {
                    moved.kind == kind
                        && moved.values.as_ref().is_none_or(|values| {
                            lefts.iter().any(|left| values.contains(&left.of(&row)))
                        })
                };
                assert!(
                    own.iter().any(|moved| names(&moved)),
                    "{}: {row:?} moves {kind:?} by {added:?} and {removed:?}: {own:?}",
                    clause.sql()
                );
            }
        }
        assert!(moves.iter().all(|moved| self.shapes.contains_key(&moved.id)));
    }

    fn run(&mut self, step: &Step) {
        match step {
            Step::Add(clause) => {
                add(self.router(), self.next_id, &clause.sql());
                let mut uses = Vec::new();
                clause.uses(&mut uses);
                // A set that is now compared as another type too is not known as that.
                self.shapes.insert(self.next_id, clause.clone());
                self.next_id += 1;
                self.tell_ready();
            }
            Step::Remove(index) => {
                let ids: Vec<u64> = self.shapes.keys().copied().collect();
                if !ids.is_empty() {
                    let id = ids[index.index(ids.len())];
                    self.router().remove_shape(id).unwrap();
                    self.shapes.remove(&id);
                    self.settle();
                    self.tell_ready();
                }
            }
            Step::Txn { items, again, ack } => {
                self.lsn += 10;
                let transaction = Transaction::at(self.lsn);
                let before = self.now.clone();
                self.transaction(items, transaction);
                if *again {
                    self.now = before;
                    self.transaction(items, transaction);
                }
                if *ack {
                    while !self.router().ack(self.lsn, 2).unwrap() {}
                    self.acked = self.now.clone();
                    // What is acknowledged moves nothing any more.
                    self.router().begin_txn(transaction).unwrap();
                    for (index, item) in items.iter().enumerate() {
                        if let Some((change, _)) = Self::change(item) {
                            route_txn(self.router(), transaction, index, &change);
                        }
                        if let Item::Delta { set, added, removed } = item {
                            let (come, go) = (set_rows(added), set_rows(removed));
                            let sql = subquery(*set);
                            let moves =
                                self.router().move_values(transaction, index, &sql, &come, &go);
                            assert!(moves.unwrap().moves.is_empty());
                        }
                    }
                    self.router().finish_txn(transaction).unwrap();
                }
            }
            Step::Seed { set, rows } => {
                self.ack_all();
                if self.is_used(*set) {
                    seed(self.router(), *set, rows);
                    for known in [&mut self.acked, &mut self.now] {
                        known.sets.0.insert(*set, rows.iter().cloned().collect());
                        known.ready.insert(*set, true);
                    }
                } else {
                    let refused = self.router().seed_values(&subquery(*set), &set_rows(rows));
                    assert_eq!(refused.unwrap_err().code(), "unknown_set");
                }
            }
            Step::Feed { set, added, removed } => {
                self.ack_all();
                if self.is_used(*set) {
                    let (come, go) = (set_rows(added), set_rows(removed));
                    self.router().feed_values(&subquery(*set), &come, &go).unwrap();
                    for known in [&mut self.acked, &mut self.now] {
                        let rows = known.sets.0.entry(*set).or_default();
                        removed.iter().for_each(|row| {
                            rows.remove(row);
                        });
                        rows.extend(added.iter().cloned());
                    }
                }
            }
            Step::Unready(set) => {
                if self.is_used(*set) {
                    self.router().mark_values(&subquery(*set), false).unwrap();
                    self.acked.ready.insert(*set, false);
                    self.now.ready.insert(*set, false);
                }
            }
            Step::Rebuild => self.router().rebuild().unwrap(),
            Step::Reopen => {
                if self.folder.is_some() {
                    self.router().close().unwrap();
                    self.open();
                    (self.acked, self.now) = (Known::default(), Known::default());
                    assert_eq!(
                        self.router().shapes(),
                        self.shapes.keys().copied().collect::<Vec<_>>()
                    );
                    assert!(self.router().value_sets().iter().all(|set| !set.ready));
                }
            }
        }
        let infos = self.router().value_sets();
        for set in set() {
            let text = Router::subquery_text(&subquery(set)).unwrap();
            let there = infos.iter().any(|info| info.subquery == text);
            assert_eq!(there, self.is_used(set), "set {set} is there while it is used");
        }
    }

    /// Which sets are ready, as the router says: one subquery may have several, of different types.
    fn tell_ready(&mut self) {
        let infos = self.router().value_sets();
        for set in set() {
            let text = Router::subquery_text(&subquery(set)).unwrap();
            let of_set: Vec<_> = infos.iter().filter(|info| info.subquery == text).collect();
            if of_set.is_empty() {
                continue;
            }
            let ready = of_set.iter().all(|info| info.ready);
            for known in [&mut self.acked, &mut self.now] {
                known.ready.insert(set, ready);
            }
        }
    }

    fn ack_all(&mut self) {
        while !self.router().ack(self.lsn, 1000).unwrap() {}
        self.acked = self.now.clone();
    }

    fn check_all(&self) {
        for row in world() {
            self.check(&self.acked, (None, Some(&row)), &route(self.router(), &insert(&row)));
        }
    }
}

fn law(steps: &[Step], durable: bool) {
    let mut world = World::new(durable);
    for step in steps {
        world.run(step);
        world.check_all();
    }
    let ids: Vec<u64> = world.shapes.keys().copied().collect();
    ids.iter().for_each(|id| world.router().remove_shape(*id).unwrap());
    assert!(world.router().value_sets().is_empty());
    assert_eq!(world.router().metrics().set_values, 0);
}

fn cases(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(cases(300))]
    #[test]
    fn answers_and_moves_are_those_of_every_clause_by_itself(
        steps in prop::collection::vec(step(), 1..40),
    ) {
        law(&steps, false);
    }
}

proptest! {
    #![proptest_config(cases(24))]
    #[test]
    fn so_they_are_across_reopening(steps in prop::collection::vec(step(), 1..20)) {
        law(&steps, true);
    }
}
