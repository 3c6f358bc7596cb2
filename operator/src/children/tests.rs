//! What the objects of a cluster promise.

mod listener;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::*;

pub(crate) fn blueprint(spec: &Value, groups: u32) -> Blueprint {
    let spec = serde_json::from_value(spec.clone()).unwrap();
    let owner = OwnerReference {
        api_version: "millpond.io/v1alpha1".into(),
        kind: "BrokerCluster".into(),
        name: "shop".into(),
        uid: "uid-shop".into(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    Blueprint {
        joining: BTreeSet::new(),
        given: BTreeMap::new(),
        smaller_disks: BTreeMap::new(),
        cluster: "shop".into(),
        namespace: "prod".into(),
        owner,
        spec,
        groups,
        running: groups,
        detours: BTreeSet::new(),
        phases: BTreeMap::new(),
        image: "millpond:1".into(),
        image_pull_policy: None,
        log_json: false,
        operator_namespace: "mq".into(),
    }
}

fn shape(claim_size: Option<&str>) -> Shape {
    Shape {
        replicas: 1,
        claim_size: claim_size.map(str::to_owned),
        management: None,
        family: Some("IPv4".to_owned()),
    }
}

fn build(spec: &Value, groups: u32) -> Vec<Child> {
    children(&blueprint(spec, groups), |_| shape(None)).unwrap()
}

fn small() -> Value {
    json!({ "storage": { "size": "10Gi" } })
}

fn object(children: &[Child], kind: &str, name: &str) -> Value {
    let child = children.iter().find(|child| child.kind() == kind && child.name() == name);
    let child = child.unwrap_or_else(|| panic!("no {kind} {name}"));
    with_object!(child, object => json!(object))
}

fn pod_template(children: &[Child], name: &str) -> Value {
    object(children, "StatefulSet", name)["spec"]["template"].clone()
}

#[test]
fn every_object_is_owned_labelled_and_named_once() {
    let children = build(&small(), 3);
    let names: BTreeSet<_> = children.iter().map(|child| (child.kind(), child.name())).collect();
    assert_eq!((names.len(), children.len()), (21, 21));
    for child in &children {
        let meta = child.metadata();
        assert_eq!(meta.namespace.as_deref(), Some("prod"));
        assert_eq!(meta.owner_references.as_ref().unwrap()[0].uid, "uid-shop");
        let labels = meta.labels.as_ref().unwrap();
        assert_eq!(labels["app.kubernetes.io/managed-by"], "millpond-operator");
        assert_eq!(labels["app.kubernetes.io/instance"], "shop");
    }
}

#[test]
fn what_a_pod_needs_comes_before_it() {
    let children = build(&small(), 2);
    let at = |kind: &str, name: &str| {
        children.iter().position(|child| child.kind() == kind && child.name() == name).unwrap()
    };
    for needed in [("ServiceAccount", "shop"), ("ConfigMap", "shop-g1"), ("Service", "shop-g1")] {
        assert!(at(needed.0, needed.1) < at("StatefulSet", "shop-g1"), "{needed:?}");
    }
}

#[test]
fn equal_clusters_make_equal_objects() {
    assert_eq!(build(&small(), 2), build(&small(), 2));
}

#[test]
fn pods_are_restricted() {
    let template = pod_template(&build(&small(), 1), "shop-g0");
    let pod = &template["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["securityContext"]["fsGroup"], 65532);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    assert_eq!(
        container["securityContext"],
        json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        })
    );
    assert_eq!(
        container["args"],
        json!(["--config", "/etc/millpond/broker.yaml", "--pod-ips=$(POD_IPS)", "--linger-ms=2000"])
    );
    assert_eq!(
        container["env"],
        json!([{ "name": "POD_IPS", "valueFrom": { "fieldRef": { "fieldPath": "status.podIPs" } } }])
    );
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(container[probe]["httpGet"]["port"], "http", "{probe}");
    }
}

#[test]
fn brokers_log_json_where_that_is_wanted() {
    let wanted = Blueprint { log_json: true, ..blueprint(&small(), 1) };
    let children = children(&wanted, |_| shape(None)).unwrap();
    let args = &pod_template(&children, "shop-g0")["spec"]["containers"][0]["args"];
    assert_eq!(args[4], "--log-json");
}

