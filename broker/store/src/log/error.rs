//! What can go wrong with the log, one type per operation.

use std::io;

use super::segment::DIR;
use crate::units::Position;

/// The log has ended: a write or sync failed, so nobody knows what the disk holds. Recovery finds out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("log has ended: {operation} of `{file}` failed: {reason}")]
pub struct Poisoned {
    /// `write`, `sync`, `create`, `truncate` or `look for room`.
    pub operation: &'static str,
    /// The file it happened to.
    pub file: String,
    /// What the disk said.
    pub reason: String,
}

/// Why drafts were not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Nothing was written; the log takes drafts again as soon as there is room.
    #[error("disk is full: {needed_bytes} B must be free, {free_bytes} B are")]
    Full {
        /// What must be free for the log to go on.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
    },
    /// Nothing was written.
    #[error("batch of {bytes} B is over the limit of {limit_bytes} B")]
    TooLarge {
        /// Size of the batch.
        bytes: u64,
        /// The most a batch may have.
        limit_bytes: u64,
    },
    /// It is unknown what was written.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
}

/// Why the log could not be opened. Nothing was deleted.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Bytes that had been synced do not verify.
    #[error("`{file}` is corrupt at position {position}")]
    Corrupt {
        /// The file.
        file: String,
        /// Position of the batch that does not verify.
        position: Position,
    },
    /// A part of the log is not there.
    #[error("no segment holds position {position}")]
    Missing {
        /// The first position that is missing.
        position: Position,
    },
    /// The file belongs to another log.
    #[error("`{file}` belongs to another log")]
    Foreign {
        /// The file.
        file: String,
    },
    /// The file was written by a version that knows more.
    #[error("`{file}` has a format that this version does not know ({what})")]
    Unsupported {
        /// The file.
        file: String,
        /// What is not known.
        what: String,
    },
    /// The configuration makes no log.
    #[error(
        "segment size of {segment_bytes} B is not a multiple of 4096 between {min_bytes} and {max_bytes}"
    )]
    SegmentSize {
        /// The size asked for.
        segment_bytes: u64,
        /// The least.
        min_bytes: u64,
        /// The most.
        max_bytes: u64,
    },
    /// There is no room for what the log begins with.
    #[error("disk is full: {needed_bytes} B must be free, {free_bytes} B are")]
    Full {
        /// What must be free for the log to open.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
    },
    /// There is a log already.
    #[error("there is a log already")]
    Exists,
    /// No segment can start there.
    #[error("no segment can start at {start}")]
    Start {
        /// Where one was to start.
        start: Position,
    },
    /// The disk refused.
    #[error("`{file}`: {source}")]
    Io {
        /// The file or folder.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
}

/// Why a record could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes do not verify.
    #[error("`{file}` is corrupt at position {position}")]
    Corrupt {
        /// The file.
        file: String,
        /// Position of the record.
        position: Position,
    },
    /// The record was removed by retention.
    #[error("trimmed: the log begins at {head}")]
    Trimmed {
        /// Where the log begins.
        head: Position,
    },
    /// No record can be there: it would end beyond what is written, or cross segments.
    #[error("no record of {bytes} B at {position}, the log ends at {written}")]
    OutOfRange {
        /// Where a record was looked for.
        position: Position,
        /// Its supposed length.
        bytes: u32,
        /// Where the log ends.
        written: Position,
    },
    /// The disk refused.
    #[error("`{file}` at position {position}: {source}")]
    Io {
        /// The file.
        file: String,
        /// Position of the record.
        position: Position,
        /// What the disk said.
        source: io::Error,
    },
}

/// Why old segments could not be deleted; what is left of them is deleted next time.
#[derive(Debug, thiserror::Error)]
#[error("`{file}`: {source}")]
pub struct RetainError {
    /// The file.
    pub file: String,
    /// What the disk said.
    #[source]
    pub source: io::Error,
}

