//! How the copies of one group are kept in step: the `replication` part of a broker's configuration.
//!
//! ```text
//!   members[0] ──┐
//!   members[1] ──┼── peer ports: the log      arbiter: who leads, who is in sync
//!   members[2] ──┘
//! ```
//!
//! Promise: absent, the broker is alone, as it always was. Every member of a group is given the same list.
//! Not here: what is agreed on while it runs (`group_record`).

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ConfigError, check_range, is_host_and_port};
use crate::names;

/// Most copies of a group.
pub const MEMBERS_MAX: usize = 3;
/// Default silence of the leader that starts an election.
pub const PEER_TIMEOUT_MS_DEFAULT: u64 = 1500;
/// Default time that a member may be behind with an acknowledgement.
pub const ACK_STALL_MS_DEFAULT: u64 = 1000;
/// Shortest of both: below it a busy disk would look like a dead broker.
pub const TIMEOUT_MS_MIN: u64 = 100;
/// Longest of both: one minute.
pub const TIMEOUT_MS_MAX: u64 = 60_000;

/// How this broker keeps one copy of its group. The members and the arbiter have to be named.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReplicationConfig {
    /// Number of this member; none: the digits after the last `-` of the host's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordinal: Option<u32>,
    /// Where the other members connect.
    #[serde(default = "peer_listen")]
    pub listen: SocketAddr,
    /// All members, by ordinal; this one is among them.
    pub members: Vec<MemberAddress>,
    /// Where the members agree on who leads.
    // YAML writes the cases of an enum as tags; people expect a key.
    #[serde(with = "serde_yaml::with::singleton_map")]
    pub arbiter: ArbiterConfig,
    /// When a send is answered.
    #[serde(default)]
    pub mode: ReplicationMode,
    /// Members that shall keep a copy; none: all. Asked for by this file only with the file arbiter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<u32>,
    /// Nothing is acknowledged while fewer are in sync; none: half of `copies`, rounded up. As `copies`, for the file arbiter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_in_sync: Option<u32>,
    /// Silence of the leader that starts an election.
    #[serde(default = "peer_timeout_ms")]
    pub peer_timeout_ms: u64,
    /// A member that is this far behind with an acknowledgement leaves the in-sync set.
    #[serde(default = "ack_stall_ms")]
    pub ack_stall_ms: u64,
}

/// Where one member is reached, each `host:port`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MemberAddress {
    /// By the other members.
    pub peer: String,
    /// By clients.
    pub client: String,
    /// By tools.
    pub admin: String,
}

/// Where the record of the group is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ArbiterConfig {
    /// In a file that all members see: one machine, or a shared folder with working locks.
    File {
        /// The file; created when it is missing, its folder is not.
        path: PathBuf,
    },
    /// In a Kubernetes Lease, which the operator makes.
    #[serde(rename_all = "camelCase")]
    Lease {
        /// Namespace of the Lease.
        namespace: String,
        /// Its name.
        name: String,
        /// EndpointSlice in the same namespace that whoever leads points at itself, for clients; none: nobody does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        endpoint_slice: Option<String>,
    },
}

/// When a send to a replicated group is answered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum ReplicationMode {
    /// After every in-sync member has the message: it survives the loss of the leader.
    #[default]
    Sync,
    /// After the leader wrote it: a lost leader takes the last messages along.
    Async,
}

/// Why the replication part of a configuration cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplicationError {
    /// An address that is not `host:port`.
    #[error("replication.members[{ordinal}].{key}: `{value}` must be `host:port`")]
    Address {
        /// Whose.
        ordinal: usize,
        /// Which of its addresses.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// Two members that are reached at one address.
    #[error("replication.members: `{0}` is the peer address of two members; give each its own")]
    PeerTwice(String),
    /// No ordinal, and none in the host's name.
    #[error(
        "replication.ordinal: missing, and the host name `{0}` does not end in `-` and a number, for example `shop-g0-1`"
    )]
    NoOrdinal(String),
    /// The file arbiter without a file.
    #[error("replication.arbiter.file.path: a file is needed")]
    NoFile,
    /// A name that no Kubernetes object can have.
    #[error(
        "replication.arbiter.lease.{key}: `{value}` must be 1 to 63 lower case letters, digits or `-` inside"
    )]
    Lease {
        /// The key in the file.
        key: &'static str,
        /// Its value.
        value: String,
    },
}

