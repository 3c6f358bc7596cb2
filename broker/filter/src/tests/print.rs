//! A tree as the text of a filter. Every condition within another has brackets around it.

use crate::number::Number;
use crate::tree::{Condition, Likeness, Operand, Order};

pub(super) fn condition(tree: &Condition) -> String {
    match tree {
        Condition::Constant(Some(true)) => "TRUE".to_owned(),
        Condition::Constant(Some(false)) => "FALSE".to_owned(),
        Condition::Constant(None) => "NULL".to_owned(),
        Condition::Bare(name) => name.to_string(),
        Condition::Not(inner) => format!("NOT ({})", condition(inner)),
        Condition::And(all) => joined(all, " AND "),
        Condition::Or(any) => joined(any, " OR "),
        Condition::Equal { left, right, negated } => {
            format!("{} {} {}", operand(left), if *negated { "<>" } else { "=" }, operand(right))
        }
        Condition::IsNull { operand: left, negated } => {
            format!("{} IS{} NULL", operand(left), not(*negated))
        }
        Condition::Ordered { left, by, right } => {
            let by = match by {
                Order::Greater => ">",
                Order::GreaterOrEqual => ">=",
                Order::Less => "<",
                Order::LessOrEqual => "<=",
            };
            format!("{} {by} {}", operand(left), operand(right))
        }
        Condition::Between { operand: left, low, high, negated } => {
            format!("{}{} BETWEEN {} AND {}", operand(left), not(*negated), operand(low), operand(high))
        }
        Condition::In { name, among, negated } => {
            let among: Vec<String> = among.iter().map(|text| quoted(text)).collect();
            format!("{name}{} IN ({})", not(*negated), among.join(", "))
        }
        Condition::Like { operand: left, likeness, pattern, negated } => {
            let likeness = match likeness {
                Likeness::Contains => "CONTAINS",
                Likeness::StartsWith => "STARTSWITH",
                Likeness::EndsWith => "ENDSWITH",
            };
            format!("{}{} {likeness} {}", operand(left), not(*negated), quoted(pattern))
        }
    }
}

fn operand(tree: &Operand) -> String {
    match tree {
        Operand::Property(name) => name.to_string(),
        Operand::Text(text) => quoted(text),
        Operand::Number(Number::Int(number)) => number.to_string(),
        Operand::Number(Number::Long(number)) => number.to_string(),
        Operand::Number(Number::Double(number)) => format!("{number:?}"),
        // With the blank, because `--` begins a comment.
        Operand::Negated(inner) => format!("- {}", operand(inner)),
        Operand::Condition(inner) => format!("({})", condition(inner)),
    }
}

fn joined(conditions: &[Condition], by: &str) -> String {
    let conditions: Vec<String> = conditions.iter().map(|part| format!("({})", condition(part))).collect();
    conditions.join(by)
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn not(negated: bool) -> &'static str {
    if negated { " NOT" } else { "" }
}
