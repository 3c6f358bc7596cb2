//! Objects in memory, by the cluster they name. Fed by watches, read by passes.
//!
//! Promise: an event that changes nothing a pass looks at, a status for instance, makes no cluster dirty; so a pass that
//! writes statuses does not cause the next one.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use kube::runtime::watcher::Event;
use kube::{Resource, ResourceExt};

use crate::context::Scope;

/// A cluster's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClusterKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl fmt::Display for ClusterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// An object's name. As text it is the owner that brokers note.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectKey {
    /// Its namespace.
    pub namespace: String,
    /// Its name there.
    pub name: String,
}

impl ObjectKey {
    /// The name of an object.
    pub fn of<O: ResourceExt>(object: &O) -> Self {
        Self { namespace: object.namespace().unwrap_or_default(), name: object.name_any() }
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// All objects of a kind.
pub struct Index<O> {
    cluster_of: fn(&O) -> ClusterKey,
    digest: fn(&O) -> String,
    by_cluster: BTreeMap<ClusterKey, BTreeMap<ObjectKey, Arc<O>>>,
    homes: BTreeMap<ObjectKey, ClusterKey>,
    listing: BTreeMap<Scope, BTreeSet<ObjectKey>>,
}

impl<O: Resource<DynamicType = ()>> Index<O> {
    /// An empty index. `digest`: what of an object a pass looks at, its metadata aside.
    pub fn new(cluster_of: fn(&O) -> ClusterKey, digest: fn(&O) -> String) -> Self {
        Self {
            cluster_of,
            digest,
            by_cluster: BTreeMap::new(),
            homes: BTreeMap::new(),
            listing: BTreeMap::new(),
        }
    }

    /// The objects that name a cluster.
    pub fn of_cluster(&self, cluster: &ClusterKey) -> Vec<Arc<O>> {
        self.by_cluster.get(cluster).map(|objects| objects.values().cloned().collect()).unwrap_or_default()
    }

    /// One object.
    pub fn get(&self, key: &ObjectKey) -> Option<Arc<O>> {
        self.by_cluster.get(self.homes.get(key)?)?.get(key).cloned()
    }

    /// Takes in an event of a watch; returns the clusters to look at.
    pub fn take(&mut self, scope: &Scope, event: Event<O>) -> Vec<ClusterKey> {
        match event {
            Event::Init => {
                self.listing.insert(scope.clone(), BTreeSet::new());
                Vec::new()
            }
            Event::InitApply(object) => {
                if let Some(seen) = self.listing.get_mut(scope) {
                    seen.insert(ObjectKey::of(&object));
                }
                self.put(object)
            }
            Event::InitDone => self.forget_unlisted(scope),
            Event::Apply(object) => self.put(object),
            Event::Delete(object) => self.remove(&ObjectKey::of(&object)),
        }
    }

    /// Takes an object out; returns the cluster to look at.
    pub fn remove(&mut self, key: &ObjectKey) -> Vec<ClusterKey> {
        let Some(cluster) = self.homes.remove(key) else { return Vec::new() };
        if let Some(objects) = self.by_cluster.get_mut(&cluster) {
            objects.remove(key);
            if objects.is_empty() {
                self.by_cluster.remove(&cluster);
            }
        }
        vec![cluster]
    }

    fn put(&mut self, object: O) -> Vec<ClusterKey> {
        let key = ObjectKey::of(&object);
        let cluster = (self.cluster_of)(&object);
        let old = self.get(&key);
        let mut dirty = Vec::new();
        if self.homes.get(&key).is_some_and(|home| *home != cluster) {
            dirty.extend(self.remove(&key));
        }
        if old.is_none_or(|old| self.look(&old) != self.look(&object)) {
            dirty.push(cluster.clone());
        }
        self.homes.insert(key.clone(), cluster.clone());
        self.by_cluster.entry(cluster).or_default().insert(key, Arc::new(object));
        dirty
    }

    fn look(&self, object: &O) -> (Option<String>, Option<i64>, bool, Vec<String>, String) {
        let meta = object.meta();
        (
            meta.uid.clone(),
            meta.generation,
            meta.deletion_timestamp.is_some(),
            meta.finalizers.clone().unwrap_or_default(),
            (self.digest)(object),
        )
    }

    /// What a finished list did not contain is gone.
    fn forget_unlisted(&mut self, scope: &Scope) -> Vec<ClusterKey> {
        let Some(listed) = self.listing.remove(scope) else { return Vec::new() };
        let within = |key: &ObjectKey| match scope {
            Scope::All => true,
            Scope::Namespace(name) => key.namespace == *name,
        };
        let gone: Vec<_> =
            self.homes.keys().filter(|key| within(key) && !listed.contains(*key)).cloned().collect();
        gone.iter().flat_map(|key| self.remove(key)).collect()
    }
}
