//! What a member hears of and says: events, effects, messages.

use std::collections::BTreeSet;

use crds::group_record::{Cause, GroupRecord, MemberId, Seen, Version};
use store::{Epoch, Position};

use crate::history::{EpochStart, History, Tip};

/// What a member keeps on its disk beside the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vow {
    /// Nothing is taken from a leader of a lower epoch.
    pub promised: Epoch,
    /// A candidacy that was begun and is not known to have failed.
    pub candidacy: Option<Candidacy>,
    /// The latest revision of the record when this was written; an older record is not believed.
    pub revision: u64,
    /// The end of the log may be lost: the machine went down before it was synced.
    pub is_dirty: bool,
}

/// A candidacy: what the compare-and-swap was based on, and the promise before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Candidacy {
    /// It can win only against this version.
    pub base: Version,
    /// What is promised once it has certainly failed.
    pub promised_before: Epoch,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Event {
    /// The record was read, or written by the last `Cas`.
    Saw(Seen),
    /// A message came.
    Received {
        /// Its sender.
        from: MemberId,
        /// What it says.
        message: Message,
    },
    /// `Effect::Lead` was carried out.
    Began {
        /// Where the epoch begins.
        start: Position,
        /// End of the log with the record of the epoch.
        written: Position,
        /// End of what a power cut leaves.
        durable: Position,
    },
    /// The leader's log went on, was synced, or was committed without being told (`Effect::Solo`).
    Wrote(End),
    /// `Effect::Solo(false)` was carried out: nothing is committed without being told any more.
    SoloEnded(End),
    /// `Effect::StepDown` was carried out: the log as it is on the disk.
    Closed(OnDisk),
    /// `Effect::Append` was carried out, or the log was synced.
    Appended {
        /// End of the log.
        written: Position,
        /// End of what a power cut leaves.
        durable: Position,
        /// Epochs that begin in it.
        began: Vec<EpochStart>,
    },
    /// `Effect::Plant` was carried out.
    Planted {
        /// The log as it is now.
        history: History,
    },
    /// The beginning of the log went.
    Trimmed {
        /// It begins here now.
        head: Position,
    },
    /// The leader is silent: it is time to try to replace it.
    Campaign {
        /// Members that are known to be there.
        alive: BTreeSet<MemberId>,
        /// Why.
        cause: Cause,
    },
    /// Members that do not acknowledge; replaces what was said before.
    Stalled(BTreeSet<MemberId>),
    /// It is time to ask the arbiter again about a proposal without answer.
    Retry,
    /// The connection to a member broke; what it was sent may not have come.
    Gone(MemberId),
    /// Somebody else shall lead; that member, or the best one.
    HandOver(Option<u32>),
    /// The hand-over took too long.
    HandOverExpired,
    /// This member is about to stop: nobody should wait for it.
    Leave,
    /// It is time to tell the others that one is there.
    Beat,
}

/// How far the leader's log is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct End {
    /// End of the log.
    pub written: Position,
    /// End of what a power cut leaves.
    pub durable: Position,
    /// End of what is visible to clients.
    pub committed: Position,
}

/// What a member finds on its disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct OnDisk {
    /// The log.
    pub history: History,
    /// End of what a power cut leaves.
    pub durable: Position,
    /// The log begins here.
    pub head: Position,
    /// What the log itself knows to be committed.
    pub committed: Position,
}

