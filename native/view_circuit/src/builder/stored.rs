//! Plans as bytes. `docs/formats.md` has them.

use lane_index::codec::{Bad, Input, put, put_bytes};
use shape_expr::sql::{SetKind, SqlExpr};

use super::{Condition, Existence, Plan, Projected, Scan, Set};

/// Plans within plans: as deep as a clause may be, and no deeper.
const DEEPEST: usize = 64;

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_bytes(out, text.as_bytes());
}

fn put_name(out: &mut Vec<u8>, name: Option<&String>) {
    out.push(name.is_some().into());
    name.into_iter().for_each(|name| put_text(out, name));
}

fn name(input: &mut Input<'_>) -> Result<Option<String>, Bad> {
    match input.byte()? {
        0 => Ok(None),
        1 => Ok(Some(input.text()?.to_owned())),
        _ => input.bad("neither a name nor none"),
    }
}

fn pair(input: &mut Input<'_>) -> Result<[String; 2], Bad> {
    Ok([input.text()?.to_owned(), input.text()?.to_owned()])
}

/// Places of scans, each behind the one before.
fn scans<const N: usize>(input: &mut Input<'_>, count: usize) -> Result<[usize; N], Bad> {
    let mut found = [0; N];
    for scan in &mut found {
        *scan = usize::try_from(input.number()?).unwrap_or(usize::MAX);
    }
    match found.is_sorted_by(|a, b| a < b) && found.iter().all(|scan| *scan <= count) {
        true => Ok(found),
        false => input.bad("a condition on scans that are not there"),
    }
}

impl Plan {
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        put(out, self.scans.len() as u64);
        for scan in &self.scans {
            put_text(out, &scan.table);
            put_name(out, scan.alias.as_ref());
        }
        put(out, self.conditions.len() as u64);
        for condition in &self.conditions {
            let scans: &[usize] = match condition {
                Condition::Text { text, scans } => {
                    out.push(0);
                    put_text(out, text);
                    scans
                }
                Condition::Equal { columns, scans } => {
                    out.push(1);
                    columns.iter().for_each(|column| put_text(out, column));
                    scans
                }
            };
            scans.iter().for_each(|scan| put(out, *scan as u64));
        }
        put(out, self.existences.len() as u64);
        for Existence { plan, columns, negated } in &self.existences {
            out.push(u8::from(*negated));
            put(out, columns.len() as u64);
            columns.iter().flatten().for_each(|column| put_text(out, column));
            plan.put(out);
        }
        put(out, self.items.len() as u64);
        for item in &self.items {
            put_text(out, &item.text);
            put_name(out, item.name.as_ref());
        }
        out.push(self.distinct.into());
        put(out, self.group.len() as u64);
        self.group.iter().for_each(|group| put_text(out, group));
        put_name(out, self.having.as_ref());
        put(out, self.sets.len() as u64);
        for Set { kind, all, plan } in &self.sets {
            let kind = match kind {
                SetKind::Union => 0,
                SetKind::Intersect => 1,
                SetKind::Except => 2,
            };
            out.push(kind | u8::from(*all) << 4);
            plan.put(out);
        }
        put(out, self.order.len() as u64);
        self.order.iter().for_each(|by| put_text(out, by));
        out.push(self.limit.is_some().into());
        self.limit.into_iter().for_each(|limit| put(out, limit));
        put(out, self.offset);
    }

    pub(crate) fn read(input: &mut Input<'_>) -> Result<Plan, Bad> {
        Plan::read_within(input, DEEPEST)
    }

    fn read_within(input: &mut Input<'_>, deepest: usize) -> Result<Plan, Bad> {
        let mut plan = Plan::scan("");
        plan.scans.clear();
        for _ in 0..input.count(2)? {
            let table = input.text()?.to_owned();
            plan.scans.push(Scan { table, alias: name(input)? });
        }
        for _ in 0..input.count(4)? {
            let kind = input.byte()?;
            let condition = match kind {
                0 => {
                    let text = input.text()?.to_owned();
                    if SqlExpr::parse(&text).is_err() {
                        return input.bad("a condition that cannot be read");
                    }
                    Condition::Text { text, scans: scans(input, plan.scans.len())? }
                }
                1 => {
                    let columns = pair(input)?;
                    Condition::Equal { columns, scans: scans(input, plan.scans.len())? }
                }
                _ => return input.bad("no such kind of condition"),
            };
            plan.conditions.push(condition);
        }
        for _ in 0..input.count(4)? {
            let negated = match input.byte()? {
                0 => false,
                1 => true,
                _ => return input.bad("neither a semi-join nor an anti-join"),
            };
            let count = input.count(2)?;
            let columns = (0..count).map(|_| pair(input)).collect::<Result<_, Bad>>()?;
            let plan_within = Plan::within(input, deepest)?;
            plan.existences.push(Existence { plan: plan_within, columns, negated });
        }
        for _ in 0..input.count(2)? {
            let projected = Projected { text: input.text()?.to_owned(), name: name(input)? };
            if projected.check().is_err() {
                return input.bad("a column that cannot be read");
            }
            plan.items.push(projected);
        }
        plan.distinct = match input.byte()? {
            0 => false,
            1 => true,
            _ => return input.bad("neither distinct nor not"),
        };
        for _ in 0..input.count(1)? {
            plan.group.push(input.text()?.to_owned());
        }
        plan.having = name(input)?;
        for _ in 0..input.count(2)? {
            let kind = input.byte()?;
            let all = kind & 16 != 0;
            let kind = match kind & !16 {
                0 => SetKind::Union,
                1 => SetKind::Intersect,
                2 => SetKind::Except,
                _ => return input.bad("no such way to put plans together"),
            };
            plan.sets.push(Set { kind, all, plan: Plan::within(input, deepest)? });
        }
        for _ in 0..input.count(1)? {
            plan.order.push(input.text()?.to_owned());
        }
        plan.limit = match input.byte()? {
            0 => None,
            1 => Some(input.number()?),
            _ => return input.bad("neither a limit nor none"),
        };
        plan.offset = input.number()?;
        // Group, order and the like are read as a query is; what cannot be is refused here.
        match plan.query() {
            Ok(_) => Ok(plan),
            Err(_) => input.bad("a plan that is no query"),
        }
    }

    fn within(input: &mut Input<'_>, deepest: usize) -> Result<Plan, Bad> {
        match deepest.checked_sub(1) {
            Some(deepest) => Plan::read_within(input, deepest),
            None => input.bad("plans within plans, too deep"),
        }
    }
}
