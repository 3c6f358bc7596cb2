//! Clients outside of Kubernetes: official SDKs on the host, which knows no name of the cluster, reach every group.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use client::SimpleConsumer;
use crds::broker_cluster::ListenerStatus;
use crds::{BrokerCluster, ConsumerGroup, Topic};
use e2e::cluster::Place;
use e2e::sdk::{Call, Mode, Scenario, Sdk};
use e2e::{matrix, wait};
use k8s_openapi::api::core::v1::{Node, Service};
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams};
use serde_json::json;

/// Kubernetes gives a port, nodes learn of it, brokers open theirs.
const KNOWN_MAX: Duration = Duration::from_mins(1);
const FLOW: Duration = Duration::from_mins(1);
const MESSAGES: usize = 60;
/// Topic and consumer group that only ask for the way.
const PROBE: &str = "probe";
const CONNECTIONS: usize = 20;

fn manifests() -> String {
    let listeners = ", listeners: [{name: public, port: 9081, type: NodePort}, {name: lb, port: 9082, type: LoadBalancer}]";
    let mut yaml = super::shop(listeners).replace("groups: 1", "groups: 2");
    for name in ["go", "java", "stream", "balanced", PROBE] {
        matrix::object(&mut yaml, "Topic", name, "shop", "queues: {perGroup: 2}");
        matrix::object(&mut yaml, "ConsumerGroup", name, "shop", "retry: {backoff: {custom: [1s]}}");
    }
    yaml
}

/// The address of each node.
async fn nodes(here: &Place) -> Vec<String> {
    let nodes: Api<Node> = Api::all(here.client.clone());
    let all = nodes.list(&ListParams::default()).await.expect("the nodes").items;
    let address = |node: &Node| {
        let addresses = node.status.as_ref()?.addresses.as_ref()?;
        addresses.iter().find(|one| one.type_ == "InternalIP").map(|one| one.address.clone())
    };
    all.iter().filter_map(address).collect()
}

/// The listener of this name once it has the addresses of so many groups.
async fn listener(here: &Place, name: &str, groups: usize) -> ListenerStatus {
    let clusters: Api<BrokerCluster> = here.api();
    wait::eventually(&format!("{name} has {groups} addresses"), KNOWN_MAX, async || {
        let status =
            clusters.get("shop").await.map_err(|error| error.to_string())?.status.unwrap_or_default();
        let found = status.listeners.iter().find(|listener| listener.name == name).cloned();
        let is_complete = |found: &ListenerStatus| found.groups.len() == groups && found.waiting.is_none();
        found.filter(is_complete).ok_or_else(|| format!("{:?}", status.listeners))
    })
    .await
}

/// Waits until the port is open at every node, and so in every broker.
fn opens(addresses: &[String]) {
    for address in addresses {
        let address: SocketAddr = address.parse().expect("an address");
        let connected = || TcpStream::connect_timeout(&address, Duration::from_secs(1)).ok();
        wait::until(&format!("{address} takes connections"), KNOWN_MAX, connected);
    }
}

/// Waits until every broker tells of so many groups: the status has their addresses a moment earlier. Which broker answers is
/// chosen anew for each connection.
async fn told(endpoint: &str, groups: usize) {
    wait::eventually(&format!("{endpoint} tells of {groups} groups"), KNOWN_MAX, async || {
        for _ in 0..CONNECTIONS {
            let consumer = SimpleConsumer::builder(endpoint, PROBE).subscribe(PROBE, "*");
            let consumer = consumer.start().await.map_err(|error| error.to_string())?;
            let places = consumer.places().await.map_err(|error| error.to_string())?;
            consumer.close().await;
            if places != groups {
                return Err(format!("{places} groups"));
            }
        }
        Ok(())
    })
    .await;
}

