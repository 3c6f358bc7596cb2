//! The configuration file of one `millpond-broker`.
//!
//! ```text
//!   BrokerCluster ── operator ──► ConfigMap ──► /etc/millpond/broker.yaml ──► millpond-broker --config FILE
//!                                               written by a person, too
//! ```
//!
//! Promise: the operator writes and the broker reads the same type, so they cannot drift. An empty file is a valid
//! configuration: one standalone broker with its data in `./data`. An unknown key is refused, not ignored.
//! A running broker takes over what [`BrokerConfig::hot`] says; everything else waits for its next start.

mod hot;
mod listeners;
mod replication;
mod tls;
mod tracing;
mod transactions;

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::names;

pub use hot::HotConfig;
pub use listeners::{AdvertisedGroup, ListenerConfig};
pub use tls::TlsConfig;
pub use tracing::TracingConfig;
pub use transactions::TransactionConfig;

pub use replication::{
    ACK_STALL_MS_DEFAULT, ArbiterConfig, MemberAddress, PEER_TIMEOUT_MS_DEFAULT, ReplicationConfig,
    ReplicationError, ReplicationMode,
};

/// Smallest segment: below it a busy log would be made of files, not of bytes.
pub const SEGMENT_BYTES_MIN: u64 = 1 << 20;
/// Largest segment: positions inside of one stay below 2^31.
pub const SEGMENT_BYTES_MAX: u64 = 1 << 31;
/// Default bytes of a segment.
pub const SEGMENT_BYTES_DEFAULT: u64 = 256 << 20;
/// Default time a message is kept: 72 hours.
pub const RETENTION_MS_DEFAULT: u64 = 72 * 3600 * 1000;
/// Shortest retention by age: one minute.
pub const RETENTION_MS_MIN: u64 = 60_000;
/// Default for how far ahead a message may be sent: one day.
pub const MAX_DELAY_MS_DEFAULT: u64 = 24 * 3600 * 1000;
/// The longest that can be set: 60 days.
pub const MAX_DELAY_MS_MAX: u64 = 60 * MAX_DELAY_MS_DEFAULT;
/// Most broker groups of one cluster.
pub const GROUPS_MAX: usize = 32;

/// How one broker runs. Every field has a default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct BrokerConfig {
    /// Name of the cluster, as clients and people see it.
    pub cluster: String,
    /// Name of the group this broker serves: `g0`, `g1` and so on.
    pub group: String,
    /// Where clients connect: gRPC, in plaintext and TLS on one port.
    pub listen: SocketAddr,
    /// Where the admin API listens: gRPC in plaintext, not for the public.
    pub admin_listen: SocketAddr,
    /// Where probes and metrics listen: HTTP.
    pub http_listen: SocketAddr,
    /// Directory of the log; created when it is missing.
    pub data: PathBuf,
    /// How the log is written and kept.
    pub log: LogConfig,
    /// Milliseconds that a message may be sent ahead of its time. Until then it and all that came after it stay on the
    /// disk, whatever the retention.
    #[serde(skip_serializing_if = "is_usual_delay")]
    pub max_delay_ms: u64,
    /// When senders are asked about transactions that they neither commit nor roll back.
    #[serde(skip_serializing_if = "TransactionConfig::is_usual")]
    pub transactions: TransactionConfig,
    /// All groups of the cluster with their stable client addresses; empty: only this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupEndpoint>,
    /// More ports for clients, whose clients are told other addresses.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listeners: Vec<ListenerConfig>,
    /// Certificate for TLS on the client ports.
    #[serde(skip_serializing_if = "TlsConfig::is_self_signed")]
    pub tls: TlsConfig,
    /// Where spans of messages go; none: nobody wants them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tracing: Option<TracingConfig>,
    /// How the copies of the group are kept in step; none: this broker is alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication: Option<ReplicationConfig>,
}

impl Default for BrokerConfig {
    fn default() -> Self {
        let any = |port| SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port);
        Self {
            cluster: "millpond".to_owned(),
            group: "g0".to_owned(),
            listen: any(8081),
            admin_listen: any(8082),
            http_listen: any(8083),
            data: PathBuf::from("data"),
            log: LogConfig::default(),
            max_delay_ms: MAX_DELAY_MS_DEFAULT,
            transactions: TransactionConfig::default(),
            groups: Vec::new(),
            listeners: Vec::new(),
            tls: TlsConfig::default(),
            tracing: None,
            replication: None,
        }
    }
}

