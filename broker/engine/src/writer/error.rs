//! What can go wrong with leading and following, one type per operation.

use store::log::{AppendError, Poisoned, RawError, TruncateError};

/// Why a term did not begin.
#[derive(Debug, thiserror::Error)]
pub enum LeadError {
    /// The writer was closed.
    #[error("group is closed")]
    Closed,
    /// The record of the new epoch was not written; after `Full` it may be tried again.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// What was written before could not be folded.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

/// Why what is agreed was not folded.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The writer was closed.
    #[error("group is closed")]
    Closed,
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] store::log::OpenError),
    /// The log has ended.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
    /// A record cannot be decoded; as a rule, a later version wrote it.
    #[error("{what} cannot be decoded: {why}")]
    Format {
        /// Which sort of record.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// Why bytes of the leader were not appended.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The writer was closed.
    #[error("group is closed")]
    Closed,
    /// The log did not take them.
    #[error(transparent)]
    Log(#[from] RawError),
}

/// Why the end of the log was not given back.
#[derive(Debug, thiserror::Error)]
pub enum CutError {
    /// The writer was closed.
    #[error("group is closed")]
    Closed,
    /// The log could not be cut.
    #[error(transparent)]
    Log(#[from] TruncateError),
    /// What stays could not be read.
    #[error(transparent)]
    Read(#[from] store::log::OpenError),
}
