//! Dates and times: zones, literals, and every mismatch the oracle has found among them, by name.

mod common;

use bumpalo::Bump;
use common::{compile, constant, eval, refusal, schema};
use shape_expr::{Access, Compiler, Datum, Options, Row, Value, Vm};

/// The answer of a clause without columns in a session with this time zone.
fn in_zone(zone: &str, clause: &str) -> Result<Option<bool>, String> {
    let mut options = Options::default();
    options.time_zone = zone.to_owned();
    let mut compiler = Compiler::new(options).map_err(|e| e.code().to_owned())?;
    let schema = schema(&[]);
    let compiled = compiler.compile(clause, &schema, &[]).map_err(|e| e.code().to_owned())?;
    let arena = Bump::new();
    let data: Vec<Datum<'_>> = Vec::new();
    let row = Row::new(&arena, &schema, &data);
    let truth = compiled.predicate.eval(&row, &mut Vm::default());
    truth.map(|t| t.known().expect("known")).map_err(|e| e.sqlstate().to_owned())
}

#[track_caller]
fn holds(zone: &str, clause: &str) {
    assert_eq!(in_zone(zone, clause), Ok(Some(true)), "{zone}: {clause}");
}

#[test]
fn a_gap_is_read_by_the_offset_before_it_and_an_overlap_by_the_one_after() {
    let zone = "America/New_York";
    holds(zone, "'2024-03-10 02:30'::timestamptz = '2024-03-10 07:30Z'");
    holds(zone, "'2024-03-10 02:30'::timestamptz::text = '2024-03-10 03:30:00-04'");
    holds(zone, "'2024-11-03 01:30'::timestamptz = '2024-11-03 06:30Z'");
    holds(zone, "'2024-03-09 12:00'::timestamptz + '1 day' = '2024-03-10 12:00-04'");
    holds(zone, "'2024-03-09 12:00'::timestamptz + '24 hours' = '2024-03-10 13:00-04'");
    holds(zone, "date_trunc('day', '2024-03-10 12:00'::timestamptz) = '2024-03-10 05:00Z'");
    holds(zone, "'2024-07-01'::date = '2024-07-01 04:00Z'::timestamptz");
    holds(
        "UTC",
        "'2024-07-01 12:00'::timestamp AT TIME ZONE 'Europe/Berlin' = '2024-07-01 10:00Z'",
    );
    holds(
        "UTC",
        "('2024-07-01 12:00Z'::timestamptz AT TIME ZONE 'EST')::text = '2024-07-01 07:00:00'",
    );
}

#[test]
fn rules_last_for_ever() {
    holds("Europe/London", "'250000-07-01 12:00'::timestamptz::text = '250000-07-01 12:00:00+01'");
    holds("Europe/Amsterdam", "'1800-01-01'::timestamptz::text LIKE '1800-01-01 00:00:00+00:__%'");
    holds("EST5EDT4,M3.2.0,M11.1.0", "'2024-07-01'::timestamptz = '2024-07-01 04:00Z'");
    assert_eq!(in_zone("Nowhere", "true"), Err("invalid_option".to_owned()));
}

#[test]
fn what_depends_on_today_is_refused() {
    for clause in [
        "d = 'today'",
        "d = 'Tomorrow'",
        "d = 'yesterday'",
        "t < 'now'",
        "t < ' NOW '::timestamptz",
        "age(t) > '1 day'",
        "age(d) > '1 day'",
        "d = current_date",
        "t < localtimestamp",
        "now() > t",
        "clock_timestamp() > t",
    ] {
        let found = refusal(clause, &[("d", "date"), ("t", "timestamp")]).0;
        assert_eq!(found, "volatile_function", "{clause}");
    }
    assert_eq!(
        in_zone("Europe/Paris", "'10:00'::timetz IS NULL"),
        Err("volatile_function".to_owned())
    );
    holds("Asia/Kolkata", "'10:00'::timetz = '10:00+05:30'");
    let columns = [("s", "text")];
    let raised = eval("s::date IS NULL", &columns, &[Some("today")]).map_err(|e| e.sqlstate());
    assert_eq!(raised, Err("0A000"));
}

#[test]
fn words_for_moments_need_no_date() {
    for clause in [
        "'epoch'::timestamptz = to_timestamp(0)",
        "'epoch'::date = '1970-01-01'",
        "'infinity'::date > '5874897-12-31'::date",
        "'-infinity'::timestamp < '4714-11-24 BC'",
        "'allballs'::time = '00:00'",
    ] {
        assert_eq!(constant(clause), Ok(Some(true)), "{clause}");
    }
}

