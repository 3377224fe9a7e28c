//! The table as the catalogue knows it: columns and relation, as JSON.

use crate::relation::Relation;
use serde::{Deserialize, Serialize};
use shape_expr::{Collation, Column, ColumnType, Schema};

/// A column's name and type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredColumn {
    /// Its name.
    pub name: String,
    /// Its type; `None` where nothing has fixed it yet.
    #[serde(rename = "type")]
    pub ty: Option<StoredType>,
}

/// A column's type. A type that can be spelt is stored as PostgreSQL spells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredType {
    /// The type without its modifier, or that of an array's elements; `enum` with `labels`.
    name: String,
    #[serde(default, skip_serializing_if = "is_false")]
    array: bool,
    #[serde(default = "no_typmod", skip_serializing_if = "is_no_typmod")]
    typmod: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    collation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    labels: Option<Vec<String>>,
    /// An enum's name, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    enum_name: Option<String>,
}

fn is_false(value: &bool) -> bool {
    !value
}

fn no_typmod() -> i32 {
    -1
}

fn is_no_typmod(typmod: &i32) -> bool {
    *typmod == -1
}

impl StoredType {
    /// The type as it is stored.
    #[must_use]
    pub fn new(column: &ColumnType) -> Self {
        let array = column.ty.element().is_some();
        let own = column.ty.element().unwrap_or(&column.ty);
        let (name, labels, enum_name) = match own {
            shape_expr::Type::Enum(labels) => (
                "enum".to_owned(),
                Some(labels.labels().map(str::to_owned).collect()),
                labels.name().map(str::to_owned),
            ),
            own => (own.to_string(), None, None),
        };
        let collation = match column.collation {
            Collation::Default => None,
            Collation::C => Some("C"),
            Collation::CUtf8 => Some("C.UTF-8"),
            _ => Some("other"),
        };
        let collation = collation.map(str::to_owned);
        Self { name, array, typmod: column.typmod, collation, labels, enum_name }
    }

    /// The type; `None` where it names none.
    #[must_use]
    pub fn column_type(&self) -> Option<ColumnType> {
        let mut ty = match &self.labels {
            Some(labels) => {
                let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
                let ty = ColumnType::enumeration(&labels);
                match &self.enum_name {
                    Some(name) => ty.named(name),
                    None => ty,
                }
            }
            None => self.name.parse().ok()?,
        };
        if self.array {
            ty = ty.array_of();
        }
        ty.typmod = self.typmod;
        ty.collation = self.collation.as_deref().map_or(Collation::Default, Collation::named);
        Some(ty)
    }
}

impl StoredColumn {
    fn new(column: &Column) -> Self {
        Self { name: column.name.clone(), ty: column.ty.as_ref().map(StoredType::new) }
    }

    fn column(&self) -> Option<Column> {
        let ty = match &self.ty {
            Some(ty) => Some(ty.column_type()?),
            None => None,
        };
        Some(Column { name: self.name.clone(), ty })
    }
}

/// A table's columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredSchema {
    /// The table's name as given.
    pub table: String,
    /// Whether clauses add columns.
    pub open: bool,
    /// The columns in order.
    pub columns: Vec<StoredColumn>,
}

impl StoredSchema {
    /// The schema as it is stored.
    #[must_use]
    pub fn new(schema: &Schema) -> Self {
        Self {
            table: schema.table().to_owned(),
            open: schema.is_open(),
            columns: schema.columns().iter().map(StoredColumn::new).collect(),
        }
    }

    /// The schema; `None` where it is none.
    #[must_use]
    pub fn schema(&self) -> Option<Schema> {
        let columns = self.columns.iter().map(StoredColumn::column).collect::<Option<_>>()?;
        if self.open {
            Schema::learnt(&self.table, columns).ok()
        } else {
            Schema::new(&self.table, columns).ok()
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        // Nothing in it is a map with other keys than texts, so it always can be written.
        serde_json::to_vec(self).unwrap_or_default()
    }

    /// What can be read back as a schema.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let stored: Self = serde_json::from_slice(bytes).ok()?;
        stored.schema().is_some().then_some(stored)
    }
}

/// What a Relation message changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelationChange {
    /// The message.
    pub relation: Relation,
    /// The columns since.
    pub schema: StoredSchema,
    /// The positions of the key's columns since.
    pub key_columns: Vec<usize>,
}

impl RelationChange {
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let change: Self = serde_json::from_slice(bytes).ok()?;
        let columns = change.schema.schema()?.columns().len();
        change.key_columns.iter().all(|column| *column < columns).then_some(change)
    }
}

/// What a snapshot says of the table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Meta {
    /// Everything up to this LSN was acknowledged.
    pub acked: u64,
    /// Above every serial that was ever given.
    pub next_serial: u64,
    /// The columns, where they are others than those declared.
    pub schema: Option<StoredSchema>,
    /// What a Relation message changed last.
    pub relation: Option<RelationChange>,
}

impl Meta {
    pub(super) fn encode(&self) -> Vec<u8> {
        serde_json::to_vec(self).unwrap_or_default()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let meta: Self = serde_json::from_slice(bytes).ok()?;
        let sound = meta.next_serial <= super::shape::MOST_SERIALS
            && meta.schema.as_ref().is_none_or(|schema| schema.schema().is_some())
            && meta.relation.as_ref().is_none_or(|change| change.schema.schema().is_some());
        sound.then_some(meta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_comes_back() {
        let spelt = [
            "int8",
            "numeric",
            "numeric(10,2)",
            "numeric(3,-2)",
            "text",
            "varchar(20)",
            "char(3)",
            "bpchar",
            "name",
            "uuid",
            "bytea",
            "timestamp(3)",
            "timestamptz",
            "time(0)",
            "timetz",
            "interval",
            "interval day to second(2)",
            "date",
            "json",
            "jsonb",
            "oid",
            "bool",
            "float4",
            "float8",
            "int2",
            "text[]",
            "numeric(5,1)[]",
            "varchar(7)[]",
            "char(2)[]",
        ];
        let mut types: Vec<ColumnType> =
            spelt.iter().map(|name| name.parse().expect("a type")).collect();
        types.push("text".parse::<ColumnType>().expect("text").collated("C").expect("has one"));
        types.push("text[]".parse::<ColumnType>().expect("text").collated("de_DE").expect("one"));
        types.push("name".parse::<ColumnType>().expect("name").collated("C.UTF-8").expect("one"));
        let mood = ColumnType::enumeration(&["sad", "o'k \"", "happy"]);
        types.extend([mood.clone(), mood.clone().named("mood"), mood.named("mood").array_of()]);
        let columns = types.iter().enumerate();
        let columns: Vec<Column> =
            columns.map(|(i, ty)| Column::new(&format!("c{i}"), ty.clone())).collect();
        let schema = Schema::new("public.t", columns).expect("a schema");
        let stored = StoredSchema::new(&schema);
        let back = StoredSchema::decode(&stored.encode()).expect("it can be read");
        assert_eq!(back, stored);
        assert_eq!(back.schema().expect("a schema"), schema);
    }

    #[test]
    fn an_open_schema_comes_back_open() {
        let columns = vec![
            Column { name: "a".into(), ty: None },
            Column { name: "b".into(), ty: "int4".parse().ok() },
        ];
        let schema = Schema::learnt("t", columns).expect("a schema");
        let back = StoredSchema::new(&schema).schema().expect("a schema");
        assert!(back.is_open());
        assert_eq!(back, schema);
    }
}
