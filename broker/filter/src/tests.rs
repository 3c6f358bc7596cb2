//! Random trees: what they print is parsed as the same tree, and laws that hold for all of them.

mod print;
mod trees;

use std::borrow::Cow;
use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::evaluate::{Unreadable, truth};
use crate::tree::{Operand, Order};

/// Some of the names that `trees` uses, with values of each kind.
fn properties() -> impl Strategy<Value = BTreeMap<String, String>> {
    let value = prop_oneof![
        (-3_i64..7).prop_map(|number| number.to_string()),
        (-3.0..7.0_f64).prop_map(|number| number.to_string()),
        Just("3000000000".to_owned()),
        "true|TRUE|false|NaN|-Infinity|1e3| 2.5 |0x1p3|[ab']{0,3}",
    ];
    prop::collection::btree_map("[a-d]", value, 0..4)
}

fn truth_of(
    condition: &Condition,
    properties: &BTreeMap<String, String>,
) -> Result<Option<bool>, Unreadable> {
    truth(condition, &|name| properties.get(name).map(|value| Cow::Borrowed(value.as_str())))
}

fn not(condition: &Condition) -> Condition {
    Condition::Not(Box::new(condition.clone()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn what_a_tree_prints_is_parsed_as_the_same_tree(tree in trees::condition()) {
        let text = print::condition(&tree);
        let filter = Filter::parse(&text).map_err(|error| TestCaseError::fail(format!("{text}: {error}")))?;
        prop_assert_eq!(filter.condition, tree, "{}", text);
    }

    #[test]
    fn only_true_matches(tree in trees::condition(), properties in properties()) {
        let filter = Filter { text: "".into(), condition: tree };
        let matches = filter.matches(|name| properties.get(name).map(|value| Cow::Borrowed(value.as_str())));
        prop_assert_eq!(matches, truth_of(&filter.condition, &properties) == Ok(Some(true)));
    }

    #[test]
    fn not_of_and_is_or_of_nots(a in trees::condition(), b in trees::condition(), properties in properties()) {
        let not_both = not(&Condition::And(vec![a.clone(), b.clone()]));
        let either_not = Condition::Or(vec![not(&a), not(&b)]);
        prop_assert_eq!(truth_of(&not_both, &properties), truth_of(&either_not, &properties));
    }

    #[test]
    fn between_is_two_comparisons(
        operand in trees::ordered(),
        low in trees::ordered(),
        high in trees::ordered(),
        properties in properties(),
    ) {
        let ordered = |by, bound: &Operand| Condition::Ordered { left: operand.clone(), by, right: bound.clone() };
        let within = Condition::And(vec![ordered(Order::GreaterOrEqual, &low), ordered(Order::LessOrEqual, &high)]);
        let outside = Condition::Or(vec![ordered(Order::Less, &low), ordered(Order::Greater, &high)]);
        let between = |negated| {
            let (operand, low, high) = (operand.clone(), low.clone(), high.clone());
            Condition::Between { operand, low, high, negated }
        };
        prop_assert_eq!(truth_of(&between(false), &properties), truth_of(&within, &properties));
        prop_assert_eq!(truth_of(&between(true), &properties), truth_of(&outside, &properties));
    }

    #[test]
    fn names_are_all_that_is_asked_for(tree in trees::condition(), properties in properties()) {
        let filter = Filter { text: "".into(), condition: tree };
        let names = filter.names();
        filter.matches(|name| {
            assert!(names.contains(name), "{name}");
            properties.get(name).map(|value| Cow::Borrowed(value.as_str()))
        });
    }
}
