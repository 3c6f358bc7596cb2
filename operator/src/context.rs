//! What every part of the operator needs: made once in `main`, passed along, no globals.

use std::sync::Arc;

use jiff::Timestamp;
use kube::api::Api;
use kube::core::NamespaceResourceScope;
use kube::{Client, Resource};

use crate::backoff::Backoff;
use crate::events::Events;
use crate::fleet::Fleet;
use crate::holding::Holding;
use crate::metrics::Metrics;
use crate::nodes::Nodes;
use crate::settings::Settings;
use crate::written::Written;

/// What every part of the operator needs. `A`: how brokers are reached.
pub struct Context<A> {
    /// The Kubernetes API; neither retries nor waits for ever by itself.
    pub client: Client,
    /// The brokers' admin API.
    pub admin: A,
    /// What the operator was told.
    pub settings: Settings,
    /// What happens to objects, said to people.
    pub events: Events,
    /// What happens, said to programs.
    pub metrics: Arc<Metrics>,
    /// The nodes that are being emptied.
    pub nodes: Arc<Nodes>,
    /// How many groups hold all topics and consumer groups, by cluster.
    pub holding: Holding,
    /// How many clusters restart brokers at the same time; none: as many as want to.
    pub fleet: Option<Fleet>,
    /// What was applied last, by cluster.
    pub written: Written,
    /// How long to wait after an error, by object.
    pub backoff: Backoff,
    /// The clock.
    pub clock: fn() -> Timestamp,
}

impl<A> Context<A> {
    /// The time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

/// Which namespaces a part of the operator watches.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All of them.
    All,
    /// One.
    Namespace(String),
}

impl Scope {
    /// The scopes for a list of namespaces; none means all.
    pub fn list(namespaces: &[String]) -> Vec<Self> {
        match namespaces {
            [] => vec![Self::All],
            some => some.iter().cloned().map(Self::Namespace).collect(),
        }
    }

    /// The API of a kind within the scope.
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match self {
            Self::All => Api::all(client.clone()),
            Self::Namespace(name) => Api::namespaced(client.clone(), name),
        }
    }
}
