//! One member of a group.
//!
//! ```text
//!              Campaign              record shows its own nonce
//!   Follower ───────────► Candidate ───────────────────────────► Leader
//!      ▲  ▲                   │ another one was faster              │ a higher epoch
//!      │  └───────────────────┘                                     │
//!      └────────────────────────────────────────────────────────────┘
//! ```
//!
//! A follower of the leader: `Hello` with its log, `Align` (cut there) or `Seed` (start anew), then `Append` and `Ack`.

mod campaign;
mod commit;
mod follow;
mod lead;
mod propose;
mod wish;

use std::collections::{BTreeMap, BTreeSet};

use crds::group_record::{GroupRecord, MemberId, Seen, Version};
use store::{Epoch, Position};

use crate::event::{Beat, Effect, Event, Fault, Message, OnDisk, Refusal, Vow};
use crate::history::{History, Tip};

pub use crate::settings::{Rules, Settings};

/// A member's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Member {
    id: MemberId,
    settings: Settings,
    vow: Vow,
    /// The log, if there is one.
    log: Option<History>,
    /// End of what a power cut leaves of it.
    durable: Position,
    /// The log begins here.
    head: Position,
    /// Never goes back, never above the end of the log.
    committed: Position,
    seen: Option<Seen>,
    /// The last sign of life of each of the others.
    heard: BTreeMap<MemberId, Beat>,
    role: Role,
    /// It is about to stop.
    is_leaving: bool,
    /// Source of nonces; two members, or two starts of one, begin with different ones.
    nonce: u64,
}

/// What a member does.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Takes the log from the leader, if it knows one.
    Follower(Option<Following>),
    /// Has asked the arbiter to be the leader.
    Candidate(Proposal),
    /// Leads.
    Leader(Leader),
    /// Has led; its log is being closed.
    Closing,
    /// Waits for a person.
    Faulty(Fault),
}

/// A follower's tie to the leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Following {
    /// Who leads.
    pub leader: MemberId,
    /// Its epoch.
    pub epoch: Epoch,
    /// The leader's stream, once the logs are aligned.
    session: Option<u64>,
    /// The log as the latest `Hello` told of it; there is only one answer to it that counts.
    greeted: Option<Tip>,
    /// What the leader said is committed.
    committed: Position,
}

/// A change that the arbiter was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Proposal {
    base: Version,
    record: GroupRecord,
}

/// A leader's state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leader {
    /// Its epoch.
    pub epoch: Epoch,
    /// End of the log when it was elected: who has everything below has all that was ever committed.
    start: Position,
    /// End of the record of the epoch, once it is written; when that is committed, clients are served.
    began: Option<Position>,
    is_serving: bool,
    copies: BTreeMap<MemberId, Copy>,
    /// Members in sync whose log is of no use any more.
    outdated: BTreeSet<MemberId>,
    stalled: BTreeSet<MemberId>,
    proposal: Option<Proposal>,
    handing: Option<Handing>,
    sessions: u64,
    solo: Solo,
    /// The set is about to grow: what is committed must be known exactly before.
    is_growing: bool,
    refusal: Option<Refusal>,
}

/// Whether whatever the leader writes is committed at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Solo {
    No,
    Yes,
    /// It was told to end; how far it went is not known yet.
    Ending,
}

/// What the leader knows of a follower's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Copy {
    session: u64,
    /// The follower has cut its log, or taken the seed.
    is_aligned: bool,
    /// It began anew; its stream begins once that is done.
    is_seeded: bool,
    /// End of its log.
    pub written: Position,
    /// End of what a power cut leaves of it.
    pub durable: Position,
}

/// A hand-over under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Handing {
    to: MemberId,
    is_asked: bool,
}

impl Member {
    /// A member as it starts, with what its disk holds. `nonce` is drawn at random.
    pub fn new(id: MemberId, settings: Settings, vow: Vow, disk: Option<OnDisk>, nonce: u64) -> Self {
        let OnDisk { history, durable, head, committed } = disk.clone().unwrap_or_default();
        Self {
            id,
            settings,
            vow,
            log: disk.map(|_| history),
            durable,
            head,
            committed,
            seen: None,
            heard: BTreeMap::new(),
            role: Role::Follower(None),
            is_leaving: false,
            nonce,
        }
    }

    /// Takes notice of what happened; returns what is to be done about it.
    pub fn on_event(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = Vec::new();
        let out = &mut effects;
        if matches!(self.role, Role::Faulty(_)) {
            return effects;
        }
        match event {
            Event::Saw(seen) => self.saw(seen, out),
            Event::Received { from, message } => self.received(from, message, out),
            Event::Began { start, written, durable } => self.began(start, written, durable, out),
            Event::Wrote(end) => self.wrote(end, out),
            Event::SoloEnded(end) => self.solo_ended(end, out),
            Event::Closed(disk) => self.closed(disk),
            Event::Appended { written, durable, began } => self.appended(written, durable, began, out),
            Event::Planted { history } => self.planted(history, out),
            Event::Trimmed { head } => self.head = head,
            Event::Campaign { alive, cause } => self.campaign(&alive, cause, out),
            Event::Stalled(stalled) => self.stalled(stalled, out),
            Event::Retry => self.retry(out),
            Event::Gone(member) => self.gone(member, out),
            Event::HandOver(to) => self.hand_over(to, out),
            Event::HandOverExpired => self.stop_handing(out),
            Event::Leave => {
                self.is_leaving = true;
                out.push(Effect::Broadcast(Message::Beat(self.beat())));
            }
            Event::Beat => out.push(Effect::Broadcast(Message::Beat(self.beat()))),
        }
        effects
    }

