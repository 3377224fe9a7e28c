//! [`Plan`]: a query put together by calls. Its expressions are SQL, read by the same parser as a
//! query's, and it is planned by the same planner: it shares nodes with a query that says the same.

mod lower;
mod stored;

use shape_expr::sql::{Body, Query, Select, SetKind, SqlExpr};

use crate::error::Error;

/// A query as a tree of what is done to rows.
///
/// ```
/// use shape_expr::{Column, Options};
/// use view_circuit::{Circuit, Format, Plan, TableSpec, ViewId};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let int8 = |name: &str| Ok::<_, shape_expr::Error>(Column::new(name, "int8".parse()?));
/// # let todos = vec![int8("id")?, int8("project_id")?, int8("priority")?];
/// # let projects = vec![int8("id")?, int8("owner")?];
/// # let tables = vec![
/// #     TableSpec::new("todos", todos, &["id"]),
/// #     TableSpec::new("projects", projects, &["id"]),
/// # ];
/// # let mut circuit = Circuit::new(tables, Options::default())?;
/// let plan = Plan::scan("todos")
///     .filter("priority > $1")?
///     .join(Plan::scan("projects").filter("owner = 5")?, [("project_id", "id")])?
///     .project(["todos.id", "owner"])?;
/// circuit.register_plan(ViewId(1), &plan, &[shape_expr::Param::Int(3)], Format::Flat)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    scans: Vec<Scan>,
    conditions: Vec<Condition>,
    existences: Vec<Existence>,
    items: Vec<Projected>,
    distinct: bool,
    group: Vec<String>,
    having: Option<String>,
    sets: Vec<Set>,
    order: Vec<String>,
    limit: Option<u64>,
    offset: u64,
}

/// Another plan's rows beside this one's, or without them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Set {
    kind: SetKind,
    all: bool,
    plan: Plan,
}

/// A table, and what the plan calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Scan {
    table: String,
    alias: Option<String>,
}

/// What rows must fulfil.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    /// An expression over the scans from one place to another.
    Text { text: String, scans: [usize; 2] },
    /// Equality of a column of what was there before and one of what was joined: where the first of
    /// those scans is, where the joined ones begin, and where they end.
    Equal { columns: [String; 2], scans: [usize; 3] },
}

/// Rows whose columns are among another plan's, or are not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Existence {
    plan: Plan,
    columns: Vec<[String; 2]>,
    negated: bool,
}

/// A column of the result.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Projected {
    text: String,
    name: Option<String>,
}

/// Something that [`Plan::project`] takes: an expression, or one with a name.
pub trait IntoColumn {
    /// The expression, and the name if there is one.
    fn into_column(self) -> (String, Option<String>);
}

impl IntoColumn for &str {
    fn into_column(self) -> (String, Option<String>) {
        (self.to_owned(), None)
    }
}

impl IntoColumn for (&str, &str) {
    fn into_column(self) -> (String, Option<String>) {
        (self.0.to_owned(), Some(self.1.to_owned()))
    }
}

impl Plan {
    /// All rows of a table: `todos`, or `public.todos`.
    #[must_use]
    pub fn scan(table: &str) -> Plan {
        Plan {
            scans: vec![Scan { table: table.to_owned(), alias: None }],
            conditions: Vec::new(),
            existences: Vec::new(),
            items: Vec::new(),
            distinct: false,
            group: Vec::new(),
            having: None,
            sets: Vec::new(),
            order: Vec::new(),
            limit: None,
            offset: 0,
        }
    }

    /// The last table that was scanned goes by this name; two scans of one table need two names.
    #[must_use]
    pub fn alias(mut self, name: &str) -> Plan {
        if let Some(scan) = self.scans.last_mut() {
            scan.alias = Some(name.to_owned());
        }
        self
    }

    /// Those rows of which the condition is true. It speaks of the tables that are in the plan so far.
    ///
    /// # Errors
    /// It cannot be read, or the plan's columns are chosen already.
    pub fn filter(mut self, condition: &str) -> Result<Plan, Error> {
        self.open("a filter")?;
        SqlExpr::parse(condition)?;
        let scans = [0, self.scans.len()];
        self.conditions.push(Condition::Text { text: condition.to_owned(), scans });
        Ok(self)
    }

