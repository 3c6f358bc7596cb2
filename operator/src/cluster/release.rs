//! Lets go of Leases whose cluster is gone.
//!
//! ```text
//!   Lease deleted ── cluster lives ──► stays: brokers go on with it
//!                 ── cluster gone, leaving, or another one of its name ──► the finalizer is taken away, and it goes
//! ```
//!
//! Promise: deleting the Lease of a living cluster by hand takes no record away; a Lease never outlives its own
//! deletion when its cluster is gone, so namespaces do not hang. The finalizer is taken away only from the very version
//! that was looked at.

use std::sync::Arc;
use std::time::Duration;

use crds::BrokerCluster;
use crds::object::DeletionPolicy;
use futures::StreamExt;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, PartialObjectMeta, Patch, PatchParams};
use kube::runtime::controller::{Action, Config, Controller};
use kube::runtime::{PredicateConfig, WatchStreamExt, reflector, watcher};
use kube::{Resource, ResourceExt};
use serde_json::json;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::children::{GROUP_LABEL, RECORD_FINALIZER, group_of};
use crate::context::{Context, Scope};
use crate::fingerprint;
use crate::kubernetes::{CallError, MANAGER, within};

/// Label with the name of the cluster.
const INSTANCE: &str = "app.kubernetes.io/instance";
/// Time between looks at a Lease that waits for its cluster to go.
const WAIT: Duration = Duration::from_secs(10);

/// The Leases of groups.
pub(super) fn leases() -> watcher::Config {
    watcher::Config::default()
        .labels(&format!("app.kubernetes.io/managed-by=millpond-operator,{INSTANCE},{GROUP_LABEL}"))
}

/// The cluster that an object with its labels is for.
pub(super) fn cluster_of<C: Resource<DynamicType = ()>, K>(
    object: &PartialObjectMeta<K>,
) -> Option<reflector::ObjectRef<C>>
where
    PartialObjectMeta<K>: ResourceExt,
{
    let name = object.labels().get(INSTANCE)?;
    Some(reflector::ObjectRef::new(name).within(object.namespace()?.as_str()))
}

/// What a Lease says apart from renewals, which come every few seconds and tell the operator nothing.
pub(super) fn told(lease: &PartialObjectMeta<Lease>) -> u64 {
    let (annotations, finalizers) = (lease.annotations(), lease.finalizers());
    let text = format!("{annotations:?} {finalizers:?} {:?}", lease.metadata.deletion_timestamp);
    fingerprint::number(&text)
}

/// Whether a Lease is kept from going for a cluster that does not need it any more.
fn is_released(lease: &PartialObjectMeta<Lease>, cluster: Option<&BrokerCluster>) -> bool {
    let owner = lease.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    let is_leaving = lease.metadata.deletion_timestamp.is_some();
    let is_needed = cluster.is_some_and(|cluster| {
        // A Lease without an owner is kept for whoever has the name.
        let is_its = owner.is_none_or(|owner| Some(&owner.uid) == cluster.metadata.uid.as_ref());
        cluster.metadata.deletion_timestamp.is_none() && is_its && !has_left(cluster, lease)
    });
    is_leaving && !is_needed && lease.finalizers().iter().any(|name| name == RECORD_FINALIZER)
}

/// Whether the Lease is of a group that the cluster has no more, and whose disks are gone on purpose.
fn has_left(cluster: &BrokerCluster, lease: &PartialObjectMeta<Lease>) -> bool {
    let status = cluster.status.as_ref();
    let groups = cluster.spec.groups.max(status.map_or(i32::MAX, |status| status.groups));
    let group = group_of(&lease.metadata).and_then(|group| i32::try_from(group).ok());
    cluster.spec.deletion_policy == DeletionPolicy::Delete && group.is_some_and(|group| group >= groups)
}

/// Watches the Leases of a scope until told to stop.
pub async fn run<A: Send + Sync + 'static>(context: Arc<Context<A>>, scope: Scope, stop: CancellationToken) {
    let (store, writer) = reflector::store();
    let stream = watcher(scope.api::<PartialObjectMeta<Lease>>(&context.client), leases())
        .default_backoff()
        .reflect(writer)
        .applied_objects()
        .predicate_filter(|lease: &PartialObjectMeta<Lease>| Some(told(lease)), PredicateConfig::default());
    Controller::for_stream(stream, store)
        .with_config(Config::default().concurrency(4))
        .graceful_shutdown_on(async move { stop.cancelled().await })
        .run(reconcile, |_, _: &CallError, _| Action::requeue(WAIT), context)
        .for_each(|outcome| {
            if let Err(error) = outcome {
                debug!(%error, "lease controller");
            }
            std::future::ready(())
        })
        .await;
}

