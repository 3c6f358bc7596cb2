//! How many clusters restart brokers that serve at the same time. Kept in one object of Kubernetes, so that an operator that
//! takes over goes on with it.
//!
//! ```text
//!   Lease `millpond-operator-rollouts`, annotation millpond.io/rollouts: ["prod/shop uid", "prod/bank uid"]
//!     before the first restart ── room ──► its name is added ──► every broker serves with the newest template ──► taken out
//!                              └─ none ──► it waits, and says for whom
//! ```
//!
//! Promise: never more than `max` clusters at once, whoever leads: each change of the list names the version that it is based
//! on. A cluster that is gone or paused gives its place away. One whose roll-out has halted keeps it: what broke one cluster
//! does not go on to the next ones.
//! Limit: a lower `max` lets those that are under way go on.

use std::collections::{BTreeMap, BTreeSet};

use crds::BrokerCluster;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, PostParams};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;

use crate::kubernetes::{CallError, MANAGER, within};

/// Annotation with those that restart brokers.
const ROLLOUTS: &str = "millpond.io/rollouts";

/// Whether a cluster may restart a broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// It may.
    Now,
    /// These are before it.
    After(Vec<String>),
}

/// The list of those that restart brokers.
pub struct Fleet {
    client: Client,
    namespace: String,
    name: String,
    max: usize,
    /// What the list was when it was read last; none: never.
    known: Mutex<Option<BTreeSet<String>>>,
}

impl Fleet {
    /// At most `max` at the same time, by a Lease of this namespace and name.
    pub fn new(client: Client, namespace: &str, name: &str, max: usize) -> Self {
        Self { client, namespace: namespace.to_owned(), name: name.to_owned(), max, known: Mutex::default() }
    }

    /// Asks for a place, and keeps it until [`Fleet::leave`].
    pub async fn enter(&self, cluster: &BrokerCluster, now: Timestamp) -> Result<Turn, CallError> {
        let place = place(cluster);
        let (found, mut all) = self.read().await?;
        if all.contains(&place) {
            return Ok(Turn::Now);
        }
        if all.len() >= self.max {
            let before = all.len();
            for other in all.clone() {
                if !self.needs(&other, now).await? {
                    all.remove(&other);
                }
            }
            if all.len() >= self.max {
                if all.len() < before {
                    self.write(found, &all).await?;
                }
                return Ok(Turn::After(all.iter().map(|other| key(other).to_owned()).collect()));
            }
        }
        all.insert(place);
        self.write(found, &all).await?;
        Ok(Turn::Now)
    }

    /// Gives the place back, if the cluster has one. Reads the list once in the life of this process, or when somebody waited.
    pub async fn leave(&self, cluster: &BrokerCluster) -> Result<(), CallError> {
        let place = place(cluster);
        let is_known_to_have_none = self.known.lock().as_ref().is_some_and(|known| !known.contains(&place));
        if is_known_to_have_none {
            return Ok(());
        }
        let (found, mut all) = self.read().await?;
        if all.remove(&place) { self.write(found, &all).await } else { Ok(()) }
    }

    async fn read(&self) -> Result<(Option<Lease>, BTreeSet<String>), CallError> {
        let found = within(self.leases().get_opt(&self.name)).await?;
        let text = found.as_ref().and_then(|lease| lease.annotations().get(ROLLOUTS));
        // A list that somebody made unreadable is begun anew.
        let all: BTreeSet<String> = text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
        *self.known.lock() = Some(all.clone());
        Ok((found, all))
    }

    async fn write(&self, found: Option<Lease>, all: &BTreeSet<String>) -> Result<(), CallError> {
        let text = serde_json::to_string(all).unwrap_or_default();
        let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        if let Some(mut lease) = found {
            lease.annotations_mut().insert(ROLLOUTS.to_owned(), text);
            within(self.leases().replace(&self.name, &params, &lease)).await?;
        } else {
            let metadata = ObjectMeta {
                name: Some(self.name.clone()),
                annotations: Some(BTreeMap::from([(ROLLOUTS.to_owned(), text)])),
                ..ObjectMeta::default()
            };
            within(self.leases().create(&params, &Lease { metadata, ..Lease::default() })).await?;
        }
        *self.known.lock() = Some(all.clone());
        Ok(())
    }

    /// Whether the cluster of a place is there, the same one, and worked on.
    async fn needs(&self, other: &str, now: Timestamp) -> Result<bool, CallError> {
        let Some((namespace, name)) = key(other).split_once('/') else { return Ok(false) };
        let clusters: Api<BrokerCluster> = Api::namespaced(self.client.clone(), namespace);
        let found = within(clusters.get_opt(name)).await?;
        Ok(found.is_some_and(|found| place(&found) == other && !found.spec.is_paused(now)))
    }

    fn leases(&self) -> Api<Lease> {
        Api::namespaced(self.client.clone(), &self.namespace)
    }
}

