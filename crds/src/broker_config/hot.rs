//! Which part of a configuration a running broker takes over, and which part needs a restart.
//!
//! | Class | Keys |
//! |---|---|
//! | taken over within seconds | `log.retentionMs`, `log.retentionBytes`, `maxDelayMs`, `transactions`, `tracing`, `groups`, `listeners` |
//! | with the next start, whenever that is | `log.segmentBytes` |
//! | needs a restart | everything else |

use super::{
    BrokerConfig, GroupEndpoint, ListenerConfig, LogConfig, MAX_DELAY_MS_DEFAULT, TracingConfig,
    TransactionConfig,
};

/// What a running broker takes over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HotConfig {
    /// Milliseconds after which a message may be removed.
    pub retention_ms: u64,
    /// Bytes of log above which the oldest segments are removed.
    pub retention_bytes: Option<u64>,
    /// Milliseconds that a message may be sent ahead of its time.
    pub max_delay_ms: u64,
    /// When senders are asked about transactions.
    pub transactions: TransactionConfig,
    /// Where spans of messages go.
    pub tracing: Option<TracingConfig>,
    /// All groups of the cluster.
    pub groups: Vec<GroupEndpoint>,
    /// More ports for clients.
    pub listeners: Vec<ListenerConfig>,
}

impl BrokerConfig {
    /// What a running broker takes over.
    pub fn hot(&self) -> HotConfig {
        HotConfig {
            retention_ms: self.log.retention_ms,
            retention_bytes: self.log.retention_bytes,
            max_delay_ms: self.max_delay_ms,
            transactions: self.transactions.clone(),
            tracing: self.tracing.clone(),
            groups: self.groups.clone(),
            listeners: self.listeners.clone(),
        }
    }

    /// What needs a restart: the rest is as in an empty file. A broker whose file has the same is not restarted.
    #[must_use]
    pub fn cold(&self) -> Self {
        // All keys by name: a new one has to be put into one of the classes.
        let Self {
            cluster,
            group,
            listen,
            admin_listen,
            http_listen,
            data,
            log: LogConfig { flush, segment_bytes: _, retention_ms: _, retention_bytes: _ },
            max_delay_ms: _,
            transactions: _,
            groups: _,
            listeners: _,
            tls,
            tracing: _,
            replication,
        } = self.clone();
        Self {
            cluster,
            group,
            listen,
            admin_listen,
            http_listen,
            data,
            log: LogConfig { flush, ..LogConfig::default() },
            max_delay_ms: MAX_DELAY_MS_DEFAULT,
            transactions: TransactionConfig::default(),
            groups: Vec::new(),
            listeners: Vec::new(),
            tls,
            tracing: None,
            replication,
        }
    }
}
