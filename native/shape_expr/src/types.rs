//! The types: their names, OIDs and categories, one table row each.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::Error;
use crate::values::datetime::{INTERVAL_MASKS, interval_name, interval_typmod};

/// A PostgreSQL type without its modifier.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Type {
    /// `boolean`
    Bool,
    /// `smallint`
    Int2,
    /// `integer`
    Int4,
    /// `bigint`
    Int8,
    /// `real`
    Float4,
    /// `double precision`
    Float8,
    /// `numeric`
    Numeric,
    /// `text`
    Text,
    /// `character varying`
    Varchar,
    /// `character` (blank-padded)
    Bpchar,
    /// `name`
    Name,
    /// `uuid`
    Uuid,
    /// `bytea`
    Bytea,
    /// `timestamp with time zone`
    Timestamptz,
    /// `oid`
    Oid,
    /// An array, of any number of dimensions, of elements of this type, which is no array itself.
    Array(Element),
    /// An enum.
    Enum(Arc<EnumType>),
    /// `anyelement`: of this and the next five there are no values; functions are declared with them.
    AnyElement,
    /// `anyarray`
    AnyArray,
    /// `anyenum`
    AnyEnum,
    /// `anycompatible`
    AnyCompatible,
    /// `anycompatiblearray`
    AnyCompatibleArray,
    /// `anynonarray`
    AnyNonArray,
    /// The table's own row type, which no column has.
    Composite,
    /// `record`: rows written out, which no column has.
    Record,
    /// `json`
    Json,
    /// `jsonb`
    Jsonb,
    /// `timestamp without time zone`
    Timestamp,
    /// `date`
    Date,
    /// `time without time zone`
    Time,
    /// `time with time zone`
    Timetz,
    /// `interval`
    Interval,
    /// The type of a quoted literal or `NULL` before its place has given it another. No column has it.
    Unknown,
}

/// PostgreSQL's `typcategory`: it decides between candidates when operators are resolved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Category {
    Boolean,
    DateTime,
    Timespan,
    Numeric,
    String,
    User,
    Array,
    Enum,
    Composite,
    Pseudo,
    Unknown,
}

#[cfg(test)]
impl Category {
    /// As `pg_type.typcategory` has it.
    pub(crate) fn letter(self) -> char {
        match self {
            Category::Boolean => 'B',
            Category::DateTime => 'D',
            Category::Timespan => 'T',
            Category::Numeric => 'N',
            Category::String => 'S',
            Category::User => 'U',
            Category::Array => 'A',
            Category::Enum => 'E',
            Category::Composite => 'C',
            Category::Pseudo => 'P',
            Category::Unknown => 'X',
        }
    }
}

/// What there is to know about a type.
pub(crate) struct TypeRow {
    pub ty: Type,
    /// As `format_type` prints it.
    pub name: &'static str,
    /// Other spellings, `pg_catalog`'s own name among them.
    pub aliases: &'static [&'static str],
    pub oid: u32,
    pub category: Category,
    pub preferred: bool,
}

const fn row(
    ty: Type,
    name: &'static str,
    aliases: &'static [&'static str],
    oid: u32,
    category: Category,
    preferred: bool,
) -> TypeRow {
    TypeRow { ty, name, aliases, oid, category, preferred }
}

