//! Table definitions that outlive the message they came in, and what changed when they come again.

use crate::decode::{self, ReplicaIdentity};
use std::collections::HashMap;
use std::sync::Arc;

/// A table's definition, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The table's OID.
    pub oid: u32,
    /// Its schema.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its replica identity.
    pub replica_identity: ReplicaIdentity,
    /// The published columns, in the order in which rows have them.
    pub columns: Vec<RelationColumn>,
}

/// A column of a [`Relation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelationColumn {
    /// Whether it is part of the replica identity's key.
    pub key: bool,
    /// Its name.
    pub name: String,
    /// Its type's OID.
    pub type_oid: u32,
    /// Its type modifier (`atttypmod`), -1 for none.
    pub type_modifier: i32,
}

impl From<&decode::Relation<'_>> for Relation {
    fn from(message: &decode::Relation<'_>) -> Relation {
        Relation {
            oid: message.oid,
            namespace: message.namespace.to_owned(),
            name: message.name.to_owned(),
            replica_identity: message.replica_identity,
            columns: message
                .columns()
                .map(|column| RelationColumn {
                    key: column.key,
                    name: column.name.to_owned(),
                    type_oid: column.type_oid,
                    type_modifier: column.type_modifier,
                })
                .collect(),
        }
    }
}

/// What a Relation message changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RelationChange {
    /// Neither the OID nor the name was known.
    New,
    /// As it was. (The server sends a definition again after any change to the catalogue entry,
    /// and on every new connection.)
    Unchanged,
    /// The OID is known, and something about it is different.
    Altered(Alteration),
    /// The name is known under another OID: the table was dropped and made again, or another one
    /// was renamed to its name. The old definition is forgotten.
    Replaced {
        /// The OID that had the name before.
        old_oid: u32,
    },
}

/// What is different about a table that kept its OID.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Alteration {
    /// Its schema and name before, if they changed.
    pub renamed_from: Option<(String, String)>,
    /// Whether the replica identity, or which columns are its key, changed.
    pub identity: bool,
    /// Columns that were not there before. (The message does not say whether a column was renamed:
    /// that looks like one dropped and one added.)
    pub added: Vec<String>,
    /// Columns that are no longer there.
    pub dropped: Vec<String>,
    /// Columns whose type or type modifier changed.
    pub retyped: Vec<String>,
    /// Whether columns that stayed come in another order.
    pub reordered: bool,
}

impl Alteration {
    fn between(old: &Relation, new: &Relation) -> Alteration {
        let find = |relation: &'_ Relation, name: &str| {
            relation.columns.iter().position(|column| column.name == name)
        };
        let mut alteration = Alteration {
            renamed_from: ((&old.namespace, &old.name) != (&new.namespace, &new.name))
                .then(|| (old.namespace.clone(), old.name.clone())),
            identity: old.replica_identity != new.replica_identity,
            dropped: old
                .columns
                .iter()
                .filter(|column| find(new, &column.name).is_none())
                .map(|column| column.name.clone())
                .collect(),
            ..Alteration::default()
        };
        let mut last = None;
        for column in &new.columns {
            let Some(position) = find(old, &column.name) else {
                alteration.added.push(column.name.clone());
                continue;
            };
            let before = &old.columns[position];
            alteration.identity |= before.key != column.key;
            alteration.reordered |= last.is_some_and(|last| last > position);
            last = Some(position);
            if (before.type_oid, before.type_modifier) != (column.type_oid, column.type_modifier) {
                alteration.retyped.push(column.name.clone());
            }
        }
        alteration
    }

    /// Whether rows have other columns than before.
    pub fn columns_changed(&self) -> bool {
        self.reordered
            || !(self.added.is_empty() && self.dropped.is_empty() && self.retyped.is_empty())
    }
}

/// The tables known so far, by OID.
///
/// ```
/// # fn example(message: &pg_wal::decode::Relation<'_>) {
/// let mut cache = pg_wal::RelationCache::default();
/// let (relation, change) = cache.apply(message);
/// println!("{}.{}: {change:?}", relation.namespace, relation.name);
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct RelationCache {
    by_oid: HashMap<u32, Arc<Relation>>,
    by_name: HashMap<(String, String), u32>,
}

impl RelationCache {
    /// The definition in force for an OID.
    pub fn get(&self, oid: u32) -> Option<&Arc<Relation>> {
        self.by_oid.get(&oid)
    }

    /// The number of tables known.
    pub fn len(&self) -> usize {
        self.by_oid.len()
    }

