//! What a router and a shape are made with.

use crate::change::KeyParts;
use crate::error::Error;
use crate::index::{Making, SMALL};
use crate::sets::ItemTypes;
use crate::transaction::Transaction;
use lane_index::hash::MAX_LANES;
use shape_expr::{Options, Param, Schema};
use std::cmp::Ordering;

/// What a router is made with.
#[derive(Clone, Debug)]
pub struct Config {
    /// The table's columns; an open schema learns them from the clauses.
    pub schema: Schema,
    /// The names of the primary key's columns, in order; empty: the key comes with each change.
    pub primary_key: Vec<String>,
    /// Keep what transactions teach about single keys for shapes of unknown membership too.
    pub track_membership: bool,
    /// At most so many shapes.
    pub max_shapes: Option<usize>,
    /// At most so many accounted bytes.
    pub max_bytes: Option<usize>,
    /// How clauses are compiled.
    pub options: Options,
    /// From which share of its entries on that were written lately an index is rebuilt in the
    /// background, so that a look-up reads one segment: 0.05.
    pub rebuild_threshold: f64,
    /// An index of up to so many entries is a list: 64. More than that lie in a lane index.
    pub short_list: usize,
    /// Into how many lanes a lane index is cut, from 1 to 256; `None`: from 1 to 64, growing with it.
    pub num_lanes: Option<u16>,
    /// What subqueries select; `None`: what they are compared with.
    pub item_types: Option<ItemTypes>,
}

impl Config {
    /// Refuses what no index could be made with.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let refuse = |setting, reason| Err(Error::InvalidSetting { setting, reason });
        if let Some(lanes) = self.num_lanes.filter(|lanes| !(1..=MAX_LANES).contains(lanes)) {
            return refuse("num_lanes", format!("{lanes} is not between 1 and {MAX_LANES}"));
        }
        if self.rebuild_threshold.partial_cmp(&0.0) != Some(Ordering::Greater) {
            let reason = format!("{} is not greater than 0", self.rebuild_threshold);
            return refuse("rebuild_threshold", reason);
        }
        Ok(())
    }

    pub(crate) fn making(&self) -> Making {
        Making { short_list: self.short_list, lanes: self.num_lanes }
    }

    /// A table of which no columns are declared.
    pub fn open(table: &str) -> Self {
        Self::new(Schema::open(table))
    }

    /// A table with these columns.
    pub fn new(schema: Schema) -> Self {
        Self {
            schema,
            primary_key: Vec::new(),
            track_membership: false,
            max_shapes: None,
            max_bytes: None,
            options: Options::default(),
            rebuild_threshold: 0.05,
            short_list: SMALL,
            num_lanes: None,
            item_types: None,
        }
    }
}

/// The keys that a shape held when it was added.
#[derive(Clone, Debug, Default)]
pub enum Keys<'a> {
    /// Nobody knows.
    #[default]
    Unknown,
    /// Exactly these.
    Known(Vec<KeyParts<'a>>),
}

/// The snapshot that a shape's keys were taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Snapshot {
    /// It shows the transactions whose commit record stands before this LSN.
    Lsn(u64),
    /// It shows what `pg_current_snapshot()` says.
    Xids {
        /// The oldest xid that was still running.
        xmin: u64,
        /// One past the newest xid that had finished.
        xmax: u64,
        /// Those in between that were still running.
        xip: Vec<u64>,
    },
}

impl Snapshot {
    pub(crate) fn shows(&self, transaction: &Transaction) -> bool {
        match self {
            Self::Lsn(lsn) => transaction.lsn < *lsn,
            Self::Xids { xmin, xmax, xip } => transaction.xid.is_some_and(|xid| {
                // The WAL has the low 32 bits of an xid; within 2^31 of the snapshot they order.
                let before = |full: u64| (xid.wrapping_sub(full as u32) as i32) < 0;
                before(*xmin) || (before(*xmax) && !xip.iter().any(|&x| x as u32 == xid))
            }),
        }
    }
}

/// A parameter's value that outlives its caller.
pub type OwnedParam = Param<'static>;

/// A shape to add.
#[derive(Clone, Debug)]
pub struct ShapeSpec<'a> {
    /// Its id.
    pub id: u64,
    /// Its clause; `None`: all rows.
    pub clause: Option<&'a str>,
    /// The values of `$1`, `$2` ...
    pub params: Vec<Param<'a>>,
    /// The keys that it holds.
    pub keys: Keys<'a>,
    /// What the keys were taken from.
    pub snapshot: Option<Snapshot>,
}

impl<'a> ShapeSpec<'a> {
    /// A shape of unknown membership.
    pub fn new(id: u64, clause: Option<&'a str>) -> Self {
        Self { id, clause, params: Vec::new(), keys: Keys::Unknown, snapshot: None }
    }
}
