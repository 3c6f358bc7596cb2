//! Where spans of messages go.

use std::net::Ipv6Addr;

use serde::{Deserialize, Serialize};

use super::{ConfigError, is_host_and_port};

/// What the endpoint of a collector begins with.
const SCHEME: &str = "http://";

/// Export of spans: what the broker did with messages that carry a sampled trace context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TracingConfig {
    /// Where a collector takes OTLP over gRPC, in plaintext: `http://host:port`.
    pub otlp_endpoint: String,
}

impl TracingConfig {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        let place = self.otlp_endpoint.strip_prefix(SCHEME).unwrap_or_default();
        let host = place.rsplit_once(':').map_or("", |(host, _)| host);
        let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        if is_host_and_port(place) && (is_name || is_ipv6(host)) {
            return Ok(());
        }
        Err(ConfigError::OtlpEndpoint(self.otlp_endpoint.clone()))
    }
}

fn is_ipv6(host: &str) -> bool {
    let inner = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inner.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}
