//! Where the broker is and how to reach it: flags that every command takes.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use client::admin::{AdminClient, AdminConfig};
use client::{ClientBuilder, Endpoint, Trust};

use crate::failure::Failure;
use crate::values::duration;

/// Members that nobody named are not waited for any longer.
const OTHERS_TIMEOUT: Duration = Duration::from_secs(2);

/// How to reach a broker.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub(crate) struct Connect {
    /// Messaging endpoint: host:port, https://host:port for TLS, several with `;` between them
    #[arg(short, long, global = true, env = "MILLPOND_ENDPOINT", default_value = "localhost:8081")]
    endpoint: String,
    /// Endpoint of the admin API [default: the messaging endpoint, one port higher]
    #[arg(long, global = true, env = "MILLPOND_ADMIN", value_name = "ENDPOINT")]
    admin: Option<Endpoint>,
    /// Namespace of topics and groups in the messaging protocol
    #[arg(long, global = true, default_value = "")]
    namespace: String,
    /// Certificate authorities to believe, in PEM [default: those of this machine]
    #[arg(long, global = true, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Believe any certificate
    #[arg(long, global = true, conflicts_with = "ca")]
    insecure: bool,
    /// Send everything to the endpoint itself, whatever routes say; for a forwarded port
    #[arg(long, global = true)]
    pinned: bool,
    /// Time limit of one request
    #[arg(long, global = true, value_parser = duration, default_value = "10s")]
    timeout: Duration,
}

impl Connect {
    pub(crate) fn messaging(&self) -> Result<ClientBuilder, Failure> {
        let endpoints = Endpoint::parse_list(&self.endpoint)?;
        Ok(ClientBuilder::new(endpoints)
            .namespace(self.namespace.clone())
            .trust(self.trust()?)
            .request_timeout(self.timeout)
            .pinned(self.pinned))
    }

    pub(crate) fn admin(&self) -> Result<AdminClient, Failure> {
        let endpoint = match &self.admin {
            Some(endpoint) => endpoint.clone(),
            None => beside(&Endpoint::parse_list(&self.endpoint)?),
        };
        let config =
            AdminConfig { trust: self.trust()?, timeout: self.timeout, ..AdminConfig::new(endpoint) };
        Ok(AdminClient::new(config)?)
    }

    /// The admin API of another member, which nobody may have made reachable from here.
    pub(crate) fn admin_at(&self, address: &str) -> Result<AdminClient, String> {
        let endpoint: Endpoint =
            address.parse().map_err(|error: client::InvalidEndpoint| error.to_string())?;
        let trust = self.trust().map_err(|failure| failure.to_string())?;
        let timeout = self.timeout.min(OTHERS_TIMEOUT);
        let config = AdminConfig { trust, timeout, ..AdminConfig::new(endpoint) };
        AdminClient::new(config).map_err(|error| error.to_string())
    }

    fn trust(&self) -> Result<Trust, Failure> {
        match &self.ca {
            _ if self.insecure => Ok(Trust::Anyone),
            None => Ok(Trust::System),
            Some(file) => std::fs::read(file)
                .map(Trust::Authorities)
                .map_err(|error| Failure::Usage(format!("{}: {error}", file.display()))),
        }
    }
}

/// The admin API of a broker listens one port above its messages, without TLS.
fn beside(endpoints: &[Endpoint]) -> Endpoint {
    let first = &endpoints[0];
    Endpoint::plain(first.host.clone(), first.port.saturating_add(1))
}