impl ReplicationConfig {
    /// Number of this member, on the host of this name.
    pub fn ordinal_on(&self, host: &str) -> Result<u32, ConfigError> {
        let digits = || host.rsplit_once('-').and_then(|(_, digits)| digits.parse().ok());
        let ordinal =
            self.ordinal.or_else(digits).ok_or_else(|| ReplicationError::NoOrdinal(host.to_owned()))?;
        check_range("replication.ordinal", u64::from(ordinal), 0, self.members.len() as u64 - 1)?;
        Ok(ordinal)
    }

    /// Copies that the file arbiter is asked for.
    pub fn copies(&self) -> u32 {
        self.copies.unwrap_or(self.members.len() as u32)
    }

    /// `minInSync` that the file arbiter is asked for.
    pub fn min_in_sync(&self) -> u32 {
        self.min_in_sync.unwrap_or_else(|| self.copies().div_ceil(2))
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let members = self.members.len() as u64;
        check_range("replication.members", members, 1, MEMBERS_MAX as u64)?;
        check_range("replication.ordinal", u64::from(self.ordinal.unwrap_or(0)), 0, members - 1)?;
        check_range("replication.copies", u64::from(self.copies()), 1, members)?;
        let copies = u64::from(self.copies());
        check_range("replication.minInSync", u64::from(self.min_in_sync()), 1, copies)?;
        check_range("replication.peerTimeoutMs", self.peer_timeout_ms, TIMEOUT_MS_MIN, TIMEOUT_MS_MAX)?;
        check_range("replication.ackStallMs", self.ack_stall_ms, TIMEOUT_MS_MIN, TIMEOUT_MS_MAX)?;
        self.validate_members()?;
        Ok(self.arbiter.validate()?)
    }

    fn validate_members(&self) -> Result<(), ReplicationError> {
        for (ordinal, member) in self.members.iter().enumerate() {
            let addresses = [("peer", &member.peer), ("client", &member.client), ("admin", &member.admin)];
            if let Some((key, value)) = addresses.into_iter().find(|(_, value)| !is_host_and_port(value)) {
                return Err(ReplicationError::Address { ordinal, key, value: value.clone() });
            }
            if self.members[..ordinal].iter().any(|earlier| earlier.peer == member.peer) {
                return Err(ReplicationError::PeerTwice(member.peer.clone()));
            }
        }
        Ok(())
    }
}

impl ArbiterConfig {
    fn validate(&self) -> Result<(), ReplicationError> {
        match self {
            Self::File { path } if path.as_os_str().is_empty() => Err(ReplicationError::NoFile),
            Self::File { .. } => Ok(()),
            Self::Lease { namespace, name, endpoint_slice } => {
                let slice = endpoint_slice.iter().map(|slice| ("endpointSlice", slice));
                let mut named = [("namespace", namespace), ("name", name)].into_iter().chain(slice);
                match named.find(|(_, value)| !names::is_dns_label(value)) {
                    Some((key, value)) => Err(ReplicationError::Lease { key, value: value.clone() }),
                    None => Ok(()),
                }
            }
        }
    }
}

fn peer_listen() -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8084)
}

fn peer_timeout_ms() -> u64 {
    PEER_TIMEOUT_MS_DEFAULT
}

