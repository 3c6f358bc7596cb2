//! SQL92 filters: which messages a consumer wants, told by their properties.
//!
//! ```text
//!   or      := and (OR and)*                    and := equal (AND equal)*
//!   equal   := compare ('=' compare | '<>' compare | IS [NOT] NULL)*
//!   compare := unary (('>' | '>=' | '<' | '<=') unary | [NOT] BETWEEN unary AND unary
//!              | [NOT] (CONTAINS | STARTSWITH | ENDSWITH) string | [NOT] IN '(' string (',' string)* ')')*
//!   unary   := ('+' | '-' | NOT) unary | string | integer | float | TRUE | FALSE | NULL | property | '(' or ')'
//! ```
//!
//! Every property is a string, one that is missing is NULL, and a condition is TRUE, FALSE, NULL or an error. Only TRUE
//! matches. `NOT` binds tighter than a comparison: `NOT a = 1` is `(NOT a) = 1`.
//!
//! Of an expression with NULL:
//! - `AND`, `OR`, `NOT` and the order `< <= > >=` are SQL's; `BETWEEN` is two of these with `AND` between them.
//! - `=` is NULL when its left side is, both or not, and FALSE when only the right side is; `<>` is its `NOT`. So
//!   `a <> 5` passes over a message without `a`, and `5 <> a` takes it.
//! - `IN` and `NOT IN` are NULL; `CONTAINS`, `STARTSWITH`, `ENDSWITH` and their `NOT` forms are FALSE.
//! - A property alone is FALSE, or NULL if missing. `-` of what is no number is NULL.
//!
//! Of values that differ in kind:
//! - The other side's number tells how a string is read: as a 32-bit integer if that fits (with an `L` or without), as a
//!   64-bit one, or as a double. An integer is a sign or none and ASCII digits. A double is what Java prints, exponent,
//!   `NaN` and `Infinity` included, blanks around it do not count; a hexadecimal one or one with a suffix is not read.
//! - Two strings are put in order as doubles; `=` compares them as they are.
//! - Doubles are ordered as in Java: `-0` before `0`, `NaN` last and equal to itself. An integer and a double are
//!   compared as doubles.
//! - A string right of a truth value is an error, left of one it is TRUE if it reads `true` in any case. A truth value
//!   and a number are never equal.
//! - Both sides of a comparison are evaluated, left first; an error in either is one of the whole filter. The bounds of
//!   `BETWEEN` are evaluated one after the other, and the upper one not at all if the lower one decides. An empty
//!   pattern is FALSE whatever it is looked for in.
//!
//! What may stand where is checked once, when a filter is parsed. A literal counts as a constant also in brackets or
//! after `+`, but not after `-`; the bounds of `NOT BETWEEN` need not ascend; TRUE or FALSE may be right of a constant.
//!
//! Promise: no text makes `parse` panic, recurse beyond `DEPTH_MAX` or take longer than n log n; a filter that was
//! parsed evaluates within that depth, each of its parts at most once for a message, and copies no property.
//! Stricter than RocketMQ: text after a complete filter is refused, where `a LIKE 'x'` passes as `a` there.
//! Limits: `TEXT_BYTES_MAX` and `DEPTH_MAX`; `a = 1 AND b = 2 AND …` may be as long as the text.
//! Not here: tags (`wire::tag`), where the properties of a message come from.
#![forbid(unsafe_code)]

use std::borrow::Cow;
use std::collections::BTreeSet;

mod check;
mod error;
mod evaluate;
mod lexer;
mod number;
mod parser;
#[cfg(test)]
mod tests;
mod tree;

pub use error::FilterError;
use tree::Condition;

/// The longest text of a filter.
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
/// How deep brackets, signs, `NOT` and comparisons of comparisons may nest.
pub const DEPTH_MAX: usize = 64;

/// What a consumer wants, ready to be asked for each message.
#[derive(Debug, Clone, PartialEq)]
pub struct Filter {
    text: Box<str>,
    condition: Condition,
}

impl Filter {
    /// Reads the whole text; an error tells what was expected, and where.
    pub fn parse(text: &str) -> Result<Self, FilterError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(FilterError::TooLong { bytes: text.len(), limit: TEXT_BYTES_MAX });
        }
        Ok(Self { condition: parser::parse(text)?, text: text.into() })
    }

    /// Whether the message with these properties is wanted. `get` is asked for a name each time that it is
    /// evaluated.
    pub fn matches<'p>(&self, get: impl Fn(&str) -> Option<Cow<'p, str>>) -> bool {
        evaluate::truth(&self.condition, &get) == Ok(Some(true))
    }

    /// The text it was parsed from.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The properties it looks at, each once.
    pub fn names(&self) -> BTreeSet<&str> {
        let mut names = BTreeSet::new();
        self.condition.add_names(&mut names);
        names
    }
}
