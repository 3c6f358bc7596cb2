//! Who may do what. Every operation asks here before it acts.
//!
//! Limit: there are no users yet, so everybody is `Anonymous` and may do everything; that each operation names its
//! resource and action already is what users will be built on.

use crate::refusal::Refusal;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Principal {
    /// A client that did not say who it is.
    Anonymous,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send to a topic.
    Publish,
    /// Read from a topic, as a member of a consumer group.
    Subscribe,
    /// See routes.
    Locate,
    /// See definitions, progress and clients.
    Describe,
    /// Create, change or delete.
    Administer,
}

/// What it is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource<'a> {
    /// A topic by name.
    Topic(&'a str),
    /// A consumer group by name.
    ConsumerGroup(&'a str),
    /// The broker group as a whole.
    Broker,
}

/// Whether `principal` may do `action` on `resource`.
pub fn authorize(principal: Principal, action: Action, resource: Resource<'_>) -> Result<(), Refusal> {
    match principal {
        Principal::Anonymous => {
            tracing::trace!(?action, ?resource, "allowed");
            Ok(())
        }
    }
}
