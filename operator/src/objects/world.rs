//! All that is watched for topics and consumer groups, in memory, and which clusters are to be looked at.

use std::collections::BTreeSet;
use std::sync::Arc;

use crds::broker_cluster::{BrokerClusterStatus, ClusterState};
use crds::object::ClusterRef;
use crds::{BrokerCluster, ConsumerGroup, Topic};
use jiff::Timestamp;
use kube::ResourceExt;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::index::{ClusterKey, Index, ObjectKey};
use super::view::ClusterView;

/// All that is watched.
pub(super) struct World {
    inner: Mutex<Inner>,
    /// Told when a cluster is to be looked at.
    pub(super) news: Notify,
}

struct Inner {
    clusters: Index<BrokerCluster>,
    topics: Index<Topic>,
    groups: Index<ConsumerGroup>,
    dirty: BTreeSet<ClusterKey>,
    /// Watches whose first list has not come to its end.
    unlisted: usize,
}

/// A cluster and its objects at one moment.
pub(super) struct Snapshot {
    pub(super) view: ClusterView,
    pub(super) topics: Vec<Arc<Topic>>,
    pub(super) groups: Vec<Arc<ConsumerGroup>>,
}

impl World {
    /// An empty world that waits for this many watches.
    pub(super) fn new(watches: usize) -> Self {
        let inner = Inner {
            // A broker that has come back is news: what waited for it need not wait for its next try.
            clusters: Index::new(cluster_itself, |cluster| {
                // A pause may end by the clock alone: then its state is the news.
                let told = |status: &BrokerClusterStatus| {
                    (status.groups_ready, status.state == ClusterState::Paused)
                };
                let told = cluster.status.as_ref().map(told);
                format!("{:?} {told:?}", ClusterView::of(Some(cluster), Timestamp::MIN))
            }),
            topics: Index::new(|topic| named(topic, &topic.spec.cluster_ref), |_| String::new()),
            groups: Index::new(|group| named(group, &group.spec.cluster_ref), |_| String::new()),
            dirty: BTreeSet::new(),
            unlisted: watches,
        };
        Self { inner: Mutex::new(inner), news: Notify::new() }
    }

    /// Changes the world, and notes which clusters that concerns.
    pub(super) fn change(&self, change: impl FnOnce(&mut Indices<'_>) -> Vec<ClusterKey>) {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        let mut indices =
            Indices { clusters: &mut inner.clusters, topics: &mut inner.topics, groups: &mut inner.groups };
        inner.dirty.extend(change(&mut indices));
        if inner.unlisted == 0 && !inner.dirty.is_empty() {
            self.news.notify_one();
        }
    }

    /// A watch has finished its first list. Before all have, a cluster that is not there may only not be there yet.
    pub(super) fn listed(&self) {
        let mut inner = self.inner.lock();
        inner.unlisted = inner.unlisted.saturating_sub(1);
        if inner.unlisted == 0 {
            self.news.notify_one();
        }
    }

    /// The clusters to look at, since the last time.
    pub(super) fn take_dirty(&self) -> BTreeSet<ClusterKey> {
        let mut inner = self.inner.lock();
        if inner.unlisted > 0 { BTreeSet::new() } else { std::mem::take(&mut inner.dirty) }
    }

    /// A cluster and its objects at this time.
    pub(super) fn snapshot(&self, key: &ClusterKey, now: Timestamp) -> Snapshot {
        let inner = self.inner.lock();
        let name = ObjectKey { namespace: key.namespace.clone(), name: key.name.clone() };
        Snapshot {
            view: ClusterView::of(inner.clusters.get(&name).as_deref(), now),
            topics: inner.topics.of_cluster(key),
            groups: inner.groups.of_cluster(key),
        }
    }
}

/// The indices, to be changed.
pub(super) struct Indices<'a> {
    pub(super) clusters: &'a mut Index<BrokerCluster>,
    pub(super) topics: &'a mut Index<Topic>,
    pub(super) groups: &'a mut Index<ConsumerGroup>,
}

fn cluster_itself(cluster: &BrokerCluster) -> ClusterKey {
    ClusterKey { namespace: cluster.namespace().unwrap_or_default(), name: cluster.name_any() }
}

fn named(object: &impl ResourceExt, cluster: &ClusterRef) -> ClusterKey {
    let namespace = cluster.namespace.clone().or_else(|| object.namespace()).unwrap_or_default();
    ClusterKey { namespace, name: cluster.name.clone() }
}
