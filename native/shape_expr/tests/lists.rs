//! Arrays whose elements the caller holds one by one are the arrays of the same text.

mod common;

use bumpalo::Bump;
use common::eval_data;
use proptest::prelude::*;
use shape_expr::{ColumnType, Datum, Truth, decode};

const INTS: &[(&str, &str)] = &[("a", "int4[]")];

fn is(clause: &str, list: Datum<'_>) -> bool {
    eval_data(clause, INTS, &[list]).expect("it is read") == Truth::TRUE
}

fn refusal(ty: &str, list: &[Datum<'_>]) -> &'static str {
    let ty: ColumnType = ty.parse().expect("a type");
    decode(&ty, Datum::List(list), &Bump::new()).expect_err("it is no array").sqlstate()
}

#[test]
fn lists_are_arrays() {
    let row = [Datum::Int(1), Datum::Null, Datum::Text(b"3")];
    assert!(is("a = '{1,NULL,3}'", Datum::List(&row)));
    assert!(is("a = '{{1,NULL,3},{1,NULL,3}}'", Datum::List(&[Datum::List(&row); 2])));
    assert!(is("a = '{}' AND cardinality(a) = 0", Datum::List(&[])));
    assert!(is("a[1] = 7 AND array_dims(a) = '[1:1]'", Datum::List(&[Datum::Float(7.0)])));
}

#[test]
fn what_is_ragged_too_deep_or_no_array_is_refused() {
    let (one, empty) = (Datum::List(&[Datum::Int(1)]), Datum::List(&[]));
    let pair = Datum::List(&[Datum::Int(1), Datum::Int(2)]);
    for list in [
        &[one, pair][..],
        &[Datum::Int(1), one],
        &[one, Datum::Int(1)],
        &[one, Datum::Null],
        &[empty],
        &[one, empty],
        &[Datum::Absent],
        &[Datum::Unreadable],
        &[Datum::Text(b"x")],
    ] {
        assert_eq!(refusal("int4[]", list), "22P02", "{list:?}");
    }
    assert_eq!(refusal("int4", &[Datum::Int(1)]), "22P02");
    assert_eq!(refusal("int2[]", &[Datum::Int(40_000)]), "22003");
    assert_eq!(refusal("text[]", &[Datum::Int(1)]), "22P02");
    let six = [Datum::List(&[Datum::List(&[Datum::List(&[Datum::List(&[one])])])])];
    assert!(is("array_ndims(a) = 6", Datum::List(&six)));
    assert_eq!(refusal("int4[]", &[Datum::List(&six)]), "54000");
}

proptest! {
    #[test]
    fn a_list_equals_its_text(
        rows in (1usize..4, 1usize..4).prop_flat_map(|(rows, columns)| {
            let item = prop::option::of(any::<i32>());
            prop::collection::vec(prop::collection::vec(item, columns), rows)
        })
    ) {
        let item = |item: &Option<i32>| item.map_or("NULL".to_owned(), |i| i.to_string());
        let line = |row: &Vec<Option<i32>>| {
            format!("{{{}}}", row.iter().map(item).collect::<Vec<_>>().join(","))
        };
        let text = format!("{{{}}}", rows.iter().map(line).collect::<Vec<_>>().join(","));
        let data = |row: &Vec<Option<i32>>| -> Vec<Datum<'static>> {
            row.iter().map(|i| i.map_or(Datum::Null, |i| Datum::Int(i.into()))).collect()
        };
        let data: Vec<_> = rows.iter().map(data).collect();
        let lists: Vec<_> = data.iter().map(|row| Datum::List(row)).collect();
        let arena = Bump::new();
        let ty: ColumnType = "int4[]".parse().expect("a type");
        let read = |datum| decode(&ty, datum, &arena).expect("an array");
        prop_assert!(read(Datum::List(&lists)).equals(&read(Datum::Text(text.as_bytes()))));
    }
}
