//! Ways for clients outside of Kubernetes.

use super::*;

fn with_listeners(listeners: &Value) -> Value {
    json!({ "storage": { "size": "10Gi" }, "listeners": listeners })
}

fn node_port() -> Value {
    with_listeners(&json!([{ "name": "public", "port": 9081, "type": "NodePort", "nodePort": 30090 }]))
}

/// A cluster whose Services were given something.
fn given_of(spec: &Value, groups: u32, given: &[(&str, Given)]) -> Blueprint {
    let given = given.iter().map(|(name, given)| ((*name).to_owned(), given.clone())).collect();
    Blueprint { given, ..blueprint(spec, groups) }
}

fn port(port: i32) -> Given {
    Given { node_port: Some(port), load_balancer: None }
}

fn services(blueprint: &Blueprint) -> BTreeMap<String, Value> {
    let children = children(blueprint, |_| shape(None)).unwrap();
    let is_its = |child: &&Child| child.kind() == "Service" && listener_of(child.metadata()).is_some();
    let named = |child: &Child| (child.name().to_owned(), object(&children, "Service", child.name()));
    children.iter().filter(is_its).map(named).collect()
}

#[test]
fn every_group_has_an_address_of_its_own_beside_the_one_that_is_dialled_first() {
    let services = services(&blueprint(&node_port(), 2));
    let told: Vec<_> = services
        .iter()
        .map(|(name, service)| {
            let port = &service["spec"]["ports"][0];
            let group = service["spec"]["selector"][GROUP_LABEL].as_str().unwrap_or("any");
            (name.as_str(), group, port["nodePort"].as_i64(), port["targetPort"].as_i64())
        })
        .collect();
    assert_eq!(
        told,
        [
            ("shop-g0-public", "g0", Some(30091), Some(9081)),
            ("shop-g1-public", "g1", Some(30092), Some(9081)),
            ("shop-public", "any", Some(30090), Some(9081)),
        ]
    );
}

#[test]
fn one_group_needs_no_address_of_its_own_and_keeps_one_that_clients_may_have() {
    let spec = node_port();
    assert_eq!(services(&blueprint(&spec, 1)).into_keys().collect::<Vec<_>>(), ["shop-public"]);
    let before =
        [("shop-public", port(30090)), ("shop-g0-public", port(30091)), ("shop-g1-public", port(30092))];
    let left = services(&given_of(&spec, 1, &before));
    assert_eq!(left.len(), 3);
    let selects = |name: &str| left[name]["spec"]["selector"][GROUP_LABEL].as_str().map(str::to_owned);
    assert_eq!(selects("shop-g0-public").as_deref(), Some("g0"));
    assert_eq!(selects("shop-g1-public"), None, "that of a group that has left leads to the others");
}

#[test]
fn brokers_are_told_of_the_addresses_that_are_known() {
    let spec = node_port();
    let told = |blueprint: &Blueprint| {
        let config = broker_config(blueprint, 0).unwrap();
        let [listener] = config.listeners.as_slice() else { panic!("{config:?}") };
        assert_eq!(listener.listen.to_string(), "0.0.0.0:9081");
        listener.groups.iter().map(|group| (group.name.clone(), group.endpoint.clone())).collect::<Vec<_>>()
    };
    assert_eq!(told(&blueprint(&spec, 2)), []);
    let known = given_of(&spec, 2, &[("shop-g1-public", port(30092))]);
    assert_eq!(told(&known), [("g1".to_owned(), "*:30092".to_owned())]);
    assert_eq!(
        told(&given_of(&spec, 1, &[("shop-g0-public", port(30091))])),
        [],
        "they go on with what they dialled"
    );
    let joining = Blueprint {
        joining: BTreeSet::from([2]),
        ..given_of(&spec, 3, &[("shop-g1-public", port(30092)), ("shop-g2-public", port(30093))])
    };
    assert_eq!(told(&joining), [("g1".to_owned(), "*:30092".to_owned())], "one that joins is told of later");
}

#[test]
fn a_listener_makes_no_pod_anew_and_is_let_in() {
    let children = children(&blueprint(&node_port(), 2), |_| shape(None)).unwrap();
    assert_eq!(pod_template(&children, "shop-g0"), pod_template(&build(&small(), 2), "shop-g0"));
    let policy = object(&children, "NetworkPolicy", "shop");
    let ports = policy["spec"]["ingress"][0]["ports"].as_array().unwrap();
    assert!(ports.iter().any(|port| port["port"] == 9081), "{ports:?}");
}

#[test]
fn what_a_load_balancer_is_given_is_read() {
    let service = |ingress: Value| -> Service {
        serde_json::from_value(json!({
            "spec": { "ports": [{ "port": 9081, "nodePort": 31234 }] },
            "status": { "loadBalancer": { "ingress": ingress } },
        }))
        .unwrap()
    };
    let balancer = |ingress| given(&service(ingress)).load_balancer;
    assert_eq!(balancer(json!([{ "ip": "203.0.113.7" }])).as_deref(), Some("203.0.113.7"));
    assert_eq!(
        balancer(json!([{ "hostname": "lb.example.com", "ip": "" }])).as_deref(),
        Some("lb.example.com")
    );
    assert_eq!(balancer(json!([])), None);
    assert_eq!(given(&service(json!([]))).node_port, Some(31234));
}