    /// Rows of both plans side by side, where these columns are equal: of each pair the first of this
    /// plan, the second of the other. A name that both have is qualified: `todos.id`.
    ///
    /// # Errors
    /// One of the plans has its columns chosen already.
    pub fn join<'c>(
        mut self,
        other: Plan,
        on: impl IntoIterator<Item = (&'c str, &'c str)>,
    ) -> Result<Plan, Error> {
        self.open("a join")?;
        other.open("a join")?;
        let (before, after) = (self.scans.len(), self.scans.len() + other.scans.len());
        self.scans.extend(other.scans);
        self.existences.extend(other.existences);
        let moved = |condition| match condition {
            Condition::Text { text, scans } => {
                Condition::Text { text, scans: scans.map(|scan| scan + before) }
            }
            Condition::Equal { columns, scans } => {
                Condition::Equal { columns, scans: scans.map(|scan| scan + before) }
            }
        };
        self.conditions.extend(other.conditions.into_iter().map(moved));
        for (left, right) in on {
            let columns = [left.to_owned(), right.to_owned()];
            self.conditions.push(Condition::Equal { columns, scans: [0, before, after] });
        }
        Ok(self)
    }

    /// Those rows for which the other plan has one with equal columns, as `IN` and `EXISTS` have it.
    ///
    /// # Errors
    /// As [`Plan::join`].
    pub fn semi_join<'c>(
        self,
        other: Plan,
        on: impl IntoIterator<Item = (&'c str, &'c str)>,
    ) -> Result<Plan, Error> {
        self.existence(other, on, false)
    }

    /// Those rows for which the other plan has none with equal columns, as `NOT EXISTS` has it: a row
    /// with a NULL among its columns stays.
    ///
    /// # Errors
    /// As [`Plan::join`].
    pub fn anti_join<'c>(
        self,
        other: Plan,
        on: impl IntoIterator<Item = (&'c str, &'c str)>,
    ) -> Result<Plan, Error> {
        self.existence(other, on, true)
    }

    fn existence<'c>(
        mut self,
        plan: Plan,
        on: impl IntoIterator<Item = (&'c str, &'c str)>,
        negated: bool,
    ) -> Result<Plan, Error> {
        self.open("a semi-join")?;
        plan.open("a semi-join")?;
        let pair = |(own, other): (&str, &str)| [own.to_owned(), other.to_owned()];
        let columns = on.into_iter().map(pair).collect();
        self.existences.push(Existence { plan, columns, negated });
        Ok(self)
    }

    /// These columns: names, `*`, `todos.*`, or expressions; as a pair with a name. Without this, all.
    ///
    /// # Errors
    /// An expression cannot be read, or columns are chosen already.
    pub fn project<C: IntoColumn>(
        mut self,
        columns: impl IntoIterator<Item = C>,
    ) -> Result<Plan, Error> {
        self.open("a projection")?;
        for column in columns {
            let (text, name) = column.into_column();
            let projected = Projected { text, name };
            projected.check()?;
            self.items.push(projected);
        }
        Ok(self)
    }

    /// One row for each group of rows for which these expressions are equal, of these columns: aggregate
    /// functions such as `count(*)`, and what the rows of a group have in common. Without expressions all
    /// rows are one group.
    ///
    /// # Errors
    /// As [`Plan::project`].
    pub fn aggregate<'g, C: IntoColumn>(
        mut self,
        group: impl IntoIterator<Item = &'g str>,
        columns: impl IntoIterator<Item = C>,
    ) -> Result<Plan, Error> {
        for expression in group {
            SqlExpr::parse(expression)?;
            self.group.push(expression.to_owned());
        }
        self.project(columns)
    }

    /// Those groups of which the condition is true.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn having(mut self, condition: &str) -> Result<Plan, Error> {
        piece(&format!("SELECT 1 FROM t HAVING {condition}\n"), |select| select.having.is_some())?;
        self.last("HAVING")?;
        self.having = Some(condition.to_owned());
        Ok(self)
    }

    /// Each row once.
    #[must_use]
    pub fn distinct(mut self) -> Plan {
        self.distinct = true;
        self
    }

    /// The first rows in this order (`priority DESC NULLS LAST`), so many, after so many that are left out.
    ///
    /// # Errors
    /// An expression cannot be read, or rows are cut already.
    pub fn top_k<'o>(
        mut self,
        order: impl IntoIterator<Item = &'o str>,
        limit: Option<u64>,
        offset: u64,
    ) -> Result<Plan, Error> {
        self.last("a second order")?;
        for by in order {
            let text = format!("SELECT 1 FROM t ORDER BY {by}\n");
            let is_one = |query: &Query| query.order.len() == 1 && query.limit.is_none();
            if !is_one(&Query::parse(&text)?) {
                return Err(not_one(by));
            }
            self.order.push(by.to_owned());
        }
        (self.limit, self.offset) = (limit, offset);
        Ok(self)
    }

    /// Rows of this plan or of the other, each once; with `all`, as often as both have it.
    ///
    /// # Errors
    /// Rows are cut already.
    pub fn union(self, other: Plan, all: bool) -> Result<Plan, Error> {
        self.set(SetKind::Union, other, all)
    }

    /// Rows of this plan that the other has too.
    ///
    /// # Errors
    /// Rows are cut already.
    pub fn intersect(self, other: Plan, all: bool) -> Result<Plan, Error> {
        self.set(SetKind::Intersect, other, all)
    }

    /// Rows of this plan that the other has not; with `all`, without so many of each as the other has.
    ///
    /// # Errors
    /// Rows are cut already.
    pub fn except(self, other: Plan, all: bool) -> Result<Plan, Error> {
        self.set(SetKind::Except, other, all)
    }

    fn set(mut self, kind: SetKind, plan: Plan, all: bool) -> Result<Plan, Error> {
        self.last("UNION, INTERSECT or EXCEPT")?;
        self.sets.push(Set { kind, all, plan });
        Ok(self)
    }

    /// Rows that are sorted and cut are what a plan ends with.
    fn last(&self, what: &str) -> Result<(), Error> {
        match self.order.is_empty() && self.limit.is_none() && self.offset == 0 {
            true => Ok(()),
            false => {
                let what = format!("{what} after ORDER BY or LIMIT");
                Err(shape_expr::Error::NotSupported { what, position: 0 }.into())
            }
        }
    }

    /// Is it nothing but rows of tables, with columns chosen or not?
    fn is_select(&self) -> bool {
        self.sets.is_empty() && self.last("").is_ok() && self.having.is_none()
    }

    /// Columns that are chosen, and rows that are told apart by them, come last.
    fn open(&self, what: &str) -> Result<(), Error> {
        match self.is_select() && self.items.is_empty() && !self.distinct {
            true => Ok(()),
            false => {
                let what = format!("{what} after a projection");
                Err(shape_expr::Error::NotSupported { what, position: 0 }.into())
            }
        }
    }
}

impl Projected {
    fn sql(&self) -> String {
        match &self.name {
            Some(name) => format!("{}\n AS \"{}\"", self.text, name.replace('"', "\"\"")),
            None => format!("{}\n", self.text),
        }
    }

    fn check(&self) -> Result<(), Error> {
        let text = format!("SELECT {}\n FROM t", self.sql());
        piece(&text, |select| select.items.len() == 1 && select.tables.len() == 1)
    }
}

/// Is the text a SELECT, and of it what the test says, and nothing that was smuggled in?
fn piece(text: &str, test: impl Fn(&Select) -> bool) -> Result<(), Error> {
    let query = Query::parse(text)?;
    let plain = query.order.is_empty() && query.limit.is_none() && query.offset.is_none();
    match &query.body {
        Body::Select(select) if plain && test(select) => Ok(()),
        _ => Err(not_one(text)),
    }
}

fn not_one(text: &str) -> Error {
    let message = format!("{text:?} is not one expression");
    shape_expr::Error::Syntax { message, position: 0 }.into()
}
