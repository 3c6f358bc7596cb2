//! The file `MEMBER`: who this copy is, and what it has promised.
//!
//! Promise: what was saved is there after a power cut, or what was saved before it, as a whole. A damaged file is an
//! error: without its promise a member could help two leaders.

use std::io::{self, IoSlice};

use crds::group_record::Version;
use replica::event::{Candidacy, Vow};
use store::Epoch;
use store::disk::Disk;
use store::log::crc32;

const FILE: &str = "MEMBER";
const DRAFT_FILE: &str = "MEMBER.new";
const MAGIC: &[u8; 8] = b"mpmember";
const FORMAT: u32 = 1;
const BYTES: usize = 64;

/// What the file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemberFile {
    /// Drawn when the file was made.
    pub store: u64,
    /// The run of the machine in which the log was open last; 0: it was closed in order.
    pub boot: u64,
    /// The promises.
    pub vow: Vow,
}

/// Why there is no saying who this copy is.
#[derive(Debug, thiserror::Error)]
pub enum VowError {
    /// The file cannot be read or written.
    #[error("file {FILE}: {0}")]
    Io(#[from] io::Error),
    /// The file does not verify.
    #[error("file {FILE} is damaged: wipe this copy, the others have everything that this one may forget")]
    Damaged,
    /// A later version wrote it.
    #[error("file {FILE} has format {0}, this version knows {FORMAT}")]
    Later(u32),
}

impl MemberFile {
    /// Reads it; `None` if this copy is new.
    pub fn load(disk: &dyn Disk) -> Result<Option<Self>, VowError> {
        let file = match disk.open(FILE) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut bytes = [0; BYTES];
        if file.read_at(&mut bytes, 0)? < BYTES {
            return Err(VowError::Damaged);
        }
        Self::decode(&bytes).map(Some)
    }

    /// Writes it and makes it last.
    pub fn save(&self, disk: &dyn Disk) -> Result<(), VowError> {
        let file = disk.create(DRAFT_FILE)?;
        file.write_at(&[IoSlice::new(&self.encode())], 0)?;
        file.sync()?;
        disk.rename(DRAFT_FILE, FILE)?;
        Ok(disk.sync_dir("")?)
    }

    fn encode(&self) -> [u8; BYTES] {
        let mut bytes = Vec::with_capacity(BYTES);
        let candidacy = self.vow.candidacy;
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.vow.promised.0.to_le_bytes());
        for number in [self.store, self.boot, self.vow.revision, candidacy.map_or(0, |stood| stood.base.0)] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&candidacy.map_or(0, |stood| stood.promised_before.0).to_le_bytes());
        bytes.extend_from_slice(&[candidacy.is_some().into(), self.vow.is_dirty.into()]);
        bytes.resize(BYTES - 4, 0);
        bytes.extend_from_slice(&crc32(&bytes).to_le_bytes());
        let mut whole = [0; BYTES];
        whole.copy_from_slice(&bytes);
        whole
    }

    fn decode(bytes: &[u8; BYTES]) -> Result<Self, VowError> {
        let u32_at = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let u64_at = |at: usize| u64::from(u32_at(at)) | u64::from(u32_at(at + 4)) << 32;
        if &bytes[..8] != MAGIC || u32_at(BYTES - 4) != crc32(&bytes[..BYTES - 4]) {
            return Err(VowError::Damaged);
        }
        if u32_at(8) != FORMAT {
            return Err(VowError::Later(u32_at(8)));
        }
        let candidacy = Candidacy { base: Version(u64_at(40)), promised_before: Epoch(u32_at(48)) };
        Ok(Self {
            store: u64_at(16),
            boot: u64_at(24),
            vow: Vow {
                promised: Epoch(u32_at(12)),
                candidacy: (bytes[52] == 1).then_some(candidacy),
                revision: u64_at(32),
                is_dirty: bytes[53] == 1,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use store::disk::sim::SimDisk;

    use super::*;

    prop_compose! {
        fn any_file()(
            store in any::<u64>(), boot in any::<u64>(), promised in any::<u32>(), revision in any::<u64>(),
            stood in any::<Option<(u64, u32)>>(), is_dirty in any::<bool>(),
        ) -> MemberFile {
            let candidacy = stood.map(|(base, before)| Candidacy {
                base: Version(base),
                promised_before: Epoch(before),
            });
            MemberFile { store, boot, vow: Vow { promised: Epoch(promised), candidacy, revision, is_dirty } }
        }
    }

    proptest! {
        #[test]
        fn a_file_comes_back_and_damage_is_seen(file in any_file(), bit in 0..BYTES * 8) {
            let mut bytes = file.encode();
            prop_assert_eq!(MemberFile::decode(&bytes).ok(), Some(file));
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(MemberFile::decode(&bytes).is_err());
        }

        #[test]
        fn a_crash_leaves_the_old_promise_or_the_new_one(old in any_file(), new in any_file(), seed in any::<u64>()) {
            for nth in 1.. {
                let disk = SimDisk::new(seed);
                old.save(&disk).unwrap();
                disk.crash_at(nth);
                let saved = new.save(&disk);
                let has_crashed = disk.has_crashed();
                disk.power_cut(seed);
                let found = MemberFile::load(&disk).unwrap().unwrap();
                prop_assert!(found == new || saved.is_err() && found == old);
                if !has_crashed {
                    break;
                }
            }
        }
    }
}