// Left out of the file then: brokers that do not know the key refuse it.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_usual_delay(ms: &u64) -> bool {
    *ms == MAX_DELAY_MS_DEFAULT
}

/// How the log of a broker is written and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct LogConfig {
    /// When a copy counts a message as stored; none: by the number of copies, see [`FlushMode::of_copies`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub flush: Option<FlushMode>,
    /// Bytes per segment file; smaller frees the disk sooner, larger makes fewer files.
    pub segment_bytes: u64,
    /// Milliseconds after which a message may be removed.
    pub retention_ms: u64,
    /// Bytes of log above which the oldest segments are removed, whatever their age; none: as the disk allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_bytes: Option<u64>,
}

impl Default for LogConfig {
    fn default() -> Self {
        Self {
            flush: None,
            segment_bytes: SEGMENT_BYTES_DEFAULT,
            retention_ms: RETENTION_MS_DEFAULT,
            retention_bytes: None,
        }
    }
}

/// When a copy counts a message as stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub enum FlushMode {
    /// After the disk has confirmed that the message survives a power cut.
    #[default]
    Sync,
    /// After the message is in the operating system's memory: it survives a killed broker, not a power cut.
    Async,
}

impl FlushMode {
    /// What suits a number of copies: a single one has to survive a power cut, of several one will.
    pub fn of_copies(copies: u32) -> Self {
        if copies > 1 { Self::Async } else { Self::Sync }
    }
}

/// Where clients reach one group of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GroupEndpoint {
    /// Name of the group: `g0`, `g1` and so on.
    pub name: String,
    /// Stable address of its broker: `host:port`.
    pub endpoint: String,
    /// Whether it is leaving the cluster, and how far that has come.
    #[serde(default, skip_serializing_if = "GroupPhase::is_serving")]
    pub phase: GroupPhase,
}

/// Whether a group is leaving its cluster, and how far that has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum GroupPhase {
    /// It stays.
    #[default]
    Serving,
    /// Producers are sent to other groups. What still comes is taken: they ask for the way every 30 s or so.
    Diverting,
    /// It takes no message any more; consumers read what is left.
    Draining,
    /// Clients are not sent to it any more.
    Emptied,
    /// Its objects are being removed.
    Removing,
}

impl GroupPhase {
    // Left out of the file then: brokers that do not know the key refuse it.
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_serving(&self) -> bool {
        *self == Self::Serving
    }
}

/// Why a configuration cannot be used. The text names the key, the value and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not YAML, or not of this shape.
    #[error("{0}")]
    Shape(String),
    /// A name that cannot be one.
    #[error("{key}: `{value}` must be 1 to 63 lower case letters, digits or `-`, and start with a letter")]
    Name {
        /// The key in the file.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// A group name that is not `g` and a number.
    #[error("{key}: `{value}` must be `g` and a number from 0 to 31, for example `g0`")]
    Group {
        /// The key in the file.
        key: &'static str,
        /// Its value.
        value: String,
    },
    /// A number outside of its range.
    #[error("{key}: {value} must be from {min} to {max}")]
    Range {
        /// The key in the file.
        key: &'static str,
        /// Its value.
        value: u64,
        /// Smallest allowed.
        min: u64,
        /// Largest allowed.
        max: u64,
    },
    /// Two listeners on one address.
    #[error("{first} and {second} both listen on {address}; give each its own port")]
    SameAddress {
        /// One key.
        first: String,
        /// The other key.
        second: String,
        /// The address.
        address: SocketAddr,
    },
    /// An endpoint that is not `host:port`.
    #[error("the endpoint `{0}` of a group must be `host:port`")]
    Endpoint(String),
    /// A listener named twice.
    #[error("listeners: `{0}` is listed twice")]
    ListenerTwice(String),
    /// A group named twice.
    #[error("groups: `{0}` is listed twice")]
    GroupTwice(String),
    /// The list of groups lacks the own one.
    #[error(
        "groups: `{0}` is this broker's group and is not listed; list all groups of the cluster, or none"
    )]
    GroupMissing(String),
    /// Only one of certificate and key.
    #[error("tls: certFile and keyFile belong together; give both, or none for a self-signed certificate")]
    HalfTls,
    /// A place for spans that cannot be one.
    #[error(
        "tracing.otlpEndpoint: `{0}` must be `http://host:port`, where a collector takes OTLP over gRPC, for example \
         `http://collector.monitoring.svc:4317`"
    )]
    OtlpEndpoint(String),
    /// No data directory.
    #[error("data: a directory is needed")]
    NoData,
    /// The copies of the group.
    #[error(transparent)]
    Replication(#[from] ReplicationError),
}

