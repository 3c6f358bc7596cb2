//! A parsed filter: conditions, which are true or not, and the operands that they compare.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::number::Number;

/// What is TRUE, FALSE or NULL.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    /// `None` is NULL.
    Constant(Option<bool>),
    /// A property where a condition is expected.
    Bare(Box<str>),
    Not(Box<Condition>),
    /// At least two; many of them do not make the tree higher.
    And(Vec<Condition>),
    /// At least two.
    Or(Vec<Condition>),
    Equal {
        left: Operand,
        right: Operand,
        negated: bool,
    },
    IsNull {
        operand: Operand,
        negated: bool,
    },
    Ordered {
        left: Operand,
        by: Order,
        right: Operand,
    },
    Between {
        operand: Operand,
        low: Operand,
        high: Operand,
        negated: bool,
    },
    In {
        name: Box<str>,
        among: BTreeSet<Box<str>>,
        negated: bool,
    },
    Like {
        operand: Operand,
        likeness: Likeness,
        pattern: Box<str>,
        negated: bool,
    },
}

/// What a condition compares.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Operand {
    Property(Box<str>),
    Text(Box<str>),
    Number(Number),
    Negated(Box<Operand>),
    /// Never `Bare`.
    Condition(Box<Condition>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Likeness {
    Contains,
    StartsWith,
    EndsWith,
}

impl Condition {
    pub(crate) fn add_names<'t>(&'t self, names: &mut BTreeSet<&'t str>) {
        match self {
            Self::Constant(_) => {}
            Self::Bare(name) | Self::In { name, .. } => {
                names.insert(name);
            }
            Self::Not(inner) => inner.add_names(names),
            Self::And(all) | Self::Or(all) => all.iter().for_each(|part| part.add_names(names)),
            Self::Equal { left, right, .. } | Self::Ordered { left, right, .. } => {
                left.add_names(names);
                right.add_names(names);
            }
            Self::IsNull { operand, .. } | Self::Like { operand, .. } => operand.add_names(names),
            Self::Between { operand, low, high, .. } => {
                operand.add_names(names);
                low.add_names(names);
                high.add_names(names);
            }
        }
    }
}

impl Operand {
    fn add_names<'t>(&'t self, names: &mut BTreeSet<&'t str>) {
        match self {
            Self::Property(name) => {
                names.insert(name);
            }
            Self::Text(_) | Self::Number(_) => {}
            Self::Negated(inner) => inner.add_names(names),
            Self::Condition(condition) => condition.add_names(names),
        }
    }
}

impl Order {
    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
        }
    }
}

impl Likeness {
    pub(crate) fn holds(self, text: &str, pattern: &str) -> bool {
        match self {
            Self::Contains => text.contains(pattern),
            Self::StartsWith => text.starts_with(pattern),
            Self::EndsWith => text.ends_with(pattern),
        }
    }
}