/// `namespace/name uid`: another cluster of the same name is another one.
fn place(cluster: &BrokerCluster) -> String {
    let uid = cluster.uid().unwrap_or_default();
    format!("{}/{} {uid}", cluster.namespace().unwrap_or_default(), cluster.name_any())
}

fn key(place: &str) -> &str {
    place.split(' ').next().unwrap_or(place)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{Expected, Sent, api, expect, noon, refuse};

    const GET: &str = "GET /apis/coordination.k8s.io/v1/namespaces/mq/leases/rollouts";
    const PUT: &str = "PUT /apis/coordination.k8s.io/v1/namespaces/mq/leases/rollouts";
    const POST: &str = "POST /apis/coordination.k8s.io/v1/namespaces/mq/leases";
    const BANK: &str = "GET /apis/millpond.io/v1alpha1/namespaces/prod/brokerclusters/bank";

    fn cluster(name: &str, spec: &Value) -> Value {
        json!({
            "apiVersion": "millpond.io/v1alpha1", "kind": "BrokerCluster",
            "metadata": { "name": name, "namespace": "prod", "uid": format!("uid-{name}") }, "spec": spec,
        })
    }

    fn shop() -> BrokerCluster {
        serde_json::from_value(cluster("shop", &spec())).unwrap()
    }

    fn spec() -> Value {
        json!({ "storage": { "size": "1Gi" } })
    }

    fn list(places: &[&str]) -> Value {
        let text = serde_json::to_string(places).unwrap();
        json!({ "metadata": { "name": "rollouts", "resourceVersion": "7", "annotations": { ROLLOUTS: text } } })
    }

    /// What `shop` is told, and what was sent.
    async fn enters(max: usize, expected: Vec<Expected>) -> (Turn, Sent) {
        let (client, server) = api(expected);
        let fleet = Fleet::new(client, "mq", "rollouts", max);
        let turn = fleet.enter(&shop(), noon()).await.unwrap();
        drop(fleet);
        (turn, server.await.unwrap())
    }

    fn written(sent: &Sent) -> Vec<String> {
        let (_, body) = sent.iter().find(|(line, _)| !line.starts_with("GET")).unwrap();
        serde_json::from_str(body["metadata"]["annotations"][ROLLOUTS].as_str().unwrap()).unwrap()
    }

    #[tokio::test]
    async fn the_first_one_makes_the_list() {
        let expected = vec![refuse(GET, 404, "NotFound"), expect(POST, list(&[]))];
        let (turn, sent) = enters(1, expected).await;
        assert_eq!((turn, written(&sent)), (Turn::Now, vec!["prod/shop uid-shop".to_owned()]));
    }

    #[tokio::test]
    async fn who_has_a_place_goes_on() {
        let (turn, _) = enters(1, vec![expect(GET, list(&["prod/shop uid-shop"]))]).await;
        assert_eq!(turn, Turn::Now);
    }

    #[tokio::test]
    async fn who_finds_no_room_waits_and_a_place_more_is_room() {
        let full = || expect(GET, list(&["prod/bank uid-bank"]));
        let (turn, _) = enters(1, vec![full(), expect(BANK, cluster("bank", &spec()))]).await;
        assert_eq!(turn, Turn::After(vec!["prod/bank".into()]));
        let (turn, sent) = enters(2, vec![full(), expect(PUT, list(&[]))]).await;
        assert_eq!((turn, written(&sent).len()), (Turn::Now, 2));
        let (_, body) = sent.last().unwrap();
        assert_eq!(body["metadata"]["resourceVersion"], "7", "based on what was read");
    }

    #[tokio::test]
    async fn who_is_gone_or_paused_or_another_one_gives_its_place_away() {
        let paused = json!({ "storage": { "size": "1Gi" }, "reconciliation": "Paused" });
        let mut another = cluster("bank", &spec());
        another["metadata"]["uid"] = json!("uid-of-another");
        for bank in
            [refuse(BANK, 404, "NotFound"), expect(BANK, cluster("bank", &paused)), expect(BANK, another)]
        {
            let expected = vec![expect(GET, list(&["prod/bank uid-bank"])), bank, expect(PUT, list(&[]))];
            let (turn, sent) = enters(1, expected).await;
            assert_eq!((turn, written(&sent)), (Turn::Now, vec!["prod/shop uid-shop".to_owned()]));
        }
    }

    #[tokio::test]
    async fn a_place_is_given_back_once_and_without_one_the_list_is_read_once() {
        let (client, server) = api(vec![
            expect(GET, list(&["prod/bank uid-bank", "prod/shop uid-shop"])),
            expect(PUT, list(&["prod/bank uid-bank"])),
        ]);
        let fleet = Fleet::new(client, "mq", "rollouts", 2);
        fleet.leave(&shop()).await.unwrap();
        fleet.leave(&shop()).await.unwrap();
        drop(fleet);
        assert_eq!(written(&server.await.unwrap()), ["prod/bank uid-bank"]);
    }
}
