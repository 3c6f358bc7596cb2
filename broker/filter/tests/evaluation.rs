//! What filters are for messages: every row of the table that the crate's description is.

use std::borrow::Cow;
use std::collections::BTreeMap;

use filter::Filter;

use Outcome::{Error, False, Null, True};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    True,
    False,
    Null,
    Error,
}

fn matches(text: &str, properties: &str) -> bool {
    let filter = Filter::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    let properties: BTreeMap<&str, &str> =
        properties.split(", ").filter_map(|property| property.split_once('=')).collect();
    filter.matches(|name| properties.get(name).copied().map(Cow::Borrowed))
}

/// Only TRUE matches: what else a condition is shows in conditions about it.
fn outcome(text: &str, properties: &str) -> Outcome {
    let is_true = matches(text, properties);
    let is_false = matches(&format!("NOT ({text})"), properties);
    let is_null = matches(&format!("({text}) IS NULL"), properties);
    match (is_true, is_false, is_null) {
        (true, false, false) => True,
        (false, true, false) => False,
        (false, false, true) => Null,
        (false, false, false) => Error,
        several => panic!("{text}: {several:?}"),
    }
}

/// Filter, properties, what it is for them.
fn check(cases: &[(&str, &str, Outcome)]) {
    for (text, properties, wanted) in cases {
        assert_eq!(outcome(text, properties), *wanted, "{text} of {properties}");
    }
}

#[test]
fn a_property_and_a_string_are_equal_or_not_and_null_if_it_is_missing() {
    check(&[
        ("a = 'x'", "a=x", True),
        ("a = 'x'", "a=X", False),
        ("a = 'x'", "", Null),
        ("a <> 'x'", "a=y", True),
        ("a <> 'x'", "a=x", False),
        ("a <> 'x'", "", Null),
        ("a = ''", "a=", True),
        ("a = 'it''s'", "a=it's", True),
        ("a = '5'", "a=5.0", False),
        ("A = 'x'", "a=x", Null),
    ]);
}

#[test]
fn a_literal_is_not_equal_to_a_missing_property() {
    check(&[
        ("5 = a", "", False),
        ("'x' = a", "", False),
        ("2.5 = a", "", False),
        ("TRUE = a", "", False),
        ("NOT (5 = a)", "", True),
        ("5 <> a", "", True),
        ("5 = a", "a=5", True),
        ("'x' = a", "a=x", True),
        ("'x' <> a", "a=x", False),
    ]);
}

#[test]
fn beside_an_integer_a_property_is_read_as_one() {
    check(&[
        ("a = 5", "a=5", True),
        ("a = 5", "a=+5", True),
        ("a = 5", "a=005", True),
        ("a <> 5", "a=6", True),
        ("a > 5", "a=6", True),
        ("a > 5", "a=5", False),
        ("a >= 5", "a=5", True),
        ("a < 5", "a=-6", True),
        ("a < 5", "a=5", False),
        ("a <= 5", "a=5", True),
        ("5 < a", "a=6", True),
        ("5 > a", "a=6", False),
        ("5 < a", "a=5.5", Error),
        ("a < 10", "a=9", True),
        ("a = 5", "a=5.5", Error),
        ("a > 5", "a=5.5", Error),
        ("a <> 5", "a=abc", Error),
        ("a > 5", "a=", Error),
        ("a > 5", "a= 6", Error),
        ("a > 5", "", Null),
        ("5 < a", "", Null),
    ]);
}

#[test]
fn an_integer_has_64_bits_only_if_it_needs_them() {
    check(&[
        ("a > 5", "a=3000000000", Error),
        ("a > 5L", "a=3000000000", Error),
        ("a < 2147483647", "a=-2147483648", True),
        ("a < 2147483647", "a=-2147483649", Error),
        ("a > 2147483648", "a=3000000000", True),
        ("a > 2147483648", "a=5", False),
        ("a = 9223372036854775807l", "a=9223372036854775807", True),
        ("a = 9223372036854775807", "a=9223372036854775808", Error),
        ("a > - 2147483649", "a=-2147483648", True),
    ]);
}

