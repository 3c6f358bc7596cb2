//! Which pod of a cluster runs a command.
//!
//! ```text
//!   pods of the cluster ──► those that are Ready ──► one that leads, then by group and number
//! ```
//!
//! Every member of a group answers: what only the leader can do is passed on to it. One that leads saves the detour.

use crds::{BrokerCluster, names};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::error::Failure;

/// Label with the group of a pod.
const GROUP_LABEL: &str = "millpond.io/group";

/// A broker's pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Broker {
    /// The number of its group.
    group: u32,
    /// Whether it does not lead: leaders sort first within their group.
    follows: bool,
    /// Its name.
    pod: String,
}

/// The pods that may run a command, in the order of preference within each group.
#[derive(Debug)]
pub(crate) struct Brokers {
    cluster: String,
    /// All names, for a message.
    names: Vec<String>,
    /// Sorted.
    ready: Vec<Broker>,
    /// The groups that the cluster has, as far as anybody knows.
    groups: Vec<u32>,
}

impl Brokers {
    /// Of the pods with the cluster's labels.
    pub(crate) fn new(cluster: &BrokerCluster, pods: &[Pod]) -> Self {
        let status = cluster.status.clone().unwrap_or_default();
        let leads = |pod: &str| status.group_status.iter().any(|group| group.leader.as_deref() == Some(pod));
        let group_of = |pod: &Pod| names::group_number(pod.labels().get(GROUP_LABEL)?);
        let mut ready: Vec<Broker> = pods
            .iter()
            .filter(|pod| is_ready(pod))
            .filter_map(|pod| {
                let name = pod.name_any();
                Some(Broker { group: group_of(pod)?, follows: !leads(&name), pod: name })
            })
            .collect();
        ready.sort();
        let told = status.group_status.iter().filter_map(|group| names::group_number(&group.name));
        let mut groups: Vec<u32> = told.chain(pods.iter().filter_map(group_of)).collect();
        groups.sort_unstable();
        groups.dedup();
        let names = pods.iter().map(ResourceExt::name_any).collect();
        Self { cluster: cluster.name_any(), names, ready, groups }
    }

    /// One that leads if there is one.
    pub(crate) fn any(&self) -> Result<&str, Failure> {
        let best = self.ready.iter().min_by_key(|broker| broker.follows);
        best.map(|broker| &*broker.pod).ok_or_else(|| self.nobody(format!("cluster `{}`", self.cluster)))
    }

