//! Ways for clients outside of Kubernetes, and the addresses that they are told.
//!
//! ```text
//!   listener `public`  ──►  Service `shop-public`       any broker: what clients dial first
//!                      └──► Service `shop-g1-public`    the brokers of a group: where routes send them
//! ```
//!
//! Promise: a client is only told addresses that it can dial from where it is. Which listener it came by is known by the
//! port of the broker, so that no name and no proxy in between can change it.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names;

/// Longest name of a listener: with it and a group the longest name of a cluster makes a Service's name.
pub const LISTENER_NAME_LEN_MAX: usize = 10;
/// Most listeners of one cluster.
pub const LISTENERS_MAX: usize = 4;
/// Stands in an address for the host that the client itself dialled.
pub const DIALLED: &str = "*";

/// A way for clients outside of Kubernetes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(
    validation = Rule::new("self.name.matches('^[a-z][a-z0-9]{0,9}$') && !self.name.matches('^g[0-9]+$') && self.name != 'leader'").message(
        "name must be 1 to 10 lower case letters and digits, starting with a letter, and neither 'leader' nor a group such as 'g0': Services carry it"
    ),
    validation = Rule::new("self.port < 8081 || self.port > 8084").message(
        "port must not be 8081 to 8084, which brokers have for themselves; 9081 for example is free"
    ),
    validation = Rule::new("!has(self.nodePort) || self.type == 'NodePort'").message(
        "nodePort needs type NodePort; set it, or leave nodePort out"
    ),
    validation = Rule::new("has(self.advertised) || self.type != 'ClusterIP'").message(
        "type ClusterIP needs advertised: only you know by which address your proxy leads clients to each group, for example '{group}.mq.example.com:443'"
    ),
    validation = Rule::new("!has(self.advertised) || self.advertised.matches('^(\\\\[[0-9a-f:.]+\\\\]|([A-Za-z0-9.-]|\\\\{(cluster|namespace|group|dialled|loadBalancer)\\\\})+):([0-9]{1,5}|\\\\{(port|nodePort)\\\\})$')").message(
        "advertised must be host:port, where the host may have {cluster}, {namespace}, {group}, {dialled} and {loadBalancer}, and the port may be {port} or {nodePort}"
    ),
    validation = Rule::new("!has(self.advertised) || self.advertised.contains('{group}') || self.advertised.contains('{nodePort}') || self.advertised.contains('{loadBalancer}')").message(
        "advertised must have {group}, {nodePort} or {loadBalancer}: the groups need addresses that differ"
    ),
    validation = Rule::new("!has(self.advertised) || ((self.type == 'NodePort' || !self.advertised.contains('{nodePort}')) && (self.type == 'LoadBalancer' || !self.advertised.contains('{loadBalancer}')))").message(
        "advertised has {nodePort} only with type NodePort, and {loadBalancer} only with type LoadBalancer"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Its name; Services carry it: `shop-public`, `shop-g0-public`.
    #[schemars(length(min = 1, max = 10))]
    pub name: String,
    /// Port of its Services and of the brokers: not 8081 to 8084.
    #[schemars(range(min = 1024, max = 65535))]
    pub port: i32,
    /// Type of its Services.
    #[serde(rename = "type", default)]
    pub service_type: ServiceType,
    /// Port on every node for the Service that clients dial first; group `g0` gets the next one, `g1` the one after it; left
    /// out: Kubernetes chooses them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 65500))]
    pub node_port: Option<i32>,
    /// Where clients are told to find a group: `host:port` with `{group}`, `{cluster}`, `{namespace}`, `{dialled}` (the host
    /// that the client itself dialled), `{loadBalancer}`, `{port}` and `{nodePort}`; left out: `{dialled}:{nodePort}` and
    /// `{loadBalancer}:{port}`. A cluster of one group needs none: its clients are told what they dialled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 255))]
    pub advertised: Option<String>,
    /// Annotations of its Services, as load balancers and name services want them. `{group}` in a value becomes the name of
    /// the group, and `bootstrap` for the Service that clients dial first.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

/// Type of the Services of a listener.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Clients anywhere that reach a node.
    #[default]
    NodePort,
    /// Clients anywhere that reach a load balancer.
    LoadBalancer,
    /// Clients of a proxy of your own: a route of the Gateway API for example.
    ClusterIP,
}

impl ServiceType {
    /// The word in a Service.
    pub fn word(self) -> &'static str {
        match self {
            Self::ClusterIP => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
        }
    }
}

/// What Kubernetes gave a Service.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    /// Its port on every node.
    pub node_port: Option<i32>,
    /// Name or address of its load balancer.
    pub load_balancer: Option<String>,
}

impl Listener {
    /// The port on every node of the first Service, and with a group of that group's; none: Kubernetes chooses.
    pub fn node_port_of(&self, group: Option<u32>) -> Option<i32> {
        let first = self.node_port?;
        Some(group.map_or(first, |group| first.saturating_add(i32::try_from(group).unwrap_or(i32::MAX) + 1)))
    }

