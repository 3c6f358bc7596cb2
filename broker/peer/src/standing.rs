//! What a member tells the rest of its broker: where clients are served, and how safe their data is.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use crds::group_record::{Cause, GroupRecord};
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
pub struct Status {
    /// Its number.
    pub ordinal: u32,
    /// `leader`, `follower`, `candidate`, `closing` or `faulty`.
    pub role: &'static str,
    /// Its log, while it is open.
    pub log: Option<Weak<Group>>,
    /// The epoch that it leads or follows.
    pub epoch: Epoch,
    /// The record as it was read last.
    pub record: GroupRecord,
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
}

/// A change of the leader, as the new one saw it.
#[derive(Clone, Copy, Debug)]
pub struct Transition {
    /// Why.
    pub cause: Cause,
    /// When it began to serve, unix time.
    pub at_ms: u64,
    /// How long nobody served, as far as it can tell.
    pub gap_ms: u64,
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