/// What the driver has to do, in this order, each before the next.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Write to the disk and sync, the log as well: a candidate that wins alone may hold the only copy that counts.
    Persist(Vow),
    /// Send to one member; it may be lost.
    Send {
        /// To whom.
        to: MemberId,
        /// What.
        message: Message,
    },
    /// Send to everybody who is connected.
    Broadcast(Message),
    /// Ask the arbiter to replace the record; answered by `Saw`, or never.
    Cas {
        /// Only if it has this version.
        base: Version,
        /// The new record.
        record: Box<GroupRecord>,
    },
    /// Read the record again.
    Read,
    /// Begin an epoch in the log; answered by `Began`.
    Lead(Epoch),
    /// Everything that earlier epochs left is committed: serve clients.
    Serve(Epoch),
    /// Stop serving clients, forget what is not in the log.
    StepDown,
    /// Write the bytes that came with this message; answered by `Appended`.
    Append,
    /// Replace everything by the seed that came with this message; answered by `Planted`.
    Plant,
    /// Cut the log.
    Truncate(Position),
    /// Everything below is committed.
    Commit(Position),
    /// Send the log to a member, from this position on, and go on as it grows.
    Stream {
        /// To whom.
        to: MemberId,
        /// Goes into every `Append`.
        session: u64,
        /// From where on.
        from: Position,
    },
    /// Send a seed to a member.
    Seed {
        /// To whom.
        to: MemberId,
        /// Goes into the `Seed`.
        session: u64,
        /// Likewise.
        of: Tip,
    },
    /// Stop sending the log to a member.
    Halt(MemberId),
    /// Whether the leader is alone in sync, so that whatever it writes is committed at once; the end of it is answered by
    /// `SoloEnded`.
    Solo(bool),
    /// Why writes are refused; none: they are taken.
    Refuse(Option<Refusal>),
    /// The member cannot go on; somebody has to look.
    Fault(Fault),
}

/// Why a leader takes no writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// Another member is about to lead.
    HandingOver,
    /// Fewer members than `minInSync` are in sync.
    TooFewCopies {
        /// In sync.
        in_sync: u32,
        /// Needed.
        min_in_sync: u32,
    },
}

/// What only a person can put right.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// The leader's log lacks something that was committed here.
    Diverged {
        /// Where the logs part.
        common: Position,
        /// What was committed here.
        committed: Position,
    },
    /// The record is older than one that was seen before.
    RecordRegressed {
        /// Revision that was known.
        known: u64,
        /// Revision that was read.
        found: u64,
    },
}

/// What members tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    /// I am here.
    Beat(Beat),
    /// To the leader: this is my log, what shall I do with it?
    Hello(Hello),
    /// To a follower: cut your log there, the stream goes on from it.
    Align {
        /// The leader's.
        epoch: Epoch,
        /// Comes back in every `Ack`.
        session: u64,
        /// End of what both logs hold.
        to: Position,
        /// The log that the follower's `Hello` told of; the answer is good for no other.
        of: Tip,
    },
    /// To a follower: your log is of no use, take what comes with this.
    Seed {
        /// The leader's.
        epoch: Epoch,
        /// Comes back in every `Ack`.
        session: u64,
        /// As in `Align`.
        of: Tip,
    },
    /// To a follower: more of the log comes with this.
    Append {
        /// The leader's.
        epoch: Epoch,
        /// As in `Align`.
        session: u64,
        /// Where the log of the follower must end.
        from: Position,
        /// End of what the leader knows to be committed.
        committed: Position,
    },
    /// To the leader: so much is there.
    Ack {
        /// The leader's.
        epoch: Epoch,
        /// As in `Align`.
        session: u64,
        /// End of the log.
        written: Position,
        /// End of what a power cut leaves.
        durable: Position,
    },
    /// To a leader: I have promised more than your epoch.
    Reject {
        /// The promise.
        promised: Epoch,
    },
    /// To a follower that has everything: please lead.
    TakeOver {
        /// The epoch that shall end.
        epoch: Epoch,
    },
}

/// A sign of life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Beat {
    /// The promise.
    pub promised: Epoch,
    /// The epoch that the sender leads.
    pub leads: Option<Epoch>,
    /// The leader that the sender hears.
    pub hears: Option<MemberId>,
    /// It is about to stop.
    pub is_leaving: bool,
    /// The end of its log may be lost.
    pub is_dirty: bool,
    /// The epoch that wrote last in its log.
    pub last_epoch: Epoch,
    /// End of its log.
    pub written: Position,
    /// End of what is committed, as far as it knows.
    pub committed: Position,
}

/// A follower's log, as it presents itself to the leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hello {
    /// The leader's.
    pub epoch: Epoch,
    /// The log; none if there is none that could go on.
    pub history: Option<History>,
    /// The end of it may be lost.
    pub is_dirty: bool,
}