#[test]
fn each_selector_finds_its_own_pods_only() {
    let children = build(&small(), 2);
    let labels = |name: &str| pod_template(&children, name)["metadata"]["labels"].clone();
    let selects = |selector: &Value, labels: &Value| {
        selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value)
    };
    for (own, other) in [("shop-g0", "shop-g1"), ("shop-g1", "shop-g0")] {
        let set = object(&children, "StatefulSet", own)["spec"]["selector"]["matchLabels"].clone();
        let service = object(&children, "Service", own)["spec"]["selector"].clone();
        for selector in [set, service] {
            assert!(selects(&selector, &labels(own)) && !selects(&selector, &labels(other)));
        }
        assert!(selects(&object(&children, "Service", "shop")["spec"]["selector"], &labels(own)));
    }
}

#[test]
fn labels_of_the_user_are_added_and_never_win() {
    let mut spec = small();
    spec["podTemplate"] = json!({
        "labels": { "team": "a", GROUP_LABEL: "g9" }, "annotations": { CONFIG_ANNOTATION: "x", "note": "y" },
    });
    let metadata = pod_template(&build(&spec, 1), "shop-g0")["metadata"].clone();
    assert_eq!(metadata["labels"]["team"], "a");
    assert_eq!(metadata["labels"][GROUP_LABEL], "g0");
    assert_eq!(metadata["annotations"]["note"], "y");
    assert_ne!(metadata["annotations"][CONFIG_ANNOTATION], "x");
}

#[test]
fn a_broker_is_told_of_all_groups_by_their_stable_addresses() {
    let config = broker_config(&blueprint(&small(), 2), 1).unwrap();
    assert_eq!((config.cluster.as_str(), config.group.as_str()), ("shop", "g1"));
    let endpoints: Vec<_> = config.groups.iter().map(|group| group.endpoint.as_str()).collect();
    assert_eq!(endpoints, ["shop-g0-leader.prod.svc:8081", "shop-g1-leader.prod.svc:8081"]);
    assert_eq!(config.log.retention_bytes, Some((10u64 << 30) / 5 * 4));
}

#[test]
fn every_size_of_disk_makes_a_valid_configuration() {
    for size in ["64Mi", "100M", "500Mi", "1Gi", "3Gi", "10Gi", "16Ti"] {
        let config = broker_config(&blueprint(&json!({ "storage": { "size": size } }), 1), 0).unwrap();
        assert!(config.log.segment_bytes.is_power_of_two());
        assert!(config.log.retention_bytes.unwrap() / config.log.segment_bytes >= 16, "{size}");
    }
}

#[test]
fn a_log_larger_than_its_disk_is_refused_with_advice() {
    let spec = json!({ "storage": { "size": "1Gi" }, "retention": { "maxSize": "2Gi" } });
    let error = broker_config(&blueprint(&spec, 1), 0).unwrap_err().to_string();
    assert!(error.contains("lower maxSize or raise storage.size"), "{error}");
}

#[test]
fn a_pod_is_made_anew_only_for_what_it_reads_at_its_start() {
    let template = |spec: &Value| pod_template(&build(spec, 1), "shop-g0");
    let with = |key: &str, value: Value| {
        let mut spec = small();
        spec[key] = value;
        template(&spec)
    };
    let plain = template(&small());
    assert_ne!(plain, with("flush", json!("Async")));
    assert_ne!(plain, with("replication", json!("Async")));
    assert_ne!(plain, with("resources", json!({ "requests": { "cpu": 2 } })));
    for (key, value) in [
        ("deletionPolicy", json!("Delete")),
        ("allowedNamespaces", json!(["*"])),
        ("groups", json!(3)),
        ("storage", json!({ "size": "1Ti" })),
        ("retention", json!({ "maxAge": "1h", "maxSize": "1Gi" })),
        ("maxDelay", json!("40h")),
        ("transactions", json!({ "checkAfter": "1s", "maxChecks": 3 })),
        ("tracing", json!({ "otlpEndpoint": "http://collector:4317" })),
        ("rollout", json!({ "progressDeadline": "1m" })),
        ("copies", json!(3)),
        ("minInSync", json!(1)),
        ("uncleanElections", json!([{ "group": "g0", "token": "t", "epoch": 1, "ordinal": 0 }])),
        ("listeners", json!([{ "name": "public", "port": 9081, "type": "NodePort" }])),
    ] {
        assert_eq!(plain, with(key, value), "{key}");
    }
}

