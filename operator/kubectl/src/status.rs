//! `status`: what the operator says about clusters, and nothing that it does not say.

use std::fmt::Write;

use crds::BrokerCluster;
use crds::broker_cluster::{BrokerClusterStatus, GroupStatus, Leaving};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::ListParams;
use kube::{Api, ResourceExt};

use crate::cli;
use crate::condition;
use crate::error::Failure;
use crate::kubernetes::Kubernetes;
use crate::table::Table;

/// The conditions that say whether anybody has to do anything.
const SHOWN: [&str; 3] = ["Ready", "DataSafe", "Stalled"];

/// One cluster with its groups, or a line for each.
pub(crate) async fn report(kubernetes: &Kubernetes, args: &cli::Status) -> Result<String, Failure> {
    if let Some(name) = &args.cluster {
        return Ok(one(&kubernetes.cluster(name).await?));
    }
    let api: Api<BrokerCluster> =
        if args.all_namespaces { Api::all(kubernetes.client.clone()) } else { kubernetes.api() };
    let clusters = match api.list(&ListParams::default()).await {
        Ok(list) => list.items,
        Err(kube::Error::Api(status)) if status.is_not_found() => {
            return Err(Failure::NotInstalled { plural: "brokerclusters".to_owned() });
        }
        Err(error) => return Err(Failure::of("list brokerclusters", error)),
    };
    if clusters.is_empty() {
        let place = if args.all_namespaces { "any namespace" } else { &kubernetes.namespace };
        eprintln!("no cluster in {place}");
        return Ok(String::new());
    }
    Ok(all(&clusters, args.all_namespaces))
}

fn all(clusters: &[BrokerCluster], with_namespace: bool) -> String {
    let titles = ["NAMESPACE", "NAME", "STATE", "GROUPS", "IN-SYNC", "READY", "SAFE", "STALLED", "MESSAGE"];
    let skipped = usize::from(!with_namespace);
    let mut table = Table::new(&titles[skipped..]);
    for cluster in clusters {
        let status = cluster.status.clone().unwrap_or_default();
        let word = |kind| word(&status.conditions, kind);
        let worst = SHOWN
            .iter()
            .filter_map(|kind| condition::status(&status.conditions, kind))
            .find(|found| !condition::is_good(found));
        let told = worst.or_else(|| condition::status(&status.conditions, "Ready"));
        let cells = [
            cluster.namespace().unwrap_or_default(),
            cluster.name_any(),
            format!("{:?}", status.state),
            status.ready.clone(),
            status.in_sync.clone(),
            word("Ready"),
            word("DataSafe"),
            word("Stalled"),
            told.map(|condition| condition.message.clone()).unwrap_or_default(),
        ];
        table.row(cells.into_iter().skip(skipped));
    }
    table.text()
}

fn word(conditions: &[Condition], kind: &str) -> String {
    condition::status(conditions, kind).map(|condition| condition.status.clone()).unwrap_or_default()
}

fn one(cluster: &BrokerCluster) -> String {
    let status = cluster.status.clone().unwrap_or_default();
    let mut text = format!("{}: {:?}", cluster.name_any(), status.state);
    if let Some(endpoint) = &status.endpoint {
        let _ = write!(text, ", clients at {endpoint}");
    }
    text.push('\n');
    if status.observed_generation != cluster.metadata.generation {
        text.push_str("the operator has not come to the last change of the spec yet; what follows is about the one before\n");
    }
    text.push('\n');
    let mut conditions = Table::new(&["CONDITION", "STATUS", "REASON", "MESSAGE"]);
    for kind in SHOWN {
        let found = condition::status(&status.conditions, kind);
        let cell = |part: fn(&Condition) -> &String| found.map(part).cloned().unwrap_or_default();
        conditions.row([kind.to_owned(), cell(|c| &c.status), cell(|c| &c.reason), cell(|c| &c.message)]);
    }
    text.push_str(&conditions.text());
    text.push('\n');
    text.push_str(&groups(cluster.spec.copies(), &status));
    if SHOWN
        .iter()
        .any(|kind| condition::status(&status.conditions, kind).is_none_or(|c| !condition::is_good(c)))
    {
        let _ = writeln!(text, "\nwhat to do: kubectl millpond explain brokercluster {}", cluster.name_any());
    }
    text
}

fn groups(copies: u32, status: &BrokerClusterStatus) -> String {
    let mut table =
        Table::new(&["GROUP", "STATE", "LEADER", "EPOCH", "IN-SYNC", "COPIES", "CATCHING-UP", "LEAVING"]);
    for group in &status.group_status {
        table.row([
            group.name.clone(),
            if group.joining.is_some() { format!("{} (joining)", group.state) } else { group.state.clone() },
            group.leader.clone().unwrap_or_default(),
            group.epoch.map(|epoch| epoch.to_string()).unwrap_or_default(),
            group.in_sync.len().to_string(),
            copies.to_string(),
            catching_up(group),
            group.leaving.as_ref().map(leaving).unwrap_or_default(),
        ]);
    }
    table.text()
}

fn catching_up(group: &GroupStatus) -> String {
    let behind = |pod: &String| match group.lag.iter().find(|lag| lag.pod == *pod) {
        Some(lag) => format!("{pod} ({} bytes behind)", lag.bytes),
        None => pod.clone(),
    };
    group.learning.iter().map(behind).collect::<Vec<_>>().join(", ")
}

