//! Run files: timers that were moved out of memory, by due time; written once, never changed.
//!
//! ```text
//!   | opening 64 B | block | block | ... | marks | footer 64 B |
//!   block = crc 4 B, count 4 B, zero 8 B | up to 102 timers of 40 B      4096 B, but for the last
//!   marks = 24 B per block: first timer's due and position, lowest position from here on | crc 4 B, zero 4 B
//! ```
//!
//! A timer's ordinal tells its block, a block's number its place; the marks are held in memory.
//! All numbers are little-endian; checksums are seeded with the file's number and their place in it.
//! Cost: 40.2 B per timer on disk, 0.24 B in memory.

mod codec;
mod reader;
mod writer;

#[cfg(feature = "fuzz")]
pub(crate) use self::codec::block_at;
pub(crate) use self::codec::first_ordinal;
pub(crate) use self::reader::Run;
pub(crate) use self::writer::RunWriter;

use super::TimelineError;

pub(crate) const FOLDER: &str = "timeline";
pub(crate) const SUFFIX: &str = ".timers";
/// Run files that there can ever be; at one a second they last for a lifetime.
pub(crate) const NUMBER_MAX: u32 = u32::MAX / 2;

pub(crate) fn path_of(number: u32) -> String {
    format!("{FOLDER}/{number:010}{SUFFIX}")
}

pub(crate) fn corrupt(number: u32, at: u64) -> TimelineError {
    TimelineError::Corrupt { file: path_of(number), at }
}

pub(crate) fn refused(number: u32) -> impl FnOnce(std::io::Error) -> TimelineError {
    move |source| TimelineError::Io { file: path_of(number), source }
}
