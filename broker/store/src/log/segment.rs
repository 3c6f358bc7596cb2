//! Segments: the files of the log, and the page that begins each.
//!
//! ```text
//!   00000000000268435456.log      name = start position
//!   [page 4096 B | batches ...  ] position = start + place in the file
//! ```
//!
//! A segment gets its name only after its page is synced: a named segment without a valid page is damaged, not torn.

use std::fmt;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use super::OpenError;
use super::codec::{BatchHeader, HEADER_BYTES, Seal};
use super::crc32;
use crate::disk::{Disk, File};
use crate::units::Position;

/// The folder of the segments.
pub(crate) const DIR: &str = "log";

/// Length of the page; the first batch follows it.
pub(crate) const PAGE_BYTES: u64 = 4096;

/// A rest shorter than this is left as it is; a longer one is filled with a `Pad` record.
pub(crate) const PAD_BYTES_MIN: u64 = 2 * HEADER_BYTES;

/// The smallest and the largest segment that may be configured.
pub(crate) const SEGMENT_BYTES_MIN: u64 = 4 * PAGE_BYTES;
pub(crate) const SEGMENT_BYTES_MAX: u64 = 2 << 30;

const MAGIC: [u8; 8] = *b"millpond";
const VERSION: u32 = 1;

/// A segment file that is open.
pub(crate) struct Segment {
    pub(crate) start: Position,
    /// What it may hold with its page; the file is shorter until it is full.
    pub(crate) bytes: u64,
    pub(crate) file: Arc<dyn File>,
    /// When its first batch was written; 0 while it has none.
    first_ms: AtomicU64,
}

/// What the page says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    pub(crate) id: [u8; 16],
    pub(crate) start: Position,
    pub(crate) bytes: u64,
    pub(crate) created_ms: u64,
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawPage {
    magic: [u8; 8],
    version: U32,
    crc: U32,
    id: [u8; 16],
    start: U64,
    bytes: U64,
    created_ms: U64,
    reserved: [u8; 8],
}

const _: () = assert!(size_of::<RawPage>() == 64);

/// Why a page is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PageError {
    Invalid,
    Unsupported(u32),
}

impl Segment {
    pub(crate) fn new(start: Position, bytes: u64, file: Arc<dyn File>) -> Self {
        Self { start, bytes, file, first_ms: AtomicU64::new(0) }
    }

    /// Opens the segment called `name` and checks that it belongs to the log `id` and lies where its name says.
    pub(crate) fn open(disk: &dyn Disk, id: &[u8; 16], name: &str) -> Result<Self, OpenError> {
        const READ_BYTES: usize = (PAGE_BYTES + HEADER_BYTES) as usize;
        let path = path(name);
        let io_error = |source| OpenError::Io { file: path.clone(), source };
        let named = start_of(name).unwrap_or_default();
        let file = disk.open(&path).map_err(io_error)?;
        let mut bytes = [0; READ_BYTES];
        let read = file.read_at(&mut bytes, 0).map_err(io_error)?;
        let page = match Page::decode(&bytes[..read]) {
            Ok(page) => page,
            Err(PageError::Invalid) => return Err(OpenError::Corrupt { file: path, position: named }),
            Err(PageError::Unsupported(version)) => {
                return Err(OpenError::Unsupported { file: path, what: format!("version {version}") });
            }
        };
        if page.id != *id {
            return Err(OpenError::Foreign { file: path });
        }
        if page.start != named || !is_segment_size(page.bytes) {
            return Err(OpenError::Corrupt { file: path, position: named });
        }
        let segment = Self::new(page.start, page.bytes, file);
        if let Ok((first, _)) =
            BatchHeader::decode(&bytes[PAGE_BYTES as usize..], segment.first(), Seal::new(id))
        {
            segment.begin(first.written_ms);
        }
        Ok(segment)
    }

    /// Where its first batch lies.
    pub(crate) fn first(&self) -> Position {
        Position(self.start.0 + PAGE_BYTES)
    }

    /// Where the next segment starts.
    pub(crate) fn end(&self) -> Position {
        Position(self.start.0 + self.bytes)
    }

