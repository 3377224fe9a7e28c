//! Shapes that feed their sets themselves, each at its own time, beside an evaluator that gives each shape
//! what it sees: no shape is missed, and where all agree none is named beside those that are concerned.
#![allow(clippy::unwrap_used)]

mod subquery_support;

use proptest::prelude::*;
use shape_router::{Router, ShapeSpec};
use std::collections::{BTreeMap, BTreeSet};
use subquery_support::*;

type Rows = Vec<Vec<Value>>;

#[derive(Clone, Debug)]
enum Step {
    Add(Clause),
    Remove(prop::sample::Index),
    /// Of a shape, and one of its subqueries.
    Seed(prop::sample::Index, prop::sample::Index, [Rows; 2]),
    Feed(prop::sample::Index, prop::sample::Index, [Rows; 2], [Rows; 2]),
    Ready(prop::sample::Index),
    /// All shapes say the same of a set, and that they are ready.
    Agree(usize, Rows),
}

/// Rows of one column, and of two.
fn rows() -> impl Strategy<Value = [Rows; 2]> {
    (rows_of(0, 3), rows_of(SINGLES, 3)).prop_map(|(one, two)| [one, two])
}

fn step() -> impl Strategy<Value = Step> {
    let any = || any::<prop::sample::Index>();
    let set = 0..SINGLES + PAIRS;
    prop_oneof![
        4 => clause().prop_map(Step::Add),
        1 => any().prop_map(Step::Remove),
        4 => (any(), any(), rows()).prop_map(|(a, b, rows)| Step::Seed(a, b, rows)),
        6 => (any(), any(), rows(), rows()).prop_map(|(a, b, c, d)| Step::Feed(a, b, c, d)),
        4 => any().prop_map(Step::Ready),
        1 => set.prop_flat_map(|set| rows_of(set, 4).prop_map(move |rows| Step::Agree(set, rows))),
    ]
}

/// A shape, and what it sees of each of its subqueries, in their order in the clause.
struct Shape {
    clause: Clause,
    /// The clause with its subqueries numbered.
    numbered: Clause,
    sets: Vec<usize>,
    sees: Sets,
    counts: BTreeSet<usize>,
    ready: bool,
}

impl Shape {
    fn new(clause: Clause) -> Self {
        let mut uses = Vec::new();
        clause.uses(&mut uses);
        let sets: Vec<usize> = uses.into_iter().map(|(set, _)| set).collect();
        let mut numbered = clause.clone();
        number(&mut numbered, &mut 0);
        let sees = Sets((0..sets.len()).map(|at| (at, BTreeSet::new())).collect());
        Self { clause, numbered, sets, sees, counts: BTreeSet::new(), ready: false }
    }

    fn is_of(&self, row: &Row) -> bool {
        self.numbered.eval(row, &self.sees) == Some(true)
    }
}

fn number(clause: &mut Clause, next: &mut usize) {
    match clause {
        Clause::Member { set, .. } => {
            *set = *next;
            *next += 1;
        }
        Clause::Equal(..) | Clause::IsNull(_) => {}
        Clause::Not(inner) | Clause::IsTrue(inner, _) => number(inner, next),
        Clause::And(all) | Clause::Or(all) => all.iter_mut().for_each(|one| number(one, next)),
    }
}

fn width(set: usize) -> usize {
    if set < SINGLES { 0 } else { 1 }
}

struct World {
    router: Router,
    shapes: BTreeMap<u64, Shape>,
    next_id: u64,
}

impl World {
    fn new() -> Self {
        let router = Router::new(shape_router::Config { short_list: 4, ..config() }).unwrap();
        router.feed_by_shape().unwrap();
        Self { router, shapes: BTreeMap::new(), next_id: 1 }
    }

    fn add(&mut self, clause: Clause) {
        let id = self.next_id;
        self.next_id += 1;
        self.router.add_shape(ShapeSpec::new(id, Some(&clause.sql()))).unwrap();
        let shape = Shape::new(clause);
        let texts: Vec<String> = shape.sets.iter().map(|set| subquery(*set)).collect();
        let names = texts.iter().zip(0u32..).map(|(text, at)| (at, text.as_str()));
        self.router.name_subqueries(id, &names.collect::<Vec<_>>()).unwrap();
        self.shapes.insert(id, shape);
    }

    fn id(&self, which: prop::sample::Index) -> Option<u64> {
        let ids: Vec<u64> = self.shapes.keys().copied().collect();
        (!ids.is_empty()).then(|| *which.get(&ids))
    }

