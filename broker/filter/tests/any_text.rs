//! Whatever the text and the properties are: no panic, no deep stack, no work beyond the length of the text.

use std::borrow::Cow;
use std::cell::Cell;
use std::thread;

use filter::{DEPTH_MAX, Filter, FilterError, TEXT_BYTES_MAX};
use proptest::prelude::*;

/// Half of what a thread gets by default. Code that is optimized needs a quarter of it.
const STACK_BYTES: usize = 1024 * 1024;

/// Texts that look more or less like filters.
fn text() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        4 => "NOT|AND|OR|BETWEEN|IN|TRUE|FALSE|NULL|IS|CONTAINS|STARTSWITH|ENDSWITH",
        4 => "<>|<=|>=|<|>|=|\\(|\\)|,|\\+|-",
        3 => "[a-c]",
        3 => "'[a']{0,2}'|[0-9]{1,3}|[0-9]{0,2}\\.[0-9]{0,2}|[1-9]e[+-]?[0-9]{1,3}",
        1 => "--|/\\*|\\*/|\n|'|\\PC",
    ];
    prop_oneof![
        6 => prop::collection::vec(word, 0..16).prop_map(|words| words.join(" ")),
        2 => changed_filter(),
        1 => any::<String>(),
    ]
}

/// A filter with a character replaced or removed.
fn changed_filter() -> impl Strategy<Value = String> {
    let filters = prop::sample::select(vec![
        "(price BETWEEN 10 AND 100) AND regionId IS NOT NUll",
        "a = 'it''s' OR b NOT IN ('x', 'y') /* c */ AND NOT d <> 2.5e1",
        "a STARTSWITH 'x' AND (b > - 5 OR c NOT BETWEEN d AND 3000000000L) -- e",
    ]);
    (filters, any::<prop::sample::Index>(), "\\PC?").prop_map(|(filter, at, new)| {
        let mut characters: Vec<char> = filter.chars().collect();
        let at = at.index(characters.len());
        characters.splice(at..=at, new.chars());
        characters.into_iter().collect()
    })
}

/// Properties asked for by one call of `matches`; each has the same value.
fn asked(filter: &Filter, value: Option<&str>) -> usize {
    let asked = Cell::new(0);
    filter.matches(|_| {
        asked.set(asked.get() + 1);
        value.map(Cow::Borrowed)
    });
    asked.get()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn any_text_is_a_filter_or_refused_at_one_of_its_characters(
        text in text(),
        value in prop::option::of(".{0,6}|-?[0-9]{1,3}|true"),
    ) {
        match Filter::parse(&text) {
            Ok(filter) => {
                prop_assert_eq!(filter.text(), &text);
                prop_assert!(asked(&filter, value.as_deref()) <= text.len());
            }
            Err(FilterError::Syntax { at, .. } | FilterError::Type { at, .. } | FilterError::TooDeep { at, .. }) => {
                prop_assert!((1..=text.chars().count() + 1).contains(&at), "{at}");
            }
            Err(FilterError::TooLong { bytes, .. }) => prop_assert_eq!(bytes, text.len()),
        }
    }
}

/// `before` again and again, `inner`, `after` as often; as long as a text may be.
fn filled(before: &str, inner: &str, after: &str) -> String {
    let times = (TEXT_BYTES_MAX - inner.len()) / (before.len() + after.len());
    format!("{}{inner}{}", before.repeat(times), after.repeat(times))
}

fn on_a_small_stack(work: impl FnOnce() + Send + 'static) {
    thread::Builder::new().stack_size(STACK_BYTES).spawn(work).expect("a thread").join().expect("no panic");
}

#[test]
fn the_longest_texts_need_no_more_stack_than_others() {
    let texts = [
        filled("(", "a", ")"),
        filled("(", "", ""),
        filled("+", "a", ""),
        filled("- ", "a", ""),
        filled("NOT ", "a", ""),
        filled("NOT(", "a", ")"),
        filled("a=(", "a", ")"),
        filled("a AND(b OR ", "a", ")"),
        filled("", "a", "=a"),
        filled("", "a", " IS NULL"),
        filled("", "a", " CONTAINS 'x'"),
        filled("", "a", " BETWEEN 1 AND 2"),
        filled("", "", "'"),
        filled("", "", "/*"),
        filled("", "a", "--"),
        filled("", "a IN (''", ",''"),
        filled("", "a>", "9"),
        filled("", "a>.", "9"),
    ];
    on_a_small_stack(move || {
        for text in texts {
            if let Ok(filter) = Filter::parse(&text) {
                asked(&filter.clone(), None);
            }
        }
    });
}

#[test]
fn the_deepest_filters_need_little_stack() {
    let most = DEPTH_MAX / 2 - 1;
    let texts = [
        format!("{}a = 1{}", "b OR (c AND ".repeat(most), ")".repeat(most)),
        format!("{}a = 1{}", "NOT (a = ".repeat(most), ")".repeat(most)),
        format!("{}a = 1{}", "a = - (".repeat(most), ")".repeat(most)),
        format!("{}a = 1{}", "a BETWEEN 1 AND - (".repeat(most), ")".repeat(most)),
    ];
    on_a_small_stack(move || {
        for text in texts {
            let filter = Filter::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            for value in [None, Some("1"), Some("true")] {
                asked(&filter.clone(), value);
            }
        }
    });
}

#[test]
fn many_conditions_side_by_side_are_one_level() {
    let text = filled("a=1 OR ", "a=2", "");
    let filter = Filter::parse(&text).unwrap();
    assert!(filter.matches(|_| Some(Cow::Borrowed("2"))));
    assert_eq!(asked(&filter, Some("3")), text.matches('a').count());
}
