//! After every step: every copy is looked at, and every promise.

use crds::group_record::Seen;
use store::Position;

use super::world::Cluster;
use crate::invariant::an_answer_waits_for_enough_copies::an_answer_waits_for_enough_copies;
use crate::invariant::every_copy_in_sync_has_what_is_agreed::every_copy_in_sync_has_what_is_agreed;
use crate::invariant::only_whole_copies_count::only_whole_copies_count;
use crate::invariant::what_is_agreed_stays::what_is_agreed_stays;

impl Cluster {
    pub(crate) fn check(&mut self) -> Result<(), String> {
        for at in 0..self.machines.len() {
            let machine = &self.machines[at];
            let Some(process) = &machine.process else { continue };
            self.invariants.stands(process, &self.views)?;
            let Some(copy) = process.copy.as_ref().filter(|_| !process.is_reopening) else { continue };
            let before = (self.views.copies[at].published, self.views.copies[at].written);
            let is_more = self.views.look(at, copy.opening, &copy.group, self.plan.is_sync())?;
            if is_more && let (Some(_), Some(seen)) = (process.member.leader(), process.member.seen()) {
                an_answer_waits_for_enough_copies(process.id, &seen.record)?;
            }
            let view = &self.views.copies[at];
            if is_more || before != (view.published, view.written) {
                what_is_agreed_stays(at, &self.views, &copy.group)?;
            }
        }
        self.views.compare_all();
        let record = &self.object.best().record;
        every_copy_in_sync_has_what_is_agreed(record, &self.machines, &self.views, self.plan.is_sync())?;
        self.hear_answers()
    }

    /// The record was replaced.
    pub(crate) fn recorded(&mut self, replaced: &Seen) -> Result<(), String> {
        // What was just done may not have been looked at.
        let record = self.object.latest().record.clone();
        let left = only_whole_copies_count(&replaced.record, &record, &self.machines, &self.views)?;
        if let Some(left) = left {
            self.lose(left);
        }
        Ok(())
    }

    /// Every copy of what lies beyond is gone.
    fn lose(&mut self, left: Position) {
        let agreed = self.views.agreed();
        self.note(format_args!("lost by right: {left} to {agreed}"));
        self.views.cut_truth(left);
        self.clients.acknowledged.retain(|_, (_, record)| *record < left);
        self.clients.undelivered.forget(left);
        self.clients.moves.forget(left);
        self.invariants.offsets.forget(left);
        self.invariants.lines.forget(left);
        self.invariants.may_diverge = true;
    }
}
