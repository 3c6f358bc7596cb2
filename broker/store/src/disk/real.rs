//! The real disk: a folder, held by one process.

use std::fs::{self, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::num::NonZeroU64;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{Advice, FallocateFlags, FlockOperation};
use rustix::io::{Errno, ReadWriteFlags};

use super::{Disk, File};

/// The kernel takes no more slices in one call (`IOV_MAX`).
const SLICES_MAX: usize = 1024;

/// Zeros are written in pieces of this size where the file system cannot reserve blocks.
const ZEROS_BYTES: usize = 1 << 20;

/// Name of the file whose lock keeps a second process out.
const LOCK_FILE: &str = "LOCK";

/// Why a data folder could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum RealDiskError {
    /// Another process (or another `RealDisk`) has it open.
    #[error("data folder `{root}` is in use by another process")]
    InUse {
        /// The data folder.
        root: PathBuf,
    },
    /// The file system refused.
    #[error("data folder `{root}`: {source}")]
    Io {
        /// The data folder.
        root: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

/// A data folder on a real file system; locked against other processes while it lives.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    /// Held open for its lock.
    lock: fs::File,
}

#[derive(Debug)]
struct RealFile {
    file: fs::File,
}

impl RealDisk {
    /// Opens the data folder, which is created if it is not there.
    pub fn open(root: impl AsRef<Path>) -> Result<Self, RealDiskError> {
        let root = root.as_ref().to_path_buf();
        match Self::lock(&root) {
            Ok(lock) => Ok(Self { root, lock }),
            Err(source) if source.kind() == io::ErrorKind::WouldBlock => Err(RealDiskError::InUse { root }),
            Err(source) => Err(RealDiskError::Io { root, source }),
        }
    }

    fn lock(root: &Path) -> io::Result<fs::File> {
        fs::create_dir_all(root)?;
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(root.join(LOCK_FILE))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(lock)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }
}

impl Disk for RealDisk {
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let file = OpenOptions::new().read(true).write(true).open(self.path(path))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(true).open(self.path(path))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path(from), self.path(to))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        fs::remove_file(self.path(path))
    }

    fn create_dir(&self, dir: &str) -> io::Result<()> {
        fs::create_dir_all(self.path(dir))
    }

    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(self.path(dir)) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        fs::File::open(self.path(dir))?.sync_all()
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = rustix::fs::fstatvfs(&self.lock)?;
        Ok(state.f_bavail.saturating_mul(state.f_frsize))
    }
}

impl File for RealFile {
    fn len_bytes(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        read_full(buffer, at, |rest, at| self.file.read_at(rest, at))
    }

    fn read_cached_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        read_full(buffer, at, |rest, at| {
            match rustix::io::preadv2(&self.file, &mut [IoSliceMut::new(rest)], at, ReadWriteFlags::NOWAIT) {
                // A file system that cannot promise not to wait might wait.
                Err(Errno::OPNOTSUPP) => Err(io::ErrorKind::WouldBlock.into()),
                read => Ok(read?),
            }
        })
    }

    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let mut at = at;
        for part in slices.chunks(SLICES_MAX) {
            at += write_part(&self.file, part, at)?;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn release_cached(&self, at: u64, bytes: u64) {
        // A file system that does not take the hint keeps the pages, and nothing is lost.
        let _ = rustix::fs::fadvise(&self.file, at, NonZeroU64::new(bytes), Advice::DontNeed);
    }

    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), 0, len_bytes) {
            Err(Errno::OPNOTSUPP) => fill_with_zeros(&self.file, self.len_bytes()?, len_bytes),
            result => Ok(result?),
        }
    }

    fn truncate(&self, len_bytes: u64) -> io::Result<()> {
        self.file.set_len(len_bytes)
    }
}

