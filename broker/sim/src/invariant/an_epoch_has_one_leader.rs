//! Nobody begins an epoch that another one began, nor one that the record does not give it, nor the same one twice.

use std::collections::BTreeMap;

use crds::group_record::{MemberId, Seen};
use store::Epoch;

#[derive(Default)]
pub(crate) struct Leaders {
    began: BTreeMap<Epoch, MemberId>,
}

impl Leaders {
    /// `id` begins to lead; `history` is every state that the record ever had.
    pub(crate) fn begins(&mut self, id: MemberId, epoch: Epoch, history: &[Seen]) -> Result<(), String> {
        if let Some(other) = self.began.insert(epoch, id) {
            return Err(format!("{id} begins epoch {epoch}, which {other} began before"));
        }
        let is_given = |seen: &Seen| seen.record.epoch == epoch.0 && seen.record.leader == Some(id);
        if history.iter().any(is_given) {
            return Ok(());
        }
        Err(format!("{id} begins epoch {epoch}, which no record gave it"))
    }
}