#[test]
fn the_claim_of_a_group_that_exists_keeps_its_size() {
    let grown = blueprint(&json!({ "storage": { "size": "20Gi" } }), 2);
    let children = children(&grown, |group| shape((group == 0).then_some("10Gi"))).unwrap();
    let size = |name: &str| {
        object(&children, "StatefulSet", name)["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]
            ["storage"]
            .clone()
    };
    assert_eq!((size("shop-g0"), size("shop-g1")), (json!("10Gi"), json!("20Gi")));
}

#[test]
fn disks_stay_unless_the_user_says_otherwise() {
    let policy = |spec: &Value| {
        let set = object(&build(spec, 1), "StatefulSet", "shop-g0");
        set["spec"]["persistentVolumeClaimRetentionPolicy"].clone()
    };
    assert_eq!(policy(&small()), json!({ "whenDeleted": "Retain", "whenScaled": "Retain" }));
    let mut spec = small();
    spec["deletionPolicy"] = json!("Delete");
    assert_eq!(policy(&spec), json!({ "whenDeleted": "Delete", "whenScaled": "Retain" }));
}

#[test]
fn brokers_may_change_the_leases_and_slices_of_their_own_groups_and_nothing_else() {
    let children = build(&small(), 2);
    let role = object(&children, "Role", "shop");
    assert_eq!(
        role["rules"],
        json!([{
            "apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "resourceNames": ["shop-g0", "shop-g1"],
            "verbs": ["get", "list", "watch", "patch"],
        }, {
            "apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"],
            "resourceNames": ["shop-g0-leader", "shop-g1-leader"], "verbs": ["get", "patch"],
        }])
    );
    let binding = object(&children, "RoleBinding", "shop");
    assert_eq!(binding["roleRef"]["name"], "shop");
    assert_eq!(
        binding["subjects"],
        json!([{ "kind": "ServiceAccount", "name": "shop", "namespace": "prod" }])
    );
    assert_eq!(pod_template(&children, "shop-g0")["spec"]["serviceAccountName"], "shop");
    assert_eq!(object(&children, "ServiceAccount", "shop")["automountServiceAccountToken"], false);
}

#[test]
fn members_find_each_other_by_names_that_stay() {
    let replication = broker_config(&blueprint(&small(), 2), 1).unwrap().replication.unwrap();
    let peers: Vec<_> = replication.members.iter().map(|member| member.peer.as_str()).collect();
    let peer = |ordinal: u32| format!("shop-g1-{ordinal}.shop-g1.prod.svc:8084");
    assert_eq!(peers, [peer(0), peer(1), peer(2)]);
    assert_eq!(replication.members[2].client, "shop-g1-2.shop-g1.prod.svc:8081");
    let lease = crds::broker_config::ArbiterConfig::Lease {
        namespace: "prod".into(),
        name: "shop-g1".into(),
        endpoint_slice: Some("shop-g1-leader".into()),
    };
    assert_eq!(replication.arbiter, lease);
    let children = build(&small(), 2);
    assert_eq!(object(&children, "StatefulSet", "shop-g1")["spec"]["serviceName"], "shop-g1");
    let service = object(&children, "Service", "shop-g1")["spec"].clone();
    assert_eq!((&service["clusterIP"], &service["publishNotReadyAddresses"]), (&json!("None"), &json!(true)));
    assert!(service["ports"].as_array().unwrap().iter().any(|port| port["name"] == "peers"));
}

#[test]
fn the_leaders_address_selects_nobody_and_leads_where_brokers_say() {
    let mut copies = small();
    copies["copies"] = json!(3);
    let (one, three) = (build(&small(), 2), build(&copies, 2));
    for kind in ["Service", "EndpointSlice"] {
        let of = |children| object(children, kind, "shop-g1-leader");
        assert_eq!(of(&one), of(&three), "{kind}: it stays when the number of copies changes");
    }
    let spec = object(&one, "Service", "shop-g1-leader")["spec"].clone();
    assert_eq!(
        spec,
        json!({ "ports": [{ "name": "client", "port": 8081, "protocol": "TCP", "targetPort": "client" }] })
    );
    let slice = object(&one, "EndpointSlice", "shop-g1-leader");
    let fields: Vec<_> = slice.as_object().unwrap().keys().collect();
    assert_eq!(fields, ["addressType", "apiVersion", "kind", "metadata"], "the rest is the leader's");
    let labels = &slice["metadata"]["labels"];
    assert_eq!(labels["kubernetes.io/service-name"], "shop-g1-leader");
    assert_eq!(labels["endpointslice.kubernetes.io/managed-by"], "millpond.io");
    assert_eq!(slice["metadata"]["annotations"].as_object().unwrap().len(), 1, "the epoch is the leader's");
}

