//! Runs the reconciliation of clusters: when, how often, and what happens with errors.

use std::sync::Arc;
use std::time::Duration;

use crds::conditions::{self, Kind};
use crds::{BrokerCluster, Reason};
use futures::StreamExt;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::{Api, PartialObjectMeta, Patch, PatchParams};
use kube::core::DeserializeGuard;
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::{PredicateConfig, WatchStreamExt, watcher};
use kube::{Resource, ResourceExt};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::apply::{self, ApplyError};
use super::problem::Problem;
use super::{observe, plan, release, report};
use crate::admin::BrokerAdmin;
use crate::backoff::Backoff;
use crate::children::SLICE_SELECTOR;
use crate::context::{Context, Scope};
use crate::events::Severity;
use crate::fleet::Turn;
use crate::kubernetes::{CallError, STATUS_MANAGER, within};
use crate::metrics::Counter;
use crate::nodes;

/// Clusters worked on at the same time.
const CONCURRENCY: u16 = 8;
/// Time between looks at a cluster on which something is going on.
const BUSY_PERIOD: Duration = Duration::from_secs(5);

/// Why a pass did not get to its end. What a user can repair is in the status and not here.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// Kubernetes refused or did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
}

/// Reconciles the clusters of a scope until told to stop.
pub async fn run<A: BrokerAdmin>(context: Arc<Context<A>>, scope: Scope, stop: CancellationToken) {
    let own = watcher::Config::default().labels("app.kubernetes.io/managed-by=millpond-operator");
    let client = &context.client;
    let records = watcher(scope.api::<PartialObjectMeta<Lease>>(client), release::leases())
        .default_backoff()
        .touched_objects()
        .predicate_filter(
            |lease: &PartialObjectMeta<Lease>| Some(release::told(lease)),
            PredicateConfig::default(),
        );
    let brokers = nodes::brokers_on_changed(context.clone(), scope.clone());
    // Guarded: one object that cannot be read must not stop the watch for all others.
    Controller::new(scope.api::<DeserializeGuard<BrokerCluster>>(client), watcher::Config::default())
        .owns(scope.api::<StatefulSet>(client), own.clone())
        .owns(scope.api::<ConfigMap>(client), own.clone())
        .owns(scope.api::<Service>(client), own.clone())
        .owns(scope.api::<ServiceAccount>(client), own.clone())
        .owns(scope.api::<PodDisruptionBudget>(client), own.clone())
        .owns(scope.api::<NetworkPolicy>(client), own.clone())
        .owns(scope.api::<Role>(client), own.clone())
        .owns(scope.api::<RoleBinding>(client), own)
        .owns(scope.api::<EndpointSlice>(client), watcher::Config::default().labels(SLICE_SELECTOR))
        .watches_stream(records, |lease| release::cluster_of(&lease))
        .watches_stream(brokers, |pod| release::cluster_of(&pod))
        .with_config(Config::default().concurrency(CONCURRENCY).debounce(Duration::from_millis(200)))
        .graceful_shutdown_on(async move { stop.cancelled().await })
        .run(guarded, retry, context.clone())
        .for_each(|outcome| {
            if let Err(error) = outcome {
                // Errors of a pass were counted and logged where they happened; these are of the machinery.
                tracing::debug!(%error, "cluster controller");
            }
            std::future::ready(())
        })
        .await;
}

/// One pass over a cluster that can be read; nothing for one that cannot.
async fn guarded<A: BrokerAdmin>(
    cluster: Arc<DeserializeGuard<BrokerCluster>>,
    context: Arc<Context<A>>,
) -> Result<Action, PassError> {
    match &cluster.0 {
        Ok(cluster) => reconcile(cluster, context).await,
        Err(malformed) => {
            context.metrics.count(Counter::MalformedObjects);
            warn!(cluster = malformed.metadata.name, error = malformed.error, "cluster cannot be read");
            Ok(Action::await_change())
        }
    }
}