    /// The annotations of the first Service, and with a group of that group's.
    pub fn annotations_of(&self, group: Option<u32>) -> BTreeMap<String, String> {
        let name = group.map_or_else(|| "bootstrap".to_owned(), names::group_name);
        self.annotations.iter().map(|(key, value)| (key.clone(), value.replace("{group}", &name))).collect()
    }

    /// Where clients of this listener find a group: `host:port`, where [`DIALLED`] stands for the host that they dialled.
    /// None as long as Kubernetes has not given what belongs into it.
    pub fn address(&self, cluster: &str, namespace: &str, group: u32, given: &Given) -> Option<String> {
        let template = self.advertised.as_deref().or_else(|| self.usual())?;
        self.filled(template, given).map(|address| {
            address
                .replace("{cluster}", cluster)
                .replace("{namespace}", namespace)
                .replace("{group}", &names::group_name(group))
        })
    }

    /// What clients dial first, as far as Kubernetes knows: the name in front of a proxy it does not.
    pub fn first_address(&self, given: &Given) -> Option<String> {
        self.filled(self.usual()?, given)
    }

    fn usual(&self) -> Option<&'static str> {
        match self.service_type {
            ServiceType::NodePort => Some("{dialled}:{nodePort}"),
            ServiceType::LoadBalancer => Some("{loadBalancer}:{port}"),
            ServiceType::ClusterIP => None,
        }
    }

    fn filled(&self, template: &str, given: &Given) -> Option<String> {
        let mut address = template.replace("{dialled}", DIALLED).replace("{port}", &self.port.to_string());
        if address.contains("{nodePort}") {
            address = address.replace("{nodePort}", &given.node_port?.to_string());
        }
        if address.contains("{loadBalancer}") {
            let host = given.load_balancer.as_deref()?;
            let is_v6 = host.contains(':');
            let host = if is_v6 { format!("[{host}]") } else { host.to_owned() };
            address = address.replace("{loadBalancer}", &host);
        }
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listener(service_type: ServiceType, advertised: Option<&str>) -> Listener {
        let advertised = advertised.map(str::to_owned);
        Listener { name: "public".into(), port: 9081, service_type, advertised, ..Listener::default() }
    }

    fn given(node_port: Option<i32>, load_balancer: Option<&str>) -> Given {
        Given { node_port, load_balancer: load_balancer.map(str::to_owned) }
    }

    #[test]
    fn a_client_of_a_node_port_is_told_the_host_that_it_dialled_with_the_port_of_the_group() {
        let listener = listener(ServiceType::NodePort, None);
        let address = |given: &Given| listener.address("shop", "prod", 1, given);
        assert_eq!(address(&given(Some(30412), None)).as_deref(), Some("*:30412"));
        assert_eq!(address(&Given::default()), None);
    }

    #[test]
    fn a_client_of_a_load_balancer_is_told_that_of_the_group_once_it_is_there() {
        let listener = listener(ServiceType::LoadBalancer, None);
        let address = |balancer| listener.address("shop", "prod", 1, &given(Some(30412), balancer));
        assert_eq!(address(Some("203.0.113.7")).as_deref(), Some("203.0.113.7:9081"));
        assert_eq!(address(Some("lb.example.com")).as_deref(), Some("lb.example.com:9081"));
        assert_eq!(address(Some("2001:db8::7")).as_deref(), Some("[2001:db8::7]:9081"));
        assert_eq!(address(None), None);
    }

    #[test]
    fn an_advertised_address_wins_and_needs_only_what_it_names() {
        let proxied = listener(ServiceType::ClusterIP, Some("{group}.{cluster}.{namespace}.example.com:443"));
        assert_eq!(
            proxied.address("shop", "prod", 2, &Given::default()).as_deref(),
            Some("g2.shop.prod.example.com:443")
        );
        let named = listener(ServiceType::NodePort, Some("mq.example.com:{nodePort}"));
        assert_eq!(
            named.address("shop", "prod", 0, &given(Some(30001), None)).as_deref(),
            Some("mq.example.com:30001")
        );
        assert_eq!(proxied.first_address(&Given::default()), None);
    }

    #[test]
    fn fixed_node_ports_follow_each_other() {
        let listener = Listener { node_port: Some(30090), ..listener(ServiceType::NodePort, None) };
        assert_eq!(
            [None, Some(0), Some(31)].map(|group| listener.node_port_of(group)),
            [Some(30090), Some(30091), Some(30122)]
        );
        assert_eq!(Listener { node_port: None, ..listener }.node_port_of(Some(3)), None);
    }

    #[test]
    fn annotations_name_their_group() {
        let key = "external-dns.alpha.kubernetes.io/hostname".to_owned();
        let annotations = BTreeMap::from([(key.clone(), "{group}.mq.example.com".to_owned())]);
        let listener = Listener { annotations, ..listener(ServiceType::LoadBalancer, None) };
        assert_eq!(listener.annotations_of(None)[&key], "bootstrap.mq.example.com");
        assert_eq!(listener.annotations_of(Some(4))[&key], "g4.mq.example.com");
    }
}
