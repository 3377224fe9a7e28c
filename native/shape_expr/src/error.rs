//! What can go wrong: while a clause is compiled ([`Error`]) and while it is evaluated ([`EvalError`]).

use std::fmt;

/// A clause, a type name or a schema that is refused, with the reason.
///
/// Positions are byte offsets in the clause as the caller gave it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is no expression of PostgreSQL's grammar.
    #[error("syntax error: {message}")]
    Syntax {
        /// PostgreSQL's own words where they come from its grammar.
        message: String,
        /// Where the grammar gave up.
        position: usize,
    },
    /// The clause is longer than [`crate::MAX_CLAUSE_BYTES`].
    #[error("the clause has {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// The clause's length.
        bytes: usize,
        /// The longest clause that is accepted.
        limit: usize,
    },
    /// The clause nests deeper than [`crate::MAX_DEPTH`].
    #[error("the clause nests deeper than {limit}")]
    TooDeep {
        /// The deepest nesting that is accepted.
        limit: usize,
        /// Where the limit was passed.
        position: usize,
    },
    /// The clause expands to more than [`crate::MAX_NODES`] operations: `BETWEEN` and `IN` repeat
    /// their operand.
    #[error("the clause expands to more than {limit} operations")]
    TooComplex {
        /// The largest expansion that is accepted.
        limit: usize,
        /// Where the limit was passed.
        position: usize,
    },
    /// A column that the table does not have.
    #[error("column {name} does not exist")]
    UnknownColumn {
        /// The name as written.
        name: String,
        /// Where it stands.
        position: usize,
    },
    /// A table other than the shape's own.
    #[error("there is no table {name} in this clause")]
    UnknownTable {
        /// The name as written.
        name: String,
        /// Where it stands.
        position: usize,
    },
    /// A column name that several tables of the query have.
    #[error("column reference {name} is ambiguous")]
    AmbiguousColumn {
        /// The name as written.
        name: String,
        /// Where it stands.
        position: usize,
    },
    /// No function of that name takes these arguments.
    #[error("function {signature} does not exist")]
    UnknownFunction {
        /// Name and argument types.
        signature: String,
        /// Where it stands.
        position: usize,
    },
    /// No operator of that name takes these operands.
    #[error("operator does not exist: {signature}")]
    UnknownOperator {
        /// Operand types and name.
        signature: String,
        /// Where it stands.
        position: usize,
    },
    /// More than one operator or function fits, none of them best.
    #[error("{what} is not unique")]
    Ambiguous {
        /// The operator or function with its argument types.
        what: String,
        /// Where it stands.
        position: usize,
    },
    /// A value of one type where another one is needed and no cast leads there.
    #[error("{message}")]
    DatatypeMismatch {
        /// What was found and what was needed.
        message: String,
        /// PostgreSQL's code for it: `42804`, or `42846` for a cast that does not exist.
        sqlstate: &'static str,
        /// Where it stands.
        position: usize,
    },
    /// A literal or parameter that is no value of its type.
    #[error("invalid value for type {ty}: \"{value}\"")]
    InvalidLiteral {
        /// The type it was read as.
        ty: String,
        /// The literal's text, cut to a readable length.
        value: String,
        /// PostgreSQL's code for it, such as `22P02` or `22003`.
        sqlstate: &'static str,
        /// Where it stands.
        position: usize,
    },
    /// PostgreSQL accepts it, this crate does not (the message says why).
    #[error("{what} is not supported")]
    NotSupported {
        /// The thing refused.
        what: String,
        /// Where it stands.
        position: usize,
    },
    /// The answer would depend on time or chance, not on the row.
    #[error("{name} does not depend on the row alone and cannot be used here")]
    VolatileFunction {
        /// The function or literal.
        name: String,
        /// Where it stands.
        position: usize,
    },
    /// A query whose parts do not fit together.
    #[error("{message}")]
    InvalidQuery {
        /// PostgreSQL's message.
        message: String,
        /// PostgreSQL's code for it, such as `42803` or `42P10`.
        sqlstate: &'static str,
        /// Where it stands.
        position: usize,
    },
    /// An aggregate function.
    #[error("aggregate function {name} is not allowed in WHERE")]
    Aggregate {
        /// The function.
        name: String,
        /// Where it stands.
        position: usize,
    },
    /// A window function.
    #[error("window function {name} is not allowed in WHERE")]
    WindowFunction {
        /// The function.
        name: String,
        /// Where it stands.
        position: usize,
    },
    /// A type name that is not known here.
    #[error("type {name} does not exist or is not supported")]
    UnknownType {
        /// The name as written.
        name: String,
        /// Where it stands; `None` when it does not come from a clause.
        position: Option<usize>,
    },
    /// `$n` without a value.
    #[error("there is no parameter ${number}")]
    UnknownParameter {
        /// The parameter's number.
        number: i64,
        /// Where it stands.
        position: usize,
    },
    /// Open schema: nothing in the clause says what type the column has.
    #[error("the type of column {name} cannot be told from the clause")]
    UndeterminedType {
        /// The column.
        name: String,
        /// Where it stands.
        position: usize,
    },
    /// Open schema: another clause has given this column another type.
    #[error("column {name} is of type {ty}: {message}")]
    ColumnConflict {
        /// The column.
        name: String,
        /// The type it was given by the first clause that used it.
        ty: String,
        /// What does not fit.
        message: String,
        /// Where it stands.
        position: usize,
    },
    /// The schema contradicts itself.
    #[error("invalid schema: {message}")]
    InvalidSchema {
        /// What is wrong with it.
        message: String,
    },
    /// An option that has no such value.
    #[error("invalid option {name}: {message}")]
    InvalidOption {
        /// The option's name.
        name: &'static str,
        /// What is wrong with it.
        message: String,
    },
}

