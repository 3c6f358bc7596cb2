//! Random trees that could have been parsed: what the checks refuse is not among them.

use proptest::prelude::*;

use crate::number::Number;
use crate::tree::{Condition, Likeness, Operand, Order};

const LEVELS: u32 = 4;
const PARTS: u32 = 24;

pub(super) fn condition() -> BoxedStrategy<Condition> {
    let leaf = prop_oneof![constant(), name().prop_map(Condition::Bare), over(simple())];
    leaf.prop_recursive(LEVELS, PARTS, 3, |inner| {
        let list = || prop::collection::vec(inner.clone(), 2..4);
        prop_oneof![
            inner.clone().prop_map(|inner| Condition::Not(Box::new(inner))),
            list().prop_map(Condition::And),
            list().prop_map(Condition::Or),
            over(operand_over(inner.clone())),
        ]
    })
    .boxed()
}

/// What may stand beside `<`.
pub(super) fn ordered() -> BoxedStrategy<Operand> {
    as_ordered(operand_over(condition()))
}

/// A condition over such operands.
fn over(operand: BoxedStrategy<Operand>) -> BoxedStrategy<Condition> {
    let ordered = as_ordered(operand.clone());
    let order = prop_oneof![
        Just(Order::Greater),
        Just(Order::GreaterOrEqual),
        Just(Order::Less),
        Just(Order::LessOrEqual),
    ];
    let likeness =
        prop_oneof![Just(Likeness::Contains), Just(Likeness::StartsWith), Just(Likeness::EndsWith),];
    prop_oneof![
        (operand.clone(), operand.clone(), any::<bool>())
            .prop_filter("NULL, or TRUE = 5", |(left, right, _)| may_be_equal(left, right))
            .prop_map(|(left, right, negated)| Condition::Equal { left, right, negated }),
        (operand.clone(), any::<bool>())
            .prop_map(|(operand, negated)| Condition::IsNull { operand, negated }),
        (ordered.clone(), order, ordered.clone()).prop_map(|(left, by, right)| Condition::Ordered {
            left,
            by,
            right
        }),
        (ordered.clone(), ordered.clone(), ordered, any::<bool>()).prop_map(between),
        (name(), prop::collection::btree_set(text(), 1..8), any::<bool>())
            .prop_map(|(name, among, negated)| Condition::In { name, among, negated }),
        (operand, likeness, text(), any::<bool>()).prop_map(|(operand, likeness, pattern, negated)| {
            Condition::Like { operand, likeness, pattern, negated }
        }),
    ]
    .boxed()
}

fn operand_over(inner: impl Strategy<Value = Condition> + 'static) -> BoxedStrategy<Operand> {
    let within = inner
        .prop_filter("in brackets a property is no condition", |inner| !matches!(inner, Condition::Bare(_)))
        .prop_map(|inner| Operand::Condition(Box::new(inner)));
    let operand = prop_oneof![3 => simple(), 1 => within].boxed();
    let negated = operand.clone().prop_map(|inner| Operand::Negated(Box::new(inner)));
    prop_oneof![4 => operand, 1 => negated].boxed()
}

fn simple() -> BoxedStrategy<Operand> {
    let number = prop_oneof![
        2 => (0..7_i32).prop_map(Number::Int),
        1 => (0..=i32::MAX).prop_map(Number::Int),
        1 => (i64::from(i32::MAX) + 1..=i64::MAX).prop_map(Number::Long),
        2 => (f64::MIN_POSITIVE..7.0).prop_map(Number::Double),
        1 => (1..f64::MAX.to_bits()).prop_map(|bits| Number::Double(f64::from_bits(bits))),
    ];
    prop_oneof![
        2 => name().prop_map(Operand::Property),
        1 => text().prop_map(Operand::Text),
        2 => number.prop_map(Operand::Number),
    ]
    .boxed()
}

fn as_ordered(operand: BoxedStrategy<Operand>) -> BoxedStrategy<Operand> {
    operand
        .prop_map(|operand| match operand {
            Operand::Text(_) | Operand::Condition(_) => Operand::Negated(Box::new(operand)),
            Operand::Property(_) | Operand::Number(_) | Operand::Negated(_) => operand,
        })
        .boxed()
}

fn may_be_equal(left: &Operand, right: &Operand) -> bool {
    let constant = |operand: &Operand| match operand {
        Operand::Condition(condition) => matches!(**condition, Condition::Constant(_)),
        Operand::Property(_) | Operand::Text(_) | Operand::Number(_) | Operand::Negated(_) => false,
    };
    let null = Operand::Condition(Box::new(Condition::Constant(None)));
    *left != null
        && *right != null
        && !(constant(left) && matches!(right, Operand::Text(_) | Operand::Number(_)))
}

fn between((operand, low, high, negated): (Operand, Operand, Operand, bool)) -> Condition {
    match (&low, &high) {
        (Operand::Number(from), Operand::Number(to)) if to.order(*from).is_lt() => {
            Condition::Between { operand, low: high, high: low, negated }
        }
        _ => Condition::Between { operand, low, high, negated },
    }
}

fn constant() -> impl Strategy<Value = Condition> {
    prop_oneof![Just(Some(true)), Just(Some(false)), Just(None)].prop_map(Condition::Constant)
}

fn name() -> impl Strategy<Value = Box<str>> {
    prop_oneof![4 => "[a-d]", 1 => "_[A-Za-z0-9_$]{0,5}", 1 => "\\$[a-z]", 1 => "notes|INN|Orders"]
        .prop_map(Into::into)
}

fn text() -> impl Strategy<Value = Box<str>> {
    prop_oneof![3 => "[ab']{0,3}", 1 => "-?[0-9]{1,2}", 1 => "\\PC{0,6}", 1 => "true|--|/\\*"]
        .prop_map(Into::into)
}
