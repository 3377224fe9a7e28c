//! A router's columns -> their places in a table's rows.

use pg_wal::Relation;
use pg_wal::decode::ReplicaIdentity;
use shape_router::Router;

/// No place: the table's rows do not have the column.
const NOWHERE: u16 = u16::MAX;

/// Where a router finds its columns in the rows of one table. Made once for each definition of the
/// table that a Relation message brings, and each version of the router's columns.
#[derive(Debug)]
pub(crate) struct Mapping {
    /// By the router's positions.
    places: Vec<u16>,
    /// The router's key columns, in order, by the router's positions.
    primary_key: Vec<usize>,
    /// Where the router has none: the columns that the Relation message marks, by their places.
    marked_key: Vec<u16>,
    /// Whether an update that says nothing of the old row has left the router's key as it was.
    key_is_told: bool,
}

impl Mapping {
    pub fn new(router: &Router, relation: &Relation) -> Self {
        let (schema, _) = router.schema();
        let place = |name: &str| {
            let place = relation.columns.iter().position(|c| c.name == name);
            place.and_then(|p| u16::try_from(p).ok()).unwrap_or(NOWHERE)
        };
        let places: Vec<u16> = schema.columns().iter().map(|c| place(&c.name)).collect();
        let names = router.primary_key();
        let primary_key: Vec<usize> = names.iter().filter_map(|n| schema.position(n)).collect();
        // Under FULL every column is marked, which tells nothing about the key.
        let marks_tell =
            matches!(relation.replica_identity, ReplicaIdentity::Default | ReplicaIdentity::Index);
        let marked =
            |place: u16| relation.columns.get(usize::from(place)).is_some_and(|column| column.key);
        let marked_key = if primary_key.is_empty() && marks_tell {
            (0..NOWHERE).take(relation.columns.len()).filter(|&p| marked(p)).collect()
        } else {
            Vec::new()
        };
        let key_is_told = marks_tell
            && primary_key.iter().all(|&c| places.get(c).is_some_and(|&place| marked(place)));
        Self { places, primary_key, marked_key, key_is_told }
    }

    /// Where a column's value stands in a row.
    pub fn place(&self, column: usize) -> Option<usize> {
        let place = *self.places.get(column)?;
        (place != NOWHERE).then_some(usize::from(place))
    }

    pub fn primary_key(&self) -> &[usize] {
        &self.primary_key
    }

    pub fn marked_key(&self) -> &[u16] {
        &self.marked_key
    }

    pub fn key_is_told(&self) -> bool {
        self.key_is_told
    }
}
