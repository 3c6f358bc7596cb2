//! The next offset of every queue that has records in the log.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use super::codec::RecordHeader;
use crate::units::{Offset, QueueId};

/// The next offset of every queue.
pub(crate) type Tails = HashMap<QueueId, Offset, BuildHasherDefault<QueueHasher>>;

/// Spreads queue ids, which are small and dense, over a table; the same in every run.
#[derive(Default)]
pub(crate) struct QueueHasher(u64);

/// The next offsets of queues after these records.
pub(crate) fn raise_tails(tails: &mut Tails, records: &[RecordHeader]) {
    for record in records.iter().filter(|record| record.kind.takes_offset()) {
        let tail = tails.entry(record.queue).or_default();
        *tail = (*tail).max(Offset(record.offset.0.saturating_add(record.count.max(1).into())));
    }
}

impl Hasher for QueueHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u32(u32::from(byte));
        }
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0.rotate_left(5) ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}
