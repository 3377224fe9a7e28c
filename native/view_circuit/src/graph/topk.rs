//! TopK: of all rows, in their order, those from one place to another.
//!
//! All rows are kept in order, so that whatever goes, what moves up is there. A change costs the logarithm
//! of their number and what comes and goes; the rows that stay in the window are not looked at.

use std::cmp::Ordering;
use std::ops::Range;

use shape_expr::EvalError;

use super::sorted::Sorted;
use crate::delta::{Delta, Map};
use crate::key::Key;
use crate::plan::SortColumn;
use crate::row::Row;
use crate::work::Work;

/// ORDER BY, OFFSET and LIMIT. Rows that are sorted alike are sorted by their ids: which of them are shown
/// does not depend on chance.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    pub order: Vec<SortColumn>,
    /// Where the columns of the id stand.
    pub id: Vec<usize>,
    pub offset: u64,
    pub limit: Option<u64>,
    /// Columns whose values each have a window of their own.
    pub partition: Vec<usize>,
}

/// The rows that there are, by partition.
#[derive(Default)]
pub(super) struct Partitions {
    sorted: Map<Key, Sorted>,
}

impl Partitions {
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.sorted.values().map(Sorted::len).sum()
    }
}

impl Window {
    fn compare(&self, a: &Row, b: &Row) -> Ordering {
        for by in &self.order {
            let order = by.compare(&a[by.column], &b[by.column]);
            if order.is_ne() {
                return order;
            }
        }
        for column in &self.id {
            let order = a[*column].exact_cmp(&b[*column]);
            if order.is_ne() {
                return order;
            }
        }
        // In the middle of a batch a row's old and new values.
        a.exact_cmp(b)
    }

    fn places(&self) -> Range<usize> {
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX);
        let count = self.limit.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
        start..start.saturating_add(count)
    }
}

/// A row that comes or goes, by the place where it stands, or would, among those before the change.
struct Event<'d> {
    place: usize,
    goes: bool,
    row: &'d Row,
}

/// The output's change.
pub(super) fn change(
    window: &Window,
    partitions: &Partitions,
    delta: &Delta,
    work: &mut Work,
) -> Result<Delta, EvalError> {
    let nothing = Sorted::default();
    let sorted = |key: &Key| partitions.sorted.get(key).unwrap_or(&nothing);
    if window.partition.is_empty() {
        return change_of_one(window, sorted(&Key::from_iter([])), delta, work);
    }
    let mut by_key: Map<Key, Delta> = Map::default();
    for (row, weight) in delta {
        let part = by_key.entry(Key::of(row, &window.partition)).or_default();
        part.push((row.clone(), *weight));
    }
    let mut out = Delta::new();
    for (key, delta) in by_key {
        out.extend(change_of_one(window, sorted(&key), &delta, work)?);
    }
    Ok(out)
}

fn change_of_one(
    window: &Window,
    rows: &Sorted,
    delta: &Delta,
    work: &mut Work,
) -> Result<Delta, EvalError> {
    let compare = |a: &Row, b: &Row| window.compare(a, b);
    work.rows(delta.len(), 2 * rows.len().max(1).ilog2() as usize)?;
    let mut events: Vec<Event<'_>> = delta
        .iter()
        .map(|(row, weight)| Event { place: rows.rank(row, &compare), goes: *weight < 0, row })
        .collect();
    events.sort_unstable_by(|a, b| {
        // What comes stands before what is there.
        (a.place, a.goes).cmp(&(b.place, b.goes)).then_with(|| compare(a.row, b.row))
    });
    let shown = window.places();
    let mut out = Delta::new();
    // Runs of rows that stay, of which those between the window's new ends are shown afterwards.
    let mut stay: Vec<Range<usize>> = Vec::with_capacity(events.len() + 1);
    let (mut old, mut new) = (0, 0);
    let mut run = |old: usize, until: usize, new: usize| {
        let start = old.saturating_add(shown.start.saturating_sub(new));
        let end = old.saturating_add(shown.end.saturating_sub(new)).min(until);
        if start < end {
            stay.push(start..end);
        }
    };
    for event in &events {
        run(old, event.place, new);
        new += event.place - old;
        old = event.place;
        if event.goes {
            old += 1;
        } else {
            if shown.contains(&new) {
                out.push((event.row.clone(), 1));
            }
            new += 1;
        }
    }
    run(old, rows.len(), new);
    let before = shown.start.min(rows.len())..shown.end.min(rows.len());
    let (mut next, mut moves) = (before.start, Vec::with_capacity(2 * stay.len() + 1));
    for run in stay {
        // Shown now, but not before.
        moves.push((run.start..run.end.min(before.start), 1));
        moves.push((run.start.max(before.end)..run.end, 1));
        // Shown before, but not now.
        moves.push((next..run.start.min(before.end), -1));
        next = next.max(run.end);
    }
    moves.push((next..before.end, -1));
    for (places, weight) in moves.into_iter().filter(|(places, _)| !places.is_empty()) {
        work.rows(places.len(), 1)?;
        out.extend(rows.range(places).map(|row| (row.clone(), weight)));
    }
    Ok(out)
}

/// Takes a delta in.
pub(super) fn apply(window: &Window, partitions: &mut Partitions, delta: &Delta) {
    let compare = |a: &Row, b: &Row| window.compare(a, b);
    for (row, weight) in delta {
        let key = Key::of(row, &window.partition);
        let sorted = partitions.sorted.entry(key).or_default();
        match *weight < 0 {
            true => sorted.remove(row, &compare),
            false => sorted.insert(row.clone(), &compare),
        }
    }
    for (row, _) in delta.iter().filter(|(_, weight)| *weight < 0) {
        let key = Key::of(row, &window.partition);
        if partitions.sorted.get(&key).is_some_and(|sorted| sorted.len() == 0) {
            partitions.sorted.remove(&key);
        }
    }
}

/// The whole output.
pub(super) fn whole(window: &Window, partitions: &Partitions) -> Delta {
    let shown = |sorted: &'_ Sorted| -> Delta {
        sorted.range(window.places()).map(|row| (row.clone(), 1)).collect()
    };
    partitions.sorted.values().flat_map(shown).collect()
}