/// One row a type. A new type is a row here, a file in `values/` and a file in `catalog/`.
pub(crate) static TYPES: &[TypeRow] = &[
    row(Type::Bool, "boolean", &["bool"], 16, Category::Boolean, true),
    row(Type::Int2, "smallint", &["int2"], 21, Category::Numeric, false),
    row(Type::Int4, "integer", &["int4", "int"], 23, Category::Numeric, false),
    row(Type::Int8, "bigint", &["int8"], 20, Category::Numeric, false),
    row(Type::Float4, "real", &["float4"], 700, Category::Numeric, false),
    row(Type::Float8, "double precision", &["float8", "float"], 701, Category::Numeric, true),
    row(Type::Numeric, "numeric", &["decimal", "dec"], 1700, Category::Numeric, false),
    row(Type::Text, "text", &[], 25, Category::String, true),
    row(Type::Varchar, "character varying", &["varchar"], 1043, Category::String, false),
    row(Type::Bpchar, "character", &["bpchar", "char"], 1042, Category::String, false),
    row(Type::Name, "name", &[], 19, Category::String, false),
    row(Type::Uuid, "uuid", &[], 2950, Category::User, false),
    row(Type::Bytea, "bytea", &[], 17, Category::User, false),
    row(
        Type::Timestamptz,
        "timestamp with time zone",
        &["timestamptz"],
        1184,
        Category::DateTime,
        true,
    ),
    row(Type::Oid, "oid", &[], 26, Category::Numeric, true),
    row(Type::AnyElement, "anyelement", &[], 2283, Category::Pseudo, false),
    row(Type::AnyArray, "anyarray", &[], 2277, Category::Pseudo, false),
    row(Type::AnyEnum, "anyenum", &[], 3500, Category::Pseudo, false),
    row(Type::AnyCompatible, "anycompatible", &[], 5077, Category::Pseudo, false),
    row(Type::AnyCompatibleArray, "anycompatiblearray", &[], 5078, Category::Pseudo, false),
    row(Type::AnyNonArray, "anynonarray", &[], 2776, Category::Pseudo, false),
    row(Type::Record, "record", &[], 2249, Category::Pseudo, false),
    row(Type::Json, "json", &[], 114, Category::User, false),
    row(Type::Jsonb, "jsonb", &[], 3802, Category::User, false),
    row(
        Type::Timestamp,
        "timestamp without time zone",
        &["timestamp"],
        1114,
        Category::DateTime,
        false,
    ),
    row(Type::Date, "date", &[], 1082, Category::DateTime, false),
    row(Type::Time, "time without time zone", &["time"], 1083, Category::DateTime, false),
    row(Type::Timetz, "time with time zone", &["timetz"], 1266, Category::DateTime, false),
    row(Type::Interval, "interval", &[], 1186, Category::Timespan, true),
    row(Type::Unknown, "unknown", &[], 705, Category::Unknown, false),
];

/// OIDs of array types by their elements' OIDs, whether this crate has the element type or not.
static ARRAYS: &[(u32, u32)] = &[
    (16, 1000),
    (17, 1001),
    (19, 1003),
    (20, 1016),
    (21, 1005),
    (23, 1007),
    (25, 1009),
    (26, 1028),
    (114, 199),
    (700, 1021),
    (701, 1022),
    (1042, 1014),
    (1043, 1015),
    (1082, 1182),
    (1083, 1183),
    (1114, 1115),
    (1184, 1185),
    (1186, 1187),
    (1266, 1270),
    (1700, 1231),
    (2950, 2951),
    (3802, 3807),
];

/// The type of an array's elements.
#[derive(Clone)]
pub struct Element(Shared);

#[derive(Clone)]
enum Shared {
    /// For the tables, which are constants.
    Fixed(&'static Type),
    Counted(Arc<Type>),
}

impl std::ops::Deref for Element {
    type Target = Type;

    fn deref(&self) -> &Type {
        match &self.0 {
            Shared::Fixed(ty) => ty,
            Shared::Counted(ty) => ty,
        }
    }
}

impl PartialEq for Element {
    fn eq(&self, other: &Element) -> bool {
        **self == **other
    }
}

impl Eq for Element {}

impl std::hash::Hash for Element {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

/// An enum's labels in their order, and its name where it is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EnumType {
    name: Option<String>,
    labels: Box<[Box<str>]>,
}

impl EnumType {
    /// The type's name, if it was given.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The labels in order.
    pub fn labels(&self) -> impl Iterator<Item = &str> {
        self.labels.iter().map(|label| &**label)
    }

