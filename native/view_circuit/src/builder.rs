//! [`Plan`]: a query put together by calls. Its expressions are SQL, read by the same parser as a
//! query's, and it is planned by the same planner: it shares nodes with a query that says the same.

mod lower;
mod stored;

use shape_expr::sql::{Item, SqlExpr};

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
            projected.item()?;
            self.items.push(projected);
        }
        Ok(self)
    }

    /// Each row once.
    #[must_use]
    pub fn distinct(mut self) -> Plan {
        self.distinct = true;
        self
    }

    /// Columns that are chosen, and rows that are told apart by them, come last.
    fn open(&self, what: &str) -> Result<(), Error> {
        match self.items.is_empty() && !self.distinct {
            true => Ok(()),
            false => {
                let what = format!("{what} after a projection");
                Err(shape_expr::Error::NotSupported { what, position: 0 }.into())
            }
        }
    }
}

impl Projected {
    fn item(&self) -> Result<Item, Error> {
        let text = self.text.trim();
        if let Some(before) = text.strip_suffix('*')
            && self.name.is_none()
            && (before.is_empty() || before.ends_with('.'))
        {
            let names = before.split('.').filter(|name| !name.is_empty());
            let qualifiers = names.map(str::to_owned).collect();
            return Ok(Item::All { qualifiers, position: 0 });
        }
        let value = SqlExpr::parse(text)?;
        let name = self.name.clone().or_else(|| value.column_name().map(str::to_owned));
        Ok(Item::Value { value, name })
    }
}
