//! The state that is checked: members with their disks, the record, what is in flight, and what clients were told.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use crds::group_record::{GroupRecord, GroupRequest, MemberId, Seen, Version};
use replica::event::{End, Event, Message, OnDisk, Vow};
use replica::history::{EpochStart, History};
use replica::member::{Member, Settings};
use store::{Epoch, Position};

use crate::action::Action;

/// What is checked, and within which bounds.
#[derive(Clone, Debug)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a fault or a reduction that can be chosen by itself"
)]
pub struct Config {
    pub name: &'static str,
    pub members: u32,
    pub min_in_sync: u32,
    pub settings: Settings,
    /// Members with an ordinal from here on are off until they are started.
    pub first: u32,
    pub writes: u8,
    pub epochs: u32,
    /// Changes of the record after the group was formed.
    pub changes: u64,
    pub crashes: u8,
    pub powers: u8,
    pub breaks: u8,
    pub wipes: u8,
    pub hand_overs: u8,
    pub trims: u8,
    /// What the operator asks for, one after the other.
    pub requests: Vec<GroupRequest>,
    /// Messages that a link holds before the sender waits.
    pub capacity: usize,
    /// Whether leaders find that others do not answer.
    pub stalls: bool,
    /// The engine answers `Lead`, `Solo` and `StepDown` later than it is told, and tells of writes late.
    pub is_slow: bool,
    /// Messages arrive at once, apart from acknowledgements. What arrives late is refused, or does what it would have
    /// done before: smaller groups are checked without this.
    pub is_direct: bool,
    /// A log knows after a restart how far it was committed; else it knows nothing of it.
    pub remembers: bool,
    /// The record may be read as it was one change ago.
    pub stale_reads: bool,
    /// Acknowledgements survive the connection that they came by.
    pub late_acks: bool,
    /// What happens before the checker begins.
    pub prelude: Vec<Action>,
    /// Everybody tells everybody of itself, not only leaders.
    pub all_beat: bool,
}

/// One entry of a log; its position is its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    pub epoch: u32,
    /// 0: the record that begins the epoch.
    pub message: u8,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Disk {
    pub vow: Vow,
    pub log: Option<Vec<Entry>>,
    pub durable: usize,
    pub head: usize,
    pub committed: usize,
}

/// The part of the broker that writes the log and answers clients.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Engine {
    pub leads: Option<Epoch>,
    pub is_serving: bool,
    pub is_solo: bool,
    pub is_refusing: bool,
    /// To whom the log is sent: session, and what is next.
    pub streams: BTreeMap<MemberId, (u64, usize)>,
    /// What the member is yet to hear.
    pub answers: Vec<Event>,
    pub told: Option<End>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    pub member: Member,
    pub engine: Engine,
    pub stalled: BTreeSet<MemberId>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub id: MemberId,
    pub starts: u64,
    pub disk: Disk,
    pub process: Option<Process>,
}

/// What travels on a link: a message and what comes with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Parcel {
    pub to: MemberId,
    pub message: Message,
    pub load: Vec<Entry>,
}

/// A compare-and-swap that may still land.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Flying {
    pub by: MemberId,
    pub record: GroupRecord,
}

/// What was spent of the bounds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Spent {
    pub writes: u8,
    pub crashes: u8,
    pub powers: u8,
    pub breaks: u8,
    pub wipes: u8,
    pub hand_overs: u8,
    pub trims: u8,
    pub requests: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    pub nodes: Vec<Sealed<Node>>,
    pub seen: Sealed<Seen>,
    pub older: Option<Sealed<Seen>>,
    /// All of them based on the current version: others can never land.
    pub flying: Vec<Flying>,
    pub links: Vec<Vec<Parcel>>,
    /// Everything that anybody ever said is committed.
    pub acknowledged: Vec<Entry>,
    /// Who led: epoch, ordinal, start of the process.
    pub leaders: Vec<(u32, u32, u64)>,
    pub spent: Spent,
    /// All that were in sync lost power: acknowledged messages were lost with good reason.
    pub is_excused: bool,
    pub wrong: Option<String>,
}

/// A shared value with its hash, so that a state costs what has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed<T> {
    value: Arc<T>,
    hash: u64,
}

impl<T: Hash + Clone> Sealed<T> {
    pub fn new(value: T) -> Self {
        let mut sealed = Self { value: Arc::new(value), hash: 0 };
        sealed.seal();
        sealed
    }