#[test]
fn beside_a_float_a_property_is_read_as_a_double() {
    check(&[
        ("a > 2.5", "a=3", True),
        ("a > 2.5", "a=2.5", False),
        ("a = 2.5", "a=2.50", True),
        ("2.5 = a", "a=25e-1", True),
        ("a > 2.5", "a= 3.0 ", True),
        ("a > 3.1E10", "a=3.1415E10", True),
        ("a > 5.", "a=6", True),
        ("a > .5", "a=.6", True),
        ("a > 5e1", "a=51.", True),
        ("a > 2.5", "a=Infinity", True),
        ("a > 2.5", "a=-Infinity", False),
        ("a > 2.5", "a=NaN", True),
        ("a > 2.5", "a=1e999", True),
        ("a > 2.5", "a=abc", Error),
        ("a > 2.5", "a=inf", Error),
        ("a > 2.5", "a=nan", Error),
        ("a > 2.5", "a=0x1p3", Error),
        ("a > 2.5", "a=3.0f", Error),
        ("a > 2.5", "a=", Error),
        ("a > 2.5", "", Null),
    ]);
}

#[test]
fn two_properties_are_ordered_as_doubles_and_equal_as_strings() {
    check(&[
        ("a > b", "a=20, b=10", True),
        ("a > b", "a=9, b=10", False),
        ("a <= b", "a=1e1, b=10", True),
        ("a < b", "a=2.5, b=3", True),
        ("a > b", "a=x, b=10", Error),
        ("a >= b", "a=10, b=x", Error),
        ("a > b", "a=10", Null),
        ("a > b", "b=10", Null),
        ("a < b", "a=-0, b=0", True),
        ("a = b", "a=3.14, b=3.14", True),
        ("a = b", "a=3.14, b=3.140", False),
        ("a <> b", "a=3.14, b=3.140", True),
        ("a = b", "b=1", Null),
        ("a = b", "a=1", False),
        ("a = b", "", Null),
    ]);
}

#[test]
fn a_property_left_of_a_truth_value_is_true_if_it_reads_true() {
    check(&[
        ("a = TRUE", "a=true", True),
        ("a = TRUE", "a=TRUE", True),
        ("a = true", "a=yes", False),
        ("a = FALSE", "a=yes", True),
        ("a = FALSE", "a=True", False),
        ("a = TRUE", "", Null),
        ("TRUE = a", "a=true", Error),
        ("FALSE = a", "a=false", Error),
        ("(b = 1) = a", "a=true, b=1", Error),
        ("a = (b > 1)", "a=true, b=2", True),
        ("(a > 1) = (b > 1)", "a=2, b=1", False),
        ("(a > 1) = 5", "a=2", False),
        ("5 = TRUE", "", False),
        ("'TRUE' = TRUE", "", True),
    ]);
}

#[test]
fn a_property_alone_is_false() {
    check(&[
        ("a", "a=true", False),
        ("a", "a=x", False),
        ("NOT a", "a=x", True),
        ("NOT a", "", Null),
        ("a AND TRUE", "", Null),
        ("a OR TRUE", "", True),
        ("+a", "a=x", False),
    ]);
    // In brackets it would be asked as a value.
    assert!(!matches("a", "") && !matches("NOT a", ""));
    assert!(matches("(a AND TRUE) IS NULL", ""));
}

#[test]
fn minus_of_what_is_no_number_is_null() {
    check(&[
        ("-a = 5", "a=-5", Null),
        ("-a > 5", "a=-5", Null),
        ("-a IS NULL", "a=-5", True),
        ("-'5' = 5", "", Null),
        ("-(a = 5) IS NULL", "a=5", True),
        ("5 = -a", "a=-5", False),
        ("a = -5", "a=-5", True),
        ("a > - - 5", "a=6", True),
        ("a < -2.5", "a=-3", True),
        ("a = +5", "a=5", True),
    ]);
}

