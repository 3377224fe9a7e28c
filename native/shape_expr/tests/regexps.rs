//! Where regular expressions match, which of many ways to divide a text is taken, and what functions
//! do with it.

mod common;

use common::{constant, eval, refusal};

/// What PostgreSQL prints for an expression.
fn prints(expression: &str, text: &str) {
    let clause = format!("({expression})::text = '{}'", text.replace('\'', "''"));
    assert_eq!(constant(&clause), Ok(Some(true)), "{clause}");
}

fn is_null(expression: &str) {
    assert_eq!(constant(&format!("({expression}) IS NULL")), Ok(Some(true)), "{expression}");
}

#[test]
fn a_substring_is_the_first_group_or_the_whole() {
    prints("substring('foobar' FROM 'o(.)b')", "o");
    prints("substring('foobar' FROM 'o.b')", "oob");
    is_null("substring('abc' FROM 'x')");
    is_null("substring('ab' FROM '(x)?b')");
}

#[test]
fn a_similar_pattern_marks_its_part_with_its_escape() {
    prints("substring('abcdefg' SIMILAR '%#\"(b_d)#\"%' ESCAPE '#')", "bcd");
    prints("substring('abcdefg' FROM '%#\"b_d#\"%' FOR '#')", "bcd");
    is_null("substring('abc' SIMILAR 'b#\"c#\"' ESCAPE '#')");
    assert_eq!(constant("substring('a' SIMILAR 'a' ESCAPE 'xy') = 'a'"), Err("22025"));
    is_null("substring(NULL SIMILAR 'a' ESCAPE 'xy')");
}

#[test]
fn preferences_rise_from_quantifiers() {
    prints("regexp_match('abcd', '(.*?)(c.*)')", "{ab,c}");
    prints("regexp_match('foobarbequebaz', 'ba.*?$')", "{barbequebaz}");
    prints("regexp_match('XY1234Z', 'Y*?([0-9]{1,3})')", "{1}");
    prints("regexp_match('aa', '(a*?)(a*)')", "{\"\",\"\"}");
    prints("regexp_match('aa', '(a*)(a*)')", "{aa,\"\"}");
    prints("regexp_match('abab', '(ab|a)(bab|b)?')", "{a,bab}");
}

#[test]
fn a_group_that_had_no_part_is_null() {
    prints("regexp_match('xyz', '(?:x)(y)|(z)')", "{y,NULL}");
    prints("regexp_match('', '(b)*')", "{NULL}");
}

#[test]
fn an_empty_round_counts_if_the_repeated_part_can_be_empty() {
    prints("regexp_match('', '(a*)*')", "{\"\"}");
    prints("regexp_match(' aAc', '(){0,2}[ab]{0,3}?')", "{\"\"}");
    prints("regexp_match('b', '()*?b')", "{\"\"}");
}

#[test]
fn replacements_refer_to_groups_and_to_the_whole() {
    prints("regexp_replace('foobarbaz', 'b(..)', 'X\\1Y', 'g')", "fooXarYXazY");
    prints("regexp_replace('äöü', '[äü]', '<\\&>', 'g')", "<ä>ö<ü>");
    prints("regexp_replace('a.b.c', '\\.', '-', 1, 2)", "a.b-c");
    prints("regexp_replace('abc', 'b', '[\\0]')", "a[\\0]c");
    prints("regexp_replace('a', 'a', '\\', 'g')", "\\");
    prints("regexp_replace('a', 'a', '\\\\1')", "\\1");
    prints("regexp_replace('aaa', 'a', 'b', 1, 0, 'i')", "bbb");
    assert_eq!(constant("regexp_replace('a', 'a', 'b', '1') = 'b'"), Err("22023"));
}

#[test]
fn texts_are_split_where_something_matches() {
    prints("regexp_split_to_array('the quick  fox', '\\s+')", "{the,quick,fox}");
    prints("regexp_split_to_array('abc', '\\s*')", "{a,b,c}");
    prints("regexp_split_to_array('', 'x')", "{\"\"}");
}

