//! Names that PostgreSQL knows and a shape's clause cannot use, and candidates that exist for types
//! not known here.

use crate::types::Category;

/// Why a function is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It depends on time, chance or the session.
    Volatile,
    Aggregate,
    Window,
    /// It gives rows, not a value.
    Set,
}

const VOLATILE: &[&str] = &[
    "now",
    "random",
    "clock_timestamp",
    "statement_timestamp",
    "transaction_timestamp",
    "timeofday",
    "gen_random_uuid",
    "nextval",
    "currval",
    "lastval",
    "setval",
    "setseed",
    "txid_current",
    "pg_current_xact_id",
    "current_setting",
    "set_config",
    "pg_backend_pid",
    "pg_sleep",
    "version",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_query",
    "inet_client_addr",
    "pg_is_in_recovery",
    "pg_postmaster_start_time",
    "pg_typeof",
    "pg_column_size",
];

const AGGREGATES: &[&str] = &[
    "count",
    "sum",
    "avg",
    "min",
    "max",
    "array_agg",
    "string_agg",
    "json_agg",
    "jsonb_agg",
    "json_object_agg",
    "jsonb_object_agg",
    "bool_and",
    "bool_or",
    "every",
    "bit_and",
    "bit_or",
    "bit_xor",
    "stddev",
    "stddev_pop",
    "stddev_samp",
    "variance",
    "var_pop",
    "var_samp",
    "corr",
    "covar_pop",
    "covar_samp",
    "regr_avgx",
    "regr_avgy",
    "regr_count",
    "regr_intercept",
    "regr_r2",
    "regr_slope",
    "regr_sxx",
    "regr_sxy",
    "regr_syy",
    "mode",
    "percentile_cont",
    "percentile_disc",
    "range_agg",
    "range_intersect_agg",
    "xmlagg",
];

