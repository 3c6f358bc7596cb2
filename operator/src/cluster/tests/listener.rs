//! Ways for clients outside of Kubernetes.

use crds::listener::Given;

use super::*;

const FIRST: &str = "shop-public";

fn spec(groups: u32, service_type: &str) -> Value {
    json!({ "groups": groups, "listeners": [{ "name": "public", "port": 9081, "type": service_type }] })
}

/// A Service of the listener as Kubernetes has it.
fn there(observed: &mut Observed, name: &str, given: Given) {
    let meta = ChildMeta {
        uid: format!("uid-{name}"),
        listener: Some("public".into()),
        owner_uid: Some("uid-shop".into()),
        group: name.strip_prefix("shop-g").and_then(|rest| rest.split('-').next()?.parse().ok()),
        ..ChildMeta::default()
    };
    observed.children.insert(("Service", name.into()), meta);
    observed.given.insert(name.into(), given);
}

fn balancer(host: &str) -> Given {
    Given { node_port: None, load_balancer: Some(host.into()) }
}

fn removed(cluster: &BrokerCluster, observed: &Observed) -> Vec<String> {
    let removals = planned(cluster, observed).removals.into_iter();
    let service = |removal| {
        let Removal::Object { kind: "Service", name, .. } = removal else { return None };
        Some(name)
    };
    removals.filter_map(service).collect()
}

#[test]
fn the_status_says_what_clients_dial_and_which_address_is_missing() {
    let cluster = cluster(&spec(2, "LoadBalancer"));
    let mut observed = settled(&cluster);
    there(&mut observed, FIRST, balancer("203.0.113.1"));
    there(&mut observed, "shop-g1-public", balancer("lb.example.com"));
    there(&mut observed, "shop-g0-public", Given::default());
    let status = report(&cluster, &observed, &planned(&cluster, &observed), noon()).status;
    let [listener] = status.listeners.as_slice() else { panic!("{:?}", status.listeners) };
    assert_eq!(listener.address.as_deref(), Some("203.0.113.1:9081"));
    let groups: Vec<_> = listener.groups.iter().map(|group| (&*group.name, &*group.address)).collect();
    assert_eq!(groups, [("g1", "lb.example.com:9081")]);
    let waiting = "Kubernetes has not given a load balancer to Service shop-g0-public";
    assert_eq!(listener.waiting.as_deref(), Some(waiting));
}

#[test]
fn with_one_group_clients_go_on_with_what_they_dialled() {
    let cluster = cluster(&spec(1, "NodePort"));
    let mut observed = settled(&cluster);
    there(&mut observed, FIRST, Given { node_port: Some(30412), load_balancer: None });
    let status = report(&cluster, &observed, &planned(&cluster, &observed), noon()).status;
    let listener = &status.listeners[0];
    assert_eq!((listener.address.as_deref(), listener.waiting.as_ref()), (Some("*:30412"), None));
    assert_eq!(listener.groups, []);
}

#[test]
fn a_listener_that_is_not_wanted_any_more_goes_and_one_that_is_stays() {
    let mut observed = settled(&cluster(&spec(2, "NodePort")));
    for name in [FIRST, "shop-g0-public", "shop-g1-public", "shop-g2-public"] {
        there(&mut observed, name, Given::default());
    }
    assert_eq!(removed(&cluster(&spec(2, "NodePort")), &observed), Vec::<String>::new());
    let all = ["shop-g0-public", "shop-g1-public", "shop-g2-public", FIRST];
    assert_eq!(removed(&cluster(&json!({ "groups": 2 })), &observed), all);
    observed.children.get_mut(&("Service", FIRST.into())).unwrap().owner_uid = Some("another".into());
    assert_eq!(removed(&cluster(&json!({ "groups": 2 })), &observed), all[..3], "somebody else's stays");
}