impl Error {
    /// A stable name for the kind of error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Error::Syntax { .. } => "syntax_error",
            Error::TooLong { .. } => "too_long",
            Error::TooDeep { .. } => "too_deep",
            Error::TooComplex { .. } => "too_complex",
            Error::UnknownColumn { .. } => "unknown_column",
            Error::UnknownTable { .. } => "unknown_table",
            Error::AmbiguousColumn { .. } => "ambiguous_column",
            Error::UnknownFunction { .. } => "unknown_function",
            Error::UnknownOperator { .. } => "unknown_operator",
            Error::Ambiguous { .. } => "ambiguous",
            Error::DatatypeMismatch { .. } | Error::ColumnConflict { .. } => "datatype_mismatch",
            Error::InvalidLiteral { .. } => "invalid_literal",
            Error::NotSupported { .. } => "not_supported",
            Error::VolatileFunction { .. } => "volatile_function",
            Error::InvalidQuery { .. } => "invalid_query",
            Error::Aggregate { .. } => "aggregate",
            Error::WindowFunction { .. } => "window_function",
            Error::UnknownType { .. } => "unknown_type",
            Error::UnknownParameter { .. } => "unknown_parameter",
            Error::UndeterminedType { .. } => "undetermined_type",
            Error::InvalidSchema { .. } => "invalid_schema",
            Error::InvalidOption { .. } => "invalid_option",
        }
    }

    /// The SQLSTATE PostgreSQL gives in the same case, where it has one.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        Some(match self {
            Error::Syntax { .. } => "42601",
            Error::TooLong { .. } | Error::TooDeep { .. } | Error::TooComplex { .. } => "54001",
            Error::UnknownColumn { .. } => "42703",
            Error::UnknownTable { .. } => "42P01",
            Error::UnknownFunction { .. } | Error::UnknownOperator { .. } => "42883",
            Error::Ambiguous { .. } => "42725",
            Error::AmbiguousColumn { .. } => "42702",
            Error::DatatypeMismatch { sqlstate, .. }
            | Error::InvalidLiteral { sqlstate, .. }
            | Error::InvalidQuery { sqlstate, .. } => sqlstate,
            Error::ColumnConflict { .. } => "42804",
            Error::NotSupported { .. } | Error::VolatileFunction { .. } => "0A000",
            Error::Aggregate { .. } => "42803",
            Error::WindowFunction { .. } => "42P20",
            Error::UnknownType { .. } => "42704",
            Error::UnknownParameter { .. } => "42P02",
            Error::UndeterminedType { .. } => "42P18",
            Error::InvalidSchema { .. } | Error::InvalidOption { .. } => return None,
        })
    }

    /// The byte offset in the clause, where the error has a place.
    #[must_use]
    pub fn position(&self) -> Option<usize> {
        match self {
            Error::Syntax { position, .. }
            | Error::TooDeep { position, .. }
            | Error::TooComplex { position, .. }
            | Error::UnknownColumn { position, .. }
            | Error::UnknownTable { position, .. }
            | Error::UnknownFunction { position, .. }
            | Error::UnknownOperator { position, .. }
            | Error::Ambiguous { position, .. }
            | Error::AmbiguousColumn { position, .. }
            | Error::DatatypeMismatch { position, .. }
            | Error::InvalidLiteral { position, .. }
            | Error::NotSupported { position, .. }
            | Error::VolatileFunction { position, .. }
            | Error::InvalidQuery { position, .. }
            | Error::Aggregate { position, .. }
            | Error::WindowFunction { position, .. }
            | Error::UnknownParameter { position, .. }
            | Error::UndeterminedType { position, .. }
            | Error::ColumnConflict { position, .. } => Some(*position),
            Error::UnknownType { position, .. } => *position,
            Error::TooLong { limit, .. } => Some(*limit),
            Error::InvalidSchema { .. } | Error::InvalidOption { .. } => None,
        }
    }

    pub(crate) fn unsupported(what: impl Into<String>, position: usize) -> Error {
        Error::NotSupported { what: what.into(), position }
    }

    pub(crate) fn syntax(message: impl Into<String>, position: usize) -> Error {
        Error::Syntax { message: message.into(), position }
    }

    pub(crate) fn mismatch(message: impl Into<String>, position: usize) -> Error {
        Error::DatatypeMismatch { message: message.into(), sqlstate: "42804", position }
    }
}