fn leaving(leaving: &Leaving) -> String {
    let mut text = format!("{:?} since {}", leaving.phase, leaving.phase_since.0);
    if !leaving.message.is_empty() {
        let _ = write!(text, ": {}", leaving.message);
    } else if let Some(remaining) = leaving.remaining {
        let _ = write!(text, ": {remaining} messages left");
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{api, expect, refuse};

    fn shop() -> Value {
        let condition = |kind: &str, status: &str, reason: &str, message: &str| {
            json!({"type": kind, "status": status, "reason": reason, "message": message,
                "lastTransitionTime": "2026-11-22T12:00:00Z"})
        };
        json!({
            "apiVersion": "millpond.io/v1alpha1", "kind": "BrokerCluster",
            "metadata": {"name": "shop", "namespace": "mq", "generation": 3},
            "spec": {"groups": 1, "copies": 3, "storage": {"size": "1Gi"}},
            "status": {
                "observedGeneration": 3, "state": "Degraded", "groups": 2, "groupsReady": 2, "ready": "2/2",
                "inSync": "2/3", "endpoint": "shop.mq.svc:8081",
                "groupStatus": [
                    {"name": "g0", "state": "serving", "endpoint": "", "leader": "shop-g0-1", "epoch": 7,
                        "inSync": ["shop-g0-0", "shop-g0-1"], "learning": ["shop-g0-2"],
                        "lag": [{"pod": "shop-g0-2", "bytes": 4096}]},
                    {"name": "g1", "state": "serving", "endpoint": "", "leader": "shop-g1-0", "epoch": 2,
                        "inSync": ["shop-g1-0", "shop-g1-1", "shop-g1-2"], "leaving": {
                            "phase": "Draining", "since": "2026-11-22T11:00:00Z",
                            "phaseSince": "2026-11-22T11:30:00Z", "remaining": 12,
                            "message": "12 messages wait: orders for billing 12"}},
                ],
                "conditions": [
                    condition("DataSafe", "False", "CopiesMissing", "g0: shop-g0-2 catches up"),
                    condition("Ready", "True", "Serving", "all groups serve"),
                    condition("Stalled", "False", "Working", "nothing waits for a person"),
                ],
            },
        })
    }

    fn cluster(value: Value) -> BrokerCluster {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn one_cluster_is_shown_with_its_conditions_and_groups() {
        let expected = "\
shop: Degraded, clients at shop.mq.svc:8081

CONDITION  STATUS  REASON         MESSAGE
Ready      True    Serving        all groups serve
DataSafe   False   CopiesMissing  g0: shop-g0-2 catches up
Stalled    False   Working        nothing waits for a person

GROUP  STATE    LEADER     EPOCH  IN-SYNC  COPIES  CATCHING-UP                    LEAVING
g0     serving  shop-g0-1  7      2        3       shop-g0-2 (4096 bytes behind)  -
g1     serving  shop-g1-0  2      3        3       -                              Draining since 2026-11-22T11:30:00Z: 12 messages wait: orders for billing 12

what to do: kubectl millpond explain brokercluster shop
";
        assert_eq!(one(&cluster(shop())), expected);
    }

    #[test]
    fn a_group_that_clients_are_not_sent_to_yet_is_marked() {
        let mut value = shop();
        value["status"]["groupStatus"][1]["joining"] = json!("2026-11-22T12:00:00Z");
        let text = one(&cluster(value));
        assert_eq!(text.matches("(joining)").count(), 1, "{text}");
        assert!(text.contains("g1     serving (joining)"), "{text}");
    }

    #[test]
    fn a_change_that_the_operator_has_not_seen_is_said() {
        let mut value = shop();
        value["metadata"]["generation"] = json!(4);
        assert!(one(&cluster(value)).contains("has not come to the last change"));
        assert!(!one(&cluster(shop())).contains("has not come to the last change"));
    }

    #[test]
    fn of_many_clusters_the_message_is_that_of_the_worst_condition() {
        let mut young = shop();
        young["metadata"]["name"] = json!("young");
        young["status"] = Value::Null;
        let clusters = [cluster(shop()), cluster(young)];
        let expected = "\
NAME   STATE     GROUPS  IN-SYNC  READY  SAFE   STALLED  MESSAGE
shop   Degraded  2/2     2/3      True   False  False    g0: shop-g0-2 catches up
young  Starting  -       -        -      -      -        -
";
        assert_eq!(all(&clusters, false), expected);
        assert!(all(&clusters, true).starts_with("NAMESPACE  NAME "), "{}", all(&clusters, true));
    }

    #[tokio::test]
    async fn all_namespaces_are_asked_when_that_is_wanted() {
        const ALL: &str = "GET /apis/millpond.io/v1alpha1/brokerclusters";
        const MQ: &str = "GET /apis/millpond.io/v1alpha1/namespaces/mq/brokerclusters";
        let list = json!({"kind": "BrokerClusterList", "apiVersion": "millpond.io/v1alpha1", "metadata": {},
            "items": [shop()]});
        let (client, server) =
            api(vec![expect(ALL, list.clone()), expect(MQ, list), refuse(MQ, 404, "NotFound")]);
        let kubernetes = Kubernetes { client, namespace: "mq".to_owned() };
        let everywhere = cli::Status { cluster: None, all_namespaces: true };
        assert!(report(&kubernetes, &everywhere).await.unwrap().contains("mq         shop"));
        assert!(report(&kubernetes, &cli::Status::default()).await.unwrap().starts_with("NAME "));
        let missing = report(&kubernetes, &cli::Status::default()).await.unwrap_err();
        assert!(matches!(missing, Failure::NotInstalled { .. }), "{missing}");
        drop(kubernetes);
        server.await.unwrap();
    }
}