#[test]
fn the_least_interval_is_printed_but_not_read() {
    let columns = [("i", "interval")];
    let row = [Some("-2562047788:00:54.775808")];
    assert_eq!(eval("i < '-9223372036854775807 us'", &columns, &row), Ok(Some(true)));
    assert_eq!(eval("i::text = '-2562047788:00:54.775808'", &columns, &row), Ok(Some(true)));
    assert!(compile("i = '-2562047788:00:54.775808'", &schema(&columns)).is_err());
}

#[test]
fn a_sum_beyond_an_int8_is_out_of_range() {
    let clause = "'1970-06-02'::timestamptz - '2562047788:00:00'::interval IS NULL";
    assert_eq!(constant(clause), Err("22008"));
}

#[test]
fn a_western_clock_shows_a_day_before_the_first_one() {
    let zone = "America/New_York";
    holds(zone, "'4714-11-24 00:00+00 BC'::timestamptz::date < '4714-11-24 BC'");
    let sum = "'4714-11-24 19:03:58-04:56:02 BC'::timestamptz - '1 day'::interval";
    holds(zone, &format!("{sum} = '4714-11-24 00:00+00 BC'"));
}

#[test]
fn fields_of_extract_are_no_units_of_date_trunc() {
    for (clause, answer) in [
        ("date_trunc('julian', '1 year'::interval) IS NULL", Err("22023")),
        ("date_trunc('isodow', '2024-06-01'::timestamp) IS NULL", Err("22023")),
        ("date_trunc('week', '1 year'::interval) IS NULL", Err("0A000")),
        ("extract('jan' FROM '2024-06-01'::timestamp) IS NULL", Err("22023")),
        ("extract('now' FROM '2024-06-01'::timestamp) IS NULL", Err("0A000")),
        ("extract('hour' FROM '2024-06-01'::date) IS NULL", Err("0A000")),
        ("date_part('hour', '2024-06-01'::date) = 0", Ok(Some(true))),
        ("extract('hour' FROM 'infinity'::timestamp) IS NULL", Ok(Some(true))),
    ] {
        assert_eq!(constant(clause), answer, "{clause}");
    }
}

#[test]
fn the_age_of_an_infinity_is_that_of_its_number() {
    assert_eq!(constant("age('-infinity'::timestamp, '2024-01-01') IS NULL"), Err("22008"));
    let clause =
        "age('infinity'::timestamp, '2024-01-01')::text = '292253 years 8 days 04:00:54.775807'";
    assert_eq!(constant(clause), Ok(Some(true)));
}

#[test]
fn a_posix_offset_may_have_days_of_hours() {
    let clause = "'2024-01-01'::timestamp AT TIME ZONE '-30 days' = '2023-12-30 18:00Z'";
    assert_eq!(constant(clause), Ok(Some(true)));
}

#[test]
fn a_list_item_that_is_sure_to_raise_raises_its_own_error() {
    let clause = "'1 day'::interval IN ('\\'::text::interval minute to second, '1 mon')";
    assert_eq!(constant(clause), Err("22007"));
}

#[test]
fn lengths_of_overlaps_are_added_before_later_arguments() {
    let columns = [("t", "timestamp"), ("i", "interval")];
    let row = [Some("4713-01-01 00:00:00 BC"), Some("-178956970 years")];
    let clause = "(t, i) OVERLAPS (''::text::date, '2024-01-01'::date)";
    assert_eq!(eval(clause, &columns, &row).map_err(|e| e.sqlstate()), Err("22008"));
    // But constants are looked at before anything is added.
    let clause = "('2024-01-01'::timestamp, '178956970 years'::interval) OVERLAPS \
                  (date_bin('1 mon', '2024-01-01'::timestamp, '2024-01-01'), '2024-01-01'::date)";
    assert_eq!(constant(clause), Err("0A000"));
    let clause = "('4714-11-24 BC'::timestamp - '1 day'::interval, '2024-01-01'::date) OVERLAPS \
                  (date_bin('1 mon', '2024-01-01'::timestamp, '2024-01-01'), '2024-01-01'::date)";
    assert_eq!(constant(clause), Err("22008"));
}

#[test]
fn intervals_are_equal_by_their_span() {
    let columns = [("i", "interval")];
    let clause = "i IN ('1 day', '2 mons', '3 us', '4 us', '5 us', '6 us', '7 us', '8 us', '9 us')";
    for (text, answer) in [("24:00:00", true), ("60 days", true), ("1 day 00:00:01", false)] {
        assert_eq!(eval(clause, &columns, &[Some(text)]), Ok(Some(answer)), "{text}");
    }
    assert_eq!(constant("'10:00+02'::timetz = '09:00+01'"), Ok(Some(false)));
    assert_eq!(constant("'10:00+02'::timetz > '09:00+01'"), Ok(Some(false)));
}

