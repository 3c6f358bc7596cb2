//! Why a text is no filter. `at` is the number of a character, the first one is 1.

/// A text that is no filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// More bytes than are read at all.
    #[error("filter has {bytes} bytes, the limit is {limit}")]
    TooLong {
        /// Bytes of the text.
        bytes: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// More nesting than is evaluated.
    #[error("filter nests deeper than {limit} levels at character {at}")]
    TooDeep {
        /// Where the expression begins that is one level too many.
        at: usize,
        /// Levels allowed.
        limit: usize,
    },
    /// Something cannot follow what is before it.
    #[error("expected {expected} at character {at}, found {found}")]
    Syntax {
        /// Where it was found.
        at: usize,
        /// What could have been there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
    /// An operand that can never have a meaning in its place.
    #[error("expected {expected} at character {at}, found {found}")]
    Type {
        /// Where the operand begins.
        at: usize,
        /// What has a meaning there.
        expected: &'static str,
        /// What is there.
        found: String,
    },
}
