//! What a Relation message changes.

use serde::{Deserialize, Serialize};
use shape_expr::{Column, ColumnType, Schema};

/// A column, as a Relation message tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationColumn {
    /// Its name.
    pub name: String,
    /// Its type's OID.
    pub type_oid: u32,
    /// Its type modifier, -1 for none.
    pub typmod: i32,
    /// Whether it is part of the key that the WAL publishes, where that is told.
    pub key: bool,
}

/// A table's definition, as a Relation message tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Relation {
    /// The table's OID, by which it is known.
    pub oid: u32,
    /// Its schema.
    pub schema: String,
    /// Its name.
    pub table: String,
    /// Its replica identity, where that is told: `d`efault, `n`othing, `f`ull, `i`ndex. The columns'
    /// key marks tell the key only under `d` and `i`.
    pub replica_identity: Option<u8>,
    /// Its columns, in order.
    pub columns: Vec<RelationColumn>,
}

/// How a table's definition differs from the one known so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// Another name under the OID, or another OID under the name.
    pub identity: bool,
    /// A column came, went, or has another type.
    pub columns: bool,
    /// The columns (by position in the router's schema) that went or have another type.
    pub broken: Vec<usize>,
}

impl Difference {
    pub fn is_any(&self) -> bool {
        self.identity || self.columns
    }
}

/// Compares a definition with what is known: the last message, or else the declared columns. `schema`
/// has the columns as they are now.
pub(crate) fn difference(
    last: Option<&Relation>,
    declared: &Schema,
    schema: &Schema,
    now: &Relation,
) -> Difference {
    let mut difference = Difference::default();
    if let Some(last) = last {
        difference.identity =
            last.oid != now.oid || last.table != now.table || last.schema != now.schema;
        let type_of = |c: &RelationColumn| (c.type_oid, c.typmod);
        for column in &last.columns {
            let found = now.columns.iter().find(|c| c.name == column.name);
            if found.map(type_of) != Some(type_of(column)) {
                difference.columns = true;
                difference.broken.extend(schema.position(&column.name));
            }
        }
        let known = |c: &RelationColumn| last.columns.iter().any(|l| l.name == c.name);
        difference.columns |= !now.columns.iter().all(known);
    } else if !declared.is_open() {
        for column in declared.columns() {
            let Some(found) = now.columns.iter().find(|c| c.name == column.name) else {
                difference.columns = true;
                difference.broken.extend(schema.position(&column.name));
                continue;
            };
            // A type that we do not know by its OID (an enum, a domain) is taken as declared.
            let told = ColumnType::from_oid(found.type_oid, -1);
            let kept = match (&told, &column.ty) {
                (Some(told), Some(declared)) => told.ty == declared.ty,
                _ => true,
            };
            if !kept {
                difference.columns = true;
                difference.broken.extend(schema.position(&column.name));
            }
        }
    }
    difference
}

/// The declared columns with what a Relation message tells: positions stay, new columns follow.
pub(crate) fn redefined(schema: &Schema, now: &Relation) -> Schema {
    let type_of = |name: &str| {
        let told = now.columns.iter().find(|c| c.name == name);
        told.and_then(|c| ColumnType::from_oid(c.type_oid, c.typmod))
    };
    let mut columns = schema.columns().to_vec();
    for column in &mut columns {
        if let Some(ty) = type_of(&column.name) {
            column.ty = Some(ty);
        }
    }
    for told in &now.columns {
        if schema.position(&told.name).is_none()
            && let Some(ty) = ColumnType::from_oid(told.type_oid, told.typmod)
        {
            columns.push(Column { name: told.name.clone(), ty: Some(ty) });
        }
    }
    Schema::new(&now.table, columns).unwrap_or_else(|_| schema.clone())
}
