//! A table of shapes and rows to route, for the benches of the router's layers.
//!
//! `cargo bench -p shape_router_benches` runs them all, `--bench presence` and so on one of them; the
//! environment's `SHAPES` says how many shapes there are, 100,000 where it says nothing.

use shape_expr::{Column, Datum, RowSource, Schema};
use shape_router::{Budget, Change, Config, Error, Op, RouteOptions, Router, Scratch, ShapeSpec};

/// The columns of the table, in order.
pub const COLUMNS: [(&str, &str); 6] = [
    ("id", "int8"),
    ("user_id", "int8"),
    ("priority", "int4"),
    ("title", "text"),
    ("tags", "text[]"),
    ("status", "text"),
];

/// A row of the table, each column as the WAL has it.
#[derive(Clone, Debug)]
pub struct Record(pub [String; COLUMNS.len()]);

impl Record {
    /// A row that no shape of these benches wants, but for these columns.
    pub fn with(cells: &[(usize, &str)]) -> Self {
        let mut record = Self(["1", "-1", "-1", "", "{}", "closed"].map(str::to_owned));
        for &(column, text) in cells {
            text.clone_into(&mut record.0[column]);
        }
        record
    }
}

impl RowSource for Record {
    fn datum(&self, column: usize) -> Datum<'_> {
        self.0.get(column).map_or(Datum::Absent, |text| Datum::Text(text.as_bytes()))
    }
}

/// How many shapes there are.
pub fn shapes() -> u64 {
    std::env::var("SHAPES").ok().and_then(|n| n.parse().ok()).unwrap_or(100_000)
}

/// Numbers without a pattern, the same in each run.
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number below this.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit.max(1)
    }

    /// So many small letters.
    pub fn word(&mut self, letters: usize) -> String {
        (0..letters).map(|_| char::from(b'a' + self.below(26) as u8)).collect()
    }
}

/// A router with so many shapes, the clause of each by its number, and nothing left to build.
///
/// # Errors
/// If a clause is refused.
pub fn router(shapes: u64, clause: impl Fn(u64) -> String) -> Result<Router, Error> {
    let column = |(name, ty): (&str, &str)| Some(Column::new(name, ty.parse().ok()?));
    let columns = COLUMNS.into_iter().filter_map(column).collect();
    let schema = Schema::new("todos", columns).map_err(|_| Error::InvalidChange("the schema"))?;
    let config = Config { primary_key: vec!["id".to_owned()], ..Config::new(schema) };
    let router = Router::new(config)?;
    let clauses: Vec<String> = (0..shapes).map(clause).collect();
    router.add_shapes(clauses.iter().zip(0..).map(|(text, id)| ShapeSpec::new(id, Some(text))))?;
    router.rebuild()?;
    Ok(router)
}

/// Routes a change; how many shapes it belongs to.
pub fn route(router: &Router, change: &Change<'_>, classify: bool, scratch: &mut Scratch) -> usize {
    let options = RouteOptions { classify, ..RouteOptions::default() };
    let done = router.route(change, options, scratch, &mut Budget::unlimited(), None);
    done.map_or(usize::MAX, |_| scratch.routed().len())
}

/// The insert of a row.
pub fn insert(row: &Record) -> Change<'_> {
    Change { new: Some(row), ..Change::new(Op::Insert) }
}
