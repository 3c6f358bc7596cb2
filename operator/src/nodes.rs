//! Nodes that are being emptied: cordoned, or with a taint that drives pods away.
//!
//! ```text
//!   watch of Nodes ──► what empties them ──► observe: members on them must not lead
//!                           │ changed
//!                           └──► pods on that node ──► their clusters are looked at
//! ```
//!
//! Promise: a heartbeat of a node wakes nobody; a node that begins or ends to be emptied wakes the clusters that have a
//! broker on it, and no others. As long as nodes were not all read once, nothing is said about any.
//! Limit: needs the right to watch nodes; without it leaders move only when their pods are told to stop.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{Stream, StreamExt, stream};
use k8s_openapi::api::core::v1::{Node, Pod, Taint, Toleration};
use kube::api::{Api, ListParams, PartialObjectMeta};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use kube::{Client, ResourceExt};
use parking_lot::RwLock;
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::children::BROKER_PODS;
use crate::context::{Context, Scope};
use crate::kubernetes::within;

/// Changes that wait for whoever looks at clusters; of more the oldest are left to the next look at everything.
const CHANGES_MAX: usize = 1024;
/// Taints of what removes nodes: they announce it, and let pods run until they are evicted.
const REMOVALS: [&str; 3] =
    ["ToBeDeletedByClusterAutoscaler", "karpenter.sh/disrupted", "karpenter.sh/disruption"];

/// The nodes that are being emptied.
#[derive(Debug)]
pub struct Nodes {
    /// None: not all nodes were read yet.
    emptied: RwLock<Option<BTreeMap<String, Emptied>>>,
    changes: broadcast::Sender<String>,
}

/// What drives pods away from a node.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Emptied {
    /// It takes no new pods: whoever cordons a node drains it next.
    cordoned: bool,
    /// Pods that do not tolerate these for ever have to go.
    taints: Vec<Taint>,
}

impl Emptied {
    /// What empties a node; none: nothing does.
    pub fn of(node: &Node) -> Option<Self> {
        let spec = node.spec.as_ref()?;
        let evicts = |taint: &&Taint| taint.effect == "NoExecute" || REMOVALS.contains(&taint.key.as_str());
        let emptied = Self {
            cordoned: spec.unschedulable.unwrap_or(false),
            taints: spec.taints.iter().flatten().filter(evicts).cloned().collect(),
        };
        (emptied != Self::default()).then_some(emptied)
    }

    /// Whether a pod with these tolerations has to leave the node.
    pub fn drives_away(&self, tolerations: &[Toleration]) -> bool {
        let stays = |taint: &Taint| tolerations.iter().any(|toleration| tolerates(toleration, taint));
        self.cordoned || !self.taints.iter().all(stays)
    }
}

/// Whether a pod with this toleration may stay for ever.
fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let is_any = |text: Option<&str>| text.is_none_or(str::is_empty);
    let exists = toleration.operator.as_deref() == Some("Exists");
    let (key, value) = (toleration.key.as_deref(), toleration.value.as_deref().unwrap_or_default());
    let fits_key = if is_any(key) { exists } else { key == Some(&taint.key) };
    let fits_value = exists || value == taint.value.as_deref().unwrap_or_default();
    let effect = toleration.effect.as_deref();
    let fits_effect = is_any(effect) || effect == Some(&taint.effect);
    fits_key && fits_value && fits_effect && toleration.toleration_seconds.is_none()
}

impl Default for Nodes {
    fn default() -> Self {
        Self { emptied: RwLock::new(None), changes: broadcast::Sender::new(CHANGES_MAX) }
    }
}

impl Nodes {
    /// The nodes that are being emptied; none: not known.
    pub fn emptied(&self) -> Option<BTreeMap<String, Emptied>> {
        self.emptied.read().clone()
    }

    /// Takes in a look at all nodes.
    fn replace(&self, all: BTreeMap<String, Emptied>) {
        let mut held = self.emptied.write();
        let old = held.take().unwrap_or_default();
        let names: BTreeSet<&String> = old.keys().chain(all.keys()).collect();
        let is_other = |name: &&String| old.get(*name) != all.get(*name);
        let others: Vec<String> = names.into_iter().filter(is_other).cloned().collect();
        *held = Some(all);
        drop(held);
        for name in &others {
            self.tell(name);
        }
    }

    /// Takes in one node as it is now.
    fn update(&self, name: &str, emptied: Option<Emptied>) {
        let mut held = self.emptied.write();
        let Some(all) = held.as_mut() else { return };
        let is_other = all.get(name) != emptied.as_ref();
        match emptied {
            Some(emptied) => all.insert(name.to_owned(), emptied),
            None => all.remove(name),
        };
        drop(held);
        if is_other {
            self.tell(name);
        }
    }

    fn tell(&self, name: &str) {
        info!(node = name, "begins or ends to be emptied");
        // Nobody listens while no scope is watched.
        let _ = self.changes.send(name.to_owned());
    }
}