impl BrokerConfig {
    /// Reads and checks a configuration.
    pub fn from_yaml(text: &str) -> Result<Self, ConfigError> {
        // A file of comments alone is YAML's null, and means all defaults.
        let config: Option<Self> =
            serde_yaml::from_str(text).map_err(|error| ConfigError::Shape(error.to_string()))?;
        let config = config.unwrap_or_default();
        config.validate()?;
        Ok(config)
    }

    /// The file's text.
    pub fn to_yaml(&self) -> Result<String, ConfigError> {
        serde_yaml::to_string(self).map_err(|error| ConfigError::Shape(error.to_string()))
    }

    /// Checks what the types cannot hold.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !names::is_label(&self.cluster) {
            return Err(ConfigError::Name { key: "cluster", value: self.cluster.clone() });
        }
        check_group("group", &self.group)?;
        if self.data.as_os_str().is_empty() {
            return Err(ConfigError::NoData);
        }
        if self.tls.cert_file.is_some() != self.tls.key_file.is_some() {
            return Err(ConfigError::HalfTls);
        }
        self.validate_listeners()?;
        self.log.validate()?;
        check_range("maxDelayMs", self.max_delay_ms, 0, MAX_DELAY_MS_MAX)?;
        self.transactions.validate()?;
        self.tracing.as_ref().map_or(Ok(()), TracingConfig::validate)?;
        self.replication.as_ref().map_or(Ok(()), ReplicationConfig::validate)?;
        self.validate_groups()
    }

    fn validate_groups(&self) -> Result<(), ConfigError> {
        check_range("groups", self.groups.len() as u64, 0, GROUPS_MAX as u64)?;
        let mut seen = BTreeSet::new();
        for group in &self.groups {
            check_group("groups", &group.name)?;
            if !seen.insert(group.name.as_str()) {
                return Err(ConfigError::GroupTwice(group.name.clone()));
            }
            if !is_host_and_port(&group.endpoint) {
                return Err(ConfigError::Endpoint(group.endpoint.clone()));
            }
        }
        if !seen.is_empty() && !seen.contains(self.group.as_str()) {
            return Err(ConfigError::GroupMissing(self.group.clone()));
        }
        Ok(())
    }
}

impl LogConfig {
    fn validate(&self) -> Result<(), ConfigError> {
        check_range("log.segmentBytes", self.segment_bytes, SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX)?;
        check_range("log.retentionMs", self.retention_ms, RETENTION_MS_MIN, u64::MAX)?;
        // Two segments: the one being written is never removed, so less would promise what cannot be kept.
        let bytes = self.retention_bytes.unwrap_or(u64::MAX);
        check_range("log.retentionBytes", bytes, 2 * self.segment_bytes, u64::MAX)
    }
}

fn check_group(key: &'static str, value: &str) -> Result<(), ConfigError> {
    match names::group_number(value) {
        Some(_) => Ok(()),
        None => Err(ConfigError::Group { key, value: value.to_owned() }),
    }
}

/// `host:port`, with a host of any kind and a port that can be dialled.
fn is_host_and_port(endpoint: &str) -> bool {
    let port = endpoint.rsplit_once(':').filter(|(host, _)| !host.is_empty());
    port.is_some_and(|(_, port)| port.parse::<u16>().is_ok_and(|port| port > 0))
}

fn check_range(key: &'static str, value: u64, min: u64, max: u64) -> Result<(), ConfigError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(ConfigError::Range { key, value, min, max }) }
}

#[cfg(test)]
mod tests;
