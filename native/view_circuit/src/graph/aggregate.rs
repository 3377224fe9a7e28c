//! Groups: one row for each value of the key, with what aggregate functions make of the group's rows.
//!
//! A group keeps sums and counts, which rows are added to and taken away from, and for `min`, `max` and
//! `DISTINCT` its values in order; a change costs the same however many rows the group has.

use shape_expr::{Accumulator, Aggregate, EvalError, Owned};
use smallvec::SmallVec;

use super::multiset::{Changed, Exact, Multiset, consolidate};
use crate::delta::{Delta, Map};
use crate::key::Key;
use crate::row::Row;
use crate::work::Work;

/// A call of an aggregate function, by columns of the input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Call {
    pub aggregate: Aggregate,
    /// What it is called with; of `count(*)` there is nothing.
    pub arg: Option<usize>,
    /// Only rows where this is true.
    pub filter: Option<usize>,
    /// Equal values once only.
    pub distinct: bool,
}

/// What is computed. Out come the key, what the calls give, and what is carried.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Grouping {
    /// So many of the input's first columns are the key. With none there is one group, even of no rows.
    pub keys: usize,
    pub calls: Vec<Call>,
    /// Columns that are the same in a group's rows.
    pub carried: Vec<usize>,
}

/// The groups there are.
#[derive(Default)]
pub(super) struct Groups {
    groups: Map<Key, Group>,
}

struct Group {
    /// How the key and what is carried are written, with the number of rows that have it so. Equal keys
    /// may be written differently; what is carried changes in the middle of a batch only.
    forms: Forms,
    kept: Box<[Kept]>,
    output: Row,
}

type Forms = SmallVec<[(Row, i64); 1]>;

/// What is kept for one call.
struct Kept {
    sum: Accumulator,
    values: Option<Multiset>,
}

/// What becomes of a group.
pub(super) enum Change {
    Gone,
    Now {
        forms: Forms,
        sums: Vec<Accumulator>,
        /// Of the calls that keep values, in order.
        values: Vec<Changed>,
        output: Row,
    },
}

/// What becomes of the groups that a delta touches.
pub(super) type Changes = Vec<(Key, Change)>;

impl Call {
    fn keeps_values(&self) -> bool {
        self.distinct || self.is_extreme()
    }

    fn is_extreme(&self) -> bool {
        matches!(self.aggregate, Aggregate::Min | Aggregate::Max)
    }

    /// The value of this row that counts, if one does.
    fn value<'r>(&self, row: &'r Row) -> Option<&'r Owned> {
        static NOTHING: Owned = Owned::NULL;
        let passes = self.filter.is_none_or(|column| row[column].value().truth().is_true());
        match self.arg {
            _ if !passes => None,
            None => Some(&NOTHING),
            Some(column) => Some(&row[column]).filter(|value| !value.is_null()),
        }
    }
}

impl Grouping {
    fn key(&self, row: &Row) -> Key {
        row[..self.keys].iter().cloned().collect()
    }

    /// The columns that are the same in a group.
    fn fixed<'r>(&'r self, row: &'r Row) -> impl Iterator<Item = &'r Owned> {
        row[..self.keys].iter().chain(self.carried.iter().map(|column| &row[*column]))
    }

    fn sums(&self) -> Vec<Accumulator> {
        self.calls.iter().map(|call| Accumulator::new(call.aggregate)).collect()
    }

    fn output(&self, form: Option<&Row>, results: Vec<Owned>) -> Row {
        let form = form.map_or(&[] as &[Owned], |form| form.values());
        let (key, carried) = form.split_at(self.keys.min(form.len()));
        key.iter().cloned().chain(results).chain(carried.iter().cloned()).collect()
    }
}

