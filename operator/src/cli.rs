//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use crds::amount::Span;

use crate::settings::{ADMIN_ENDPOINT_DEFAULT, EndpointTemplate, Settings};

/// Makes Kubernetes and brokers hold what Millpond's custom resources say.
#[derive(Debug, Clone, Parser)]
#[command(name = "millpond-operator", version, after_help = EXAMPLES)]
pub struct Args {
    /// Image of brokers when a cluster names none.
    #[arg(long, value_name = "IMAGE")]
    pub broker_image: String,
    /// When nodes pull the image of brokers.
    #[arg(long, value_name = "POLICY", value_parser = ["Always", "IfNotPresent", "Never"])]
    pub broker_image_pull_policy: Option<String>,
    /// Have brokers log JSON; a change of it restarts them.
    #[arg(long)]
    pub broker_log_json: bool,
    /// Namespaces to watch, with commas between them; left out: all.
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub watch_namespaces: Vec<String>,
    /// Namespace of this operator.
    #[arg(long, default_value = "default")]
    pub namespace: String,
    /// Name of this operator among its replicas.
    #[arg(long, default_value = "millpond-operator")]
    pub identity: String,
    /// Run without asking whether another replica leads.
    #[arg(long)]
    pub no_leader_election: bool,
    /// Name of the Lease that says which replica leads.
    #[arg(long, default_value = "millpond-operator")]
    pub lease_name: String,
    /// Where brokers' admin API is; for an operator outside of Kubernetes.
    #[arg(long, value_name = "HOST:PORT", default_value = ADMIN_ENDPOINT_DEFAULT,
        value_parser = EndpointTemplate::parse)]
    pub admin_endpoint_template: EndpointTemplate,
    /// How often everything is compared with the brokers although nothing changed.
    #[arg(long, default_value = "30s", value_parser = duration)]
    pub resync: Duration,
    /// Clusters whose brokers are restarted at the same time, for a new template or image; left out: all that want to.
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u16).range(1..))]
    pub rollouts_max: Option<u16>,
    /// Where /healthz, /readyz and /metrics listen.
    #[arg(long, default_value = "0.0.0.0:8080")]
    pub http_listen: SocketAddr,
    /// What to log, for example `info` or `operator=debug,info`.
    #[arg(long, default_value = "info")]
    pub log: String,
    /// Log JSON.
    #[arg(long)]
    pub log_json: bool,
}

const EXAMPLES: &str = "Examples:
  In Kubernetes, as the chart does it:
    millpond-operator --broker-image example.org/millpond:0.1.0 --namespace millpond --identity $(POD_NAME)
  On a laptop, with the current kubeconfig and one cluster's admin port forwarded:
    millpond-operator --broker-image millpond:dev --no-leader-election --admin-endpoint-template 127.0.0.1:8082";

fn duration(text: &str) -> Result<Duration, String> {
    Span::from(text).millis().map(Duration::from_millis).map_err(|error| error.to_string())
}

impl Args {
    /// What the parts of the operator are told.
    pub fn settings(&self) -> Settings {
        Settings {
            broker_image: self.broker_image.clone(),
            broker_image_pull_policy: self.broker_image_pull_policy.clone(),
            broker_log_json: self.broker_log_json,
            namespace: self.namespace.clone(),
            admin_endpoint: self.admin_endpoint_template.clone(),
            resync: self.resync,
            writes_max: 32,
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn namespaces_are_a_list() {
        let args =
            Args::parse_from(["millpond-operator", "--broker-image", "a:1", "--watch-namespaces", "x,y"]);
        assert_eq!(args.watch_namespaces, ["x", "y"]);
        assert_eq!(args.settings().resync, Duration::from_secs(30));
    }
}
