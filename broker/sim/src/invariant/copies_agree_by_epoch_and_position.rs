//! Two copies that have a batch of one epoch at one position have the same bytes there.

use std::collections::BTreeMap;

use store::{Epoch, Position};

use crate::cluster::Batch;

/// What any leader ever wrote.
#[derive(Default)]
pub(crate) struct Written {
    batches: BTreeMap<(Position, Epoch), Batch>,
}

impl Written {
    /// A copy has this batch.
    pub(crate) fn found(&mut self, at: usize, batch: Batch) -> Result<(), String> {
        let known = *self.batches.entry((batch.start, batch.epoch)).or_insert(batch);
        if known == batch {
            return Ok(());
        }
        Err(format!("copy {at} has {batch:?}, another one has {known:?}"))
    }
}