    /// Where a label stands in the order.
    #[must_use]
    pub fn position(&self, label: &str) -> Option<u32> {
        self.labels().position(|own| own == label).and_then(|at| u32::try_from(at).ok())
    }
}

impl Type {
    /// `text[]`, for tables.
    pub const TEXT_ARRAY: Type = Type::Array(Element(Shared::Fixed(&Type::Text)));
    /// `integer[]`, for tables.
    pub const INT4_ARRAY: Type = Type::Array(Element(Shared::Fixed(&Type::Int4)));

    pub(crate) fn row(&self) -> &'static TypeRow {
        // The last row is Unknown's, and every variant has a row (a test holds us to it).
        TYPES.iter().find(|row| row.ty == *self).unwrap_or(&TYPES[TYPES.len() - 1])
    }

    pub(crate) fn category(&self) -> Category {
        match self {
            Type::Array(_) => Category::Array,
            Type::Enum(_) => Category::Enum,
            Type::Composite => Category::Composite,
            ty => ty.row().category,
        }
    }

    pub(crate) fn is_preferred(&self) -> bool {
        self.row().preferred
    }

    /// An array of this type; of an array, itself: PostgreSQL has one array type an element type.
    #[must_use]
    pub fn array_of(self) -> Type {
        match self {
            Type::Array(_) => self,
            element => Type::Array(Element(Shared::Counted(Arc::new(element)))),
        }
    }

    /// The type of an array's elements.
    #[must_use]
    pub fn element(&self) -> Option<&Type> {
        match self {
            Type::Array(element) => Some(element),
            _ => None,
        }
    }

    pub(crate) fn by_oid(oid: u32) -> Option<Type> {
        if let Some((element, _)) = ARRAYS.iter().find(|(_, array)| *array == oid) {
            return Type::by_oid(*element).map(Type::array_of);
        }
        TYPES.iter().find(|row| row.oid == oid && row.ty != Type::Unknown).map(|row| row.ty.clone())
    }

    /// Of no column and no value.
    pub(crate) fn is_pseudo(&self) -> bool {
        matches!(self.category(), Category::Unknown | Category::Composite | Category::Pseudo)
    }

    /// By any of its names, in lower case, without a modifier.
    pub(crate) fn by_name(name: &str) -> Option<Type> {
        // Arrays have names of their own too: `_int4`.
        if let Some(element) = name.strip_prefix('_') {
            let row = TYPES.iter().find(|row| {
                !row.ty.is_pseudo()
                    && (row.name == element || row.aliases.first() == Some(&element))
            });
            return row.map(|row| row.ty.clone().array_of());
        }
        TYPES
            .iter()
            .find(|row| !row.ty.is_pseudo() && (row.name == name || row.aliases.contains(&name)))
            .map(|row| row.ty.clone())
    }

    /// A date, a time or both?
    pub(crate) fn is_time(&self) -> bool {
        self.category() == Category::DateTime
    }

    /// By the name `pg_type` has, as a function-like cast needs it: `int4`, never `integer`.
    pub(crate) fn by_own_name(name: &str) -> Option<Type> {
        const SPELLINGS: &[&str] = &[
            "boolean",
            "smallint",
            "integer",
            "int",
            "bigint",
            "real",
            "float",
            "decimal",
            "dec",
            "character",
            "char",
        ];
        Type::by_name(name).filter(|_| !SPELLINGS.contains(&name) && !name.contains(' '))
    }

    /// The OID PostgreSQL knows the type by; 0 for an enum, which has another one in each database.
    #[must_use]
    pub fn oid(&self) -> u32 {
        match self {
            Type::Array(element) => {
                let own = element.oid();
                ARRAYS.iter().find(|(element, _)| *element == own).map_or(0, |(_, array)| *array)
            }
            Type::Enum(_) | Type::Composite => 0,
            ty => ty.row().oid,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Array(element) => write!(f, "{}[]", **element),
            Type::Enum(labels) => f.write_str(labels.name().unwrap_or("enum")),
            Type::Composite => f.write_str("the table's row type"),
            ty => f.write_str(ty.row().name),
        }
    }
}

