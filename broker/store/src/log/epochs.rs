//! Where each epoch of the log began: how two copies find the batch at which they parted.
//!
//! ```text
//!   encoded: version u32 | count u32 | epoch u32, start u64 | ...
//! ```
//!
//! Promise: later epochs begin at later positions. Limit: the newest [`KEPT`] epochs.
//! Not here: which copy has to give way.

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::units::{Epoch, Position};

/// So many epochs are kept; logs that parted longer ago are not put together again.
const KEPT: usize = 1024;

const VERSION: u32 = 1;

/// The begin of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EpochStart {
    /// The epoch.
    pub epoch: Epoch,
    /// Position of its first batch.
    pub start: Position,
}

/// Why bytes are no list of epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EpochsError {
    /// They are of another length than they say, or the epochs do not rise.
    #[error("not a list of epochs")]
    Invalid,
    /// They were written by a later version.
    #[error("list of epochs has version {0}")]
    Unsupported(u32),
}

#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct RawStart {
    epoch: U32,
    start: U64,
}

const _: () = assert!(size_of::<RawStart>() == 12);

/// The epochs of a log, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Epochs {
    starts: Vec<EpochStart>,
}

impl EpochStart {
    /// A list, oldest first, as bytes.
    pub fn encode(list: &[Self]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + list.len() * size_of::<RawStart>());
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(list.len() as u32).to_le_bytes());
        for start in list {
            let raw = RawStart { epoch: start.epoch.0.into(), start: start.start.0.into() };
            bytes.extend_from_slice(raw.as_bytes());
        }
        bytes
    }

    /// The list that `encode` made these bytes of.
    pub fn decode(bytes: &[u8]) -> Result<Vec<Self>, EpochsError> {
        let (version, rest) = U32::ref_from_prefix(bytes).map_err(|_| EpochsError::Invalid)?;
        if version.get() != VERSION {
            return Err(EpochsError::Unsupported(version.get()));
        }
        let (count, rest) = U32::ref_from_prefix(rest).map_err(|_| EpochsError::Invalid)?;
        let raws = <[RawStart]>::ref_from_bytes(rest).map_err(|_| EpochsError::Invalid)?;
        let of = |raw: &RawStart| Self { epoch: Epoch(raw.epoch.get()), start: Position(raw.start.get()) };
        let list: Vec<_> = raws.iter().map(of).collect();
        if list.len() != count.get() as usize || !is_rising(&list) {
            return Err(EpochsError::Invalid);
        }
        Ok(list)
    }
}

impl Epochs {
    /// Those of the list that begin below `end`.
    pub(crate) fn new(list: Vec<EpochStart>, end: Position) -> Self {
        let mut epochs = Self::default();
        for start in list.into_iter().filter(|start| start.start < end) {
            epochs.note(start.epoch, start.start);
        }
        epochs
    }

    pub(crate) fn list(&self) -> Vec<EpochStart> {
        self.starts.clone()
    }

    pub(crate) fn last(&self) -> Epoch {
        self.starts.last().map_or(Epoch(0), |last| last.epoch)
    }

    /// A batch of this epoch lies at `start`, behind all that were noted before.
    pub(crate) fn note(&mut self, epoch: Epoch, start: Position) {
        if epoch <= self.last() {
            return;
        }
        if self.starts.len() == KEPT {
            self.starts.remove(0);
        }
        self.starts.push(EpochStart { epoch, start });
    }

    /// The log ends at `end` now.
    pub(crate) fn cut(&mut self, end: Position) {
        self.starts.retain(|start| start.start < end);
    }
}

fn is_rising(list: &[EpochStart]) -> bool {
    list.windows(2).all(|pair| pair[0].epoch < pair[1].epoch && pair[0].start < pair[1].start)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lists() -> impl Strategy<Value = Vec<EpochStart>> {
        prop::collection::vec((1..1_000u32, 1..1_000_000u64), 0..40).prop_map(|steps| {
            let (mut epoch, mut start) = (0, 0);
            let mut list = Vec::new();
            for (epochs, bytes) in steps {
                (epoch, start) = (epoch + epochs, start + bytes);
                list.push(EpochStart { epoch: Epoch(epoch), start: Position(start) });
            }
            list
        })
    }

    proptest! {
        #[test]
        fn a_list_of_epochs_comes_back(list in lists()) {
            prop_assert_eq!(EpochStart::decode(&EpochStart::encode(&list)), Ok(list));
        }

        #[test]
        fn other_bytes_are_no_list_or_the_same_one(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let mut bytes = bytes;
            let count = (bytes.len() / 12) as u8;
            if let Some(opening) = bytes.get_mut(..8) {
                opening.copy_from_slice(&[1, 0, 0, 0, count, 0, 0, 0]);
            }
            if let Ok(list) = EpochStart::decode(&bytes) {
                prop_assert_eq!(EpochStart::encode(&list), bytes);
            }
        }

        #[test]
        fn a_cut_leaves_what_was_known_there(list in lists(), end in 0..20_000_000u64) {
            let mut epochs = Epochs::new(list.clone(), Position(u64::MAX));
            epochs.cut(Position(end));
            prop_assert_eq!(epochs.list(), Epochs::new(list, Position(end)).list());
        }
    }

    #[test]
    fn only_the_newest_epochs_are_kept() {
        let mut epochs = Epochs::default();
        for number in 1..=KEPT as u32 + 5 {
            epochs.note(Epoch(number), Position(number.into()));
            epochs.note(Epoch(number), Position(u64::from(number) + 1));
        }
        assert_eq!(epochs.list().len(), KEPT);
        assert_eq!(epochs.list()[0], EpochStart { epoch: Epoch(6), start: Position(6) });
    }
}
