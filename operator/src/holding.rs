//! How many groups of each cluster hold all of its topics and consumer groups: found by passes over these, asked by passes over
//! clusters.

use std::collections::HashMap;

use parking_lot::Mutex;

/// By namespace and name of the cluster.
#[derive(Debug, Default)]
pub struct Holding(Mutex<HashMap<(String, String), u32>>);

impl Holding {
    /// So many groups hold everything now.
    pub fn note(&self, namespace: &str, cluster: &str, groups: u32) {
        self.0.lock().insert((namespace.to_owned(), cluster.to_owned()), groups);
    }

    /// The cluster is gone.
    pub fn forget(&self, namespace: &str, cluster: &str) {
        self.0.lock().remove(&(namespace.to_owned(), cluster.to_owned()));
    }

    /// What was noted last; 0: nothing since this process began.
    pub fn groups(&self, namespace: &str, cluster: &str) -> u32 {
        self.0.lock().get(&(namespace.to_owned(), cluster.to_owned())).copied().unwrap_or(0)
    }
}
