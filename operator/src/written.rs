//! What was applied last, so that a pass over a cluster on which nothing happened writes nothing.
//!
//! Promise: an object is left out only while Kubernetes has it in the very version that applying the same text made of it;
//! whoever changes it makes another version, and it is applied again. Nothing outlives this process: after its start
//! everything is applied once.

use std::collections::HashMap;

use parking_lot::Mutex;

/// By namespace and name of a cluster: its objects, by kind and name.
#[derive(Debug, Default)]
pub struct Written(Mutex<HashMap<(String, String), Objects>>);

type Objects = HashMap<(&'static str, String), Last>;

/// What applying an object made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Last {
    /// Fingerprint of what was applied.
    pub wish: String,
    /// The version that Kubernetes gave it.
    pub resource_version: String,
}

impl Written {
    /// Whether applying this again would change nothing.
    pub fn is_last(
        &self,
        namespace: &str,
        cluster: &str,
        kind: &'static str,
        name: &str,
        last: &Last,
    ) -> bool {
        let all = self.0.lock();
        let objects = all.get(&(namespace.to_owned(), cluster.to_owned()));
        objects.and_then(|objects| objects.get(&(kind, name.to_owned()))) == Some(last)
    }

    /// This is what there is now.
    pub fn note(&self, namespace: &str, cluster: &str, kind: &'static str, name: &str, last: Last) {
        let mut all = self.0.lock();
        let objects = all.entry((namespace.to_owned(), cluster.to_owned())).or_default();
        objects.insert((kind, name.to_owned()), last);
    }

    /// The cluster has these objects alone.
    pub fn retain(&self, namespace: &str, cluster: &str, is_its: impl Fn(&'static str, &str) -> bool) {
        if let Some(objects) = self.0.lock().get_mut(&(namespace.to_owned(), cluster.to_owned())) {
            objects.retain(|(kind, name), _| is_its(kind, name));
        }
    }

    /// The cluster is gone.
    pub fn forget(&self, namespace: &str, cluster: &str) {
        self.0.lock().remove(&(namespace.to_owned(), cluster.to_owned()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last(wish: &str, version: &str) -> Last {
        Last { wish: wish.into(), resource_version: version.into() }
    }

    #[test]
    fn only_the_same_text_on_the_same_version_is_left_out() {
        let written = Written::default();
        let is_last = |last: &Last| written.is_last("prod", "shop", "Service", "shop", last);
        assert!(!is_last(&last("a", "1")));
        written.note("prod", "shop", "Service", "shop", last("a", "1"));
        assert!(is_last(&last("a", "1")));
        assert!(!is_last(&last("b", "1")), "another wish");
        assert!(!is_last(&last("a", "2")), "somebody else wrote");
        assert!(!written.is_last("prod", "other", "Service", "shop", &last("a", "1")));
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let written = Written::default();
        let is_known = |name: &str| written.is_last("prod", "shop", "Service", name, &last("a", "1"));
        for name in ["shop", "shop-g1"] {
            written.note("prod", "shop", "Service", name, last("a", "1"));
        }
        written.retain("prod", "shop", |kind, name| (kind, name) == ("Service", "shop"));
        assert!(is_known("shop") && !is_known("shop-g1"));
        written.forget("prod", "shop");
        assert!(!is_known("shop"));
    }
}