/// Lets go of a Lease if nobody needs it any more.
pub async fn reconcile<A>(
    lease: Arc<PartialObjectMeta<Lease>>,
    context: Arc<Context<A>>,
) -> Result<Action, CallError> {
    if lease.metadata.deletion_timestamp.is_none() {
        return Ok(Action::await_change());
    }
    let namespace = lease.namespace().unwrap_or_default();
    let cluster = lease.labels().get(INSTANCE).map(String::as_str).unwrap_or_default();
    let clusters: Api<BrokerCluster> = Api::namespaced(context.client.clone(), &namespace);
    let cluster = within(clusters.get_opt(cluster)).await?;
    if !is_released(&lease, cluster.as_ref()) {
        return Ok(Action::requeue(WAIT));
    }
    let others: Vec<_> = lease.finalizers().iter().filter(|name| *name != RECORD_FINALIZER).collect();
    let patch = json!({ "metadata": { "resourceVersion": lease.resource_version(), "finalizers": others } });
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    let leases: Api<Lease> = Api::namespaced(context.client.clone(), &namespace);
    match within(leases.patch_metadata(&lease.name_any(), &params, &Patch::Merge(&patch))).await {
        Ok(_) => Ok(Action::await_change()),
        Err(error) if error.is_not_found() => Ok(Action::await_change()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{FakeBroker, api, context, expect, refuse};

    const CLUSTER: &str = "GET /apis/millpond.io/v1alpha1/namespaces/prod/brokerclusters/shop";
    const LEASE: &str = "PATCH /apis/coordination.k8s.io/v1/namespaces/prod/leases/shop-g0";

    /// A Lease of the cluster `prod/shop` that somebody deleted.
    fn deleted(owner: Option<&str>) -> Arc<PartialObjectMeta<Lease>> {
        let owners: Vec<_> = owner
            .iter()
            .map(|uid| {
                json!({
                    "apiVersion": "millpond.io/v1alpha1", "kind": "BrokerCluster", "name": "shop", "uid": uid,
                    "controller": true,
                })
            })
            .collect();
        let metadata = json!({
            "name": "shop-g0", "namespace": "prod", "resourceVersion": "70", "ownerReferences": owners,
            "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["other.io/keep", RECORD_FINALIZER],
            "labels": { INSTANCE: "shop", GROUP_LABEL: "g0" },
        });
        Arc::new(serde_json::from_value(json!({ "metadata": metadata })).unwrap())
    }

    fn cluster(uid: &str, leaving: bool) -> Value {
        let mut cluster = json!({
            "apiVersion": "millpond.io/v1alpha1", "kind": "BrokerCluster",
            "metadata": { "name": "shop", "namespace": "prod", "uid": uid },
            "spec": { "storage": { "size": "1Gi" } },
        });
        if leaving {
            cluster["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        cluster
    }

    /// What is written when this is the cluster of the Lease's name; nothing: the Lease stays.
    async fn written(owner: Option<&str>, cluster: Option<Value>) -> Option<Value> {
        let stays = cluster.as_ref().is_some_and(|cluster| {
            let uid = cluster["metadata"]["uid"].as_str();
            cluster["metadata"]["deletionTimestamp"].is_null() && owner.is_none_or(|owner| Some(owner) == uid)
        });
        let look =
            cluster.map_or_else(|| refuse(CLUSTER, 404, "NotFound"), |cluster| expect(CLUSTER, cluster));
        let mut expected = vec![look];
        if !stays {
            expected.push(expect(LEASE, json!({ "metadata": { "name": "shop-g0" } })));
        }
        let (client, server) = api(expected);
        let context = Arc::new(context(client, FakeBroker::default()));
        reconcile(deleted(owner), context.clone()).await.unwrap();
        drop(context);
        let (line, body) = server.await.unwrap().pop().unwrap();
        line.starts_with("PATCH").then_some(body)
    }

    #[tokio::test]
    async fn a_living_cluster_keeps_its_lease_although_somebody_deleted_it() {
        assert_eq!(written(Some("uid"), Some(cluster("uid", false))).await, None);
        assert_eq!(written(None, Some(cluster("uid", false))).await, None);
    }

    #[tokio::test]
    async fn a_lease_whose_cluster_is_gone_goes_and_other_finalizers_stay() {
        let released = json!({ "metadata": { "resourceVersion": "70", "finalizers": ["other.io/keep"] } });
        for cluster in [None, Some(cluster("uid", true)), Some(cluster("another", false))] {
            assert_eq!(written(Some("uid"), cluster).await.as_ref(), Some(&released));
        }
        assert_eq!(written(None, None).await.as_ref(), Some(&released));
    }

    #[test]
    fn a_renewal_tells_nothing_and_a_change_of_the_record_does() {
        let lease = |version: &str, record: &str| {
            let metadata =
                json!({ "resourceVersion": version, "annotations": { "millpond.io/record": record } });
            serde_json::from_value::<PartialObjectMeta<Lease>>(json!({ "metadata": metadata })).unwrap()
        };
        assert_eq!(told(&lease("1", "a")), told(&lease("2", "a")));
        assert_ne!(told(&lease("1", "a")), told(&lease("2", "b")));
    }
}