#[test]
fn named_arguments_of_make_interval() {
    for (clause, answer) in [
        ("make_interval(days => 5, secs => 1.5) = '5 days 1.5 sec'", true),
        ("make_interval(1, 2) = '1 year 2 mons'", true),
        ("make_interval(1, mins => 3) = '1 year 3 min'", true),
        ("make_interval() = '0'", true),
    ] {
        assert_eq!(constant(clause), Ok(Some(answer)), "{clause}");
    }
    assert_eq!(refusal("make_interval(day => 1) = '0'", &[]).0, "unknown_function");
    assert_eq!(refusal("make_interval(1, years => 1) = '0'", &[]).0, "unknown_function");
}

#[test]
fn an_index_holds_values_of_one_type_only() {
    let columns = [("d", "date"), ("t", "timestamp")];
    let schema = schema(&columns);
    let compiled = compile("d = '2024-01-01'", &schema).expect("a clause");
    match compiled.predicate.access() {
        Access::Equal { column: 0, values } => {
            assert!(matches!(values.as_slice(), [Value::Date(8766)]));
        }
        other => panic!("{other:?}"),
    }
    for clause in ["d = '2024-01-01'::timestamp", "t = '2024-01-01Z'::timestamptz"] {
        let compiled = compile(clause, &schema).expect("a clause");
        assert!(matches!(compiled.predicate.access(), Access::Scan), "{clause}");
    }
}

#[test]
fn type_names_are_postgresqls() {
    for name in [
        "date",
        "time without time zone",
        "time(3) with time zone",
        "timestamp(0) without time zone",
        "timestamp with time zone",
        "interval",
        "interval(2)",
        "interval day to second(3)",
        "interval year to month",
    ] {
        let ty: shape_expr::ColumnType = name.parse().expect(name);
        assert_eq!(ty.to_string(), name);
    }
}

#[test]
fn texts_that_only_a_reader_of_tokens_would_write() {
    for (clause, answer) in [
        ("'20240601 -infinity'::text::date = '-infinity'", Ok(Some(true))),
        ("'infinity60'::text::date IS NULL", Err("22008")),
        ("'infinity J2451187'::text::date = '1999-01-08'", Ok(Some(true))),
        ("'bc101112EST5EDTago+05'::text::time = '10:11:12'", Ok(Some(true))),
        ("'e5.m30 1'::text::time IS NULL", Err("22007")),
        ("'-92233720368547758082 us'::text::interval IS NULL", Err("22015")),
        ("'P-infinity'::text::interval IS NULL", Err("22015")),
        ("'224511871-260'::text::date = '1086671-09-04'", Ok(Some(true))),
        ("'J2451187 h10111s12'::text::timestamp IS NULL", Err("22008")),
        ("'J2451187 h101s12'::text::timestamp = '1999-01-12 05:00:12'", Ok(Some(true))),
    ] {
        assert_eq!(constant(clause), answer, "{clause}");
    }
}

#[test]
fn posix_rules_of_any_offset() {
    for (clause, answer) in [
        ("'2024-07-01'::timestamp AT TIME ZONE 'A3B50' = '2024-07-03 02:00Z'", true),
        ("'2024-07-01'::timestamp AT TIME ZONE 'A3B-50,J60,J300' = '2024-06-28 22:00Z'", true),
        ("'2024-07-01'::timestamp AT TIME ZONE 'A3B,60/-5,300/30' = '2024-07-01 02:00Z'", true),
        ("'1760-07-01'::timestamp AT TIME ZONE 'FOO3BAR' = '1760-07-01 02:00Z'", true),
        ("'3000-01-01'::timestamp AT TIME ZONE 'FOO3BAR' = '3000-01-01 03:00Z'", true),
    ] {
        assert_eq!(constant(clause), Ok(Some(answer)), "{clause}");
    }
}

#[test]
fn a_type_called_on_a_literal_is_a_cast_of_it() {
    assert_eq!(constant("date('5874897-12-31') > '2024-01-01'::date"), Ok(Some(true)));
    assert_eq!(refusal("date('x') IS NULL", &[]).0, "invalid_literal");
    let columns = [("t", "timestamptz(2)")];
    let row = [Some("294277-01-01 00:00:00+00")];
    assert_eq!(eval("date_bin('36 hours', t, t) = t", &columns, &row), Ok(Some(true)));
}

#[test]
fn a_sum_defined_by_its_twin_evaluates_the_right_operand_first() {
    let columns = [("t", "timestamptz"), ("i", "interval")];
    let row = [Some("2011-12-31 00:00:00+00"), Some("178956970 years 7 mons")];
    let clause = "'x'::text::interval + (t - i) <= '2024-01-01'";
    assert_eq!(eval(clause, &columns, &row).map_err(|e| e.sqlstate()), Err("22008"));
    assert_eq!(eval("i - i + t = t", &columns, &row), Ok(Some(true)));
}