/// Watches nodes until told to stop.
pub async fn run(nodes: &Nodes, client: &Client, stop: CancellationToken) {
    // With backoff: without the right to watch nodes this is one refused call every now and then.
    let events = watch(Api::<Node>::all(client.clone()), watcher::Config::default()).default_backoff();
    let mut events = Box::pin(events.take_until(stop.cancelled_owned()));
    let (mut gathered, mut is_said) = (BTreeMap::new(), false);
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => gathered.clear(),
            Ok(Event::InitApply(node)) => {
                gathered.extend(Emptied::of(&node).map(|emptied| (node.name_any(), emptied)));
            }
            Ok(Event::InitDone) => nodes.replace(std::mem::take(&mut gathered)),
            Ok(Event::Apply(node)) => nodes.update(&node.name_any(), Emptied::of(&node)),
            Ok(Event::Delete(node)) => nodes.update(&node.name_any(), None),
            Err(error) if is_said => debug!(%error, "watch of nodes"),
            Err(error) => {
                is_said = true;
                warn!(%error, "nodes cannot be watched: leaders do not move before a drain evicts them");
            }
        }
    }
}

/// The brokers of a scope on nodes that begin or end to be emptied.
pub fn brokers_on_changed<A: Send + Sync + 'static>(
    context: Arc<Context<A>>,
    scope: Scope,
) -> impl Stream<Item = Result<PartialObjectMeta<Pod>, watcher::Error>> + Send + 'static {
    let receiver = context.nodes.changes.subscribe();
    let names = stream::unfold(receiver, |mut receiver| async move {
        loop {
            match receiver.recv().await {
                Ok(name) => return Some((name, receiver)),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    warn!(missed, "changes of nodes wait for the next look at every cluster");
                }
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    });
    names
        .then(move |node| {
            let api = scope.api::<Pod>(&context.client);
            async move {
                let params =
                    ListParams::default().labels(BROKER_PODS).fields(&format!("spec.nodeName={node}"));
                match within(api.list_metadata(&params)).await {
                    Ok(pods) => pods.items,
                    Err(error) => {
                        warn!(node, %error, "brokers of a node wait for the next look at every cluster");
                        Vec::new()
                    }
                }
            }
        })
        .flat_map(|pods| stream::iter(pods.into_iter().map(Ok)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(spec: &serde_json::Value) -> Node {
        serde_json::from_value(json!({ "metadata": { "name": "n1" }, "spec": spec })).unwrap()
    }

    fn tainted(key: &str, effect: &str) -> Node {
        node(&json!({ "taints": [{ "key": key, "value": "v", "effect": effect }] }))
    }

    fn toleration(all: &serde_json::Value) -> Vec<Toleration> {
        vec![serde_json::from_value(all.clone()).unwrap()]
    }

    #[test]
    fn a_node_is_emptied_when_it_is_cordoned_or_drives_pods_away() {
        assert_eq!(Emptied::of(&node(&json!({}))), None);
        assert_eq!(Emptied::of(&tainted("dedicated", "NoSchedule")), None, "its pods stay");
        assert!(Emptied::of(&node(&json!({ "unschedulable": true }))).unwrap().drives_away(&[]));
        for (key, effect) in [
            ("node.kubernetes.io/unreachable", "NoExecute"),
            ("node.kubernetes.io/out-of-service", "NoExecute"),
            ("ToBeDeletedByClusterAutoscaler", "NoSchedule"),
            ("karpenter.sh/disrupted", "NoSchedule"),
        ] {
            assert!(Emptied::of(&tainted(key, effect)).unwrap().drives_away(&[]), "{key}");
        }
    }

    #[test]
    fn a_pod_that_tolerates_a_taint_for_ever_stays() {
        let emptied = Emptied::of(&tainted("dedicated", "NoExecute")).unwrap();
        for stays in [
            json!({ "operator": "Exists" }),
            json!({ "key": "dedicated", "operator": "Exists" }),
            json!({ "key": "dedicated", "value": "v", "effect": "NoExecute" }),
        ] {
            assert!(!emptied.drives_away(&toleration(&stays)), "{stays}");
        }
        for goes in [
            json!({ "key": "dedicated", "value": "other" }),
            json!({ "key": "other", "operator": "Exists" }),
            json!({ "key": "dedicated", "operator": "Exists", "effect": "NoSchedule" }),
            // As Kubernetes adds it to every pod for nodes that are not ready.
            json!({ "key": "dedicated", "operator": "Exists", "tolerationSeconds": 300 }),
        ] {
            assert!(emptied.drives_away(&toleration(&goes)), "{goes}");
        }
        let cordoned = Emptied::of(&node(&json!({ "unschedulable": true }))).unwrap();
        assert!(cordoned.drives_away(&toleration(&json!({ "operator": "Exists" }))), "a drain evicts it");
    }

    #[test]
    fn only_a_node_that_begins_or_ends_to_be_emptied_is_told() {
        let nodes = Nodes::default();
        let mut told = nodes.changes.subscribe();
        let mut names = || std::iter::from_fn(|| told.try_recv().ok()).collect::<Vec<_>>();
        let cordoned = || Emptied::of(&node(&json!({ "unschedulable": true })));
        nodes.update("n1", cordoned());
        assert_eq!((nodes.emptied(), names()), (None, vec![]), "others may be emptied as well");
        nodes.replace(BTreeMap::from([("n1".to_owned(), cordoned().unwrap())]));
        assert_eq!(names(), ["n1"]);
        nodes.update("n1", cordoned());
        nodes.update("n2", None);
        assert_eq!(names(), Vec::<String>::new(), "heartbeats");
        nodes.update("n2", cordoned());
        nodes.update("n1", None);
        assert_eq!(names(), ["n2", "n1"]);
        nodes.replace(BTreeMap::new());
        assert_eq!((names(), nodes.emptied()), (vec!["n2".to_owned()], Some(BTreeMap::new())));
    }
}
