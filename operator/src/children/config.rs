//! The configuration file of a group's brokers: one for all of them, and the same for any number of copies.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use crds::amount::{AmountError, Span};
use crds::broker_cluster::{COPIES_MAX, Tracing, Transactions};
use crds::broker_config::{
    ACK_STALL_MS_DEFAULT, ArbiterConfig, BrokerConfig, GroupEndpoint, LogConfig, MAX_DELAY_MS_DEFAULT,
    MemberAddress, PEER_TIMEOUT_MS_DEFAULT, ReplicationConfig, SEGMENT_BYTES_DEFAULT, SEGMENT_BYTES_MIN,
    TracingConfig, TransactionConfig,
};
use crds::names;
use k8s_openapi::api::core::v1::ConfigMap;

use super::{ADMIN_PORT, Blueprint, CLIENT_PORT, PEER_PORT, labels, leader_endpoint, listener};

/// Where the volume is mounted.
pub(super) const DATA_MOUNT: &str = "/var/lib/millpond";
/// Where the configuration is mounted.
pub(super) const CONFIG_MOUNT: &str = "/etc/millpond";
/// Name of the file.
pub(super) const CONFIG_FILE: &str = "broker.yaml";

/// Why a cluster's spec cannot be carried out. A sentence for the user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidSpec(pub String);

impl From<AmountError> for InvalidSpec {
    fn from(error: AmountError) -> Self {
        Self(error.to_string())
    }
}

/// The configuration of a group's brokers.
pub fn broker_config(blueprint: &Blueprint, group: u32) -> Result<BrokerConfig, InvalidSpec> {
    let told: Vec<u32> = told(blueprint, group).collect();
    let config = BrokerConfig {
        cluster: blueprint.cluster.clone(),
        group: names::group_name(group),
        // A folder inside of the volume: some file systems keep files of their own at its root.
        data: PathBuf::from(DATA_MOUNT).join("data"),
        log: log_config(&blueprint.spec, blueprint.smaller_disks.get(&group).copied())?,
        groups: told.iter().map(|group| endpoint(blueprint, *group)).collect(),
        listeners: listener::configs(blueprint, &told)?,
        replication: Some(replication(blueprint, group)),
        max_delay_ms: match &blueprint.spec.max_delay {
            Some(span) => span.millis()?,
            None => MAX_DELAY_MS_DEFAULT,
        },
        transactions: transactions(blueprint.spec.transactions.as_ref())?,
        tracing: blueprint.spec.tracing.as_ref().map(tracing),
        ..BrokerConfig::default()
    };
    config.validate().map_err(|error| InvalidSpec(error.to_string()))?;
    Ok(config)
}

fn transactions(spec: Option<&Transactions>) -> Result<TransactionConfig, InvalidSpec> {
    let Transactions { check_after, check_interval, max_checks } = spec.cloned().unwrap_or_default();
    let usual = TransactionConfig::default();
    let millis = |span: Option<Span>, usual| span.map_or(Ok(usual), |span| span.millis());
    Ok(TransactionConfig {
        check_after_ms: millis(check_after, usual.check_after_ms)?,
        check_interval_ms: millis(check_interval, usual.check_interval_ms)?,
        max_checks: max_checks.map_or(usual.max_checks, i32::unsigned_abs),
    })
}

fn tracing(spec: &Tracing) -> TracingConfig {
    TracingConfig { otlp_endpoint: spec.otlp_endpoint.clone() }
}

/// Names all members that there may ever be. How many there are, and how many have to be in sync, is said in the Lease:
/// a change of it must not restart anybody.
fn replication(blueprint: &Blueprint, group: u32) -> ReplicationConfig {
    let name = names::group_object_name(&blueprint.cluster, group);
    let member = |ordinal: u32| {
        let pod = names::pod_name(&blueprint.cluster, group, ordinal);
        let at = |port: i32| format!("{pod}.{name}.{}.svc:{port}", blueprint.namespace);
        MemberAddress { peer: at(PEER_PORT.into()), client: at(CLIENT_PORT), admin: at(ADMIN_PORT) }
    };
    ReplicationConfig {
        ordinal: None,
        listen: SocketAddr::from((Ipv4Addr::UNSPECIFIED, PEER_PORT)),
        members: (0..COPIES_MAX).map(member).collect(),
        arbiter: ArbiterConfig::Lease {
            namespace: blueprint.namespace.clone(),
            name: name.clone(),
            endpoint_slice: Some(names::leader_object_name(&blueprint.cluster, group)),
        },
        mode: blueprint.spec.replication,
        copies: None,
        min_in_sync: None,
        peer_timeout_ms: PEER_TIMEOUT_MS_DEFAULT,
        ack_stall_ms: ACK_STALL_MS_DEFAULT,
    }
}

/// The groups that these brokers tell clients of: their own, and those that can answer.
fn told(blueprint: &Blueprint, own: u32) -> impl Iterator<Item = u32> {
    (0..blueprint.groups).filter(move |group| *group == own || !blueprint.joining.contains(group))
}

/// Where routes send clients: straight to the leader.
fn endpoint(blueprint: &Blueprint, group: u32) -> GroupEndpoint {
    let endpoint = leader_endpoint(&blueprint.cluster, &blueprint.namespace, group);
    let phase = blueprint.phases.get(&group).copied().unwrap_or_default();
    GroupEndpoint { name: names::group_name(group), endpoint, phase }
}

/// `smaller`: bytes of the smallest disk, if it is not as large yet as it is to be.
fn log_config(spec: &crds::BrokerClusterSpec, smaller: Option<u64>) -> Result<LogConfig, InvalidSpec> {
    let disk = spec.storage.size.bytes()?;
    let kept = match &spec.retention.max_size {
        Some(size) => size.bytes()?,
        // The rest is for the index, checkpoints and the segment that is being prepared.
        None => share(disk),
    };
    if kept >= disk {
        let (kept, disk) =
            (spec.retention.max_size.as_ref().map_or("", |size| &size.0), &spec.storage.size.0);
        return Err(InvalidSpec(format!(
            "retention.maxSize {kept} must be below storage.size {disk}: the index needs room as well; lower maxSize \
             or raise storage.size"
        )));
    }
    let kept = smaller.map_or(kept, |smaller| kept.min(share(smaller)));
    // Retention removes whole segments, so there have to be many in what is kept.
    let segment_bytes = previous_power_of_two(kept / 16).clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_DEFAULT);
    Ok(LogConfig {
        flush: spec.flush,
        segment_bytes,
        retention_ms: spec.retention.max_age.millis()?,
        retention_bytes: Some(kept),
    })
}

/// Four fifths of a disk.
fn share(disk: u64) -> u64 {
    disk / 5 * 4
}

fn previous_power_of_two(value: u64) -> u64 {
    value.checked_ilog2().map_or(0, |power| 1 << power)
}

pub(super) fn text(config: &BrokerConfig) -> Result<String, InvalidSpec> {
    config.to_yaml().map_err(|error| InvalidSpec(error.to_string()))
}

pub(super) fn config_map(blueprint: &Blueprint, group: u32, text: String) -> ConfigMap {
    let name = names::group_object_name(&blueprint.cluster, group);
    ConfigMap {
        metadata: labels::metadata(blueprint, name, labels::group_labels(&blueprint.cluster, group)),
        data: Some(BTreeMap::from([(CONFIG_FILE.to_owned(), text)])),
        ..ConfigMap::default()
    }
}
