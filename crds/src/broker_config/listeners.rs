//! Ports for clients that come from elsewhere, and the addresses that such clients are told.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{BrokerConfig, ConfigError, check_group, check_range, is_host_and_port};
use crate::listener::LISTENERS_MAX;
use crate::names;

/// A port for clients that come from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ListenerConfig {
    /// Its name.
    pub name: String,
    /// Where they connect: gRPC, in plaintext and TLS on one port.
    pub listen: SocketAddr,
    /// Where they find each group of the cluster; one that is not named they are not told of.
    #[serde(default)]
    pub groups: Vec<AdvertisedGroup>,
}

/// Where clients of a listener find a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdvertisedGroup {
    /// Name of the group.
    pub name: String,
    /// `host:port`; `*:port` for that port of the host that a client dialled.
    pub endpoint: String,
}

impl BrokerConfig {
    pub(super) fn validate_listeners(&self) -> Result<(), ConfigError> {
        check_range("listeners", self.listeners.len() as u64, 0, LISTENERS_MAX as u64)?;
        let mut sockets = vec![
            ("listen".to_owned(), self.listen),
            ("adminListen".to_owned(), self.admin_listen),
            ("httpListen".to_owned(), self.http_listen),
        ];
        let peers = self.replication.as_ref();
        sockets.extend(peers.map(|replication| ("replication.listen".to_owned(), replication.listen)));
        for listener in &self.listeners {
            listener.validate()?;
            if self.listeners.iter().filter(|other| other.name == listener.name).count() > 1 {
                return Err(ConfigError::ListenerTwice(listener.name.clone()));
            }
            sockets.push((format!("listeners.{}", listener.name), listener.listen));
        }
        for (at, (first, address)) in sockets.iter().enumerate() {
            // Port 0 asks the system for a free one, so two of them never meet.
            let same = sockets[at + 1..].iter().find(|(_, other)| other == address && address.port() != 0);
            if let Some((second, _)) = same {
                let (first, second) = (first.clone(), second.clone());
                return Err(ConfigError::SameAddress { first, second, address: *address });
            }
        }
        Ok(())
    }
}

impl ListenerConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        if !names::is_label(&self.name) {
            return Err(ConfigError::Name { key: "listeners", value: self.name.clone() });
        }
        for group in &self.groups {
            check_group("listeners.groups", &group.name)?;
            if !is_host_and_port(&group.endpoint) {
                return Err(ConfigError::Endpoint(group.endpoint.clone()));
            }
        }
        Ok(())
    }
}