fn ack_stall_ms() -> u64 {
    ACK_STALL_MS_DEFAULT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BrokerConfig;

    type Spoil = fn(&mut ReplicationConfig);

    const TRIO: &str = "
        replication:
          members:
            - {peer: 'a:8084', client: 'a:8081', admin: 'a:8082'}
            - {peer: 'b:8084', client: 'b:8081', admin: 'b:8082'}
            - {peer: 'c:8084', client: 'c:8081', admin: 'c:8082'}
          arbiter: {lease: {namespace: mq, name: shop-g0, endpointSlice: shop-g0-leader}}
    ";

    fn trio() -> ReplicationConfig {
        BrokerConfig::from_yaml(TRIO).unwrap().replication.unwrap()
    }

    fn lease(name: &str, slice: &str) -> ArbiterConfig {
        let endpoint_slice = Some(slice.to_owned());
        ArbiterConfig::Lease { namespace: "mq".to_owned(), name: name.to_owned(), endpoint_slice }
    }

    #[test]
    fn members_and_an_arbiter_are_enough() {
        let config = trio();
        assert_eq!(config.listen, "0.0.0.0:8084".parse().unwrap());
        assert_eq!((config.copies(), config.min_in_sync()), (3, 2));
        assert_eq!(
            (config.mode, config.peer_timeout_ms, config.ack_stall_ms),
            (ReplicationMode::Sync, 1500, 1000)
        );
        assert_eq!(config.arbiter, lease("shop-g0", "shop-g0-leader"));
        let text = TRIO.replace(", endpointSlice: shop-g0-leader", "");
        let arbiter = BrokerConfig::from_yaml(&text).unwrap().replication.unwrap().arbiter;
        assert!(matches!(arbiter, ArbiterConfig::Lease { endpoint_slice: None, .. }), "{arbiter:?}");
    }

    #[test]
    fn without_it_a_broker_is_alone() {
        assert_eq!(BrokerConfig::from_yaml("").unwrap().replication, None);
        assert!(!BrokerConfig::default().to_yaml().unwrap().contains("replication"));
    }

    #[test]
    fn what_is_written_is_read_back_equal() {
        let mut file = trio();
        file.arbiter = ArbiterConfig::File { path: "/shared/group.json".into() };
        file.ordinal = Some(2);
        file.mode = ReplicationMode::Async;
        file.copies = Some(2);
        file.min_in_sync = Some(1);
        for replication in [trio(), file] {
            let config = BrokerConfig { replication: Some(replication), ..BrokerConfig::default() };
            let text = config.to_yaml().unwrap();
            assert!(!text.contains('!'), "keys, not tags: {text}");
            assert_eq!(BrokerConfig::from_yaml(&text), Ok(config.clone()));
            let json = serde_json::to_string(&config).unwrap();
            assert_eq!(BrokerConfig::from_yaml(&json), Ok(config));
        }
    }

    #[test]
    fn every_wrong_value_is_refused_with_its_key() {
        let wrong: [(&str, Spoil); 15] = [
            ("replication.members: 0 must be from 1 to 3", |r| r.members.clear()),
            ("replication.members: 4 ", |r| r.members.push(r.members[0].clone())),
            ("replication.members[1].peer: `b`", |r| r.members[1].peer = "b".into()),
            ("replication.members[2].client: `c:0`", |r| r.members[2].client = "c:0".into()),
            ("replication.members[0].admin: `:1`", |r| r.members[0].admin = ":1".into()),
            ("replication.members: `a:8084`", |r| r.members[2].peer = "a:8084".into()),
            ("replication.ordinal: 3 must be from 0 to 2", |r| r.ordinal = Some(3)),
            ("replication.copies: 4 ", |r| r.copies = Some(4)),
            ("replication.copies: 0 ", |r| r.copies = Some(0)),
            ("replication.minInSync: 3 must be from 1 to 2", |r| {
                (r.copies, r.min_in_sync) = (Some(2), Some(3));
            }),
            ("replication.peerTimeoutMs: 1 ", |r| r.peer_timeout_ms = 1),
            ("replication.ackStallMs: 60001 ", |r| r.ack_stall_ms = 60_001),
            ("replication.arbiter.file.path:", |r| r.arbiter = ArbiterConfig::File { path: PathBuf::new() }),
            ("replication.arbiter.lease.name: `A`", |r| r.arbiter = lease("A", "a")),
            ("replication.arbiter.lease.endpointSlice: `B`", |r| r.arbiter = lease("a", "B")),
        ];
        for (text, spoil) in wrong {
            let mut replication = trio();
            spoil(&mut replication);
            let config = BrokerConfig { replication: Some(replication), ..BrokerConfig::default() };
            let error = config.validate().unwrap_err().to_string();
            assert!(error.contains(text), "`{error}` should contain `{text}`");
        }
    }

    #[test]
    fn the_peer_port_is_none_of_the_others() {
        let mut replication = trio();
        replication.listen.set_port(8081);
        let config = BrokerConfig { replication: Some(replication), ..BrokerConfig::default() };
        let error = config.validate().unwrap_err().to_string();
        assert!(error.contains("listen and replication.listen both listen on 0.0.0.0:8081"), "{error}");
    }

    #[test]
    fn the_ordinal_is_given_or_taken_from_the_host_name() {
        let mut config = trio();
        assert_eq!(config.ordinal_on("shop-g0-2"), Ok(2));
        for (host, text) in [("shop", "replication.ordinal: missing"), ("shop-g0-3", "3 must be from 0 to 2")]
        {
            let error = config.ordinal_on(host).unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
        }
        config.ordinal = Some(1);
        assert_eq!(config.ordinal_on("shop-g0-2"), Ok(1));
    }

    #[test]
    fn an_unknown_key_is_refused_and_named() {
        for (from, to) in
            [("arbiter:", "copis: 1\n          arbiter:"), ("name: shop-g0", "name: shop-g0, nme: x")]
        {
            let text = TRIO.replace(from, to);
            let error = BrokerConfig::from_yaml(&text).unwrap_err().to_string();
            assert!(error.contains("copis") || error.contains("nme"), "{error}");
        }
    }
}
