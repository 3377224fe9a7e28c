//! How a shape is filed, and the path of one decision.

use crate::candidates;
use crate::change::Change;
use crate::classify::{Class, Context, RouteOptions, Rows, verdict};
use crate::filing::Filed;
use crate::membership::Membership;
use crate::scratch::Scratch;
use crate::sets::SetInfo;
use crate::state::State;
use shape_expr::{PredicateRef, Vm};

/// How a shape is filed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explanation {
    /// The index that holds it: `"equality"`, `"null"`, `"element"`, `"json"`, `"range"`, `"prefix"`,
    /// `"infix"`, `"set"`, or `"several"`; or else `"scan"`, `"never"` or `"stale"`.
    pub filed: &'static str,
    /// The conditions that an index holds it under.
    pub conditions: Vec<FiledUnder>,
    /// The columns that the clause reads.
    pub columns: Vec<String>,
    /// The number of its template, and the program; `None`: it has no clause.
    pub template: Option<(u64, String)>,
    /// The sets that the clause compares with.
    pub sets: Vec<SetInfo>,
    /// Whether its membership is known.
    pub known: bool,
}

/// A condition that a shape is filed under.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiledUnder {
    /// The column.
    pub column: String,
    /// The index that holds it.
    pub index: &'static str,
    /// How many shapes share the condition; for a range, how many have one of that column.
    pub shapes: usize,
}

/// The path of one decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Whether an index, the scan list or the membership named the shape.
    pub candidate: bool,
    /// What the clause says of the new row: `"true"`, `"not true"`, `"unknown"`, or the error.
    pub new: Option<String>,
    /// The same of the old row, as far as it is known.
    pub old: Option<String>,
    /// The answer.
    pub class: Option<Class>,
}

pub(crate) fn explain(state: &State, id: u64) -> Option<Explanation> {
    let shape = state.shapes.by_id(id)?;
    let name = |column: usize| {
        state.schema.columns().get(column).map_or_else(String::new, |c| c.name.clone())
    };
    let filed_under = |condition: &crate::filing::Condition| FiledUnder {
        column: match condition.columns() {
            [] => name(condition.column()),
            all => all.iter().map(|&c| name(c as usize)).collect::<Vec<_>>().join(", "),
        },
        index: condition.index(),
        shapes: state.conditions.count(condition),
    };
    let under = state.filed(shape.filing, state.shapes.slot(id)?);
    let conditions: Vec<_> = under.conditions().iter().map(filed_under).collect();
    let filed = match &*under {
        _ if shape.stale => "stale",
        Filed::Never => "never",
        Filed::Scan => "scan",
        Filed::One(condition) => condition.index(),
        Filed::Many(_) => match conditions.windows(2).all(|pair| pair[0].index == pair[1].index) {
            true => conditions.first().map_or("never", |c| c.index),
            false => "several",
        },
    };
    let predicate = shape.predicate;
    Some(Explanation {
        filed,
        conditions,
        columns: predicate.map(|p| p.columns().iter().map(name).collect()).unwrap_or_default(),
        template: predicate.map(|p| (p.template_id(), p.describe())),
        sets: predicate.map(|p| sets(state, p)).unwrap_or_default(),
        known: shape.known,
    })
}

fn sets(state: &State, predicate: PredicateRef<'_>) -> Vec<SetInfo> {
    let mut numbers: Vec<u32> = predicate.sets().map(|used| used.set).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let sets = numbers.into_iter().filter_map(|number| state.sets.get(number));
    sets.map(|set| state.sets.info(set)).collect()
}

pub(crate) fn why<'a>(
    state: &'a State,
    change: &'a Change<'a>,
    id: u64,
    scratch: &'a mut Scratch,
) -> Option<Reason> {
    let slot = state.shapes.slot(id)?;
    let shape = state.shapes.get(slot)?;
    let Scratch { arena, slots, .. } = scratch;
    let vm = &mut Vm::default();
    let membership = Membership::new(&state.base, None);
    let options = RouteOptions { classify: true, ..RouteOptions::default() };
    let rows = Rows::new(arena, state, change, None);
    candidates::look_up(state, change.op, &rows, slots);
    let mut context = Context::prepare(arena, state, change, rows, options, membership, false);
    candidates::complete(state, &context, false, slots);
    let candidate = slots.contains(&slot);
    let mut say = |row: Option<&mut shape_expr::Bulk<'a>>| {
        let row = row?;
        Some(match verdict(shape.predicate.as_ref(), row, vm) {
            crate::classify::Verdict::True => "true".to_owned(),
            crate::classify::Verdict::NotTrue => "not true".to_owned(),
            crate::classify::Verdict::Open => "unknown".to_owned(),
            crate::classify::Verdict::Raised(error) => {
                format!("{} ({})", error, error.sqlstate())
            }
        })
    };
    let (new, old) = (say(context.new.as_deref_mut()), say(context.old.as_deref_mut()));
    let class = if candidate { context.decide(slot, &shape, vm).class } else { None };
    Some(Reason { candidate, new, old, class })
}
