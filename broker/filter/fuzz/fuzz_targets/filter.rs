//! A filter and the value of every property: no message matches both a filter and its `NOT`.
#![no_main]

use std::borrow::Cow;

use filter::{Filter, FilterError};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|texts: (&str, &str)| {
    let (text, value) = texts;
    let Ok(filter) = Filter::parse(text) else { return };
    let matches = |filter: &Filter| filter.matches(|name| (name.len() < 3).then_some(Cow::Borrowed(value)));
    // The end of the line ends a comment.
    match Filter::parse(&format!("NOT ({text}\n)")) {
        Ok(not) => assert!(!(matches(&filter) && matches(&not))),
        Err(FilterError::TooDeep { .. } | FilterError::TooLong { .. }) => {}
        Err(error) => panic!("{error}"),
    }
});
