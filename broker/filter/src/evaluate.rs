//! What a condition is for one message. `None` is NULL; an error ends the evaluation, and nothing is evaluated after
//! `AND` has met FALSE or `OR` has met TRUE.

use std::borrow::Cow;
use std::cmp::Ordering;

use crate::number::Number;
use crate::tree::{Condition, Operand, Order};

/// The property of a message by its name.
type Get<'g, 'p> = dyn Fn(&str) -> Option<Cow<'p, str>> + 'g;

/// A property cannot be read as what it is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unreadable;

pub(crate) fn truth(condition: &Condition, get: &Get<'_, '_>) -> Result<Option<bool>, Unreadable> {
    match condition {
        Condition::Constant(truth) => Ok(*truth),
        Condition::Bare(name) => Ok(get(name).map(|_| false)),
        Condition::Not(inner) => Ok(truth(inner, get)?.map(|truth| !truth)),
        Condition::And(all) => until(false, all, get),
        Condition::Or(any) => until(true, any, get),
        Condition::Equal { left, right, negated } => {
            let (left, right) = (value(left, get)?, value(right, get)?);
            Ok(equal(&left, &right)?.map(|equal| equal != *negated))
        }
        Condition::IsNull { operand, negated } => {
            Ok(Some(matches!(value(operand, get)?, Value::Null) != *negated))
        }
        Condition::Ordered { left, by, right } => {
            let (left, right) = (value(left, get)?, value(right, get)?);
            ordered(&left, *by, &right)
        }
        Condition::Between { operand, low, high, negated } => {
            let operand = value(operand, get)?;
            let mut between = ordered(&operand, Order::GreaterOrEqual, &value(low, get)?)?;
            if between != Some(false) {
                let below = ordered(&operand, Order::LessOrEqual, &value(high, get)?)?;
                between = if below == Some(false) { below } else { between.and(below) };
            }
            Ok(between.map(|between| between != *negated))
        }
        Condition::In { name, among, negated } => {
            Ok(get(name).map(|text| among.contains(&*text) != *negated))
        }
        Condition::Like { pattern, .. } if pattern.is_empty() => Ok(Some(false)),
        Condition::Like { operand, likeness, pattern, negated } => {
            let Value::Text(text) = value(operand, get)? else { return Ok(Some(false)) };
            Ok(Some(likeness.holds(&text, pattern) != *negated))
        }
    }
}

/// `AND` stops on FALSE, `OR` on TRUE.
fn until(stop: bool, conditions: &[Condition], get: &Get<'_, '_>) -> Result<Option<bool>, Unreadable> {
    let mut joined = Some(!stop);
    for condition in conditions {
        match truth(condition, get)? {
            Some(truth) if truth == stop => return Ok(Some(stop)),
            Some(_) => {}
            None => joined = None,
        }
    }
    Ok(joined)
}

enum Value<'v> {
    Null,
    Truth(bool),
    Number(Number),
    Text(Cow<'v, str>),
}

fn value<'v, 'p: 'v>(operand: &'v Operand, get: &Get<'_, 'p>) -> Result<Value<'v>, Unreadable> {
    Ok(match operand {
        Operand::Property(name) => get(name).map_or(Value::Null, Value::Text),
        Operand::Text(text) => Value::Text(Cow::Borrowed(text)),
        Operand::Number(number) => Value::Number(*number),
        Operand::Negated(inner) => match value(inner, get)? {
            Value::Number(number) => Value::Number(number.negated()),
            Value::Null | Value::Truth(_) | Value::Text(_) => Value::Null,
        },
        Operand::Condition(condition) => truth(condition, get)?.map_or(Value::Null, Value::Truth),
    })
}

fn equal(left: &Value<'_>, right: &Value<'_>) -> Result<Option<bool>, Unreadable> {
    Ok(match (left, right) {
        (Value::Null, _) => None,
        (Value::Text(left), Value::Text(right)) => Some(left == right),
        (Value::Truth(left), Value::Truth(right)) => Some(left == right),
        (Value::Text(text), Value::Truth(truth)) => Some(text.eq_ignore_ascii_case("true") == *truth),
        (Value::Truth(_), Value::Text(_)) => return Err(Unreadable),
        // Not NULL if only the right side is, unlike SQL: `NOT (5 = a)` matches a message without `a`.
        (_, Value::Null) | (Value::Truth(_), Value::Number(_)) | (Value::Number(_), Value::Truth(_)) => {
            Some(false)
        }
        (Value::Number(_), Value::Number(_) | Value::Text(_)) | (Value::Text(_), Value::Number(_)) => {
            Some(order(left, right)?.is_eq())
        }
    })
}

fn ordered(left: &Value<'_>, by: Order, right: &Value<'_>) -> Result<Option<bool>, Unreadable> {
    match (left, right) {
        (Value::Null, _) | (_, Value::Null) => Ok(None),
        _ => Ok(Some(by.holds(order(left, right)?))),
    }
}

fn order(left: &Value<'_>, right: &Value<'_>) -> Result<Ordering, Unreadable> {
    let (left, right) = match (left, right) {
        (Value::Number(left), Value::Number(right)) => (Some(*left), Some(*right)),
        (Value::Text(left), Value::Number(right)) => (right.read_alike(left), Some(*right)),
        (Value::Number(left), Value::Text(right)) => (Some(*left), left.read_alike(right)),
        (Value::Text(left), Value::Text(right)) => (Number::read_double(left), Number::read_double(right)),
        (Value::Null | Value::Truth(_), _) | (_, Value::Null | Value::Truth(_)) => (None, None),
    };
    let (Some(left), Some(right)) = (left, right) else { return Err(Unreadable) };
    Ok(left.order(right))
}
