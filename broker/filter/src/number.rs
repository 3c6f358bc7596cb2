//! Numbers: which literals there are, how a property is read as one, how two are ordered.

use std::cmp::Ordering;

/// A number; its width tells how a string that it is compared with is read.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Number {
    Int(i32),
    /// A literal is one if it does not fit an `Int`.
    Long(i64),
    Double(f64),
}

impl Number {
    /// An integer literal, with an `L` or without; nothing if it does not fit 64 bits.
    pub(crate) fn integer(literal: &str) -> Option<Self> {
        let long: i64 = literal.trim_end_matches(['l', 'L']).parse().ok()?;
        Some(i32::try_from(long).map_or(Self::Long(long), Self::Int))
    }

    /// A float literal; nothing if a double cannot tell it from 0 or from infinity.
    pub(crate) fn float(literal: &str) -> Option<Self> {
        let double: f64 = literal.parse().ok()?;
        (double > 0.0 && double.is_finite()).then_some(Self::Double(double))
    }

    /// The text as a number of the same width.
    pub(crate) fn read_alike(self, text: &str) -> Option<Self> {
        match self {
            Self::Int(_) => text.parse().ok().map(Self::Int),
            Self::Long(_) => text.parse().ok().map(Self::Long),
            Self::Double(_) => Self::read_double(text),
        }
    }

    /// The text as a double, in the forms that Java prints.
    pub(crate) fn read_double(text: &str) -> Option<Self> {
        let text = text.trim_matches(|c| c <= ' ');
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        // Rust reads these words in any case and shorter ones too.
        let is_word = text == "NaN" || unsigned == "Infinity";
        let is_plain =
            unsigned.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
        if is_word || is_plain { text.parse().ok().map(Self::Double) } else { None }
    }

    pub(crate) fn negated(self) -> Self {
        match self {
            Self::Int(number) => Self::Int(-number),
            Self::Long(number) => Self::Long(-number),
            Self::Double(number) => Self::Double(-number),
        }
    }

    /// A total order, of doubles too.
    pub(crate) fn order(self, other: Self) -> Ordering {
        match (self.whole(), other.whole()) {
            (Some(left), Some(right)) => left.cmp(&right),
            _ => self.double().total_cmp(&other.double()),
        }
    }

    fn whole(self) -> Option<i64> {
        match self {
            Self::Int(number) => Some(number.into()),
            Self::Long(number) => Some(number),
            Self::Double(_) => None,
        }
    }

    fn double(self) -> f64 {
        match self {
            Self::Int(number) => number.into(),
            Self::Long(number) => number as f64,
            Self::Double(number) => number,
        }
    }
}
