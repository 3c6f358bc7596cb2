//! What a client tells a server about itself.

use std::net::IpAddr;
use std::time::Duration;

use wire::v2;
use wire::v2::settings::PubSub;

use super::Shared;
use crate::endpoint::Endpoint;
use crate::filter::Filter;
use crate::id::host_name;
use crate::transaction::Checker;
use crate::transport::CLIENT_VERSION;

/// What the client is for.
#[derive(Debug, Clone)]
pub(crate) enum Role {
    Producer {
        topics: Vec<String>,
        /// Decides about transactions that their senders leave open.
        checker: Option<Checker>,
    },
    Consumer {
        kind: v2::ClientType,
        group: String,
        /// Topics with their filters.
        subscriptions: Vec<(String, Filter)>,
        /// How long a receive waits at the server; left out, the server says it.
        wait: Option<Duration>,
    },
}

impl Role {
    pub(crate) fn topics(&self) -> Vec<String> {
        match self {
            Self::Producer { topics, .. } => topics.clone(),
            Self::Consumer { subscriptions, .. } => {
                subscriptions.iter().map(|(topic, _)| topic.clone()).collect()
            }
        }
    }

    /// Whether a server must know the client before it can say what its queues are.
    pub(crate) fn is_known_first(&self) -> bool {
        self.client_type() == v2::ClientType::PullConsumer
    }

    pub(crate) fn group(&self, shared: &Shared) -> Option<v2::Resource> {
        match self {
            Self::Producer { .. } => None,
            Self::Consumer { group, .. } => Some(shared.resource(group)),
        }
    }

    pub(crate) fn checker(&self) -> Option<&Checker> {
        match self {
            Self::Producer { checker, .. } => checker.as_ref(),
            Self::Consumer { .. } => None,
        }
    }

    pub(crate) fn client_type(&self) -> v2::ClientType {
        match self {
            Self::Producer { .. } => v2::ClientType::Producer,
            Self::Consumer { kind, .. } => *kind,
        }
    }

    pub(crate) fn settings(&self, shared: &Shared) -> v2::Settings {
        let pub_sub = match self {
            Self::Producer { topics, .. } => PubSub::Publishing(v2::Publishing {
                topics: topics.iter().map(|topic| shared.resource(topic)).collect(),
                ..Default::default()
            }),
            Self::Consumer { group, subscriptions, wait, .. } => PubSub::Subscription(v2::Subscription {
                group: Some(shared.resource(group)),
                subscriptions: subscriptions
                    .iter()
                    .map(|(topic, filter)| v2::SubscriptionEntry {
                        topic: Some(shared.resource(topic)),
                        expression: Some(filter.to_proto()),
                    })
                    .collect(),
                long_polling_timeout: wait.map(duration),
                ..Default::default()
            }),
        };
        v2::Settings {
            client_type: Some(self.client_type().into()),
            access_point: Some(addresses(&shared.config.endpoints)),
            request_timeout: Some(duration(shared.config.request_timeout)),
            user_agent: Some(v2::Ua {
                language: v2::Language::Rust.into(),
                version: CLIENT_VERSION.to_owned(),
                platform: std::env::consts::OS.to_owned(),
                hostname: host_name(),
            }),
            pub_sub: Some(pub_sub),
            ..Default::default()
        }
    }
}

pub(crate) fn duration(duration: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: duration.as_secs().cast_signed(),
        nanos: duration.subsec_nanos().cast_signed(),
    }
}

/// Endpoints as the protocol writes them.
pub(crate) fn addresses(endpoints: &[Endpoint]) -> v2::Endpoints {
    let scheme = match endpoints.first().map(|endpoint| endpoint.host.parse()) {
        Some(Ok(IpAddr::V4(_))) => v2::AddressScheme::IPv4,
        Some(Ok(IpAddr::V6(_))) => v2::AddressScheme::IPv6,
        Some(Err(_)) | None => v2::AddressScheme::DomainName,
    };
    let addresses = endpoints
        .iter()
        .map(|endpoint| v2::Address { host: endpoint.host.clone(), port: i32::from(endpoint.port) });
    v2::Endpoints { scheme: scheme.into(), addresses: addresses.collect() }
}