/// What a collation means for `< <= > >=` on text, and which letters have case. Equality is bytewise
/// under all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Collation {
    /// Not said: taken to be C.UTF-8, as `Options` describes.
    #[default]
    Default,
    /// C, POSIX or `ucs_basic`: ordered by bytes, and only ASCII letters have case.
    C,
    /// C.UTF-8: ordered by bytes, and all letters have case.
    CUtf8,
    /// Any other one: ordering and case are refused.
    Other,
}

impl Collation {
    /// By its name in `pg_collation`.
    ///
    /// ```
    /// use shape_expr::Collation;
    /// assert_eq!(Collation::named("POSIX"), Collation::C);
    /// assert_eq!(Collation::named("de_DE"), Collation::Other);
    /// ```
    #[must_use]
    pub fn named(name: &str) -> Collation {
        match name {
            "C" | "POSIX" | "ucs_basic" => Collation::C,
            "C.UTF-8" | "C.utf8" => Collation::CUtf8,
            "default" => Collation::Default,
            _ => Collation::Other,
        }
    }
}

/// A column's type: type, modifier and collation.
///
/// ```
/// use shape_expr::{ColumnType, Type};
/// let ty: ColumnType = "numeric(10,2)".parse()?;
/// assert_eq!(ty.ty, Type::Numeric);
/// assert_eq!(ty.to_string(), "numeric(10,2)");
/// assert_eq!("character varying(20)".parse::<ColumnType>()?, "varchar(20)".parse()?);
/// # Ok::<(), shape_expr::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ColumnType {
    /// The type.
    pub ty: Type,
    /// PostgreSQL's `atttypmod`; -1 for none.
    pub typmod: i32,
    /// The collation, for the string types.
    pub collation: Collation,
}

impl ColumnType {
    /// A type without modifier.
    #[must_use]
    pub const fn new(ty: Type) -> ColumnType {
        ColumnType { ty, typmod: -1, collation: Collation::Default }
    }

    /// From what a Relation message says about a column.
    #[must_use]
    pub fn from_oid(oid: u32, typmod: i32) -> Option<ColumnType> {
        Type::by_oid(oid).filter(|ty| !ty.is_pseudo()).map(|ty| ColumnType {
            ty,
            typmod,
            collation: Collation::Default,
        })
    }

    /// An enum with these labels, in this order.
    ///
    /// ```
    /// use shape_expr::ColumnType;
    /// let mood = ColumnType::enumeration(&["sad", "ok", "happy"]).named("mood");
    /// assert_eq!(mood.to_string(), "mood");
    /// ```
    #[must_use]
    pub fn enumeration(labels: &[&str]) -> ColumnType {
        let labels = labels.iter().map(|label| Box::from(*label)).collect();
        ColumnType::new(Type::Enum(Arc::new(EnumType { name: None, labels })))
    }

    /// Gives an enum (or the enum that is an array's element) its name, so that clauses can cast to
    /// it; other types stay as they are.
    #[must_use]
    pub fn named(mut self, name: &str) -> ColumnType {
        let is_array = matches!(self.ty, Type::Array(_));
        if let Type::Enum(labels) = self.ty.element().unwrap_or(&self.ty) {
            let labels = labels.labels.clone();
            let ty = Type::Enum(Arc::new(EnumType { name: Some(name.to_owned()), labels }));
            self.ty = if is_array { ty.array_of() } else { ty };
        }
        self
    }

    /// An array of this type. The modifier is that of the elements.
    #[must_use]
    pub fn array_of(mut self) -> ColumnType {
        self.ty = self.ty.array_of();
        self
    }

    /// A string type (or an array of one) under the collation of this name.
    ///
    /// ```
    /// use shape_expr::{Collation, ColumnType, Type};
    /// let text = ColumnType::new(Type::Text).collated("C")?;
    /// assert_eq!(text.collation, Collation::C);
    /// assert!(ColumnType::new(Type::Int4).collated("C").is_err());
    /// # Ok::<(), shape_expr::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidSchema`]: the type has no collation.
    pub fn collated(mut self, name: &str) -> Result<ColumnType, Error> {
        if self.ty.element().unwrap_or(&self.ty).category() != Category::String {
            let message = format!("collations are not supported by type {self}");
            return Err(Error::InvalidSchema { message });
        }
        self.collation = Collation::named(name);
        Ok(self)
    }

