//! The identity of a log: 16 bytes that no other log has, in the file `LOG-ID`.

use std::io::{self, IoSlice};

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::{OpenError, crc32};
use crate::disk::Disk;
use crate::units::Position;

pub(crate) const FILE: &str = "LOG-ID";
pub(crate) const DRAFT_FILE: &str = "LOG-ID.new";
const MAGIC: [u8; 4] = *b"mpid";
const VERSION: u32 = 1;

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawIdentity {
    magic: [u8; 4],
    version: U32,
    id: [u8; 16],
    created_ms: U64,
    crc: U32,
    reserved: [u8; 4],
}

const _: () = assert!(size_of::<RawIdentity>() == 40);

/// The identity on the disk, or `None` if there was never a log.
pub(crate) fn read(disk: &dyn Disk) -> Result<Option<[u8; 16]>, OpenError> {
    let io_error = |source| OpenError::Io { file: FILE.to_owned(), source };
    let file = match disk.open(FILE) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_error(error)),
    };
    let mut bytes = [0; size_of::<RawIdentity>()];
    let read = file.read_at(&mut bytes, 0).map_err(io_error)?;
    let raw = RawIdentity::ref_from_bytes(&bytes).map_err(|_| corrupt())?;
    if read < bytes.len() || raw.magic != MAGIC || raw.crc.get() != crc32(&bytes[..32]) {
        return Err(corrupt());
    }
    if raw.version.get() != VERSION {
        let what = format!("version {}", raw.version.get());
        return Err(OpenError::Unsupported { file: FILE.to_owned(), what });
    }
    Ok(Some(raw.id))
}

/// Gives a new log its identity.
pub(crate) fn create(disk: &dyn Disk, id: [u8; 16], now_ms: u64) -> Result<(), OpenError> {
    write(disk, id, now_ms).map_err(|source| OpenError::Io { file: FILE.to_owned(), source })
}

fn write(disk: &dyn Disk, id: [u8; 16], now_ms: u64) -> io::Result<()> {
    let mut raw = RawIdentity {
        magic: MAGIC,
        version: VERSION.into(),
        id,
        created_ms: now_ms.into(),
        crc: U32::ZERO,
        reserved: [0; 4],
    };
    raw.crc = crc32(&raw.as_bytes()[..32]).into();
    let file = disk.create(DRAFT_FILE)?;
    file.write_at(&[IoSlice::new(raw.as_bytes())], 0)?;
    // Before the rename: a log without a readable identity is lost, one without any is merely new.
    file.sync()?;
    disk.rename(DRAFT_FILE, FILE)?;
    disk.sync_dir("")
}

/// An identity for those who bring none: unlike that of any log made at another time.
pub(crate) fn derived(now_ms: u64) -> [u8; 16] {
    let mut id = *b"millpond........";
    id[8..].copy_from_slice(&now_ms.to_le_bytes());
    id
}

pub(crate) fn corrupt() -> OpenError {
    OpenError::Corrupt { file: FILE.to_owned(), position: Position(0) }
}
