//! The seam to the disk: a real one and, with feature `sim`, a simulated one that loses power.
//!
//! Paths are relative to the data folder and use `/`.

pub mod real;
#[cfg(any(test, feature = "sim"))]
pub mod sim;

use std::io::{self, IoSlice};
use std::sync::Arc;

/// A folder of files that survives the process.
pub trait Disk: Send + Sync + 'static {
    /// Opens an existing file for reading and writing.
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>>;
    /// Creates a file, empty; an existing one is truncated.
    fn create(&self, path: &str) -> io::Result<Arc<dyn File>>;
    /// Atomically gives `from` the name `to`; lasting only after `sync_dir` of the folder.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Creates a folder with its parents; an existing one is fine.
    fn create_dir(&self, dir: &str) -> io::Result<()>;
    /// Names of the files in a folder, sorted; empty if there is no such folder.
    fn list(&self, dir: &str) -> io::Result<Vec<String>>;
    /// Makes creations, renames and removals in `dir` last.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;
    /// Bytes that can still be allocated.
    fn free_bytes(&self) -> io::Result<u64>;
}

/// An open file; all methods may be called from several threads.
pub trait File: Send + Sync + 'static {
    /// Length in bytes.
    fn len_bytes(&self) -> io::Result<u64>;
    /// Reads until `buffer` is full or the file ends; returns the bytes read. May wait for the device.
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    /// As `read_at`, but `ErrorKind::WouldBlock` where it would wait for the device.
    fn read_cached_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize>;
    /// Writes all slices one after another from `at` on.
    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<()>;
    /// Makes what was written last (`fdatasync`).
    fn sync(&self) -> io::Result<()>;
    /// Tells that these bytes, which have been synced, need not stay in memory; a hint.
    fn release_cached(&self, at: u64, bytes: u64);
    /// Reserves the blocks up to `len_bytes`, so that later writes below it cannot meet a full disk.
    fn allocate(&self, len_bytes: u64) -> io::Result<()>;
    /// Cuts the file.
    fn truncate(&self, len_bytes: u64) -> io::Result<()>;
}
