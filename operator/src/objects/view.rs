//! A cluster as its topics and consumer groups see it.

use crds::BrokerCluster;
use crds::broker_cluster::GroupStatus;
use crds::names;
use jiff::Timestamp;

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
        /// The member that leads, of each group.
        leaders: Vec<u32>,
        /// Groups that neither leave nor are joining: topics that are placed in some groups are placed in these.
        staying: Vec<u32>,
        /// Other namespaces that may use it; `*` for all.
        allowed: Vec<String>,
    },
}

impl ClusterView {
    /// What a cluster looks like at this time.
    pub fn of(cluster: Option<&BrokerCluster>, now: Timestamp) -> Self {
        let Some(cluster) = cluster else { return Self::Missing };
        if cluster.metadata.deletion_timestamp.is_some() {
            return Self::Leaving;
        }
        if cluster.spec.is_paused(now) {
            return Self::Paused;
        }
        let Some(status) = cluster.status.as_ref().filter(|status| status.groups > 0) else {
            return Self::Starting;
        };
        let groups = u32::try_from(status.groups).unwrap_or_default();
        let leader = |group| {
            let known = status.group_status.iter().find(|known| known.name == names::group_name(group))?;
            names::ordinal_of(known.leader.as_ref()?)
        };
        // Nobody leads yet: the first one is as good as any, and says what is missing.
        let leaders = (0..groups).map(|group| leader(group).unwrap_or(0)).collect();
        let comes_or_goes = |group: &u32| {
            let name = names::group_name(*group);
            let is_it = |known: &&GroupStatus| known.name == name;
            let known = status.group_status.iter().find(is_it);
            known.is_some_and(|known| known.leaving.is_some() || known.joining.is_some())
        };
        let staying = (0..groups).filter(|group| !comes_or_goes(group)).collect();
        Self::Present { leaders, staying, allowed: cluster.spec.allowed_namespaces.clone() }
    }
}