/// Reads until `buffer` is full or the file ends.
fn read_full(
    buffer: &mut [u8],
    at: u64,
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
) -> io::Result<usize> {
    let mut done = 0;
    while done < buffer.len() {
        match read(&mut buffer[done..], at + done as u64) {
            Ok(0) => break,
            Ok(bytes) => done += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes at most `SLICES_MAX` slices; returns their length.
fn write_part(file: &fs::File, slices: &[IoSlice<'_>], at: u64) -> io::Result<u64> {
    let total: usize = slices.iter().map(|slice| slice.len()).sum();
    let mut done = pwritev(file, slices, at)?;
    if done == total {
        return Ok(total as u64); // nearly always
    }
    let mut rest = slices.to_vec();
    let mut rest = rest.as_mut_slice();
    IoSlice::advance_slices(&mut rest, done);
    while done < total {
        let bytes = pwritev(file, rest, at + done as u64)?;
        IoSlice::advance_slices(&mut rest, bytes);
        done += bytes;
    }
    Ok(total as u64)
}

fn pwritev(file: &fs::File, slices: &[IoSlice<'_>], at: u64) -> io::Result<usize> {
    loop {
        match rustix::io::pwritev(file, slices, at) {
            Err(Errno::INTR) => {}
            Ok(0) if slices.iter().any(|slice| !slice.is_empty()) => {
                return Err(io::ErrorKind::WriteZero.into());
            }
            result => return Ok(result?),
        }
    }
}

fn fill_with_zeros(file: &fs::File, from: u64, to: u64) -> io::Result<()> {
    let zeros = vec![0; ZEROS_BYTES];
    let mut at = from;
    while at < to {
        let bytes = (to - at).min(ZEROS_BYTES as u64);
        file.write_all_at(&zeros[..bytes as usize], at)?;
        at += bytes;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> (tempfile::TempDir, RealDisk) {
        let folder = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(folder.path().join("data")).unwrap();
        (folder, disk)
    }

    #[test]
    fn a_data_folder_is_opened_by_one_at_a_time() {
        let (folder, disk) = disk();
        let root = folder.path().join("data");
        let refused = RealDisk::open(&root).unwrap_err();
        assert!(matches!(&refused, RealDiskError::InUse { root: named } if *named == root), "{refused}");
        drop(disk);
        RealDisk::open(&root).unwrap();
    }

    #[test]
    fn a_write_of_more_slices_than_the_kernel_takes_at_once_is_read_back() {
        let (_folder, disk) = disk();
        let file = disk.create("a").unwrap();
        let pieces: Vec<Vec<u8>> = (0..3_000_usize).map(|number| vec![number as u8; number % 90]).collect();
        let slices: Vec<_> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        file.write_at(&slices, 5).unwrap();
        file.sync().unwrap();
        let expected = pieces.concat();
        assert_eq!(file.len_bytes().unwrap(), 5 + expected.len() as u64);
        let mut read = vec![0; expected.len() + 10];
        assert_eq!(file.read_at(&mut read, 5).unwrap(), expected.len());
        assert_eq!(read[..expected.len()], expected);
    }

    #[test]
    fn a_cached_read_gives_the_bytes_or_says_that_it_would_wait() {
        let (_folder, disk) = disk();
        let file = disk.create("a").unwrap();
        file.write_at(&[IoSlice::new(b"cached")], 0).unwrap();
        let mut buffer = [0; 6];
        match file.read_cached_at(&mut buffer, 0) {
            Ok(read) => assert_eq!((read, &buffer), (6, b"cached")),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
        }
    }

    #[test]
    fn allocated_room_reads_as_zeros_and_keeps_what_was_there() {
        let (_folder, disk) = disk();
        let file = disk.create("a").unwrap();
        file.write_at(&[IoSlice::new(b"x")], 0).unwrap();
        file.allocate(10_000).unwrap();
        assert_eq!(file.len_bytes().unwrap(), 10_000);
        let mut buffer = [9; 3];
        assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 3);
        assert_eq!(&buffer, b"x\0\0");
        file.truncate(1).unwrap();
        assert_eq!(file.read_at(&mut buffer, 0).unwrap(), 1);
        assert!(disk.free_bytes().unwrap() > 0);
    }

    #[test]
    fn zeros_fill_up_where_blocks_cannot_be_reserved() {
        let (_folder, disk) = disk();
        disk.create("a").unwrap().write_at(&[IoSlice::new(b"xyz")], 0).unwrap();
        let file = OpenOptions::new().write(true).open(disk.path("a")).unwrap();
        fill_with_zeros(&file, 3, (ZEROS_BYTES + 17) as u64).unwrap();
        let bytes = fs::read(disk.path("a")).unwrap();
        assert_eq!((bytes.len(), &bytes[..3]), (ZEROS_BYTES + 17, &b"xyz"[..]));
        assert!(bytes[3..].iter().all(|&byte| byte == 0));
    }

    #[test]
    fn names_are_listed_sorted_without_folders() {
        let (_folder, disk) = disk();
        assert_eq!(disk.list("log").unwrap(), Vec::<String>::new());
        disk.create_dir("log/deep").unwrap();
        for name in ["log/b", "log/a", "log/c"] {
            disk.create(name).unwrap();
        }
        disk.rename("log/c", "log/d").unwrap();
        disk.remove("log/b").unwrap();
        disk.sync_dir("log").unwrap();
        disk.sync_dir("").unwrap();
        assert_eq!(disk.list("log").unwrap(), ["a", "d"]);
        assert_eq!(disk.open("log/b").err().map(|error| error.kind()), Some(io::ErrorKind::NotFound));
    }
}
