//! What is no filter, and what its sender is told.

use filter::{DEPTH_MAX, Filter, FilterError, TEXT_BYTES_MAX};

/// Text, what is expected, at which character, what is found.
type Refused = (&'static str, &'static str, usize, &'static str);

#[test]
fn what_does_not_follow_the_grammar_is_refused_where_it_breaks_it() {
    let cases: [Refused; 34] = [
        ("", "a value", 1, "the end"),
        (" -- all", "a value", 8, "the end"),
        ("a LIKE 'x'", "an operator or the end", 3, "`LIKE`"),
        ("a = 'x' b", "an operator or the end", 9, "`b`"),
        ("a = 'x' ESCAPE", "an operator or the end", 9, "`ESCAPE`"),
        ("a = 1)", "an operator or the end", 6, "`)`"),
        ("a + 1 > 2", "an operator or the end", 3, "`+`"),
        ("f(a)", "an operator or the end", 2, "`(`"),
        ("a = 0x1F", "an operator or the end", 6, "`x1F`"),
        ("a = 007", "an operator or the end", 6, "`0`"),
        ("a = 0L", "an operator or the end", 6, "`L`"),
        ("a = 1.2.3", "an operator or the end", 8, "`.3`"),
        ("a = 1e", "an operator or the end", 6, "`e`"),
        ("(a = 1", "an operator or `)`", 7, "the end"),
        ("()", "a value", 2, "`)`"),
        ("a =", "a value", 4, "the end"),
        ("a = = 1", "a value", 5, "`=`"),
        ("a AND between 2 AND 10", "a value", 7, "`between`"),
        ("NOT", "a value", 4, "the end"),
        ("a IS 5", "NULL or NOT NULL", 6, "`5`"),
        ("a IS NOT 5", "NULL", 10, "`5`"),
        ("a NOT = 1", "BETWEEN, IN, CONTAINS, STARTSWITH or ENDSWITH", 7, "`=`"),
        ("a BETWEEN 1 OR 2", "AND and the upper bound", 13, "`OR`"),
        ("a IN 'x'", "`(` and strings", 6, "`'x'`"),
        ("a IN ()", "a string", 7, "`)`"),
        ("a IN ('x', 5)", "a string", 12, "`5`"),
        ("a IN ('x' 'y')", "`,` or `)`", 11, "`'y'`"),
        ("a CONTAINS b", "a string", 12, "`b`"),
        ("a != 1", "a name, a value or an operator", 3, "`!`"),
        ("a = \"x\"", "a name, a value or an operator", 5, "`\"`"),
        ("a = .", "a name, a value or an operator", 5, "`.`"),
        ("é = 'x'", "a name, a value or an operator", 1, "`é`"),
        ("a = 'it''s", "a string that ends with `'`", 5, "`'it''s`"),
        ("a = 'é' /* é", "a comment that ends with `*/`", 9, "`/* é`"),
    ];
    for (text, expected, at, found) in cases {
        let found = found.to_owned();
        assert_eq!(Filter::parse(text).unwrap_err(), FilterError::Syntax { at, expected, found }, "{text}");
    }
}

#[test]
fn what_can_never_have_a_meaning_is_refused_where_it_stands() {
    let ordered = "a number or a property";
    let condition = "a condition or a property";
    let integer = "an integer of at most 9223372036854775807";
    let float = "a number above 0 and at most 1.7976931348623157E308";
    let ascending = "an upper bound that is not below the lower one";
    let cases: [Refused; 43] = [
        ("a > 'x'", ordered, 5, "a string"),
        ("'x' >= a", ordered, 1, "a string"),
        ("a < TRUE", ordered, 5, "TRUE"),
        ("false <= a", ordered, 1, "FALSE"),
        ("a > NULL", ordered, 5, "NULL"),
        ("a > (b = 1)", ordered, 6, "a condition"),
        ("(a = 1) > 5", ordered, 2, "a condition"),
        ("a > 1 > 2", ordered, 1, "a condition"),
        ("NOT a > 5", ordered, 1, "a condition"),
        ("a = NULL", "a value, or IS NULL instead", 5, "NULL"),
        ("NULL = a", "a value, or IS NULL instead", 1, "NULL"),
        ("a <> NULL", "a value, or IS NULL instead", 6, "NULL"),
        ("TRUE = 5", "a condition, TRUE, FALSE or a property", 8, "a number"),
        ("FALSE <> 'x'", "a condition, TRUE, FALSE or a property", 10, "a string"),
        ("a BETWEEN 10 AND 0", ascending, 18, "a number"),
        ("a BETWEEN 2.5 AND 2", ascending, 19, "a number"),
        ("a BETWEEN 3000000000 AND +(5)", ascending, 28, "a number"),
        ("a BETWEEN NULL AND 5", ordered, 11, "NULL"),
        ("a BETWEEN 5 AND NULL", ordered, 17, "NULL"),
        ("a NOT BETWEEN 5 AND NULL", ordered, 21, "NULL"),
        ("a BETWEEN 'x' AND 'y'", ordered, 11, "a string"),
        ("a BETWEEN 5 AND TRUE", ordered, 17, "TRUE"),
        ("'x' BETWEEN 1 AND 2", ordered, 1, "a string"),
        ("(a = 1) NOT BETWEEN 1 AND 2", ordered, 2, "a condition"),
        ("'x' IN ('x')", "a property before IN", 1, "a string"),
        ("5 IN ('5')", "a property before IN", 1, "a number"),
        ("-a IN ('5')", "a property before IN", 1, "a negated value"),
        ("(a = 1) IN ('x')", "a property before IN", 2, "a condition"),
        ("NOT a IN ('x')", "a property before IN", 1, "a condition"),
        ("NULL NOT IN ('x')", "a property before IN", 1, "NULL"),
        ("'x'", condition, 1, "a string"),
        ("5", condition, 1, "a number"),
        ("(2.5)", condition, 2, "a number"),
        ("-a", condition, 1, "a negated value"),
        ("a = 1 AND 5", condition, 11, "a number"),
        ("'x' OR a = 1", condition, 1, "a string"),
        ("NOT 5", condition, 5, "a number"),
        ("a = 9223372036854775808", integer, 5, "`9223372036854775808`"),
        ("a = -9223372036854775808", integer, 6, "`9223372036854775808`"),
        ("a > 99999999999999999999L", integer, 5, "`99999999999999999999L`"),
        ("a > 0.0", float, 5, "`0.0`"),
        ("a > 1e-400", float, 5, "`1e-400`"),
        ("a > 1e400", float, 5, "`1e400`"),
    ];
    for (text, expected, at, found) in cases {
        let found = found.to_owned();
        assert_eq!(Filter::parse(text).unwrap_err(), FilterError::Type { at, expected, found }, "{text}");
    }
}

#[test]
fn an_error_reads_as_a_sentence() {
    let told = |text: &str| Filter::parse(text).unwrap_err().to_string();
    assert_eq!(told("a LIKE 'x'"), "expected an operator or the end at character 3, found `LIKE`");
    assert_eq!(told("a > 'x'"), "expected a number or a property at character 5, found a string");
    assert_eq!(told(&"(".repeat(65)), "filter nests deeper than 64 levels at character 66");
    assert_eq!(told(&" ".repeat(16_385)), "filter has 16385 bytes, the limit is 16384");
}

#[test]
fn an_error_shows_the_beginning_of_a_long_token() {
    let error = Filter::parse(&format!("a {}", "bcdefghij_klmnopqrst".repeat(3))).unwrap_err();
    let found = "`bcdefghij_klmnopqrstbcdefghij_klmnopqrst…`".to_owned();
    assert_eq!(error, FilterError::Syntax { at: 3, expected: "an operator or the end", found });
}

#[test]
fn a_text_of_the_limit_is_read_and_a_longer_one_is_not() {
    let filled = |bytes: usize| format!("a = '{}'", "x".repeat(bytes - "a = ''".len()));
    assert!(Filter::parse(&filled(TEXT_BYTES_MAX)).is_ok());
    let (bytes, limit) = (TEXT_BYTES_MAX + 1, TEXT_BYTES_MAX);
    assert_eq!(Filter::parse(&filled(bytes)).unwrap_err(), FilterError::TooLong { bytes, limit });
}

#[test]
fn each_way_to_nest_has_the_limit() {
    type Nested = fn(usize) -> String;
    // With the levels that the innermost has, and each one adds.
    let ways: [(Nested, usize, usize); 10] = [
        (|n| format!("{}a{}", "(".repeat(n), ")".repeat(n)), 0, 1),
        (|n| format!("{}a", "+".repeat(n)), 0, 1),
        (|n| format!("{}a", "NOT ".repeat(n)), 1, 1),
        (|n| format!("{}a IS NULL", "- ".repeat(n)), 2, 1),
        (|n| format!("a{}", " = a".repeat(n)), 1, 1),
        (|n| format!("a{}", " IS NOT NULL".repeat(n)), 1, 1),
        (|n| format!("a{}", " CONTAINS 'x'".repeat(n)), 1, 1),
        (|n| format!("{}a = 1{}", "a = (".repeat(n), ")".repeat(n)), 2, 1),
        (|n| format!("{}a = 1{}", "(b OR ".repeat(n), ")".repeat(n)), 2, 1),
        (|n| format!("{}a = 1{}", "b AND (c OR ".repeat(n), ")".repeat(n)), 2, 2),
    ];
    for (nested, innermost, each) in ways {
        let most = (DEPTH_MAX - innermost) / each;
        assert!(Filter::parse(&nested(most)).is_ok(), "{most} of {}", nested(1));
        let error = Filter::parse(&nested(most + 1)).unwrap_err();
        assert!(matches!(error, FilterError::TooDeep { limit: DEPTH_MAX, .. }), "{}: {error}", nested(1));
    }
}
