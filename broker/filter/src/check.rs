//! What may stand where: an operand on its way into the tree, and the checks that need no message.

use crate::number::Number;
use crate::tree::{Condition, Operand};
use crate::{DEPTH_MAX, FilterError};

/// An operand with its place in the text and in the tree.
#[derive(Debug)]
pub(crate) struct Part {
    operand: Operand,
    /// Number of its first character.
    at: usize,
    /// Levels of the tree, at most `DEPTH_MAX`.
    height: usize,
}

impl Part {
    /// An operand over others, the highest of which is `below`.
    pub(crate) fn new(operand: Operand, at: usize, below: usize) -> Result<Self, FilterError> {
        if below >= DEPTH_MAX {
            return Err(FilterError::TooDeep { at, limit: DEPTH_MAX });
        }
        Ok(Self { operand, at, height: below + 1 })
    }

    pub(crate) fn condition(condition: Condition, at: usize, below: usize) -> Result<Self, FilterError> {
        Self::new(Operand::Condition(Box::new(condition)), at, below)
    }

    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn height(&self) -> usize {
        self.height
    }

    /// The operand of anything.
    pub(crate) fn into_operand(self) -> Operand {
        self.operand
    }

    /// What is true or not; a property is taken for a condition.
    pub(crate) fn into_condition(self) -> Result<Condition, FilterError> {
        match self.operand {
            Operand::Condition(condition) => Ok(*condition),
            Operand::Property(name) => Ok(Condition::Bare(name)),
            Operand::Text(_) | Operand::Number(_) | Operand::Negated(_) => {
                Err(self.unfit("a condition or a property"))
            }
        }
    }

    /// The name of a property.
    pub(crate) fn into_property(self) -> Result<Box<str>, FilterError> {
        match self.operand {
            Operand::Property(name) => Ok(name),
            Operand::Text(_) | Operand::Number(_) | Operand::Negated(_) | Operand::Condition(_) => {
                Err(self.unfit("a property before IN"))
            }
        }
    }

    /// Whether it has an order: a string is read as a number only if it is a property.
    pub(crate) fn check_ordered(&self) -> Result<(), FilterError> {
        match self.operand {
            Operand::Property(_) | Operand::Number(_) | Operand::Negated(_) => Ok(()),
            Operand::Text(_) | Operand::Condition(_) => Err(self.unfit("a number or a property")),
        }
    }

    /// Whether these two can ever be equal.
    pub(crate) fn check_equal(&self, right: &Self) -> Result<(), FilterError> {
        for side in [self, right] {
            if side.constant() == Some("NULL") {
                return Err(side.unfit("a value, or IS NULL instead"));
            }
        }
        if self.constant().is_some() && matches!(right.operand, Operand::Text(_) | Operand::Number(_)) {
            return Err(right.unfit("a condition, TRUE, FALSE or a property"));
        }
        Ok(())
    }

    /// Whether there is anything between these two, as far as one can tell.
    pub(crate) fn check_ascends_to(&self, high: &Self) -> Result<(), FilterError> {
        match (self.number(), high.number()) {
            (Some(from), Some(to)) if to.order(from).is_lt() => {
                Err(high.unfit("an upper bound that is not below the lower one"))
            }
            _ => Ok(()),
        }
    }

    /// The spelling of TRUE, FALSE or NULL.
    fn constant(&self) -> Option<&'static str> {
        let Operand::Condition(condition) = &self.operand else { return None };
        let Condition::Constant(truth) = **condition else { return None };
        Some(match truth {
            Some(true) => "TRUE",
            Some(false) => "FALSE",
            None => "NULL",
        })
    }

    fn number(&self) -> Option<Number> {
        if let Operand::Number(number) = self.operand { Some(number) } else { None }
    }

    fn unfit(&self, expected: &'static str) -> FilterError {
        let kind = match &self.operand {
            Operand::Property(_) => "a property",
            Operand::Text(_) => "a string",
            Operand::Number(_) => "a number",
            Operand::Negated(_) => "a negated value",
            Operand::Condition(_) => "a condition",
        };
        let found = self.constant().unwrap_or(kind);
        FilterError::Type { at: self.at, expected, found: found.to_owned() }
    }
}
