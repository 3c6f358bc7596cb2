//! Names of exported objects: what clients call it is not always what Kubernetes takes.
//!
//! ```text
//!   made by Kubernetes:  owner `web/orders-v1`        ──► the same again
//!   `orders`:            a name in Kubernetes as well ──► `orders`
//!   `Orders_v1`:         no such name                 ──► `orders-v1-` and a number made of all of it
//! ```
//!
//! Promise: no two have the same name and namespace; the same name gives the same result each time, whatever else there is, unless
//! another object took it first.

use std::collections::BTreeSet;

/// As long as names of topics may be without `spec.name`; of the longer ones this much is kept.
const NAME_LEN_MAX: usize = 127;

/// Where an object is in Kubernetes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    /// Its `metadata.name`.
    pub(crate) name: String,
    /// Its namespace, when it is not the cluster's.
    pub(crate) namespace: Option<String>,
}

/// A name and namespace for each pair of a name for clients and an owner.
pub(crate) fn assign(items: &[(&str, &str)], cluster_namespace: &str) -> Vec<Key> {
    let mut taken: BTreeSet<Key> = BTreeSet::new();
    // Those that exist come first: nobody else may have their names.
    let owned: Vec<Option<Key>> = items
        .iter()
        .map(|(_, owner)| key_of(owner, cluster_namespace).filter(|key| taken.insert(key.clone())))
        .collect();
    items
        .iter()
        .zip(owned)
        .map(|((name, _), owned)| {
            owned.unwrap_or_else(|| {
                let plain = Key { name: (*name).to_owned(), namespace: None };
                let key = if is_plain(name) && !taken.contains(&plain) {
                    plain
                } else {
                    Key { name: derived(name), namespace: None }
                };
                taken.insert(key.clone());
                key
            })
        })
        .collect()
}

/// The object that an owner names; none: nobody, or nothing in Kubernetes.
fn key_of(owner: &str, cluster_namespace: &str) -> Option<Key> {
    let (namespace, name) = owner.split_once('/')?;
    let is_name = name.len() <= 253 && name.split('.').all(is_plain);
    let elsewhere = (namespace != cluster_namespace).then(|| namespace.to_owned());
    (is_name && is_plain(namespace)).then(|| Key { name: name.to_owned(), namespace: elsewhere })
}

/// Whether `metadata.name` can be this, and stand for the name of the topic or group as well.
pub(crate) fn is_plain(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=NAME_LEN_MAX).contains(&name.len())
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// What is left of a name, and a number made of all of it, so that names that look alike do not meet.
fn derived(name: &str) -> String {
    let small: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .take(NAME_LEN_MAX - 9)
        .collect();
    let number = fnv1a(name.as_bytes());
    match small.trim_matches('-') {
        "" => format!("x-{number:08x}"),
        small => format!("{small}-{number:08x}"),
    }
}

/// FNV-1a: the same on every machine and in every version.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(items: &[(&str, &str)]) -> Vec<String> {
        let text = |key: Key| {
            key.namespace.map_or_else(|| key.name.clone(), |namespace| format!("{namespace}/{}", key.name))
        };
        assign(items, "mq").into_iter().map(text).collect()
    }

    #[test]
    fn a_name_that_kubernetes_takes_stays() {
        assert_eq!(names(&[("orders", ""), ("7up", "")]), ["orders", "7up"]);
    }

    #[test]
    fn names_that_only_look_alike_stay_apart_and_are_names() {
        let long = "L".repeat(127);
        let given = ["Orders_1", "orders_1", "orders-1-", "_", "__", &long];
        let pairs: Vec<_> = given.iter().map(|name| (*name, "")).collect();
        let made = names(&pairs);
        assert_eq!(made.iter().collect::<BTreeSet<_>>().len(), given.len(), "{made:?}");
        assert!(made.iter().all(|name| is_plain(name)), "{made:?}");
        assert_eq!(made[..2], ["orders-1-26b08e48", "orders-1-ab036768"]);
    }

    #[test]
    fn what_kubernetes_made_keeps_its_place() {
        let items = [("Orders", "mq/orders"), ("orders", ""), ("bills", "web/bills.v1"), ("x", "folder")];
        assert_eq!(names(&items), ["orders", &derived("orders"), "web/bills.v1", "x"]);
    }
}
