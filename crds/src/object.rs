//! What Topic and ConsumerGroup have in common: the cluster they belong to, and who may change what when.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The BrokerCluster an object belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterRef {
    /// Name of the BrokerCluster.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its namespace; left out: the same namespace. Another one has to be allowed by the cluster's
    /// `allowedNamespaces`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63))]
    pub namespace: Option<String>,
}

/// What becomes of the data when the object is deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DeletionPolicy {
    /// It stays. An object of the same name takes it over again.
    #[default]
    Retain,
    /// It is deleted as well, and cannot be brought back.
    Delete,
}

/// Who may take over what the broker already has under this name.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AdoptionPolicy {
    /// Only when it belongs to nobody and is equal.
    #[default]
    IfCompatible,
    /// Whatever it is, except when it belongs to another living object.
    Always,
    /// Never: the name has to be free.
    Never,
}

/// Whether the operator writes or only looks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Management {
    /// The broker is made to hold what this object says.
    #[default]
    Managed,
    /// The status shows what the broker holds; nothing is ever written.
    Observed,
}

/// Where an object stands, in one word. The `Ready` condition has the reason and the sentence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ObjectState {
    /// The operator has not come to it yet, or the broker cannot be reached right now.
    #[default]
    Pending,
    /// The cluster does not exist yet, or has never been reached.
    Waiting,
    /// The broker holds what the spec says.
    Ready,
    /// Another object, or somebody else, has this name.
    Conflict,
    /// The spec asks for a change that cannot be made; the broker keeps the old state.
    InvalidChange,
    /// The spec cannot be served at all.
    Invalid,
}

impl ObjectState {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Waiting => "Waiting",
            Self::Ready => "Ready",
            Self::Conflict => "Conflict",
            Self::InvalidChange => "InvalidChange",
            Self::Invalid => "Invalid",
        }
    }
}