    /// The type called `name` with these modifiers, as in `numeric(10,2)`.
    pub(crate) fn with_modifiers(
        name: &str,
        modifiers: &[i64],
        position: Option<usize>,
    ) -> Result<ColumnType, Error> {
        let unknown = || match position {
            Some(position) if crate::catalog::missing_type(name) => {
                Error::unsupported(format!("type {name}"), position)
            }
            position => Error::UnknownType { name: name.to_owned(), position },
        };
        let ty = Type::by_name(name).ok_or_else(unknown)?;
        let bad = |message: &str| match position {
            Some(position) => {
                Error::DatatypeMismatch { message: message.to_owned(), sqlstate: "22023", position }
            }
            None => Error::InvalidSchema { message: message.to_owned() },
        };
        let typmod = match (ty.element().unwrap_or(&ty), modifiers) {
            (_, []) => -1,
            (Type::Varchar | Type::Bpchar, [length]) => {
                let length = i32::try_from(*length).ok().filter(|n| (1..=10_485_760).contains(n));
                length.ok_or_else(|| bad("length for a character type must be 1 to 10485760"))? + 4
            }
            (Type::Numeric, [precision]) => numeric_typmod(*precision, 0).ok_or_else(|| {
                bad("numeric precision must be 1 to 1000, its scale -1000 to 1000")
            })?,
            (Type::Numeric, [precision, scale]) => {
                numeric_typmod(*precision, *scale).ok_or_else(|| {
                    bad("numeric precision must be 1 to 1000, its scale -1000 to 1000")
                })?
            }
            (Type::Interval, modifiers) => {
                interval_modifier(modifiers).ok_or_else(|| bad("precision must not be negative"))?
            }
            (Type::Timestamptz | Type::Timestamp | Type::Time | Type::Timetz, [precision]) => {
                // PostgreSQL cuts a precision above 6 to 6, with a warning.
                let precision = i32::try_from(*precision).ok().filter(|p| *p >= 0);
                precision.ok_or_else(|| bad("precision must not be negative"))?.min(6)
            }
            _ => return Err(bad("type modifier is not allowed for this type")),
        };
        Ok(ColumnType { ty, typmod, collation: Collation::Default })
    }
}

/// An interval's modifier as the grammar gives it: its fields, its precision, or both.
fn interval_modifier(modifiers: &[i64]) -> Option<i32> {
    const ALL: i64 = 0x7fff;
    let fields = |mask: i64| (mask != ALL).then_some(mask as i32);
    let (mask, precision) = match modifiers {
        [mask] => (fields(*mask), None),
        [mask, precision] => {
            let precision = i32::try_from(*precision).ok().filter(|p| *p >= 0)?;
            (fields(*mask), Some(precision.min(6)))
        }
        _ => return None,
    };
    Some(interval_typmod(mask, precision))
}

fn numeric_typmod(precision: i64, scale: i64) -> Option<i32> {
    if !(1..=1000).contains(&precision) || !(-1000..=1000).contains(&scale) {
        return None;
    }
    // As numeric.c packs it: 11 bits of signed scale below the precision.
    let packed = ((precision << 16) | (scale & 0x7ff)) + 4;
    i32::try_from(packed).ok()
}

/// Precision and scale out of a numeric's modifier.
pub(crate) fn numeric_modifier(typmod: i32) -> Option<(i32, i32)> {
    if typmod < 4 {
        return None;
    }
    let packed = typmod - 4;
    let scale = packed & 0x7ff;
    Some(((packed >> 16) & 0xffff, (scale ^ 1024) - 1024))
}

impl FromStr for ColumnType {
    type Err = Error;

