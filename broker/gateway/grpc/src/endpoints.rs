//! Addresses that clients are told to dial.
//!
//! Promise: with one group a client is sent back to what it dialled itself, port included, so that tunnels, node ports and
//! address translation need no setting; only a client that dialled a name of the members' own is told each of them.
//! `DOMAIN_NAME` has exactly one address: two SDKs refuse more.

use std::net::{Ipv4Addr, Ipv6Addr};

use wire::v2::{self, AddressScheme};

/// A client that typed more addresses than this gets the first ones back.
const ADDRESSES_MAX: usize = 32;

/// Where clients reach one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupAddress {
    /// Name of the group.
    pub name: String,
    /// Host or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What clients are told of it.
    pub standing: Standing,
}

/// What clients are told of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Standing {
    /// All of them are sent there.
    #[default]
    Open,
    /// Producers are sent elsewhere; it takes what comes.
    Diverting,
    /// Consumers are sent there; it takes no message.
    Draining,
    /// Nobody is sent there; it takes no message.
    Closed,
}

impl Standing {
    /// The word in answers to administrators.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Diverting => "diverting",
            Self::Draining => "draining",
            Self::Closed => "closed",
        }
    }

    /// Whether it refuses messages.
    pub(crate) fn refuses(self) -> bool {
        matches!(self, Self::Draining | Self::Closed)
    }
}

impl GroupAddress {
    /// Reads `host:port`; none when it is something else.
    pub fn parse(name: &str, endpoint: &str) -> Option<Self> {
        let (host, port) = host_and_port(endpoint)?;
        Some(Self { name: name.to_owned(), host: host.to_owned(), port, standing: Standing::Open })
    }

    /// The same with another standing.
    #[must_use]
    pub fn stands(self, standing: Standing) -> Self {
        Self { standing, ..self }
    }

    /// The form that routes carry.
    pub(crate) fn endpoints(&self) -> v2::Endpoints {
        one(&self.host, self.port)
    }
}

/// What the client typed, what it dialled, or else the broker's own address: the first of them that is an address.
pub(crate) fn dialled(typed: Option<&v2::Endpoints>, authority: Option<&str>, own: &str) -> v2::Endpoints {
    typed.and_then(echo).or_else(|| authority.and_then(of)).or_else(|| of(own)).unwrap_or_default()
}

/// The same addresses, each of them first once: as many ways to the same brokers, so that a client that finds one of them
/// silent has another one.
pub(crate) fn rotations(endpoints: &v2::Endpoints) -> Vec<v2::Endpoints> {
    let rotated = |by| {
        let mut addresses = endpoints.addresses.clone();
        addresses.rotate_left(by);
        v2::Endpoints { scheme: endpoints.scheme, addresses }
    };
    (0..endpoints.addresses.len()).map(rotated).collect()
}

fn echo(typed: &v2::Endpoints) -> Option<v2::Endpoints> {
    let usable = |address: &v2::Address| {
        !address.host.is_empty() && u16::try_from(address.port).is_ok_and(|port| port > 0)
    };
    let first = typed.addresses.first()?;
    if !typed.addresses.iter().all(usable) {
        return None;
    }
    let scheme = match typed.scheme() {
        AddressScheme::Unspecified => scheme_of(&first.host),
        known @ (AddressScheme::IPv4 | AddressScheme::IPv6 | AddressScheme::DomainName) => known,
    };
    let count = if scheme == AddressScheme::DomainName { 1 } else { ADDRESSES_MAX };
    let addresses = typed.addresses.iter().take(count).cloned().collect();
    Some(v2::Endpoints { scheme: scheme.into(), addresses })
}

/// `host:port` as a route carries it; none when it is something else.
pub(crate) fn of(address: &str) -> Option<v2::Endpoints> {
    host_and_port(address).map(|(host, port)| one(host, port))
}

fn one(host: &str, port: u16) -> v2::Endpoints {
    let address = v2::Address { host: host.to_owned(), port: port.into() };
    v2::Endpoints { scheme: scheme_of(host).into(), addresses: vec![address] }
}

fn scheme_of(host: &str) -> AddressScheme {
    if host.parse::<Ipv4Addr>().is_ok() {
        AddressScheme::IPv4
    } else if host.parse::<Ipv6Addr>().is_ok() {
        AddressScheme::IPv6
    } else {
        AddressScheme::DomainName
    }
}

/// Splits `host:port`, `1.2.3.4:port` and `[::1]:port`.
pub(crate) fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let port = port.parse().ok().filter(|port| *port > 0)?;
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(scheme: AddressScheme, addresses: &[(&str, i32)]) -> v2::Endpoints {
        let addresses = addresses
            .iter()
            .map(|(host, port)| v2::Address { host: (*host).to_owned(), port: *port })
            .collect();
        v2::Endpoints { scheme: scheme.into(), addresses }
    }

    #[test]
    fn what_a_client_typed_comes_back_with_its_port_and_order() {
        let several = typed(AddressScheme::IPv4, &[("10.0.0.2", 30081), ("10.0.0.1", 30082)]);
        assert_eq!(dialled(Some(&several), Some("other:1"), "own:2"), several);
    }

    #[test]
    fn a_domain_name_comes_back_with_one_address() {
        let several = typed(AddressScheme::DomainName, &[("a.example", 1), ("b.example", 2)]);
        let one = typed(AddressScheme::DomainName, &[("a.example", 1)]);
        assert_eq!(dialled(Some(&several), None, ""), one);
    }

    #[test]
    fn a_missing_scheme_is_told_from_the_host() {
        for (host, scheme) in [
            ("10.1.2.3", AddressScheme::IPv4),
            ("fd00::1", AddressScheme::IPv6),
            ("shop.default.svc", AddressScheme::DomainName),
        ] {
            let bare = typed(AddressScheme::Unspecified, &[(host, 8081)]);
            assert_eq!(dialled(Some(&bare), None, ""), typed(scheme, &[(host, 8081)]), "{host}");
        }
    }

    #[test]
    fn nonsense_falls_back_to_what_was_dialled_and_then_to_our_own_address() {
        let own = typed(AddressScheme::IPv4, &[("127.0.0.1", 8081)]);
        for nonsense in [typed(AddressScheme::IPv4, &[]), typed(AddressScheme::IPv4, &[("h", 0)])] {
            let dialled_one = typed(AddressScheme::IPv6, &[("::1", 30081)]);
            assert_eq!(dialled(Some(&nonsense), Some("[::1]:30081"), "127.0.0.1:8081"), dialled_one);
            assert_eq!(dialled(Some(&nonsense), Some("no-port"), "127.0.0.1:8081"), own);
        }
        assert_eq!(dialled(None, None, "127.0.0.1:8081"), own);
    }

    #[test]
    fn an_endpoint_is_host_and_port() {
        assert_eq!(
            GroupAddress::parse("g0", "[::1]:80").map(|a| (a.host, a.port)),
            Some(("::1".to_owned(), 80))
        );
        for wrong in ["host", "host:", ":80", "host:0", "host:65536", "::1:80", "[::1:80"] {
            assert_eq!(GroupAddress::parse("g0", wrong), None, "{wrong}");
        }
    }
}