#[test]
fn in_is_about_strings_and_null_without_the_property() {
    check(&[
        ("a IN ('x', 'y')", "a=y", True),
        ("a IN ('x', 'y')", "a=z", False),
        ("a IN ('x', 'y')", "", Null),
        ("a NOT IN ('x', 'y')", "a=z", True),
        ("a NOT IN ('x', 'y')", "a=x", False),
        ("a NOT IN ('x', 'y')", "", Null),
        ("a in ('5')", "a=5.0", False),
        ("(a) IN ('x', 'x', '')", "a=", True),
    ]);
}

#[test]
fn contains_and_its_kin_are_false_without_a_string_on_either_side() {
    check(&[
        ("a CONTAINS 'x'", "a=axb", True),
        ("a CONTAINS 'X'", "a=axb", False),
        ("a STARTSWITH 'ax'", "a=axb", True),
        ("a STARTSWITH 'x'", "a=axb", False),
        ("a ENDSWITH 'xb'", "a=axb", True),
        ("a ENDSWITH 'x'", "a=axb", False),
        ("a NOT CONTAINS 'x'", "a=axb", False),
        ("a NOT CONTAINS 'y'", "a=axb", True),
        ("a NOT STARTSWITH 'x'", "a=axb", True),
        ("a NOT ENDSWITH 'xb'", "a=axb", False),
        ("'axb' contains 'x'", "", True),
    ]);
    for operator in ["CONTAINS", "STARTSWITH", "ENDSWITH", "NOT CONTAINS", "NOT STARTSWITH", "NOT ENDSWITH"] {
        assert_eq!(outcome(&format!("a {operator} 'x'"), ""), False, "{operator}");
        assert_eq!(outcome(&format!("a {operator} ''"), "a=x"), False, "{operator}");
        assert_eq!(outcome(&format!("5 {operator} '5'"), ""), False, "{operator}");
        assert_eq!(outcome(&format!("(a = 'x') {operator} 'x'"), "a=x"), False, "{operator}");
        assert_eq!(outcome(&format!("(a = 5) {operator} ''"), "a=x"), False, "{operator}");
    }
}

#[test]
fn between_includes_its_bounds() {
    check(&[
        ("a BETWEEN 2 AND 10", "a=2", True),
        ("a BETWEEN 2 AND 10", "a=10", True),
        ("a BETWEEN 2 AND 10", "a=1", False),
        ("a BETWEEN 2 AND 10", "a=11", False),
        ("a NOT BETWEEN 2 AND 10", "a=2", False),
        ("a NOT BETWEEN 2 AND 10", "a=11", True),
        ("a BETWEEN 2 AND 2.5", "a=2", True),
        ("a BETWEEN 2 AND 2.5", "a=2.5", Error),
        ("a BETWEEN 2 AND 10", "", Null),
        ("a NOT BETWEEN 2 AND 10", "", Null),
        ("a BETWEEN 2 AND 10", "a=x", Error),
        ("a BETWEEN b AND 10", "a=5", Null),
        ("a BETWEEN b AND 10", "a=11", False),
        ("a NOT BETWEEN b AND 10", "a=11", True),
        ("a BETWEEN 2 AND b", "a=1, b=x", False),
        ("a BETWEEN 2 AND b", "a=3, b=x", Error),
        ("5 BETWEEN a AND b", "a=5, b=6", True),
        ("a NOT BETWEEN 10 AND 0", "a=5", True),
    ]);
}

#[test]
fn is_null_is_never_null() {
    check(&[
        ("a IS NULL", "", True),
        ("a IS NULL", "a=", False),
        ("a IS NOT NULL", "", False),
        ("a IS NOT NULL", "a=x", True),
        ("NULL IS NULL", "", True),
        ("5 IS NULL", "", False),
        ("(a > 5) IS NULL", "", True),
        ("(a > 5) IS NULL", "a=6", False),
        ("(a > 5) IS NULL", "a=x", Error),
    ]);
}

#[test]
fn constants_are_what_they_say() {
    check(&[("TRUE", "", True), ("FALSE", "", False), ("NULL", "", Null), ("5 = 5.0", "", True)]);
}