    /// Reads PostgreSQL's own spelling, with any of the type's names.
    fn from_str(text: &str) -> Result<ColumnType, Error> {
        let unknown = || Error::UnknownType { name: text.to_owned(), position: None };
        let lower = text.trim().to_ascii_lowercase();
        // `int4[]`, `int4[3][3]`, `int4 array`: bounds say nothing in PostgreSQL.
        if let Some((element, bounds)) = lower.split_once('[') {
            if !bounds.chars().all(|c| c.is_ascii_digit() || "[] ".contains(c))
                || !bounds.ends_with(']')
            {
                return Err(unknown());
            }
            let element = element.parse::<ColumnType>().map_err(|_| unknown())?;
            return Ok(element.array_of());
        }
        if let Some(element) = lower.strip_suffix(" array") {
            if element.ends_with(" array") {
                return Err(unknown());
            }
            let element = element.parse::<ColumnType>().map_err(|_| unknown())?;
            return Ok(element.array_of());
        }
        let (name, modifiers, rest) = match lower.split_once('(') {
            None => (lower.as_str(), Vec::new(), ""),
            Some((name, tail)) => {
                let (inside, rest) = tail.split_once(')').ok_or_else(unknown)?;
                let modifiers = inside.split(',').map(|m| m.trim().parse::<i64>());
                (name, modifiers.collect::<Result<_, _>>().map_err(|_| unknown())?, rest)
            }
        };
        // `timestamp(3) with time zone` has its modifier inside the name.
        let name = format!("{} {}", name.trim(), rest.trim());
        let name = name.split_whitespace().collect::<Vec<_>>().join(" ");
        let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
        if let Some(fields) = name.strip_prefix("interval") {
            let precision = modifiers.first().copied();
            return interval_type(fields.trim(), precision).ok_or_else(unknown);
        }
        let (name, modifiers) = match (name, modifiers) {
            // SQL's `character` without a length is one character; pg_catalog's `bpchar` has no limit.
            ("character" | "char", modifiers) if modifiers.is_empty() => ("bpchar", vec![1]),
            ("float", modifiers) => match modifiers.first() {
                None => ("float8", Vec::new()),
                Some(1..=24) => ("float4", Vec::new()),
                Some(25..=53) => ("float8", Vec::new()),
                Some(_) => return Err(unknown()),
            },
            other => other,
        };
        ColumnType::with_modifiers(name, &modifiers, None).map_err(|error| match error {
            Error::UnknownType { .. } => unknown(),
            other => other,
        })
    }
}

/// `interval`, `interval day to second(3)`.
fn interval_type(fields: &str, precision: Option<i64>) -> Option<ColumnType> {
    let mask = match fields {
        "" => None,
        fields => Some(INTERVAL_MASKS.iter().find(|(_, words)| *words == fields)?.0),
    };
    let precision = match precision {
        None => None,
        Some(precision) => Some(i32::try_from(precision).ok().filter(|p| (0..=6).contains(p))?),
    };
    let typmod = interval_typmod(mask, precision);
    Some(ColumnType { typmod, ..ColumnType::new(Type::Interval) })
}

impl fmt::Display for ColumnType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let typmod = self.typmod;
        match &self.ty {
            Type::Array(element) => {
                write!(f, "{}[]", ColumnType { ty: (**element).clone(), ..self.clone() })
            }
            Type::Varchar | Type::Bpchar if typmod > 4 => write!(f, "{}({})", self.ty, typmod - 4),
            Type::Bpchar => f.write_str("bpchar"),
            Type::Numeric => match numeric_modifier(typmod) {
                Some((precision, scale)) => write!(f, "numeric({precision},{scale})"),
                None => f.write_str("numeric"),
            },
            Type::Timestamptz if typmod >= 0 => write!(f, "timestamp({typmod}) with time zone"),
            Type::Timestamp if typmod >= 0 => write!(f, "timestamp({typmod}) without time zone"),
            Type::Time if typmod >= 0 => write!(f, "time({typmod}) without time zone"),
            Type::Timetz if typmod >= 0 => write!(f, "time({typmod}) with time zone"),
            Type::Interval => f.write_str(&interval_name(typmod)),
            ty => write!(f, "{ty}"),
        }
    }
}
