//! Checkpoints: how far the folds of the log have come, so that a start replays little.
//!
//! ```text
//!   state/checkpoint-0000000041   the one before, in case the newest is damaged
//!   state/checkpoint-0000000042   newest: covered position, sections, each with a checksum
//! ```
//!
//! Promise: after a crash at any moment the newest checkpoint that was written whole is found.
//! A checkpoint is fuzzy: replay from `covered` re-applies what a section may already hold.
//! Not here: what is in a section.

use std::io;

use crate::Position;
use crate::disk::Disk;

/// State of all folds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Replay begins here.
    pub covered: Position,
    /// Tag and bytes of each fold's state.
    pub sections: Vec<(u32, Vec<u8>)>,
}

/// Why a checkpoint was not written or found.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// None of the kept checkpoints verifies.
    #[error("{file} is damaged at byte {at}, and there is no older one")]
    Damaged {
        /// The newest one.
        file: String,
        /// Where in it.
        at: u64,
    },
    /// The disk refused; the checkpoints written before are still there.
    #[error("{file}: {source}")]
    Io {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Writes a checkpoint, synced, and removes all but the two newest.
///
/// Returns from where on the log must be kept so that the older of the two can still be replayed.
pub fn write(disk: &dyn Disk, checkpoint: &Checkpoint) -> Result<Position, CheckpointError> {
    let _ = (disk, checkpoint);
    unimplemented!()
}

/// Finds the newest valid checkpoint; a damaged one is set aside under the name `*.damaged`.
pub fn load(disk: &dyn Disk) -> Result<Option<Checkpoint>, CheckpointError> {
    let _ = disk;
    unimplemented!()
}