/// Why the next segment could not be made ahead; try again later.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// There is no room.
    #[error("disk is full: {needed_bytes} B must be free, {free_bytes} B are")]
    Full {
        /// What must be free.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
    },
    /// The disk refused.
    #[error("`{file}`: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the disk said.
        source: io::Error,
    },
}

/// Why bytes of another copy were not appended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RawError {
    /// They do not begin where this log ends. Nothing was written.
    #[error("bytes begin at {found}, the log ends at {expected}")]
    Gap {
        /// Where the log ends.
        expected: Position,
        /// Where they begin.
        found: Position,
    },
    /// They are intact, but were written after another batch than the last one here: the logs have parted. Nothing
    /// was written.
    #[error("batch at {position} does not follow the one before")]
    Mismatch {
        /// Where they begin.
        position: Position,
    },
    /// They do not verify. Nothing was written.
    #[error("bytes for position {position} do not verify")]
    Corrupt {
        /// Position of the batch that does not verify.
        position: Position,
    },
    /// They were written by a version that knows more. Nothing was written.
    #[error("bytes for position {position} have a format that this version does not know ({what})")]
    Unsupported {
        /// Position of the batch.
        position: Position,
        /// What is not known.
        what: String,
    },
    /// There is no room; `written` tells what was taken. The log goes on as soon as there is room.
    #[error("disk is full: {needed_bytes} B must be free, {free_bytes} B are")]
    Full {
        /// What must be free for the log to go on.
        needed_bytes: u64,
        /// What is free.
        free_bytes: u64,
    },
    /// The log has begun an epoch of its own. Nothing was written.
    #[error("log has begun an epoch and takes nothing from another copy")]
    Leading,
    /// It is unknown what was written.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
}

/// Why the log was not cut. Unless it has ended, nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum TruncateError {
    /// The log has begun an epoch of its own.
    #[error("log has begun an epoch and keeps what it has")]
    Leading,
    /// That was removed by retention.
    #[error("trimmed: the log begins at {head}")]
    Trimmed {
        /// Where the log begins.
        head: Position,
    },
    /// What is agreed among the copies is not taken back.
    #[error("cut at {to} is below what is agreed, {committed}")]
    Committed {
        /// Where the cut was to be.
        to: Position,
        /// Everything below is agreed.
        committed: Position,
    },
    /// No batch ends there.
    #[error("no batch ends at {to}, the log ends at {written}")]
    Boundary {
        /// Where the cut was to be.
        to: Position,
        /// Where the log ends.
        written: Position,
    },
    /// The disk refused to be read.
    #[error(transparent)]
    Read(Box<OpenError>),
    /// The cut may have begun; the next open completes it then.
    #[error(transparent)]
    Poisoned(#[from] Poisoned),
}

/// Why something was not written.
#[derive(Debug)]
pub(crate) enum WriteError {
    Full { needed_bytes: u64, free_bytes: u64 },
    Poisoned(Poisoned),
}

impl From<Poisoned> for WriteError {
    fn from(poisoned: Poisoned) -> Self {
        Self::Poisoned(poisoned)
    }
}

impl From<WriteError> for AppendError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full { needed_bytes, free_bytes } => Self::Full { needed_bytes, free_bytes },
            WriteError::Poisoned(poisoned) => Self::Poisoned(poisoned),
        }
    }
}

impl From<AppendError> for OpenError {
    /// For those who begin an epoch as a part of opening.
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Full { needed_bytes, free_bytes } => Self::Full { needed_bytes, free_bytes },
            ended @ (AppendError::TooLarge { .. } | AppendError::Poisoned(_)) => {
                Self::Io { file: DIR.to_owned(), source: io::Error::other(ended) }
            }
        }
    }
}

impl From<Poisoned> for OpenError {
    /// As from `AppendError`.
    fn from(poisoned: Poisoned) -> Self {
        Self::Io { file: poisoned.file.clone(), source: io::Error::other(poisoned) }
    }
}

impl From<WriteError> for RawError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full { needed_bytes, free_bytes } => Self::Full { needed_bytes, free_bytes },
            WriteError::Poisoned(poisoned) => Self::Poisoned(poisoned),
        }
    }
}