    /// Whether none is known.
    pub fn is_empty(&self) -> bool {
        self.by_oid.is_empty()
    }

    /// Takes a Relation message in, and tells what it changed.
    pub fn apply(&mut self, message: &decode::Relation<'_>) -> (Arc<Relation>, RelationChange) {
        self.insert(Relation::from(message))
    }

    /// As [`RelationCache::apply`], for a definition that is already owned.
    pub fn insert(&mut self, new: Relation) -> (Arc<Relation>, RelationChange) {
        let name = (new.namespace.clone(), new.name.clone());
        if let Some(old) = self.by_oid.get(&new.oid) {
            if **old == new {
                return (Arc::clone(old), RelationChange::Unchanged);
            }
            let alteration = Alteration::between(old, &new);
            if let Some(old_name) = &alteration.renamed_from
                && self.by_name.get(old_name) == Some(&new.oid)
            {
                self.by_name.remove(old_name);
            }
            self.forget_holder(&name, new.oid);
            return (self.store(name, new), RelationChange::Altered(alteration));
        }
        let change = match self.forget_holder(&name, new.oid) {
            Some(old_oid) => RelationChange::Replaced { old_oid },
            None => RelationChange::New,
        };
        (self.store(name, new), change)
    }

    /// Forgets the table that has a name which `oid` now has.
    fn forget_holder(&mut self, name: &(String, String), oid: u32) -> Option<u32> {
        let holder = *self.by_name.get(name)?;
        if holder == oid {
            return None;
        }
        self.by_oid.remove(&holder);
        Some(holder)
    }

    fn store(&mut self, name: (String, String), relation: Relation) -> Arc<Relation> {
        self.by_name.insert(name, relation.oid);
        let relation = Arc::new(relation);
        self.by_oid.insert(relation.oid, Arc::clone(&relation));
        relation
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn relation(oid: u32, name: &str, columns: &[(&str, u32)]) -> Relation {
        Relation {
            oid,
            namespace: "public".into(),
            name: name.into(),
            replica_identity: ReplicaIdentity::Default,
            columns: columns
                .iter()
                .map(|&(name, type_oid)| RelationColumn {
                    key: name == "id",
                    name: name.into(),
                    type_oid,
                    type_modifier: -1,
                })
                .collect(),
        }
    }

    fn altered(cache: &mut RelationCache, new: Relation) -> Alteration {
        match cache.insert(new).1 {
            RelationChange::Altered(alteration) => alteration,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn tells_new_unchanged_and_altered_columns() {
        let mut cache = RelationCache::default();
        let first = relation(1, "t", &[("id", 20), ("a", 25), ("b", 23)]);
        assert_eq!(cache.insert(first.clone()).1, RelationChange::New);
        assert_eq!(cache.insert(first).1, RelationChange::Unchanged);

        let change = altered(&mut cache, relation(1, "t", &[("id", 20), ("b", 20), ("c", 25)]));
        assert_eq!(change.added, ["c"]);
        assert_eq!(change.dropped, ["a"]);
        assert_eq!(change.retyped, ["b"]);
        assert!(change.columns_changed() && !change.reordered && change.renamed_from.is_none());

        let change = altered(&mut cache, relation(1, "t", &[("b", 20), ("id", 20), ("c", 25)]));
        assert!(change.reordered && change.columns_changed());
    }

    #[test]
    fn tells_identity_changes_apart() {
        let mut cache = RelationCache::default();
        let mut table = relation(1, "t", &[("id", 20), ("a", 25)]);
        cache.insert(table.clone());
        table.replica_identity = ReplicaIdentity::Full;
        let change = altered(&mut cache, table.clone());
        assert!(change.identity && !change.columns_changed());
        table.columns[1].key = true;
        assert!(altered(&mut cache, table).identity);
    }

    #[test]
    fn tells_renames_and_another_table_under_the_name() {
        let mut cache = RelationCache::default();
        cache.insert(relation(1, "t", &[("id", 20)]));
        let change = altered(&mut cache, relation(1, "u", &[("id", 20)]));
        assert_eq!(change.renamed_from, Some(("public".into(), "t".into())));
        // The old name is free again.
        assert_eq!(cache.insert(relation(2, "t", &[("id", 20)])).1, RelationChange::New);
        let change = cache.insert(relation(3, "u", &[("id", 20)])).1;
        assert_eq!(change, RelationChange::Replaced { old_oid: 1 });
        assert!(cache.get(1).is_none());
        assert_eq!(cache.len(), 2);
    }
}
