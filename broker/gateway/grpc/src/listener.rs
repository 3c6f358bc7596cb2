//! Clients that come from elsewhere: by a port of their own, and so with addresses of their own.
//!
//! ```text
//!   in Kubernetes     :8081   g0 ▪ shop-g0-leader.prod.svc:8081    g1 ▪ shop-g1-leader.prod.svc:8081
//!   from elsewhere    :9081   g0 ▪ 192.0.2.4:30091                 g1 ▪ 192.0.2.4:30092
//! ```
//!
//! Promise: a client is told of those groups alone that it can reach by its way, with the host that it dialled itself where
//! only the port differs. A call that is relayed carries the name of its way along.

use wire::v2;

use crate::endpoints::{GroupAddress, host_and_port, of};

/// Header with the name of the listener that a call came by.
pub(crate) const HEADER: &str = "x-millpond-listener";
/// Stands for the host that the client dialled.
const DIALLED: &str = "*";

/// A way of clients that come from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// Where its clients find each group.
    pub groups: Vec<Advertised>,
}

/// Where clients of a listener find a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Advertised {
    group: String,
    endpoint: String,
    /// Of the host that the client dialled.
    port: Option<u16>,
}

impl Advertised {
    /// Reads `host:port` or `*:port`; none when it is something else.
    pub fn parse(group: &str, endpoint: &str) -> Option<Self> {
        let (host, port) = host_and_port(endpoint)?;
        let port = (host == DIALLED).then_some(port);
        Some(Self { group: group.to_owned(), endpoint: endpoint.to_owned(), port })
    }

    fn endpoints(&self, dialled: &v2::Endpoints) -> v2::Endpoints {
        let Some(port) = self.port else { return of(&self.endpoint).unwrap_or_default() };
        let mut endpoints = dialled.clone();
        for address in &mut endpoints.addresses {
            address.port = port.into();
        }
        endpoints
    }
}

/// Where a client that came by a listener finds a group; none: not that way.
pub(crate) fn endpoints(
    listener: Option<&Listener>,
    group: &GroupAddress,
    dialled: &v2::Endpoints,
) -> Option<v2::Endpoints> {
    let Some(listener) = listener else { return Some(group.endpoints()) };
    let advertised = listener.groups.iter().find(|advertised| advertised.group == group.name)?;
    Some(advertised.endpoints(dialled))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialled() -> v2::Endpoints {
        let address = |host: &str| v2::Address { host: host.to_owned(), port: 30090 };
        let scheme = v2::AddressScheme::IPv4.into();
        v2::Endpoints { scheme, addresses: vec![address("192.0.2.4"), address("192.0.2.5")] }
    }

    fn found(endpoint: &str) -> Option<v2::Endpoints> {
        let listener =
            Listener { name: "public".into(), groups: vec![Advertised::parse("g1", endpoint).unwrap()] };
        let group = |name| GroupAddress::parse(name, "shop-leader.prod.svc:8081").unwrap();
        assert_eq!(endpoints(Some(&listener), &group("g0"), &dialled()), None, "a group without an address");
        endpoints(Some(&listener), &group("g1"), &dialled())
    }

    #[test]
    fn a_node_port_is_that_of_every_node_that_the_client_dialled() {
        let addresses = found("*:30092").unwrap().addresses;
        let told: Vec<_> = addresses.iter().map(|address| (address.host.as_str(), address.port)).collect();
        assert_eq!(told, [("192.0.2.4", 30092), ("192.0.2.5", 30092)]);
    }

    #[test]
    fn a_name_is_told_as_it_is() {
        let told = found("g1.mq.example.com:443").unwrap();
        assert_eq!(told.scheme(), v2::AddressScheme::DomainName);
        assert_eq!(told.addresses, [v2::Address { host: "g1.mq.example.com".into(), port: 443 }]);
    }

    #[test]
    fn what_is_no_address_is_not_taken() {
        for wrong in ["", "*", "*:", "*:0", ":9081", "g1.mq.example.com"] {
            assert_eq!(Advertised::parse("g0", wrong), None, "{wrong}");
        }
    }
}