    /// The one that was named, if it is of this cluster. It need not be Ready: who names it has a reason.
    pub(crate) fn named<'a>(&self, pod: &'a str) -> Result<&'a str, Failure> {
        if self.names.iter().any(|name| name == pod) {
            return Ok(pod);
        }
        let pods = if self.names.is_empty() { "none".to_owned() } else { self.names.join(", ") };
        Err(Failure::NoSuchPod { pod: pod.to_owned(), cluster: self.cluster.clone(), pods })
    }

    /// One of the group that the named pod is in.
    pub(crate) fn beside(&self, pod: &str) -> Result<&str, Failure> {
        self.named(pod)?;
        let group = self.groups.iter().find(|group| {
            let prefix = format!("{}-", names::group_object_name(&self.cluster, **group));
            pod.strip_prefix(&prefix).is_some_and(|ordinal| ordinal.bytes().all(|b| b.is_ascii_digit()))
        });
        let found = group.and_then(|group| self.of_group(*group));
        found.ok_or_else(|| self.nobody(format!("the group of `{pod}`")))
    }

    /// The name of each group of the cluster with one of its pods.
    pub(crate) fn one_of_each_group(&self) -> Result<Vec<(String, &str)>, Failure> {
        if self.groups.is_empty() {
            return Err(self.nobody(format!("cluster `{}`", self.cluster)));
        }
        let all = self.each_group().into_iter();
        all.map(|(group, pod)| match pod {
            Some(pod) => Ok((group, pod)),
            None => Err(self.nobody(format!("group `{group}`"))),
        })
        .collect()
    }

    /// The name of each group of the cluster, with one of its pods if it has one that is Ready.
    pub(crate) fn each_group(&self) -> Vec<(String, Option<&str>)> {
        self.groups.iter().map(|group| (names::group_name(*group), self.of_group(*group))).collect()
    }

    fn of_group(&self, group: u32) -> Option<&str> {
        self.ready.iter().find(|broker| broker.group == group).map(|broker| &*broker.pod)
    }

    fn nobody(&self, of: String) -> Failure {
        Failure::NoReadyPod { of, cluster: self.cluster.clone() }
    }
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    let ready =
        conditions.into_iter().flatten().any(|known| known.type_ == "Ready" && known.status == "True");
    ready && pod.metadata.deletion_timestamp.is_none()
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// `shop` in `mq`, with these leaders of its groups.
    pub(crate) fn shop(leaders: &[&str]) -> Value {
        let groups: Vec<Value> = (0..)
            .zip(leaders)
            .map(|(group, leader)| json!({"name": format!("g{group}"), "state": "serving", "leader": leader, "endpoint": ""}))
            .collect();
        json!({
            "apiVersion": "millpond.io/v1alpha1", "kind": "BrokerCluster",
            "metadata": {"name": "shop", "namespace": "mq"}, "spec": {"storage": {"size": "1Gi"}},
            "status": {"groupStatus": groups},
        })
    }

    /// A pod of `shop`.
    pub(crate) fn pod(name: &str, group: &str, ready: &str) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {"name": name, "namespace": "mq", "labels": {GROUP_LABEL: group}},
            "spec": {"containers": [{"name": "broker", "image": "millpond:1"}]},
            "status": {"conditions": [{"type": "Ready", "status": ready}]},
        })
    }

    fn brokers(leaders: &[&str], pods: &[Value]) -> Brokers {
        let cluster = serde_json::from_value(shop(leaders)).unwrap();
        let pods: Vec<Pod> = pods.iter().map(|pod| serde_json::from_value(pod.clone()).unwrap()).collect();
        Brokers::new(&cluster, &pods)
    }

    #[test]
    fn a_leader_is_taken_before_those_that_only_follow() {
        let pods =
            [pod("shop-g0-0", "g0", "True"), pod("shop-g1-0", "g1", "True"), pod("shop-g1-1", "g1", "True")];
        assert_eq!(brokers(&["shop-g0-1", "shop-g1-1"], &pods).any().unwrap(), "shop-g1-1");
        assert_eq!(brokers(&[], &pods).any().unwrap(), "shop-g0-0");
    }

    #[test]
    fn a_pod_that_is_not_ready_or_about_to_end_is_not_taken() {
        let mut ending = pod("shop-g0-1", "g0", "True");
        ending["metadata"]["deletionTimestamp"] = json!("2026-11-22T12:00:00Z");
        let pods = [pod("shop-g0-0", "g0", "False"), ending];
        let refused = brokers(&["shop-g0-0"], &pods).any().unwrap_err().to_string();
        assert_eq!(refused, "no pod of cluster `shop` is Ready; `kubectl millpond status shop` says why");
    }

    #[test]
    fn the_group_of_a_pod_is_asked_even_when_the_pod_itself_is_not_ready() {
        let pods =
            [pod("shop-g0-0", "g0", "True"), pod("shop-g1-0", "g1", "False"), pod("shop-g1-1", "g1", "True")];
        assert_eq!(brokers(&[], &pods).beside("shop-g1-0").unwrap(), "shop-g1-1");
    }

    #[test]
    fn a_pod_of_somebody_else_is_refused_with_those_that_there_are() {
        let pods = [pod("shop-g0-0", "g0", "True")];
        let refused = brokers(&[], &pods).beside("store-g0-0").unwrap_err().to_string();
        assert_eq!(refused, "`store-g0-0` is no pod of `shop`; its pods are shop-g0-0");
        assert_eq!(brokers(&[], &pods).named("shop-g0-0").unwrap(), "shop-g0-0");
    }

    #[test]
    fn each_group_is_asked_and_one_without_a_pod_is_not_left_out_silently() {
        let pods =
            [pod("shop-g0-0", "g0", "True"), pod("shop-g1-0", "g1", "True"), pod("shop-g1-1", "g1", "True")];
        let both = brokers(&["shop-g0-0", "shop-g1-1"], &pods);
        let asked = [("g0".to_owned(), "shop-g0-0"), ("g1".to_owned(), "shop-g1-1")];
        assert_eq!(both.one_of_each_group().unwrap(), asked);
        let lacking = brokers(&["shop-g0-0", "shop-g1-1"], &pods[..1]).one_of_each_group().unwrap_err();
        assert!(lacking.to_string().starts_with("no pod of group `g1` is Ready"), "{lacking}");
    }
}
