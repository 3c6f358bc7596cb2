//! The command line: a configuration file, and flags that win over it.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Parser;
use crds::broker_config::{BrokerConfig, FlushMode};

/// A message broker for Apache RocketMQ 5 clients.
///
/// Without a configuration file it runs on its own:
///
///   millpond-broker --data ./data --apply ./manifests
#[derive(Debug, Clone, Parser)]
#[command(name = "millpond-broker", version)]
pub(crate) struct Args {
    /// Configuration file (YAML); every key has a default
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the log; made if it does not exist
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Folder of Topic and `ConsumerGroup` YAML files to apply and watch
    #[arg(long, value_name = "DIR")]
    pub(crate) apply: Option<PathBuf>,
    /// Address for clients [default: 0.0.0.0:8081]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Address of the admin API [default: 0.0.0.0:8082]
    #[arg(long, value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// Address of /healthz, /readyz and /metrics [default: 0.0.0.0:8083]
    #[arg(long, value_name = "ADDRESS")]
    http_listen: Option<SocketAddr>,
    /// When a send is answered: sync = it survives a power cut, async = it survives a killed broker
    #[arg(long, value_name = "MODE", value_parser = flush)]
    flush: Option<FlushMode>,
    /// Addresses of the pod, where clients are sent while it leads; Kubernetes knows them
    #[arg(long, value_name = "ADDRESS,...", value_delimiter = ',')]
    pub(crate) pod_ips: Vec<IpAddr>,
    /// Milliseconds that a copy among others serves on after it has handed over: whoever sends clients here learns of it meanwhile
    #[arg(long, value_name = "MS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=60_000))]
    pub(crate) linger_ms: u64,
    /// Threads that serve clients [default: one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,
    /// Log lines as JSON
    #[arg(long)]
    pub(crate) log_json: bool,
}

impl Args {
    /// The configuration that results; checked.
    pub(crate) fn broker_config(&self) -> Result<BrokerConfig> {
        let mut config = match &self.config {
            Some(file) => {
                let text =
                    std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
                BrokerConfig::from_yaml(&text).with_context(|| format!("configuration {}", file.display()))?
            }
            None => BrokerConfig::default(),
        };
        if let Some(data) = &self.data {
            config.data.clone_from(data);
        }
        config.listen = self.listen.unwrap_or(config.listen);
        config.admin_listen = self.admin_listen.unwrap_or(config.admin_listen);
        config.http_listen = self.http_listen.unwrap_or(config.http_listen);
        config.log.flush = self.flush.or(config.log.flush);
        config.validate().context("configuration")?;
        Ok(config)
    }
}

fn flush(text: &str) -> Result<FlushMode, String> {
    match text.to_ascii_lowercase().as_str() {
        "sync" => Ok(FlushMode::Sync),
        "async" => Ok(FlushMode::Async),
        _ => Err("must be sync or async".to_owned()),
    }
}