#[test]
fn matches_are_counted_and_found_by_their_number() {
    prints("regexp_count('123123', '\\d{3}')", "2");
    prints("regexp_count('ääa', 'ä', 2)", "1");
    prints("regexp_substr('number of your street, town zip, FR', '[^,]+', 1, 2)", " town zip");
    prints("regexp_instr('ABCDEFGHI', '(c..)(...)', 1, 1, 0, 'i', 2)", "6");
    prints("regexp_instr('日本x', 'x', 1, 1, 1)", "4");
    // The whole is the first group of an expression without any.
    prints("regexp_instr('abc', 'b', 1, 1, 0, '', 1)", "2");
    prints("regexp_instr('abc', 'b', 1, 1, 0, '', 2)", "0");
}

#[test]
fn word_boundaries_beyond_ascii_divide_too() {
    prints("regexp_match('é dä x', '\\m(\\w+)\\M (.)')", "{é,d}");
    prints("regexp_replace('éa bö', '\\y', '|', 'g')", "|éa| |bö|");
    prints("regexp_split_to_array('ä-ö', '\\M')", "{ä,-ö}");
}

#[test]
fn no_match_ends_within_the_marks_of_a_word() {
    prints("regexp_split_to_array('c\näA', '(?i)[^a]{2}\\M')", "{\"c\näA\"}");
    let regex = "((?:1|1{1,2})*|(b{1,1}?)([ab]ab{1,2}?){0,3}?)*?[^a]{1}\
                 (日{0,2}b{0,3}?(\\Z|a{0})){1,1}?\\M";
    prints(&format!("substring('_1ä1abaab' FROM '{regex}')"), "");
}

#[test]
fn functions_refuse_arguments_out_of_their_domain() {
    for clause in [
        "regexp_match('a', 'a', 'g') IS NULL",
        "regexp_count('a', 'a', 0) = 1",
        "regexp_count('a', 'a', 1, 'g') = 1",
        "regexp_instr('a', 'a', 1, 0) = 1",
        "regexp_instr('a', 'a', 1, 1, 2) = 1",
        "regexp_substr('a', 'a', 1, 1, '', -1) = 'a'",
        "regexp_like('a', 'a', 'z')",
    ] {
        assert_eq!(constant(clause), Err("22023"), "{clause}");
    }
    assert_eq!(constant("regexp_match('a', '(') IS NULL"), Err("2201B"));
    assert_eq!(constant("regexp_like('a', 'a', 'qn')"), Err("2201B"));
}

#[test]
fn flags_and_patterns_may_be_columns() {
    let columns = [("t", "text"), ("p", "text"), ("f", "text")];
    let row = [Some("xA\nb"), Some("(a).b"), Some("i")];
    assert_eq!(eval("regexp_match(t, p, f) = '{A}'", &columns, &row), Ok(Some(true)));
    assert_eq!(eval("regexp_match(t, p, 'in') IS NULL", &columns, &row), Ok(Some(true)));
    assert_eq!(eval("regexp_match(t, p, NULL) IS NULL", &columns, &row), Ok(Some(true)));
}

#[test]
fn what_has_no_exact_answer_is_refused() {
    let columns = [("a", "text")];
    for clause in [
        "regexp_match(a, '(a)\\1') IS NULL",
        "regexp_replace(a, '(?=a)', 'x') = 'x'",
        "regexp_count(a, 'a', 1, 'b') = 1",
        "regexp_like(a, 'a', 'e')",
    ] {
        assert_eq!(refusal(clause, &columns).0, "not_supported", "{clause}");
    }
}

#[test]
fn taking_apart_is_paid_for() {
    let columns = [("a", "text")];
    let long = "a".repeat(200_000);
    let raised = |clause: &str| eval(clause, &columns, &[Some(&long)]).map_err(|e| e.sqlstate());
    let rounds = "regexp_replace(repeat(a, 50), '((a)(a)|b)', '<\\1>', 'g') = 'x'";
    assert_eq!(raised(rounds), Err("54000"));
    assert_eq!(raised("substring(a FROM '(a+)') = a"), Ok(Some(true)));
    let groups = format!("regexp_match(a, '{}') IS NULL", "(a)".repeat(300));
    assert_eq!(refusal(&groups, &columns).0, "not_supported");
}