/// One pass over a cluster.
pub async fn reconcile<A: BrokerAdmin>(
    cluster: &BrokerCluster,
    context: Arc<Context<A>>,
) -> Result<Action, PassError> {
    context.metrics.count(Counter::ClusterPasses);
    // What a cluster owns goes with it: there is nothing to clean up, and so nothing that could hang.
    if cluster.metadata.deletion_timestamp.is_some() {
        return Ok(Action::await_change());
    }
    let namespace = cluster.namespace().unwrap_or_default();
    // Boxed, as is `apply`: many kinds of objects make futures of many kilobytes.
    let observed = Box::pin(observe::observe(&context, cluster)).await?;
    let mut plan = plan(cluster, &observed, &context.settings, context.now());
    take_turns(&context, cluster, &observed, &mut plan).await?;
    match Box::pin(apply::apply(&context, (&namespace, &cluster.name_any()), &plan, &observed)).await {
        Ok(applied) => {
            announce(&context, cluster, &applied).await;
            say_restored(&context, cluster, &plan).await;
        }
        Err(ApplyError::Call(error)) => return Err(error.into()),
        Err(error @ ApplyError::NameTaken { .. }) => {
            plan.restart = None;
            plan.problem = Some(Problem::NameTaken(error.to_string()));
        }
        Err(error @ ApplyError::GrowthRefused { .. }) => {
            plan.growths.clear();
            plan.problem = Some(Problem::InvalidChange(error.to_string()));
        }
        Err(error @ ApplyError::Refused { .. }) => {
            plan.restart = None;
            plan.problem = Some(Problem::InvalidChange(error.to_string()));
        }
    }
    if let Some(restart) = &plan.restart {
        let note = format!("pod {} is restarted because its template or configuration changed", restart.pod);
        context.events.say(&cluster.object_ref(&()), Severity::Normal, Reason::BrokerRestarted, &note).await;
        apply::restart(&context, &namespace, restart).await?;
    }
    let report = report(cluster, &observed, &plan, context.now());
    write_status(&context, cluster, &report.status).await?;
    say_retained(&context, cluster, &report.status).await;
    context.backoff.forget(&cluster_key(cluster));
    let settled = report.ready && !report.busy;
    Ok(Action::requeue(if settled {
        context.settings.resync
    } else {
        BUSY_PERIOD.min(context.settings.resync)
    }))
}

/// A broker that serves is restarted when it is the turn of its cluster. One that does not takes nothing from anybody.
async fn take_turns<A>(
    context: &Context<A>,
    cluster: &BrokerCluster,
    observed: &super::Observed,
    plan: &mut super::Plan,
) -> Result<(), CallError> {
    let Some(fleet) = &context.fleet else { return Ok(()) };
    let pod = plan.restart.as_ref().and_then(|restart| observed.pods.get(&restart.member));
    if pod.is_some_and(|pod| pod.ready) {
        if let Turn::After(others) = fleet.enter(cluster, context.now()).await? {
            plan.restart = None;
            plan.waits_for = others;
        }
    } else if plan.is_rolled_out {
        fleet.leave(cluster).await?;
    }
    Ok(())
}

/// A conflict is tried again at once, anything else later and later.
#[allow(clippy::needless_pass_by_value, reason = "the controller's signature")]
fn retry<A: BrokerAdmin>(
    cluster: Arc<DeserializeGuard<BrokerCluster>>,
    error: &PassError,
    context: Arc<Context<A>>,
) -> Action {
    let PassError::Call(error) = error;
    context.metrics.count_error("cluster", error.class());
    let key = cluster_key(&*cluster);
    if error.is_conflict() {
        return Action::requeue(Duration::from_millis(100));
    }
    let wait = context.backoff.next(&key);
    warn!(cluster = key, %error, wait_ms = wait.as_millis() as u64, "cluster pass failed");
    Action::requeue(wait)
}

fn cluster_key<K: ResourceExt>(cluster: &K) -> String {
    Backoff::key("BrokerCluster", &cluster.namespace().unwrap_or_default(), &cluster.name_any())
}