impl Groups {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.groups.len()
    }

    /// How many values are kept in order.
    pub fn values(&self) -> usize {
        let kept = self.groups.values().flat_map(|group| &group.kept);
        kept.filter_map(|kept| kept.values.as_ref()).map(Multiset::len).sum()
    }

    /// Of no rows.
    pub fn empty(grouping: &Grouping) -> Result<Groups, EvalError> {
        let mut groups = Groups::default();
        if grouping.keys == 0 {
            let (_, changes) = groups.change(grouping, &Delta::new(), &mut Work::unbounded())?;
            groups.apply(grouping, changes);
        }
        Ok(groups)
    }

    /// The rows that go and come, and what becomes of the groups.
    pub fn change(
        &self,
        grouping: &Grouping,
        delta: &Delta,
        work: &mut Work,
    ) -> Result<(Delta, Changes), EvalError> {
        let mut rows: Map<Key, SmallVec<[(&Row, i64); 2]>> = Map::default();
        for (row, weight) in delta {
            rows.entry(grouping.key(row)).or_default().push((row, *weight));
        }
        if grouping.keys == 0 && self.groups.is_empty() {
            rows.entry(Key::from_iter([])).or_default();
        }
        let (mut out, mut changes) = (Delta::new(), Changes::with_capacity(rows.len()));
        for (key, rows) in rows {
            work.rows(1 + rows.len(), grouping.keys + 2 * grouping.calls.len())?;
            let group = self.groups.get(&key);
            let change = change(grouping, group, &rows)?;
            let before = group.map(|group| &group.output);
            let after = match &change {
                Change::Gone => None,
                Change::Now { output, .. } => Some(output),
            };
            if before != after {
                out.extend(before.map(|row| (row.clone(), -1)));
                out.extend(after.map(|row| (row.clone(), 1)));
            }
            changes.push((key, change));
        }
        Ok((out, changes))
    }

    /// Makes it so.
    pub fn apply(&mut self, grouping: &Grouping, changes: Changes) {
        for (key, change) in changes {
            let (forms, sums, values, output) = match change {
                Change::Gone => {
                    self.groups.remove(&key);
                    continue;
                }
                Change::Now { forms, sums, values, output } => (forms, sums, values, output),
            };
            let group = self.groups.entry(key).or_insert_with(|| Group {
                forms: Forms::new(),
                kept: kept(grouping),
                output: output.clone(),
            });
            (group.forms, group.output) = (forms, output);
            let mut values = values.into_iter();
            for (kept, sum) in group.kept.iter_mut().zip(sums) {
                kept.sum = sum;
                if let Some(known) = &mut kept.values {
                    known.apply(values.next().unwrap_or_default());
                }
            }
        }
    }

    /// The whole output.
    pub fn whole(&self) -> Delta {
        self.groups.values().map(|group| (group.output.clone(), 1)).collect()
    }
}

fn kept(grouping: &Grouping) -> Box<[Kept]> {
    let kept = |(call, sum): (&Call, Accumulator)| Kept {
        sum,
        values: call.keeps_values().then(Multiset::default),
    };
    grouping.calls.iter().zip(grouping.sums()).map(kept).collect()
}

fn change(
    grouping: &Grouping,
    group: Option<&Group>,
    rows: &[(&Row, i64)],
) -> Result<Change, EvalError> {
    let mut forms = group.map_or_else(Forms::new, |group| group.forms.clone());
    for (row, weight) in rows {
        let known = forms.iter().position(|(form, _)| form.iter().eq(grouping.fixed(row)));
        match known {
            Some(at) => forms[at].1 += weight,
            None => forms.push((grouping.fixed(row).cloned().collect(), *weight)),
        }
    }
    forms.retain(|(_, count)| *count != 0);
    if forms.is_empty() && grouping.keys > 0 {
        return Ok(Change::Gone);
    }
    let (mut sums, mut values) = (Vec::with_capacity(grouping.calls.len()), Vec::new());
    let mut results = Vec::with_capacity(grouping.calls.len());
    for (at, call) in grouping.calls.iter().enumerate() {
        let kept = group.map(|group| &group.kept[at]);
        let mut sum = match kept {
            Some(kept) => kept.sum.clone(),
            None => Accumulator::new(call.aggregate),
        };
        let counted = rows.iter().filter_map(|(row, weight)| Some((call.value(row)?, *weight)));
        if !call.keeps_values() {
            counted.for_each(|(value, weight)| sum.add(value, weight));
            results.push(sum.result()?);
            sums.push(sum);
            continue;
        }
        let mut changed: Changed =
            counted.map(|(value, weight)| (Exact(value.clone()), weight)).collect();
        consolidate(&mut changed);
        let nothing = Multiset::default();
        let known = kept.and_then(|kept| kept.values.as_ref()).unwrap_or(&nothing);
        results.push(if call.is_extreme() {
            let greatest = call.aggregate == Aggregate::Max;
            known.extreme(&changed, greatest).unwrap_or(Owned::NULL)
        } else {
            known.distinct(&changed, |before, after| {
                before.into_iter().for_each(|value| sum.add(value, -1));
                after.into_iter().for_each(|value| sum.add(value, 1));
            });
            sum.result()?
        });
        sums.push(sum);
        values.push(changed);
    }
    // Of keys that are written differently the first one is shown.
    let form = forms.iter().map(|(form, _)| form).min_by(|a, b| a.exact_cmp(b));
    let output = grouping.output(form, results);
    Ok(Change::Now { forms, sums, values, output })
}