const WINDOW: &[&str] = &[
    "row_number",
    "rank",
    "dense_rank",
    "percent_rank",
    "cume_dist",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

const SETS: &[&str] = &[
    "unnest",
    "generate_series",
    "generate_subscripts",
    "regexp_matches",
    "regexp_split_to_table",
    "string_to_table",
    "json_array_elements",
    "json_array_elements_text",
    "json_each",
    "json_each_text",
    "json_object_keys",
    "json_populate_recordset",
    "json_to_recordset",
    "jsonb_array_elements",
    "jsonb_array_elements_text",
    "jsonb_each",
    "jsonb_each_text",
    "jsonb_object_keys",
    "jsonb_path_query",
    "jsonb_path_query_tz",
    "jsonb_populate_recordset",
    "jsonb_to_recordset",
];

/// What takes a jsonpath, which is a language of its own.
const PATHS: &[&str] = &[
    "@?",
    "@@",
    "jsonb_path_exists",
    "jsonb_path_exists_tz",
    "jsonb_path_match",
    "jsonb_path_match_tz",
    "jsonb_path_query_array",
    "jsonb_path_query_array_tz",
    "jsonb_path_query_first",
    "jsonb_path_query_first_tz",
];

/// Is this the name of an operator or a function that takes a jsonpath?
pub(crate) fn takes_path(name: &str) -> bool {
    PATHS.contains(&name)
}

/// Is the function of this name refused, and why?
pub(crate) fn refusal(name: &str) -> Option<Refusal> {
    let lists = [
        (VOLATILE, Refusal::Volatile),
        (AGGREGATES, Refusal::Aggregate),
        (WINDOW, Refusal::Window),
        (SETS, Refusal::Set),
    ];
    lists.into_iter().find(|(names, _)| names.contains(&name)).map(|(_, why)| why)
}

/// Operators PostgreSQL has for types that this crate knows, but this crate has not.
const OPERATORS: &[&str] = &[
    "~~*", "!~~*", "~", "!~", "~*", "!~*", "^", "|/", "||/", "@", "&", "|", "#", "<<", ">>", "^@",
    "->", "->>", "#>", "#>>", "#-", "?", "?|", "?&", "~<~", "~<=~", "~>~", "~>=~", "-|-",
];

/// The same for functions.
const FUNCTIONS: &[&str] = &[
    "row_to_json",
    "json_populate_record",
    "json_to_record",
    "jsonb_populate_record",
    "jsonb_to_record",
    "to_ascii",
    "pg_size_pretty",
    "pg_size_bytes",
    "pg_client_encoding",
];

/// Functions of double precision whose last digit is the C library's.
const MACHINE: &[&str] = &[
    "cbrt", "sin", "cos", "tan", "cot", "asin", "acos", "atan", "atan2", "sinh", "cosh", "tanh",
    "sind", "cosd", "tand", "cotd", "asind", "acosd", "atand", "atan2d", "asinh", "acosh", "atanh",
];

/// Functions that write or read by a template.
const TEMPLATES: &[&str] = &["to_char", "to_date", "to_number"];

/// Types that PostgreSQL has and a clause cannot use.
const TYPES: &[&str] = &[
    "bit",
    "varbit",
    "money",
    "inet",
    "cidr",
    "macaddr",
    "macaddr8",
    "point",
    "line",
    "lseg",
    "box",
    "path",
    "polygon",
    "circle",
    "xml",
    "tsvector",
    "tsquery",
    "pg_lsn",
    "int4range",
    "int8range",
    "numrange",
    "tsrange",
    "tstzrange",
    "daterange",
    "int4multirange",
    "int8multirange",
    "nummultirange",
    "tsmultirange",
    "tstzmultirange",
    "datemultirange",
    "regclass",
    "regtype",
    "regproc",
    "xid",
    "cid",
    "tid",
];

/// All names that are refused, by the reason, for the page that lists them.
#[cfg(test)]
pub(super) fn lists() -> [(&'static str, &'static [&'static str]); 10] {
    [
        ("Depending on time, chance or the session", VOLATILE),
        ("Aggregates", AGGREGATES),
        ("Window functions", WINDOW),
        ("Functions that return sets", SETS),
        ("What takes a jsonpath", PATHS),
        ("Operators that are not supported yet, or not in every form", OPERATORS),
        ("Functions that are not supported yet, or not in every form", FUNCTIONS),
        (
            "Functions of double precision whose last digit is the C library's (so are `exp`, `ln`, \
             `log` and `log10` of it, and powers that are not exact)",
            MACHINE,
        ),
        ("Functions that write or read by a template", TEMPLATES),
        ("Types", TYPES),
    ]
}

/// Does PostgreSQL have an operator of this name, and this crate none?
pub(crate) fn missing_operator(name: &str) -> bool {
    OPERATORS.contains(&name) || takes_path(name)
}

/// What is refused where PostgreSQL has a function of this name, and this crate none.
pub(crate) fn missing_function(name: &str) -> Option<String> {
    let why = [
        (FUNCTIONS, ""),
        (MACHINE, ", whose last digit depends on the machine,"),
        (TEMPLATES, ", which works by a template,"),
        (PATHS, ", which takes a jsonpath,"),
    ];
    let found = why.into_iter().find(|(names, _)| names.contains(&name));
    found.map(|(_, why)| format!("function {name}{why}"))
}

/// Does PostgreSQL have a type of this name, and this crate none?
pub(crate) fn missing_type(name: &str) -> bool {
    TYPES.contains(&name)
}

/// Type categories, beside those in the tables, that PostgreSQL's candidates of this operator have
/// at an operand. Two untyped literals are resolved by agreement of all candidates, so those that
/// this crate does not have must count.
pub(crate) fn foreign(name: &str, prefix: bool) -> &'static [Category] {
    match (name, prefix) {
        ("@>" | "<@" | "&&", false) => &[Category::DateTime, Category::User],
        // Of points, boxes, networks and bit strings.
        ("#" | "&" | "|" | "<<" | ">>", false) => &[Category::DateTime, Category::User],
        // Of points.
        ("?|", false) => &[Category::User],
        ("~", true) => &[Category::User],
        ("-", true) | ("+" | "-" | "*" | "/", false) => &[Category::DateTime, Category::User],
        _ => &[],
    }
}

/// The same for functions.
pub(crate) fn foreign_arguments(name: &str, count: usize) -> &'static [Category] {
    match (name, count) {
        // Of network card addresses.
        ("trunc", 1) => &[Category::User],
        _ => &[],
    }
}
