//! A configuration that changes while the broker runs.
//!
//! Promise: what [`HotConfig`] has is in effect within two seconds of a change of the file; anything else is logged once and
//! waits for a restart. A file that cannot be read or is wrong changes nothing.

use std::sync::Arc;
use std::time::Duration;

use crds::broker_config::{BrokerConfig, GroupEndpoint, GroupPhase, HotConfig, ListenerConfig};
use engine::group::TransactionChecks;
use engine::setting::Setting;
use gateway_grpc::endpoints::{GroupAddress, Standing};
use gateway_grpc::listener::{Advertised, Listener};
use store::log::Retention;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::args::Args;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What changes, shared with those who go by it.
#[derive(Clone)]
pub(crate) struct Live {
    pub(crate) retention: Setting<Retention>,
    pub(crate) checks: Setting<TransactionChecks>,
    pub(crate) check_after_ms: Setting<u64>,
    pub(crate) delay_ms_max: Setting<u64>,
    pub(crate) groups: Setting<Arc<[GroupAddress]>>,
    /// What clients of listeners are told.
    pub(crate) ways: Setting<Arc<[Listener]>>,
    /// The ports of listeners.
    pub(crate) listeners: watch::Sender<Vec<ListenerConfig>>,
    /// Where spans go.
    pub(crate) otlp_endpoint: Setting<Option<String>>,
}

impl Live {
    pub(crate) fn new(hot: &HotConfig) -> Self {
        Self {
            retention: retention(hot).into(),
            checks: checks(hot).into(),
            check_after_ms: hot.transactions.check_after_ms.into(),
            delay_ms_max: hot.max_delay_ms.into(),
            groups: groups(hot).into(),
            ways: ways(hot).into(),
            listeners: watch::Sender::new(hot.listeners.clone()),
            otlp_endpoint: otlp_endpoint(hot).into(),
        }
    }

    fn set(&self, hot: &HotConfig) {
        self.retention.set(retention(hot));
        self.checks.set(checks(hot));
        self.check_after_ms.set(hot.transactions.check_after_ms);
        self.delay_ms_max.set(hot.max_delay_ms);
        self.groups.set(groups(hot));
        self.ways.set(ways(hot));
        self.listeners.send_replace(hot.listeners.clone());
        self.otlp_endpoint.set(otlp_endpoint(hot));
    }
}

fn retention(hot: &HotConfig) -> Retention {
    Retention { max_age_ms: hot.retention_ms, max_bytes: hot.retention_bytes }
}

fn checks(hot: &HotConfig) -> TransactionChecks {
    TransactionChecks { every_ms: hot.transactions.check_interval_ms, max: hot.transactions.max_checks }
}

fn otlp_endpoint(hot: &HotConfig) -> Option<String> {
    hot.tracing.as_ref().map(|tracing| tracing.otlp_endpoint.clone())
}

fn groups(hot: &HotConfig) -> Arc<[GroupAddress]> {
    let address = |group: &GroupEndpoint| {
        Some(GroupAddress::parse(&group.name, &group.endpoint)?.stands(standing(group.phase)))
    };
    hot.groups.iter().filter_map(address).collect()
}

fn ways(hot: &HotConfig) -> Arc<[Listener]> {
    let way = |listener: &ListenerConfig| Listener {
        name: listener.name.clone(),
        groups: listener
            .groups
            .iter()
            .filter_map(|group| Advertised::parse(&group.name, &group.endpoint))
            .collect(),
    };
    hot.listeners.iter().map(way).collect()
}

fn standing(phase: GroupPhase) -> Standing {
    match phase {
        GroupPhase::Serving => Standing::Open,
        GroupPhase::Diverting => Standing::Diverting,
        GroupPhase::Draining => Standing::Draining,
        GroupPhase::Emptied | GroupPhase::Removing => Standing::Closed,
    }
}

/// Looks at the configuration again and again, and takes over what may change.
pub(crate) async fn watch(args: Args, started: BrokerConfig, live: Live, stop: CancellationToken) {
    let mut known: Result<BrokerConfig, String> = Ok(started.clone());
    let mut turns = interval(LOOK_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            () = stop.cancelled() => return,
        }
        let found = args.broker_config().map_err(|error| format!("{error:#}"));
        if found == known {
            continue;
        }
        match &found {
            Ok(config) => take_over(config, &started, &live),
            Err(error) => warn!(error, "the changed configuration is wrong, and nothing of it is taken over"),
        }
        known = found;
    }
}

fn take_over(config: &BrokerConfig, started: &BrokerConfig, live: &Live) {
    let hot = config.hot();
    live.set(&hot);
    info!(?hot, "took over the changed configuration");
    if config.cold() != started.cold() {
        warn!("parts of the changed configuration wait for a restart");
    }
}
