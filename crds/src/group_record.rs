//! Who keeps the copies of one group and who leads it: the record that every decision about a group is made on.
//!
//! ```text
//!   Lease <cluster>-g0
//!     spec                             liveness, for people: holder, renewTime, transitions
//!     annotation millpond.io/record    safety: written by brokers alone, by compare-and-swap
//!     annotation millpond.io/request   wishes: written by the operator alone
//! ```
//!
//! Promise: what one version writes, it reads back unchanged; a record of a later format is refused, never guessed at.
//! Not here: when a record may be changed and to what (`replica`), how it is stored (`arbiter`).

mod codec;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use codec::FormatError;

/// Annotation that holds the [`GroupRecord`].
pub const RECORD_ANNOTATION: &str = "millpond.io/record";
/// Annotation that holds the [`GroupRequest`].
pub const REQUEST_ANNOTATION: &str = "millpond.io/request";
/// Annotation of the EndpointSlice that leads clients to the leader: the epoch of whoever wrote the address.
pub const EPOCH_ANNOTATION: &str = "millpond.io/epoch";
/// Format that this version writes, and the latest that it reads.
pub const FORMAT: u32 = 1;

/// One copy of the log: a place in the StatefulSet and the volume that was found there.
///
/// A wiped volume gets another `store`, and so is another member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId {
    /// Number of the pod.
    pub ordinal: u32,
    /// Drawn at random when the data folder was made, and kept in it.
    pub store: u64,
}

/// The state of a group that all its members agree on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupRecord {
    /// Format of this record.
    #[serde(rename = "v")]
    pub format: u32,
    /// Goes up by one with every change, so that of two records the later one is known.
    pub revision: u64,
    /// Term of the leader; 0: nobody ever led.
    pub epoch: u32,
    /// Who leads in this epoch; none only before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<MemberId>,
    /// Members that hold everything that was ever acknowledged; the leader is one of them.
    pub in_sync: BTreeSet<MemberId>,
    /// All members; those that are not in sync are learning.
    pub members: BTreeSet<MemberId>,
    /// Nothing is acknowledged while fewer are in sync.
    pub min_in_sync: u32,
    /// Drawn by whoever wrote this change, to know it again when the reply was lost.
    pub nonce: u64,
    /// Why it was written.
    #[serde(default)]
    pub cause: Cause,
    /// Elections that a person forced although acknowledged messages could be lost, for ever.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unclean: Vec<UncleanElection>,
}

/// Why a record was changed last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
pub enum Cause {
    /// The group is new.
    #[default]
    Created,
    /// A member leads for the first time, or again after its own restart.
    Started,
    /// The leader was silent.
    LeaderLost,
    /// The leader asked another member to take over.
    HandOver,
    /// A member that did not keep up, or left, is no longer counted.
    Shrunk,
    /// A member has caught up.
    Expanded,
    /// A member joined or left, or `minInSync` changed.
    Reconfigured,
    /// A person forced an election.
    Unclean,
}

/// A forced election.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UncleanElection {
    /// The token in the request that allowed it.
    pub token: String,
    /// The epoch that it began.
    pub epoch: u32,
}

/// What the operator asks of a group.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupRequest {
    /// Format of this request.
    #[serde(rename = "v")]
    pub format: u32,
    /// Members with an ordinal below this shall keep copies, others shall leave.
    pub copies: u32,
    /// `minInSync` once enough members are in sync.
    pub min_in_sync: u32,
    /// The member that shall lead, until it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<u32>,
    /// Members that must not lead: their node is being emptied.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub fenced: BTreeSet<u32>,
    /// Allows one election of a member that is not in sync.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unclean: Option<UncleanToken>,
}

/// Permission for one election that may lose acknowledged messages.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UncleanToken {
    /// Never used before.
    pub token: String,
    /// The epoch of the record that it may replace; later ones are not touched.
    pub epoch: u32,
    /// Who shall lead.
    pub ordinal: u32,
}

/// Which state of the stored object a record was read from; of two versions of one object the later is greater.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(pub u64);

/// The object as it was read: a record may replace it only as long as it has this version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seen {
    /// What a compare-and-swap compares.
    pub version: Version,
    /// What the brokers agreed on.
    pub record: GroupRecord,
    /// What the operator wishes.
    pub request: GroupRequest,
}

impl Cause {
    /// As it stands in a record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "Created",
            Self::Started => "Started",
            Self::LeaderLost => "LeaderLost",
            Self::HandOver => "HandOver",
            Self::Shrunk => "Shrunk",
            Self::Expanded => "Expanded",
            Self::Reconfigured => "Reconfigured",
            Self::Unclean => "Unclean",
        }
    }
}

impl Default for GroupRequest {
    fn default() -> Self {
        Self {
            format: FORMAT,
            copies: 1,
            min_in_sync: 1,
            leader: None,
            fenced: BTreeSet::new(),
            unclean: None,
        }
    }
}

impl fmt::Display for MemberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.ordinal, self.store)
    }
}

impl FromStr for MemberId {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let parse = || {
            let (ordinal, store) = text.split_once('-')?;
            let id = Self { ordinal: ordinal.parse().ok()?, store: u64::from_str_radix(store, 16).ok()? };
            (id.to_string() == text).then_some(id)
        };
        parse().ok_or_else(|| FormatError::Member(text.to_owned()))
    }
}