    pub fn edit(&mut self) -> &mut T {
        self.hash = 0;
        Arc::make_mut(&mut self.value)
    }

    /// To be called after edits.
    pub fn seal(&mut self) {
        if self.hash == 0 {
            let mut hasher = DefaultHasher::new();
            self.value.hash(&mut hasher);
            self.hash = hasher.finish().max(1);
        }
    }
}

impl<T> std::ops::Deref for Sealed<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Hash for Sealed<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        assert_ne!(self.hash, 0, "hashed between an edit and its seal");
        self.hash.hash(state);
    }
}

impl Disk {
    pub fn entries(&self) -> &[Entry] {
        self.log.as_deref().unwrap_or_default()
    }

    pub fn history(&self) -> History {
        history(self.entries())
    }

    pub fn state(&self, committed: usize) -> OnDisk {
        OnDisk {
            history: self.history(),
            durable: at(self.durable),
            head: at(self.head),
            committed: at(committed),
        }
    }

    pub fn end(&self) -> End {
        End { written: at(self.entries().len()), durable: at(self.durable), committed: at(self.committed) }
    }
}

impl Node {
    pub fn member(&self) -> Option<&Member> {
        self.process.as_ref().map(|process| &process.member)
    }

    /// Whether the engine knows more than the member was told.
    pub fn has_news(&self) -> bool {
        self.process.as_ref().is_some_and(|process| {
            process.engine.leads.is_some() && process.engine.told.is_some_and(|told| told != self.disk.end())
        })
    }

    /// Whether what it acknowledged may be lost.
    pub fn is_dirty(&self) -> bool {
        self.disk.vow.is_dirty
    }
}

impl World {
    /// A new group: nobody is up, nobody ever led.
    pub fn new(config: &Config) -> Self {
        let node = |ordinal| {
            let id = MemberId { ordinal, store: 1 };
            Sealed::new(Node { id, starts: 0, disk: Disk::default(), process: None })
        };
        let request =
            GroupRequest { copies: config.first, min_in_sync: config.min_in_sync, ..GroupRequest::default() };
        let record = GroupRecord { format: 1, min_in_sync: 1, ..GroupRecord::default() };
        Self {
            nodes: (0..config.members).map(node).collect(),
            seen: Sealed::new(Seen { version: Version(1), record, request }),
            older: None,
            flying: Vec::new(),
            links: vec![Vec::new(); (config.members * config.members) as usize],
            acknowledged: Vec::new(),
            leaders: Vec::new(),
            spent: Spent::default(),
            is_excused: false,
            wrong: None,
        }
    }

    pub fn link(&self, from: usize, to: usize) -> &Vec<Parcel> {
        &self.links[from * self.nodes.len() + to]
    }

    pub fn link_mut(&mut self, from: usize, to: usize) -> &mut Vec<Parcel> {
        let at = from * self.nodes.len() + to;
        &mut self.links[at]
    }

    pub fn seal(&mut self) {
        self.nodes.iter_mut().for_each(Sealed::seal);
        self.seen.seal();
    }

    /// The node of this very member; none if its volume was replaced.
    pub fn node_of(&self, id: MemberId) -> Option<&Node> {
        self.nodes.get(id.ordinal as usize).map(|node| &**node).filter(|node| node.id == id)
    }

    /// The same for the same state, in every run.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// Volumes of members in sync are gone, and whoever else was in sync may have lost its tail: a person has to decide.
    pub fn is_beyond_help(&self) -> bool {
        let named = self.flying.iter().map(|flying| &flying.record).chain([&self.seen.record]);
        named.map(|record| &record.in_sync).any(|set| {
            let is_gone = set.iter().any(|id| self.node_of(*id).is_none());
            is_gone && set.iter().all(|id| self.node_of(*id).is_none_or(Node::is_dirty))
        })
    }

    pub fn fail(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }
}

pub fn at(index: usize) -> Position {
    Position(index as u64)
}

pub fn history(entries: &[Entry]) -> History {
    let begins = entries.iter().enumerate().filter(|(_, entry)| entry.message == 0);
    let epochs = begins.map(|(index, entry)| EpochStart { epoch: Epoch(entry.epoch), start: at(index) });
    History { epochs: epochs.collect(), written: at(entries.len()) }
}
