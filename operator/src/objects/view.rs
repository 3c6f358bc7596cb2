//! A cluster as its topics and consumer groups see it.

use crds::BrokerCluster;
use crds::broker_cluster::Reconciliation;

/// A cluster as its topics and consumer groups see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterView {
    /// There is none of this name.
    Missing,
    /// It is being deleted.
    Leaving,
    /// It exists and has no broker yet.
    Starting,
    /// Its objects are to be left alone.
    Paused,
    /// It has brokers.
    Present {
        /// How many groups.
        groups: u32,
        /// Other namespaces that may use it; `*` for all.
        allowed: Vec<String>,
    },
}

impl ClusterView {
    /// What a cluster looks like.
    pub fn of(cluster: Option<&BrokerCluster>) -> Self {
        let Some(cluster) = cluster else { return Self::Missing };
        if cluster.metadata.deletion_timestamp.is_some() {
            return Self::Leaving;
        }
        if cluster.spec.reconciliation == Reconciliation::Paused {
            return Self::Paused;
        }
        let groups = cluster.status.as_ref().map_or(0, |status| status.groups);
        match u32::try_from(groups) {
            Ok(groups) if groups > 0 => {
                Self::Present { groups, allowed: cluster.spec.allowed_namespaces.clone() }
            }
            Ok(_) | Err(_) => Self::Starting,
        }
    }
}