/// Why an evaluation raised. The names follow PostgreSQL's condition names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Raise {
    /// 22P02: the text is no value of the type.
    InvalidText,
    /// 22003: the value is outside the type's range.
    OutOfRange,
    /// 22012: division by zero.
    DivisionByZero,
    /// 22001: a string is too long for its type.
    StringTooLong,
    /// 22007: the text is no date or time.
    InvalidDatetime,
    /// 22008: a date or time outside the type's range.
    DatetimeOverflow,
    /// 22009: a time zone displacement out of range.
    InvalidTimeZone,
    /// 22015: a part of an interval out of range.
    IntervalOverflow,
    /// 22023: an argument outside the function's domain.
    InvalidParameter,
    /// 22025: an escape character with nothing after it.
    InvalidEscapeSequence,
    /// 22019: an escape of more than one character.
    InvalidEscapeCharacter,
    /// 22011: a substring of negative length.
    Substring,
    /// 2200C: more separators in a SIMILAR TO pattern than there may be.
    InvalidUseOfEscape,
    /// 2201B: the text is no regular expression.
    InvalidRegex,
    /// 2202E: an index outside its bytes.
    ArraySubscriptRange,
    /// 22021: bytes that are no text of the encoding.
    InvalidEncoding,
    /// 2202E: arrays whose dimensions do not go together, or are beyond the limits.
    ArraySubscript,
    /// 22000: an array of more dimensions than the function takes.
    DataException,
    /// 22004: an argument that must not be NULL.
    NullNotAllowed,
    /// 42883: an element type without the operator that the function needs.
    UndefinedFunction,
    /// 42804: rows of different types side by side.
    DatatypeMismatch,
    /// 42P22: two collations, and nothing says which one counts.
    IndeterminateCollation,
    /// 22P05: an escape that stands for no character of the encoding.
    UntranslatableCharacter,
    /// 54001: a value nested too deep.
    TooDeep,
    /// 2201E: an argument a logarithm has no answer for.
    InvalidLogarithm,
    /// 2201G: bounds or a count that make no buckets.
    InvalidWidthBucket,
    /// 42601: a text that is not written as the function wants it.
    SyntaxError,
    /// 2201F: arguments a power or root has no answer for.
    InvalidPower,
    /// 54000: fuel or memory of this evaluation is used up.
    LimitExceeded,
    /// 0A000: PostgreSQL has an answer, this crate has not.
    NotSupported,
}