    /// Whether a batch may begin at `position`: another one cannot fit into a shorter rest.
    pub(crate) fn takes(&self, position: Position) -> bool {
        self.first() <= position && position.0 + PAD_BYTES_MIN <= self.end().0
    }

    /// Place in the file.
    pub(crate) fn at(&self, position: Position) -> u64 {
        position.0 - self.start.0
    }

    /// Its name in errors.
    pub(crate) fn path(&self) -> String {
        path(&name_of(self.start))
    }

    /// When its first batch was written; `None` while it has none.
    pub(crate) fn first_ms(&self) -> Option<u64> {
        match self.first_ms.load(Ordering::Relaxed) {
            0 => None,
            ms => Some(ms),
        }
    }

    /// Notes when its first batch was written.
    pub(crate) fn begin(&self, now_ms: u64) {
        self.first_ms.store(now_ms.max(1), Ordering::Relaxed);
    }

    /// Notes that it has no batch any more.
    pub(crate) fn empty(&self) {
        self.first_ms.store(0, Ordering::Relaxed);
    }
}

impl fmt::Debug for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment")
            .field("start", &self.start)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Page {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut raw = RawPage {
            magic: MAGIC,
            version: VERSION.into(),
            crc: U32::ZERO,
            id: self.id,
            start: self.start.0.into(),
            bytes: self.bytes.into(),
            created_ms: self.created_ms.into(),
            reserved: [0; 8],
        };
        raw.crc = crc32(&raw.as_bytes()[16..]).into();
        let mut page = vec![0; PAGE_BYTES as usize];
        page[..size_of::<RawPage>()].copy_from_slice(raw.as_bytes());
        page
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, PageError> {
        let (raw, _) = RawPage::ref_from_prefix(bytes).map_err(|_| PageError::Invalid)?;
        if raw.magic != MAGIC || raw.crc.get() != crc32(&raw.as_bytes()[16..]) {
            return Err(PageError::Invalid);
        }
        if raw.version.get() != VERSION {
            return Err(PageError::Unsupported(raw.version.get()));
        }
        Ok(Self {
            id: raw.id,
            start: Position(raw.start.get()),
            bytes: raw.bytes.get(),
            created_ms: raw.created_ms.get(),
        })
    }

    /// Writes the page and makes it last.
    pub(crate) fn write(&self, file: &dyn File) -> io::Result<()> {
        file.write_at(&[IoSlice::new(&self.encode())], 0)?;
        file.sync()
    }
}

/// Whether segments may have this size.
pub(crate) fn is_segment_size(bytes: u64) -> bool {
    bytes.is_multiple_of(PAGE_BYTES) && (SEGMENT_BYTES_MIN..=SEGMENT_BYTES_MAX).contains(&bytes)
}

/// Path of a file of the log.
pub(crate) fn path(name: &str) -> String {
    format!("{DIR}/{name}")
}

/// Name of the segment that starts at `start`.
pub(crate) fn name_of(start: Position) -> String {
    format!("{:020}.log", start.0)
}

/// Where the segment of that name starts; `None` if it is not the name of a segment.
pub(crate) fn start_of(name: &str) -> Option<Position> {
    let digits = name.strip_suffix(".log")?;
    let start = digits.parse().ok().map(Position)?;
    (name_of(start) == name).then_some(start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_page_comes_back_and_damage_is_seen(
            id in any::<[u8; 16]>(), start in any::<u64>(), bytes in any::<u64>(), bit in 0..64 * 8usize,
        ) {
            let page = Page { id, start: Position(start), bytes, created_ms: 7 };
            let mut encoded = page.encode();
            prop_assert_eq!(Page::decode(&encoded), Ok(page));
            encoded[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(Page::decode(&encoded).is_err());
        }

        #[test]
        fn a_name_says_the_start(start in any::<u64>()) {
            prop_assert_eq!(start_of(&name_of(Position(start))), Some(Position(start)));
        }
    }

    #[test]
    fn other_names_are_no_segments() {
        for name in ["spare-0", "0.log", "+0000000000000000001.log", "00000000000000000000.tmp", ".log"] {
            assert_eq!(start_of(name), None, "{name}");
        }
    }
}
