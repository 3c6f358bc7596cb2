//! What a caller can be told. Three kinds never share a case: not written, perhaps written, and unusable.

use std::fmt;

use crds::group_record::{FormatError, Seen, Version};

/// One state of the stored object, as far as it can be compared with another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Point {
    /// Which object: another one of the same name has another identity.
    pub object: String,
    /// The version of the object.
    pub version: Version,
    /// The revision of the record in it.
    pub revision: u64,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version {} with revision {} of {}", self.version.0, self.revision, self.object)
    }
}

/// The record cannot be relied on: what was agreed on after `found` is forgotten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the record went back from {seen} to {found}: it was restored from a backup, or deleted and made again"
)]
pub struct Regressed {
    /// The latest that was seen.
    pub seen: Point,
    /// What is there now.
    pub found: Point,
}

/// Why nothing was read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No answer, or none that says what is there. Try again.
    #[error("the record was not read: {0}")]
    Unreachable(String),
    /// Nobody made the object, or it has no record or no request yet.
    #[error("the record is missing: {0}")]
    Missing(String),
    /// Not a record or a request of this version.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A version that cannot be compared.
    #[error("the version `{0}` is not a number")]
    Version(String),
    /// Older than what was seen before.
    #[error(transparent)]
    Regressed(#[from] Box<Regressed>),
}

/// Why a proposal was not accepted, or may not have been.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// Not written: somebody else was first. Holds what is there.
    #[error("not written: version {} came first", .0.version.0)]
    Conflict(Box<Seen>),
    /// Not written: refused, or somebody else was first and what is there could not be read.
    #[error("not written: {0}")]
    Refused(String),
    /// Perhaps written, perhaps still to be written. Only reading a later version than the base tells.
    #[error("perhaps written: {0}")]
    Unknown(String),
    /// Not written: there is nothing to replace.
    #[error("not written, the record is missing: {0}")]
    Missing(String),
    /// Not written: what is there is not of this version.
    #[error("not written: {0}")]
    Format(FormatError),
    /// Not written: what is there is older than what was seen before.
    #[error("not written: {0}")]
    Regressed(Box<Regressed>),
}

/// Why an arbiter cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file cannot be made, locked or read.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What the system says.
        error: std::io::Error,
    },
    /// The file holds something else.
    #[error("{path}: {error}")]
    Format {
        /// The file.
        path: String,
        /// What is wrong with it.
        error: FormatError,
    },
    /// There is no way to the Kubernetes API.
    #[error("no way to the Kubernetes API: {0}")]
    Kubernetes(String),
}

/// For a write that is known not to have happened, by what a look afterwards found.
impl From<ReadError> for ProposeError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Missing(what) => Self::Missing(what),
            ReadError::Format(error) => Self::Format(error),
            ReadError::Regressed(error) => Self::Regressed(error),
            ReadError::Unreachable(_) | ReadError::Version(_) => Self::Refused(error.to_string()),
        }
    }
}
