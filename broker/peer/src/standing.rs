//! What a member tells the rest of its broker: where clients are served, and how safe their data is.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crds::broker_config::FlushMode;
use crds::group_record::{Cause, GroupRecord, MemberId};
use engine::group::Group;
use replica::event::{Fault, Refusal};
use store::{Epoch, Position};

/// Where clients are served.
#[derive(Clone, Debug)]
pub enum Standing {
    /// Here.
    Leading(Arc<Group>),
    /// By the member of this ordinal.
    Following(u32),
    /// Nowhere that is known.
    Leaderless,
}

/// How this member and its group are.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts that are told, each by itself")]
pub struct Status {
    /// Its number.
    pub ordinal: u32,
    /// Its name: the number, and the store that was found there.
    pub id: Option<MemberId>,
    /// `leader`, `follower`, `candidate`, `closing` or `faulty`.
    pub role: &'static str,
    /// Its log, while it is open.
    pub log: Option<Weak<Group>>,
    /// The epoch that it leads or follows.
    pub epoch: Epoch,
    /// The record as it was read last.
    pub record: GroupRecord,
    /// It knows what became of every change of the record that it asked for, also in an earlier life; then `record` is the
    /// last one that it can have made.
    pub is_decided: bool,
    /// Members that shall keep a copy, as it was wished last.
    pub copies: u32,
    /// When the arbiter answered last, unix time; 0: not yet.
    pub ruled_ms: u64,
    /// The leader does not wait for the others.
    pub is_async: bool,
    /// When a copy counts a message as stored.
    pub flush: FlushMode,
    /// The end of its log may be lost: the machine went down before it was synced.
    pub is_dirty: bool,
    /// End of its log.
    pub written: Position,
    /// End of what is committed, as far as it knows.
    pub committed: Position,
    /// A leader's view: bytes that each follower lacks, by ordinal.
    pub lag_bytes: BTreeMap<u32, u64>,
    /// Whether this member counts: it leads, or it is in sync and follows the leader.
    pub is_in_sync: bool,
    /// Why no writes are taken.
    pub refusal: Option<Refusal>,
    /// What keeps it from going on.
    pub fault: Option<Fault>,
    /// What the arbiter said last, if it cannot be used.
    pub arbiter_error: Option<String>,
    /// The last time that this member began to serve.
    pub transition: Option<Transition>,
    /// All times that it began to serve.
    pub tally: Tally,
    /// Bytes of the log that it sent to others.
    pub sent_bytes: u64,
    /// Bytes of the log that it took from a leader.
    pub received_bytes: u64,
}

/// How often a member began to serve, and how long nobody had served before.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Times, by cause.
    pub by_cause: BTreeMap<&'static str, u64>,
    /// Times with a gap of at most so many milliseconds as [`GAP_BOUNDS_MS`] says there.
    pub within: [u64; GAP_BOUNDS_MS.len()],
    /// All gaps together.
    pub gaps_ms: u64,
}

/// Bounds of the gaps that are told apart.
pub const GAP_BOUNDS_MS: [u64; 8] = [100, 250, 500, 1_000, 2_000, 5_000, 15_000, 60_000];

/// A change of the leader, as the new one saw it.
#[derive(Clone, Copy, Debug)]
pub struct Transition {
    /// Why.
    pub cause: Cause,
    /// The epoch that it led then.
    pub epoch: Epoch,
    /// When it began to serve, unix time.
    pub at_ms: u64,
    /// How long nobody served, as far as it can tell.
    pub gap_ms: u64,
}

impl Tally {
    /// Times, whatever the cause.
    pub fn count(&self) -> u64 {
        self.by_cause.values().sum()
    }

    /// Counts one more.
    pub fn add(&mut self, transition: Transition) {
        *self.by_cause.entry(transition.cause.name()).or_default() += 1;
        self.gaps_ms += transition.gap_ms;
        for (within, bound_ms) in self.within.iter_mut().zip(GAP_BOUNDS_MS) {
            *within += u64::from(transition.gap_ms <= bound_ms);
        }
    }
}

impl Standing {
    /// Whether clients would notice a difference.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Leading(one), Self::Leading(other)) => Arc::ptr_eq(one, other),
            (Self::Following(one), Self::Following(other)) => one == other,
            (Self::Leaderless, Self::Leaderless) => true,
            (Self::Leading(_) | Self::Following(_) | Self::Leaderless, _) => false,
        }
    }
}
