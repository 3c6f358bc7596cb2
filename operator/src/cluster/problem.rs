//! What stands in the way of a plan.

use crds::Reason;

/// What a person has to change before the operator can go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// The spec cannot be carried out; nothing is changed.
    InvalidSpec(String),
    /// A part of the spec cannot be carried out; the rest is.
    InvalidChange(String),
    /// Somebody else has an object with a name that the cluster needs; nothing is changed.
    NameTaken(String),
    /// Objects of an earlier cluster of this name are still being deleted. This passes by itself.
    Leftover(String),
    /// Topics keep a group that is to leave; the rest is carried out.
    TopicsStay(String),
    /// Nobody can tell who holds every acknowledged message of a group; the rest is carried out.
    RecordLost(String),
}

impl Problem {
    /// One word, for programs.
    pub fn reason(&self) -> Reason {
        match self {
            Self::InvalidSpec(_) => Reason::InvalidSpec,
            Self::InvalidChange(_) => Reason::InvalidChange,
            Self::NameTaken(_) => Reason::NameTaken,
            Self::Leftover(_) => Reason::EarlierClusterLeaving,
            Self::TopicsStay(_) => Reason::TopicsStay,
            Self::RecordLost(_) => Reason::RecordLost,
        }
    }

    /// A sentence, for people.
    pub fn message(&self) -> &str {
        match self {
            Self::InvalidSpec(text)
            | Self::InvalidChange(text)
            | Self::NameTaken(text)
            | Self::Leftover(text)
            | Self::TopicsStay(text)
            | Self::RecordLost(text) => text,
        }
    }
}
