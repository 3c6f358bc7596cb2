//! The way to the Kubernetes API: bounded in time, and nothing is sent twice.

use std::time::Duration;

use kube::Client;
use kube::client::ClientBuilder;
use kube::config::Config;

use super::QUIET_MAX;
use crate::{CALL_MAX, OpenError};

/// From inside of a pod, or as `KUBECONFIG` says.
pub(crate) async fn client() -> Result<Client, OpenError> {
    let config = Config::infer().await.map_err(|error| OpenError::Kubernetes(error.to_string()))?;
    let builder =
        ClientBuilder::try_from(bounded(config)).map_err(|error| OpenError::Kubernetes(error.to_string()))?;
    Ok(builder.build())
}

fn bounded(mut config: Config) -> Config {
    config.connect_timeout = Some(CALL_MAX);
    config.write_timeout = Some(CALL_MAX);
    // Above what a watch may be quiet: this is for connections that nobody waits on any more.
    config.read_timeout = Some(QUIET_MAX + Duration::from_secs(5));
    config.reset_reader_on_write = true;
    // By default a proposal that met a busy server is sent again, and the second answer would hide the first.
    config.default_retry = false;
    config
}