impl Raise {
    /// PostgreSQL's five-character code.
    #[must_use]
    pub const fn sqlstate(self) -> &'static str {
        match self {
            Raise::InvalidText => "22P02",
            Raise::OutOfRange => "22003",
            Raise::DivisionByZero => "22012",
            Raise::StringTooLong => "22001",
            Raise::InvalidDatetime => "22007",
            Raise::DatetimeOverflow => "22008",
            Raise::InvalidTimeZone => "22009",
            Raise::IntervalOverflow => "22015",
            Raise::InvalidParameter => "22023",
            Raise::InvalidEscapeSequence => "22025",
            Raise::InvalidEscapeCharacter => "22019",
            Raise::Substring => "22011",
            Raise::InvalidUseOfEscape => "2200C",
            Raise::InvalidRegex => "2201B",
            Raise::ArraySubscriptRange => "2202E",
            Raise::InvalidEncoding => "22021",
            Raise::ArraySubscript => "2202E",
            Raise::DataException => "22000",
            Raise::NullNotAllowed => "22004",
            Raise::UndefinedFunction => "42883",
            Raise::DatatypeMismatch => "42804",
            Raise::IndeterminateCollation => "42P22",
            Raise::UntranslatableCharacter => "22P05",
            Raise::TooDeep => "54001",
            Raise::InvalidLogarithm => "2201E",
            Raise::InvalidWidthBucket => "2201G",
            Raise::SyntaxError => "42601",
            Raise::InvalidPower => "2201F",
            Raise::LimitExceeded => "54000",
            Raise::NotSupported => "0A000",
        }
    }

    const fn message(self) -> &'static str {
        match self {
            Raise::InvalidText => "invalid input for its type",
            Raise::OutOfRange => "value out of range",
            Raise::DivisionByZero => "division by zero",
            Raise::StringTooLong => "value too long for its type",
            Raise::InvalidDatetime => "invalid date or time",
            Raise::DatetimeOverflow => "date or time out of range",
            Raise::InvalidTimeZone => "time zone displacement out of range",
            Raise::IntervalOverflow => "interval field out of range",
            Raise::InvalidParameter => "invalid argument",
            Raise::InvalidEscapeSequence => "the pattern ends with its escape character",
            Raise::InvalidEscapeCharacter => "an escape must be empty or one character",
            Raise::Substring => "negative substring length not allowed",
            Raise::InvalidUseOfEscape => "more than two separators in a SIMILAR TO pattern",
            Raise::InvalidRegex => "invalid regular expression",
            Raise::ArraySubscriptRange => "index out of range",
            Raise::InvalidEncoding => "invalid byte sequence for UTF-8",
            Raise::ArraySubscript => "wrong array dimensions",
            Raise::DataException => "argument must be empty or one-dimensional array",
            Raise::NullNotAllowed => "an argument must not be NULL",
            Raise::UndefinedFunction => "the element type lacks the operator that is needed",
            Raise::DatatypeMismatch => "cannot compare rows of different types",
            Raise::IndeterminateCollation => "could not determine which collation to use",
            Raise::UntranslatableCharacter => "unsupported Unicode escape",
            Raise::TooDeep => "nested too deep",
            Raise::InvalidLogarithm => "invalid argument for a logarithm",
            Raise::InvalidWidthBucket => "invalid bounds or count for buckets",
            Raise::SyntaxError => "invalid syntax",
            Raise::InvalidPower => "invalid argument for a power or root",
            Raise::LimitExceeded => "the evaluation's limit of fuel or memory is reached",
            Raise::NotSupported => "not supported",
        }
    }
}

/// An evaluation that raised: PostgreSQL would have raised too, or a limit of ours was reached.
///
/// Eight bytes and `Copy`: making one costs nothing, the text is made by `Display`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EvalError {
    raise: Raise,
    column: Option<std::num::NonZeroU32>,
}

impl EvalError {
    /// An error of this kind that no single column is to blame for.
    #[must_use]
    pub const fn new(raise: Raise) -> EvalError {
        EvalError { raise, column: None }
    }

    /// The same error, blamed on the text of a column.
    #[must_use]
    pub fn in_column(self, column: usize) -> EvalError {
        let number = u32::try_from(column).ok().and_then(|c| c.checked_add(1));
        EvalError { raise: self.raise, column: number.and_then(std::num::NonZeroU32::new) }
    }

    /// What happened.
    #[must_use]
    pub const fn raise(&self) -> Raise {
        self.raise
    }

    /// PostgreSQL's code for it.
    #[must_use]
    pub const fn sqlstate(&self) -> &'static str {
        self.raise.sqlstate()
    }

    /// The column whose text could not be read as its type, if that was the reason.
    #[must_use]
    pub fn column(&self) -> Option<usize> {
        self.column.map(|number| number.get() as usize - 1)
    }
}

impl fmt::Display for EvalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.raise.message(), self.sqlstate())?;
        match self.column() {
            Some(column) => write!(f, " in column {column}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for EvalError {}

impl From<Raise> for EvalError {
    fn from(raise: Raise) -> EvalError {
        EvalError::new(raise)
    }
}
