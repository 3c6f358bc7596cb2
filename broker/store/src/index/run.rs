//! Run files: entries that were moved out of memory, by queue; written once, never changed.
//!
//! ```text
//!   | opening 64 B | block | block | ... | footer 64 B |
//!   block = header 60 B | group | group | ...            one or more per queue
//!   group = crc 4 B, messages of the block before it 4 B | up to 256 entries of 20 B
//! ```
//!
//! Each block points to the queue's block before it, and to the last one before it whose depth is a multiple of 16.
//! All numbers are little-endian; checksums are seeded with the file's number and their place in it.
//! The footer has room for sections to come (`more`); a version that does not know them does not need them.

mod codec;
mod reader;
mod writer;

pub(crate) use self::codec::{Block, Footer, Pointer};
pub(crate) use self::reader::Run;
pub(crate) use self::writer::{Links, RunWriter};

use crate::index::IndexError;

pub(crate) const FOLDER: &str = "index";

pub(crate) fn path_of(number: u32) -> String {
    format!("{FOLDER}/{number:010}.run")
}

pub(crate) fn corrupt(number: u32, at: u64) -> IndexError {
    IndexError::Corrupt { file: path_of(number), at }
}

pub(crate) fn refused(number: u32) -> impl FnOnce(std::io::Error) -> IndexError {
    move |source| IndexError::Io { file: path_of(number), source }
}

#[cfg(feature = "fuzz")]
pub(crate) fn block_bytes() -> u64 {
    codec::BLOCK_BYTES
}