/// Every message comes back once, and every group of the cluster had some of them.
async fn passes(here: &Place, sdk: Sdk, mode: Mode, endpoint: &str, topic: &str) {
    let call = Call::new(sdk, mode, endpoint, topic, topic);
    let report = tokio::task::spawn_blocking(move || call.run(Scenario::Roundtrip, MESSAGES)).await;
    let report = report.expect("it ran").expect("a report");
    assert!(report.ok, "{topic} through {endpoint}: {report:?}");
    for group in ["g0", "g1"] {
        let said = here
            .millpond(&format!("shop-{group}-0"), &["messages", "find", "--topic", topic, "--limit", "1"]);
        assert!(said.ok && said.text.contains("STORED"), "{group} had none of {topic}: {}", said.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_outside_reach_every_group_by_the_addresses_that_they_are_told() {
    let here = Place::new("listeners").await;
    here.apply(&manifests());
    here.ready::<BrokerCluster>("shop").await;
    for name in ["go", "java", "stream", "balanced", PROBE] {
        here.ready::<Topic>(name).await;
        here.ready::<ConsumerGroup>(name).await;
    }
    let nodes = nodes(&here).await;

    // Node ports: the host that was dialled, with the port of the group.
    let public = listener(&here, "public", 2).await;
    let port = |address: &str| address.strip_prefix("*:").expect("a port of any node").to_owned();
    let first = format!("{}:{}", nodes[0], port(public.address.as_ref().expect("an address")));
    let at_each =
        |address: &str| -> Vec<_> { nodes.iter().map(|node| format!("{node}:{}", port(address))).collect() };
    opens(&at_each(public.address.as_ref().expect("an address")));
    public.groups.iter().for_each(|group| opens(&at_each(&group.address)));
    told(&first, 2).await;
    passes(&here, Sdk::Go, Mode::Simple, &first, "go").await;
    passes(&here, Sdk::Java, Mode::Push, &first, "java").await;

    // A load balancer, played by the nodes: each Service gets one of them, as a controller would write it.
    let services: Api<Service> = here.api();
    for (name, node) in ["shop-lb", "shop-g0-lb", "shop-g1-lb"].into_iter().zip(nodes.iter().cycle()) {
        let given = json!({ "status": { "loadBalancer": { "ingress": [{ "ip": node }] } } });
        let params = PatchParams::default();
        services.patch_status(name, &params, &Patch::Merge(&given)).await.expect("the Service is there");
    }
    let balanced = listener(&here, "lb", 2).await;
    let addresses: Vec<_> = balanced.groups.iter().map(|group| group.address.clone()).collect();
    assert_eq!(addresses, [&nodes[1], &nodes[2]].map(|node| format!("{node}:9082")));
    opens(&addresses);
    let endpoint = balanced.address.expect("an address");
    opens(std::slice::from_ref(&endpoint));
    told(&endpoint, 2).await;
    passes(&here, Sdk::Go, Mode::Push, &endpoint, "balanced").await;

    // A group that comes is told of under its own port, and nothing is lost meanwhile.
    let stream =
        Call::new(Sdk::Go, Mode::Simple, &first, "stream", "stream").stream(50, 600).expect("it starts");
    stream.flows(100, FLOW);
    let said = here.kubectl(&["scale", "brokercluster", "shop", "--replicas=3"]);
    assert!(said.ok, "{}", said.text);
    let grown = listener(&here, "public", 3).await;
    assert_eq!(grown.groups[..2], public.groups, "those that clients know stay");
    wait::eventually("messages reach the new group from outside", FLOW, async || {
        let said = here.millpond("shop-g2-0", &["messages", "find", "--topic", "stream", "--limit", "1"]);
        if said.ok && said.text.contains("STORED") { Ok(()) } else { Err(said.text) }
    })
    .await;
    stream.flows(100, FLOW);
    let report = stream.finish().expect("a report");
    assert!(report.ok && report.missing.is_empty(), "{:?}: {:?}", report.missing, report.errors);

    // Closed while brokers run: none of them is made anew, and the other listener stays.
    let revision = here.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"]).text;
    let only = json!({ "spec": { "listeners": [{ "name": "lb", "port": 9082, "type": "LoadBalancer" }] } });
    let said =
        here.kubectl(&["patch", "brokercluster", "shop", "--type", "merge", "--patch", &only.to_string()]);
    assert!(said.ok, "{}", said.text);
    let address: SocketAddr = first.parse().expect("an address");
    wait::until("the port is closed", KNOWN_MAX, || {
        TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_err().then_some(())
    });
    opens(std::slice::from_ref(&endpoint));
    assert_eq!(here.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"]).text, revision);
    here.remove().await;
}