    /// Its name.
    pub fn id(&self) -> MemberId {
        self.id
    }

    /// What it does.
    pub fn role(&self) -> &Role {
        &self.role
    }

    /// What it keeps on its disk.
    pub fn vow(&self) -> &Vow {
        &self.vow
    }

    /// Only what a power cut leaves counts as held, or whatever is written; takes effect with the next event.
    pub fn set_flush_sync(&mut self, flush_sync: bool) {
        self.settings.flush_sync = flush_sync;
    }

    /// The record as it was read last.
    pub fn seen(&self) -> Option<&Seen> {
        self.seen.as_ref()
    }

    /// Whether it knows what became of every change of the record that it asked for.
    pub fn is_decided(&self) -> bool {
        let is_asking = match &self.role {
            Role::Candidate(_) => true,
            Role::Leader(leader) => leader.is_proposing(),
            Role::Follower(_) | Role::Closing | Role::Faulty(_) => false,
        };
        !is_asking && self.vow.candidacy.is_none()
    }

    /// End of its log.
    pub fn written(&self) -> Position {
        self.log.as_ref().map_or(Position(0), |log| log.written)
    }

    /// End of what is committed, as far as it knows.
    pub fn committed(&self) -> Position {
        self.committed
    }

    /// What the others said last.
    pub fn heard(&self) -> &BTreeMap<MemberId, Beat> {
        &self.heard
    }

    /// The leader's view, if it leads.
    pub fn leader(&self) -> Option<&Leader> {
        match &self.role {
            Role::Leader(leader) => Some(leader),
            Role::Follower(_) | Role::Candidate(_) | Role::Closing | Role::Faulty(_) => None,
        }
    }

    /// The leader that it follows, if it follows one.
    pub fn following(&self) -> Option<&Following> {
        match &self.role {
            Role::Follower(following) => following.as_ref(),
            Role::Leader(_) | Role::Candidate(_) | Role::Closing | Role::Faulty(_) => None,
        }
    }

    /// What it would say of itself now.
    pub fn beat(&self) -> Beat {
        Beat {
            promised: self.vow.promised,
            leads: self.leader().and_then(|leader| leader.began.map(|_| leader.epoch)),
            hears: self.following().map(|following| following.leader),
            is_leaving: self.is_leaving,
            is_dirty: self.vow.is_dirty,
            last_epoch: self.last_epoch(),
            written: self.written(),
            committed: self.committed,
        }
    }

    fn received(&mut self, from: MemberId, message: Message, out: &mut Vec<Effect>) {
        match message {
            Message::Beat(beat) => self.heard_of(from, beat, out),
            Message::Hello(hello) => self.hello(from, &hello, out),
            Message::Align { epoch, session, to, of } => self.align(from, epoch, (session, of), to, out),
            Message::Seed { epoch, session, of } => self.seed(from, epoch, (session, of), out),
            Message::Append { epoch, session, from: at, committed } => {
                self.append(from, epoch, session, (at, committed), out);
            }
            Message::Ack { epoch, session, written, durable } => {
                self.acked(from, epoch, session, (written, durable), out);
            }
            Message::Reject { promised } => self.rejected(from, promised, out),
            Message::TakeOver { epoch } => self.take_over(from, epoch, out),
        }
    }

    fn last_epoch(&self) -> Epoch {
        self.log.as_ref().map_or(Epoch(0), History::last_epoch)
    }

    fn record(&self) -> Option<&GroupRecord> {
        self.seen.as_ref().map(|seen| &seen.record)
    }

    /// A nonce for a change of the record as it has this version: nobody else has it, nor has any other start.
    fn nonce(&self, base: Version) -> u64 {
        self.nonce.wrapping_add(base.0)
    }

    fn fail(&mut self, fault: Fault, out: &mut Vec<Effect>) {
        self.role = Role::Faulty(fault.clone());
        out.push(Effect::Fault(fault));
    }

    /// Writes the vow down, and with it how new the record was.
    fn persist(&mut self, out: &mut Vec<Effect>) {
        self.vow.revision = self.vow.revision.max(self.record().map_or(0, |record| record.revision));
        out.push(Effect::Persist(self.vow.clone()));
    }
}

impl Following {
    /// Whether its log is the beginning of the leader's.
    pub fn is_aligned(&self) -> bool {
        self.session.is_some()
    }
}

impl Leader {
    /// Whether clients are served.
    pub fn is_serving(&self) -> bool {
        self.is_serving
    }

    /// The followers' logs.
    pub fn copies(&self) -> impl Iterator<Item = (MemberId, Copy)> {
        self.copies.iter().filter(|(_, copy)| copy.is_aligned).map(|(&member, &copy)| (member, copy))
    }

    /// Whether an answer of the arbiter is due.
    pub fn is_proposing(&self) -> bool {
        self.proposal.is_some()
    }
}
