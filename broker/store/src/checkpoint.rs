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

mod codec;
#[cfg(test)]
mod tests;

use std::io::{self, IoSlice};

use crate::Position;
use crate::disk::Disk;

use self::codec::OPENING_BYTES;

const FOLDER: &str = "state";
const PREFIX: &str = "checkpoint-";
const UNFINISHED: &str = "state/checkpoint.unfinished";

/// State of all folds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Replay begins here.
    pub covered: Position,
    /// Tag and bytes of each fold's state.
    pub sections: Vec<(u32, Vec<u8>)>,
}

impl Checkpoint {
    /// The bytes of the section with this tag.
    pub fn section(&self, tag: u32) -> Option<&[u8]> {
        self.sections.iter().find(|(known, _)| *known == tag).map(|(_, bytes)| &**bytes)
    }
}

/// Why a checkpoint was not written or found.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// None of the kept checkpoints verifies.
    #[error("{file} is damaged at byte {at}, and there is no older one")]
    Damaged {
        /// The oldest one.
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
/// Returns from where on the log must be kept so that, should the newest be damaged, the older one can be replayed.
pub fn write(disk: &dyn Disk, checkpoint: &Checkpoint) -> Result<Position, CheckpointError> {
    disk.create_dir(FOLDER).map_err(refused(FOLDER))?;
    let mut numbers = numbers(disk)?;
    let number = numbers.last().map_or(1, |last| last + 1);
    write_unfinished(disk, number, checkpoint).map_err(refused(UNFINISHED))?;
    // The bytes are synced before they get their name: a name never stands for half a checkpoint.
    disk.rename(UNFINISHED, &path_of(number)).map_err(refused(UNFINISHED))?;
    disk.sync_dir(FOLDER).map_err(refused(FOLDER))?;
    numbers.push(number);
    let kept = numbers.split_off(numbers.len().saturating_sub(2));
    for number in &numbers {
        disk.remove(&path_of(*number)).map_err(refused(&path_of(*number)))?;
    }
    match kept[..] {
        [older, _] => covered_by(disk, older),
        _ => Ok(Position(0)),
    }
}

/// Finds the newest valid checkpoint; a damaged one is set aside under the name `*.damaged`.
pub fn load(disk: &dyn Disk) -> Result<Option<Checkpoint>, CheckpointError> {
    let mut damaged: Option<(String, u64)> = None;
    for number in numbers(disk)?.into_iter().rev() {
        let path = path_of(number);
        let bytes = read(disk, &path, u64::MAX).map_err(refused(&path))?;
        match codec::decode(number, &bytes) {
            Ok(checkpoint) => {
                // Set aside, or else `write` would count it as one of the two that it keeps.
                if let Some((file, _)) = &damaged {
                    set_aside(disk, file).map_err(refused(FOLDER))?;
                }
                return Ok(Some(checkpoint));
            }
            Err(at) => damaged = Some((path, at)),
        }
    }
    match damaged {
        Some((file, at)) => Err(CheckpointError::Damaged { file, at }),
        None => Ok(None),
    }
}

fn write_unfinished(disk: &dyn Disk, number: u64, checkpoint: &Checkpoint) -> io::Result<()> {
    let file = disk.create(UNFINISHED)?;
    let frames = codec::encode(number, checkpoint);
    let mut slices = vec![IoSlice::new(&frames.opening)];
    for (frame, (_, bytes)) in frames.sections.iter().zip(&checkpoint.sections) {
        slices.extend([IoSlice::new(frame), IoSlice::new(bytes)]);
    }
    file.write_at(&slices, 0)?;
    file.sync()
}

/// Removes all checkpoints: the next start replays the log from its head.
pub fn forget(disk: &dyn Disk) -> Result<(), CheckpointError> {
    // A new disk has no folder yet, and syncing it would be an error.
    disk.create_dir(FOLDER).map_err(refused(FOLDER))?;
    for number in numbers(disk)? {
        disk.remove(&path_of(number)).map_err(refused(&path_of(number)))?;
    }
    disk.sync_dir(FOLDER).map_err(refused(FOLDER))
}

fn covered_by(disk: &dyn Disk, number: u64) -> Result<Position, CheckpointError> {
    let path = path_of(number);
    let bytes = read(disk, &path, OPENING_BYTES as u64).map_err(refused(&path))?;
    // If it is damaged it is no use, and then all of the log must be kept.
    Ok(codec::covered(number, &bytes).unwrap_or(Position(0)))
}

fn set_aside(disk: &dyn Disk, path: &str) -> io::Result<()> {
    let aside = format!("{path}.damaged");
    disk.rename(path, &aside)?;
    disk.sync_dir(FOLDER)
}

fn read(disk: &dyn Disk, path: &str, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = disk.open(path)?;
    let mut bytes = vec![0; file.len_bytes()?.min(bytes_max) as usize];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Numbers of the kept checkpoints, ascending.
fn numbers(disk: &dyn Disk) -> Result<Vec<u64>, CheckpointError> {
    let names = disk.list(FOLDER).map_err(refused(FOLDER))?;
    let number = |name: &String| name.strip_prefix(PREFIX)?.parse().ok();
    let mut numbers: Vec<u64> = names.iter().filter_map(number).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn path_of(number: u64) -> String {
    format!("{FOLDER}/{PREFIX}{number:010}")
}

fn refused(path: &str) -> impl FnOnce(io::Error) -> CheckpointError {
    let file = path.to_owned();
    move |source| CheckpointError::Io { file, source }
}
