//! What must hold for a whole group.

use crds::group_record::Version;
use peer::vow::MemberFile;
use replica::event::{Fault, Message, Vow};
use store::Epoch;

use super::a_member_never_goes_back_to_an_earlier_epoch::Routes;
use super::a_message_group_is_first_read_in_order::Lines;
use super::a_promise_falls_only_when_its_candidacy_failed::Promises;
use super::an_epoch_has_one_leader::Leaders;
use super::an_offset_names_one_message::Offsets;
use crate::cluster::{Object, Process, Views};

/// Those that remember something.
pub(crate) struct Invariants {
    leaders: Leaders,
    promises: Promises,
    pub(crate) offsets: Offsets,
    pub(crate) lines: Lines,
    pub(crate) routes: Routes,
    /// A member may have more than the leader: something was lost by right.
    pub(crate) may_diverge: bool,
    /// The record was set back, or there is another one.
    pub(crate) may_regress: bool,
}

impl Invariants {
    pub(crate) fn new(machines: usize) -> Self {
        Self {
            leaders: Leaders::default(),
            promises: Promises::new(machines),
            offsets: Offsets::default(),
            lines: Lines::default(),
            routes: Routes::new(machines),
            may_diverge: false,
            may_regress: false,
        }
    }

    pub(crate) fn sends(&self, process: &Process, message: &Message) -> Result<(), String> {
        self.promises.says(process.at, message)
    }

    pub(crate) fn faulted(&self, at: usize, fault: &Fault) -> Result<(), String> {
        match fault {
            Fault::Diverged { .. } if !self.may_diverge => Err(format!("member {at}: {fault:?}")),
            Fault::RecordRegressed { .. } if !self.may_regress => Err(format!("member {at}: {fault:?}")),
            Fault::Diverged { .. } | Fault::RecordRegressed { .. } => Ok(()),
        }
    }

    pub(crate) fn persists(process: &Process, before: &Vow, object: &Object) -> Result<(), String> {
        let latest: Version = object.latest().version;
        Promises::changes(process.at, before, &process.file.vow, latest)
    }

    pub(crate) fn saves(&mut self, at: usize, file: &MemberFile) {
        self.promises.saves(at, file);
    }

    pub(crate) fn saved(&mut self, at: usize, file: &MemberFile) {
        self.promises.saved(at, file);
    }

    pub(crate) fn loaded(&mut self, at: usize, found: Option<&MemberFile>) -> Result<(), String> {
        self.promises.loaded(at, found)
    }

    pub(crate) fn wiped(&mut self, at: usize) {
        self.promises.wiped(at);
        self.routes.wiped(at);
    }

    pub(crate) fn leads(&mut self, process: &Process, epoch: Epoch, object: &Object) -> Result<(), String> {
        self.leaders.begins(process.id, epoch, &object.ever)
    }

    /// Looks at where the member stands.
    pub(crate) fn stands(&mut self, process: &Process, _views: &Views) -> Result<(), String> {
        let member = &process.member;
        let led = member.leader().map(|leader| leader.epoch);
        match led.or_else(|| member.following().map(|following| following.epoch)) {
            Some(epoch) => self.routes.stands(process.at, epoch),
            None => Ok(()),
        }
    }
}