async fn announce<A>(context: &Context<A>, cluster: &BrokerCluster, applied: &apply::Applied) {
    let object = cluster.object_ref(&());
    if !applied.created.is_empty() {
        let note = format!("created {}", applied.created.join(", "));
        info!(cluster = cluster_key(cluster), "{note}");
        context.events.say(&object, Severity::Normal, Reason::Created, &note).await;
    }
    for name in &applied.drifted {
        context.metrics.count(Counter::DriftCorrectedChild);
        let note = format!("{name} was changed by somebody else and has been put back");
        context.events.say(&object, Severity::Warning, Reason::DriftCorrected, &note).await;
    }
}

/// An event for each record that was lost and is there again.
async fn say_restored<A>(context: &Context<A>, cluster: &BrokerCluster, plan: &super::Plan) {
    let is_restored = |step: &&super::LeaseStep| step.record.as_ref().is_some_and(|record| record.epoch > 0);
    for step in plan.leases.iter().filter(is_restored) {
        let note = format!(
            "the record in Lease {} was gone; all members told the last one that they knew, and it was written again",
            step.wanted.name_any()
        );
        warn!(cluster = cluster_key(cluster), "{note}");
        context.events.say(&cluster.object_ref(&()), Severity::Warning, Reason::RecordRestored, &note).await;
    }
}

async fn write_status<A>(
    context: &Context<A>,
    cluster: &BrokerCluster,
    status: &crds::BrokerClusterStatus,
) -> Result<(), CallError> {
    if cluster.status.as_ref() == Some(status) {
        return Ok(());
    }
    let namespace = cluster.namespace().unwrap_or_default();
    let api: Api<BrokerCluster> = Api::namespaced(context.client.clone(), &namespace);
    let patch = json!({
        "apiVersion": BrokerCluster::api_version(&()), "kind": BrokerCluster::kind(&()), "status": status,
    });
    let params = PatchParams::apply(STATUS_MANAGER).force();
    within(api.patch_status(&cluster.name_any(), &params, &Patch::Apply(&patch))).await?;
    say_transition(context, cluster, status).await;
    Ok(())
}

/// An event for each disk that stays behind, once.
async fn say_retained<A>(context: &Context<A>, cluster: &BrokerCluster, status: &crds::BrokerClusterStatus) {
    let before = cluster.status.as_ref().map(|status| status.retained_volumes.as_slice()).unwrap_or_default();
    for volume in status.retained_volumes.iter().filter(|volume| !before.contains(volume)) {
        let note = format!(
            "volume claim {} of {} is no longer used and stays, as deletionPolicy Retain says; delete it when its \
             space is needed",
            volume.claim, volume.group
        );
        context.events.say(&cluster.object_ref(&()), Severity::Normal, Reason::VolumeRetained, &note).await;
    }
}

/// An event when `Ready`, `DataSafe` or `Stalled` flips, and never because a pass went by.
async fn say_transition<A>(
    context: &Context<A>,
    cluster: &BrokerCluster,
    status: &crds::BrokerClusterStatus,
) {
    let before = cluster.status.as_ref().map(|status| status.conditions.as_slice()).unwrap_or_default();
    for (kind, good) in [(Kind::Ready, true), (Kind::DataSafe, true), (Kind::Stalled, false)] {
        let Some(after) = conditions::find(&status.conditions, kind) else { continue };
        let old = conditions::find(before, kind);
        let known = old.map_or("False", |condition| condition.status.as_str());
        let is_lease_gone = after.reason == Reason::LeaseDeleted.word();
        let is_told = old.is_some_and(|condition| condition.reason == after.reason) || !is_lease_gone;
        // A new cluster is not ready yet, which is no news.
        if known == after.status && is_told {
            continue;
        }
        let severity = if conditions::holds(&status.conditions, kind) == good && !is_lease_gone {
            Severity::Normal
        } else {
            Severity::Warning
        };
        let Some(reason) = Reason::parse(&after.reason) else { continue };
        context.events.say(&cluster.object_ref(&()), severity, reason, &after.message).await;
    }
}