    /// A shape, and one of its subqueries with its width.
    fn place(
        &self,
        which: prop::sample::Index,
        at: prop::sample::Index,
    ) -> Option<(u64, usize, usize)> {
        let id = self.id(which)?;
        let sets = &self.shapes[&id].sets;
        let at = (!sets.is_empty()).then(|| at.index(sets.len()))?;
        Some((id, at, width(sets[at])))
    }

    fn seed(&mut self, id: u64, at: usize, rows: &Rows) {
        self.router.seed_feeder(id, at as u32, &set_rows(rows)).unwrap();
        let shape = self.shapes.get_mut(&id).unwrap();
        shape.sees.0.get_mut(&at).unwrap().extend(rows.iter().cloned());
        shape.counts.insert(at);
    }

    fn feed(&mut self, id: u64, at: usize, added: &Rows, removed: &Rows) {
        let rows = (set_rows(added), set_rows(removed));
        assert!(self.router.feed_feeder(id, at as u32, (&rows.0, &rows.1), false).unwrap());
        let sees = self.shapes.get_mut(&id).unwrap().sees.0.get_mut(&at).unwrap();
        sees.retain(|row| !removed.contains(row));
        sees.extend(added.iter().cloned());
    }

    fn ready(&mut self, id: u64) {
        self.router.feeder_ready(id).unwrap();
        let shape = self.shapes.get_mut(&id).unwrap();
        shape.counts.extend(0..shape.sets.len());
        shape.ready = true;
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Add(clause) => self.add(clause),
            Step::Remove(which) => {
                let Some(id) = self.id(which) else { return };
                self.router.remove_shape(id).unwrap();
                self.shapes.remove(&id);
            }
            Step::Seed(which, at, rows) => {
                let Some((id, at, width)) = self.place(which, at) else { return };
                self.seed(id, at, &rows[width]);
            }
            Step::Feed(which, at, added, removed) => {
                let Some((id, at, width)) = self.place(which, at) else { return };
                self.feed(id, at, &added[width], &removed[width]);
            }
            Step::Ready(which) => {
                let Some(id) = self.id(which) else { return };
                self.ready(id);
            }
            Step::Agree(set, rows) => {
                let ids: Vec<u64> = self.shapes.keys().copied().collect();
                for id in ids {
                    for at in 0..self.shapes[&id].sets.len() {
                        if self.shapes[&id].sets[at] == set {
                            let gone = self.shapes[&id].sees.0[&at].iter().cloned().collect();
                            self.feed(id, at, &Vec::new(), &gone);
                            self.seed(id, at, &rows);
                        }
                    }
                    self.ready(id);
                }
            }
        }
    }

    /// Do all that count see the same of a subquery?
    fn agree(&self, set: usize) -> bool {
        let mut seen = BTreeSet::new();
        for shape in self.shapes.values() {
            let of_set = shape.counts.iter().filter(|at| shape.sets[**at] == set);
            seen.extend(of_set.map(|at| shape.sees.0[at].clone()));
        }
        seen.len() <= 1
    }

    fn check(&self) {
        let agreed: Vec<bool> = (0..SINGLES + PAIRS).map(|set| self.agree(set)).collect();
        for row in world() {
            let routed: BTreeSet<u64> =
                route(&self.router, &insert(&row)).into_iter().map(|(id, _)| id).collect();
            for (id, shape) in &self.shapes {
                let (named, is_of) = (routed.contains(id), shape.is_of(&row));
                let told = || format!("{row:?}, shape {id}: {}", shape.clause.sql());
                assert!(named || !is_of, "missed: {}", told());
                if shape.ready && shape.sets.iter().all(|set| agreed[*set]) {
                    assert!(is_of || !named, "extra: {}", told());
                }
            }
        }
        for (id, shape) in &self.shapes {
            assert_eq!(
                self.router.awaits_feeder(*id).unwrap(),
                !shape.ready && !shape.sets.is_empty()
            );
            for (at, set) in shape.sets.iter().enumerate() {
                for row in world() {
                    let row = [vec![row.x], vec![row.x, row.y]][width(*set)].clone();
                    let is = self.router.is_fed(*id, at as u32, &set_row(&row)).unwrap();
                    assert_eq!(
                        is,
                        shape.sees.0[&at].contains(&row),
                        "{row:?} of {set}, shape {id}"
                    );
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    #[test]
    fn no_shape_is_missed_and_none_is_extra_where_all_agree(
        steps in prop::collection::vec(step(), 1..25),
    ) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
            world.check();
        }
        for id in world.shapes.keys() {
            world.router.remove_shape(*id).unwrap();
        }
        prop_assert!(world.router.value_sets().is_empty());
        world.shapes.clear();
        // Nothing of the shapes that are gone is left to those that come.
        world.step(Step::Add(Clause::Member { left: Left::X, set: 0, negated: true }));
        world.ready(world.next_id - 1);
        world.check();
    }
}

#[test]
fn a_late_shape_is_taken_for_concerned_alone() {
    let mut world = World::new();
    let clause = |negated| Clause::Member { left: Left::X, set: 0, negated };
    for _ in 0..2 {
        world.add(clause(false));
        let id = world.next_id - 1;
        world.seed(id, 0, &vec![vec![Some(1)]]);
        world.ready(id);
    }
    let late = world.next_id;
    world.add(Clause::And(vec![clause(false), Clause::Equal('y', 7)]));
    world.feed(late, 0, &vec![vec![Some(3)]], &Vec::new());
    let ids = |world: &World, x: i64, y: i64| {
        let row = Row { id: 0, x: Some(x), y: Some(y) };
        route(&world.router, &insert(&row)).into_iter().map(|(id, _)| id).collect::<Vec<u64>>()
    };
    assert_eq!(ids(&world, 2, 7), [late]);
    assert_eq!(ids(&world, 1, 7), [1, 2, late]);
    // What the rest of its clause rules out does not concern it.
    assert!(ids(&world, 2, 8).is_empty());
    world.ready(late);
    assert!(ids(&world, 2, 7).is_empty());
    assert_eq!(ids(&world, 3, 7), [1, 2, late]);
    world.feed(late, 0, &Vec::new(), &vec![vec![Some(3)]]);
    assert!(ids(&world, 3, 7).is_empty());
}

#[test]
fn what_is_unknown_is_refused_and_changes_nothing() {
    let mut world = World::new();
    world.add(Clause::Member { left: Left::X, set: 0, negated: false });
    let router = &world.router;
    let rows = set_rows(&[vec![Some(1)]]);
    let code = |result: Result<(), shape_router::Error>| result.map_err(|error| error.code());
    assert_eq!(code(router.seed_feeder(9, 0, &rows)), Err("unknown_shape"));
    assert_eq!(code(router.seed_feeder(1, 1, &rows)), Err("unknown_set"));
    assert_eq!(code(router.feeder_ready(9)), Err("unknown_shape"));
    assert_eq!(code(router.name_subqueries(1, &[(0, "no subquery")])), Err("not_supported"));
    let text = [shape_router::KeyParts::one(shape_expr::Datum::Text(b"x"))];
    assert_eq!(code(router.seed_feeder(1, 0, &text)), Err("invalid_value"));
    assert!(router.awaits_feeder(1).unwrap());
    world.check();
    assert_eq!(code(world.router.feed_by_shape()), Err("invalid_argument"));
}

#[test]
fn agreed_values_are_kept_once() {
    const SHAPES: u64 = 200;
    const VALUES: i64 = 20_000;
    let router = Router::new(config()).unwrap();
    router.feed_by_shape().unwrap();
    let text = subquery(0);
    let rows: Rows = (0..VALUES).map(|value| vec![Some(value)]).collect();
    let rows = set_rows(&rows);
    for id in 1..=SHAPES {
        add(&router, id, &format!("x IN ({text})"));
        router.name_subqueries(id, &[(0, &text)]).unwrap();
    }
    let before = router.metrics().memory_bytes;
    for id in 1..=SHAPES {
        router.seed_feeder(id, 0, &rows).unwrap();
        router.feeder_ready(id).unwrap();
    }
    let each = (router.metrics().memory_bytes - before) as f64 / VALUES as f64;
    assert!(each < 60.0, "{each} bytes a value");
    // One that goes, and comes again, takes nothing with it.
    for id in 1..=SHAPES {
        router.feed_feeder(id, 0, (&[], &rows[..100]), true).unwrap();
    }
    for id in (1..=SHAPES).rev() {
        router.feed_feeder(id, 0, (&rows[..100], &[]), true).unwrap();
    }
    let again = (router.metrics().memory_bytes - before) as f64 / VALUES as f64;
    assert!(again < each + 1.0, "{again} bytes a value, {each} before");
}
