//! A tag expression and a tag: the hash never turns away what matches.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::tag::{TagFilter, hash};

fuzz_target!(|texts: (&str, &str)| {
    let (expression, tag) = texts;
    let Ok(filter) = TagFilter::parse(expression) else { return };
    assert!(!filter.matches(Some(tag)) || filter.may_match(hash(tag)));
    assert!(filter == TagFilter::All || !filter.matches(None));
});