#[test]
fn the_slice_is_of_the_family_that_its_service_got() {
    let made = |family: Option<&str>| {
        let shape = Shape { family: family.map(str::to_owned), ..shape(None) };
        let children = children(&blueprint(&small(), 1), |_| shape.clone()).unwrap();
        let slice = children.iter().find(|child| child.kind() == "EndpointSlice");
        slice.map(|child| with_object!(child, object => json!(object))["addressType"].clone())
    };
    assert_eq!((made(None), made(Some("IPv6"))), (None, Some(json!("IPv6"))));
}

#[test]
fn copies_of_a_group_share_no_node_unless_the_user_allows_it() {
    let rule = |spec: &Value| {
        pod_template(&build(spec, 1), "shop-g0")["spec"]["affinity"]["podAntiAffinity"].clone()
    };
    let required = rule(&small())["requiredDuringSchedulingIgnoredDuringExecution"][0].clone();
    assert_eq!(required["topologyKey"], "kubernetes.io/hostname");
    assert_eq!(required["labelSelector"]["matchLabels"][GROUP_LABEL], "g0");
    let mut spec = small();
    spec["scheduling"] = json!({ "copiesOnDifferentNodes": "Preferred" });
    let rule = rule(&spec);
    assert!(rule["requiredDuringSchedulingIgnoredDuringExecution"].is_null());
    assert_eq!(rule["preferredDuringSchedulingIgnoredDuringExecution"][0]["weight"], 100);
}

#[test]
fn of_each_group_with_copies_one_broker_at_a_time_may_be_moved() {
    let mut spec = small();
    spec["copies"] = json!(3);
    let children = build(&spec, 2);
    for group in ["g0", "g1"] {
        let budget = object(&children, "PodDisruptionBudget", &format!("shop-{group}"));
        assert_eq!(budget["spec"]["maxUnavailable"], 1);
        assert_eq!(budget["spec"]["selector"]["matchLabels"][GROUP_LABEL], group);
    }
    assert!(!children.iter().any(|child| child.kind() == "PodDisruptionBudget" && child.name() == "shop"));
}

#[test]
fn how_the_pods_of_a_group_are_started_never_changes() {
    let management = |known: Option<&str>| {
        let shape = Shape { management: known.map(str::to_owned), ..shape(None) };
        let children = children(&blueprint(&small(), 1), |_| shape.clone()).unwrap();
        object(&children, "StatefulSet", "shop-g0")["spec"]["podManagementPolicy"].clone()
    };
    assert_eq!(
        (management(None), management(Some("OrderedReady"))),
        (json!("Parallel"), json!("OrderedReady"))
    );
}

#[test]
fn the_admin_port_is_for_the_operator_and_brokers_and_the_peer_port_for_brokers() {
    let policy = object(&build(&small(), 1), "NetworkPolicy", "shop");
    let rules = policy["spec"]["ingress"].as_array().unwrap();
    let open: Vec<_> = rules.iter().filter(|rule| rule["from"].is_null()).collect();
    for port in ["admin", "peers"] {
        assert!(open.iter().all(|rule| !rule["ports"].to_string().contains(port)));
    }
    let peers = rules.iter().find(|rule| rule["ports"].to_string().contains("peers")).unwrap();
    let brokers = json!([{ "podSelector": { "matchLabels": cluster_selector("shop") } }]);
    assert_eq!(peers["from"], brokers);
    let closed = rules.iter().find(|rule| rule["ports"].to_string().contains("admin")).unwrap();
    let from = &closed["from"][0];
    assert_eq!(from["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"], "mq");
    assert_eq!(from["podSelector"]["matchLabels"]["app.kubernetes.io/name"], "millpond-operator");
}

#[test]
fn the_chart_has_the_pods_of_brokers_scraped() {
    let chart = std::fs::read_to_string("../charts/millpond/templates/pod-monitors.yaml").unwrap();
    let (brokers, _) = chart.split_once("\n---\n").unwrap();
    let template = pod_template(&build(&small(), 1), "shop-g0");
    for label in ["app.kubernetes.io/name", "app.kubernetes.io/component"] {
        let line = format!("      {label}: {}\n", template["metadata"]["labels"][label].as_str().unwrap());
        assert!(brokers.contains(&line), "{line}");
    }
    let ports = template["spec"]["containers"][0]["ports"].as_array().unwrap();
    let port = ports.iter().find(|port| port["containerPort"] == HTTP_PORT).unwrap();
    let line = format!("    - port: {}\n", port["name"].as_str().unwrap());
    assert!(brokers.contains(&line), "{line}");
}