#[test]
fn and_or_and_not_know_three_values() {
    let operands = [("TRUE", True), ("FALSE", False), ("NULL", Null)];
    for (left, l) in operands {
        for (right, r) in operands {
            let and = if l == False || r == False {
                False
            } else if l == Null || r == Null {
                Null
            } else {
                True
            };
            let or = if l == True || r == True {
                True
            } else if l == Null || r == Null {
                Null
            } else {
                False
            };
            assert_eq!(outcome(&format!("{left} AND {right}"), ""), and);
            assert_eq!(outcome(&format!("{left} OR {right}"), ""), or);
        }
    }
    check(&[("NOT TRUE", "", False), ("NOT FALSE", "", True), ("NOT NULL", "", Null)]);
}

#[test]
fn an_error_in_what_is_not_evaluated_does_no_harm() {
    check(&[
        ("FALSE AND a > 5", "a=x", False),
        ("TRUE AND a > 5", "a=x", Error),
        ("NULL AND a > 5", "a=x", Error),
        ("a > 5 AND FALSE", "a=x", Error),
        ("TRUE OR a > 5", "a=x", True),
        ("FALSE OR a > 5", "a=x", Error),
        ("NULL OR a > 5", "a=x", Error),
        ("a > 5 OR TRUE", "a=x", Error),
        ("a > 5 OR b = 'y'", "b=y", True),
        ("NULL AND FALSE AND a > 5", "a=x", False),
    ]);
}

#[test]
fn not_binds_tighter_than_a_comparison_and_and_tighter_than_or() {
    check(&[
        ("NOT a = 1", "a=2", False),
        ("NOT a = TRUE", "a=x", True),
        ("NOT (a = 1)", "a=2", True),
        ("NOT a IS NULL", "", True),
        ("TRUE OR FALSE AND FALSE", "", True),
        ("(TRUE OR FALSE) AND FALSE", "", False),
        ("a = b > 1", "a=true, b=2", True),
        ("a = 'x' = TRUE", "a=x", True),
        ("a IS NULL = TRUE", "", True),
        ("a BETWEEN 1 AND 3 AND b = 2", "a=2, b=2", True),
    ]);
}

#[test]
fn blanks_comments_and_the_case_of_keywords_do_not_count() {
    check(&[
        ("a=3 And b<>4 anD c>5 AND d<=4", "a=3, b=5, c=6, d=4", True),
        ("\t a\n=\r\n'x'\x0c -- = 'y'\r", "a=x", True),
        ("a /* = 'y' ** / */ = -- 'y'\n 'x' /**/", "a=x", True),
        ("a IS nUlL", "", True),
        ("$a_1 = '\u{1F600}\n'", "$a_1=\u{1F600}\n", True),
    ]);
    // A comment at the end of the text must not swallow what `outcome` adds.
    assert!(matches("a = 'x' -- = 'y'", "a=x"));
}

#[test]
fn filters_of_the_official_end_to_end_tests_work() {
    check(&[
        ("price>20", "price=30", True),
        ("price>20", "price=10", False),
        ("(price BETWEEN 10 AND 100) AND regionId IS NOT NUll", "price=10, regionId=hz", True),
        ("(price BETWEEN 10 AND 100) AND regionId IS NOT NUll", "price=10", False),
        ("product = 'MQ'", "product=MQ", True),
        ("TRUE", "", True),
    ]);
}

#[test]
fn a_filter_knows_its_text_and_its_names() {
    let text = "b = 1 AND (a IN ('x') OR -b > c) AND NOT d";
    let filter = Filter::parse(text).unwrap();
    assert_eq!(filter.text(), text);
    assert_eq!(filter.names().into_iter().collect::<Vec<_>>(), ["a", "b", "c", "d"]);
}

#[test]
fn a_filter_is_shared_among_threads() {
    fn shared<T: Send + Sync + Clone + std::fmt::Debug>() {}
    shared::<Filter>();
}
