//! Markers: small files that say something about one position of the log until they are removed.

use std::io::{self, IoSlice};

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{OpenError, crc32};
use crate::disk::Disk;
use crate::units::Position;

/// A marker that is being written.
pub(crate) const DRAFT_FILE: &str = "MARKER.new";

const MAGIC: [u8; 4] = *b"mpmk";
const VERSION: u32 = 1;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawMarker {
    magic: [u8; 4],
    version: U32,
    id: [u8; 16],
    position: U64,
    crc: U32,
    reserved: [u8; 4],
}

const _: () = assert!(size_of::<RawMarker>() == 40);

/// Writes the marker, synced; one that is there already is replaced.
pub(crate) fn write(disk: &dyn Disk, file: &str, id: &[u8; 16], position: Position) -> io::Result<()> {
    let mut raw = RawMarker {
        magic: MAGIC,
        version: VERSION.into(),
        id: *id,
        position: position.0.into(),
        crc: U32::ZERO,
        reserved: [0; 4],
    };
    raw.crc = crc32(&raw.as_bytes()[..32]).into();
    let draft = disk.create(DRAFT_FILE)?;
    draft.write_at(&[IoSlice::new(raw.as_bytes())], 0)?;
    // Before the rename: of a marker that cannot be read nobody knows what it said.
    draft.sync()?;
    disk.rename(DRAFT_FILE, file)?;
    disk.sync_dir("")
}

/// The position that the marker names; `None` if there is none.
pub(crate) fn read(disk: &dyn Disk, file: &str, id: &[u8; 16]) -> Result<Option<Position>, OpenError> {
    let io_error = |source| OpenError::Io { file: file.to_owned(), source };
    let opened = match disk.open(file) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(error)),
    };
    let corrupt = || OpenError::Corrupt { file: file.to_owned(), position: Position(0) };
    let mut bytes = [0; size_of::<RawMarker>()];
    let read = opened.read_at(&mut bytes, 0).map_err(io_error)?;
    let raw = RawMarker::ref_from_bytes(&bytes).map_err(|_| corrupt())?;
    if read < bytes.len() || raw.magic != MAGIC || raw.crc.get() != crc32(&bytes[..32]) {
        return Err(corrupt());
    }
    if raw.version.get() != VERSION {
        let what = format!("version {}", raw.version.get());
        return Err(OpenError::Unsupported { file: file.to_owned(), what });
    }
    if raw.id != *id {
        return Err(OpenError::Foreign { file: file.to_owned() });
    }
    Ok(Some(Position(raw.position.get())))
}

/// Removes the marker for good.
pub(crate) fn remove(disk: &dyn Disk, file: &str) -> io::Result<()> {
    disk.remove(file)?;
    disk.sync_dir("")
}
