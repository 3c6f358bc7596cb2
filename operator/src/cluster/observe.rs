//! What there is of a cluster right now: read from Kubernetes and from its brokers, without deciding anything.

use std::collections::BTreeMap;

use client::admin::GetBrokerResponse;
use crds::BrokerCluster;
use futures::future::join_all;
use futures::try_join;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::admin::BrokerAdmin;
use crate::children::{APPLIED_ANNOTATION, cluster_selector, group_of, selector_text};
use crate::context::Context;
use crate::kubernetes::{CallError, within};

/// All there is of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Metadata of the objects with the cluster's labels, by kind and name.
    pub children: BTreeMap<(&'static str, String), ChildMeta>,
    /// StatefulSets by group.
    pub stateful_sets: BTreeMap<u32, StatefulSet>,
    /// Pods by group.
    pub pods: BTreeMap<u32, PodView>,
    /// Volume claims by group.
    pub claims: BTreeMap<u32, ClaimView>,
    /// What brokers say, by group; none for a group that has no pod.
    pub brokers: BTreeMap<u32, BrokerView>,
}

/// Who made an object and what it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChildMeta {
    /// Version of the object.
    pub resource_version: String,
    /// Fingerprint of what was applied last.
    pub applied: Option<String>,
    /// Identity of the owner that controls it.
    pub owner_uid: Option<String>,
    /// Kind of that owner.
    pub owner_kind: Option<String>,
    /// Name of that owner.
    pub owner_name: Option<String>,
}

/// A pod as far as a plan needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its identity, so that never another one is deleted in its place.
    pub uid: String,
    /// Revision of the StatefulSet it was made from.
    pub revision: String,
    /// Whether it serves.
    pub ready: bool,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What it is waiting for, as Kubernetes says.
    pub waiting: Option<String>,
}

/// A volume claim as far as a plan needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimView {
    /// Its name.
    pub name: String,
    /// The size that was asked for.
    pub requested: String,
    /// The size it has; none: not bound yet.
    pub capacity: Option<String>,
}

/// What a broker says about itself.
#[derive(Debug, Clone, PartialEq)]
pub enum BrokerView {
    /// It answered.
    Answered(Box<GetBrokerResponse>),
    /// It did not; with the reason.
    Unreachable(String),
}

/// Reads everything.
pub(super) async fn observe<A: BrokerAdmin>(
    context: &Context<A>,
    cluster: &BrokerCluster,
) -> Result<Observed, CallError> {
    let name = cluster.name_any();
    let namespace = cluster.namespace().unwrap_or_default();
    let reader = Reader { context, namespace: &namespace, labels: selector_text(&cluster_selector(&name)) };
    let (sets, pods, claims) = try_join!(
        reader.list::<StatefulSet>(),
        reader.list::<Pod>(),
        reader.list::<PersistentVolumeClaim>()
    )?;
    let mut observed = Observed::default();
    let (accounts, policies, budgets, configs, services) = try_join!(
        reader.metadata::<ServiceAccount>("ServiceAccount"),
        reader.metadata::<NetworkPolicy>("NetworkPolicy"),
        reader.metadata::<PodDisruptionBudget>("PodDisruptionBudget"),
        reader.metadata::<ConfigMap>("ConfigMap"),
        reader.metadata::<Service>("Service")
    )?;
    observed.children.extend([accounts, policies, budgets, configs, services].into_iter().flatten());
    for set in sets {
        let key = ("StatefulSet", set.name_any());
        observed.children.insert(key, child_meta(&set.metadata));
        if let Some(group) = group_of(&set.metadata) {
            observed.stateful_sets.insert(group, set);
        }
    }
    observed.pods = pods.iter().filter_map(|pod| Some((group_of(&pod.metadata)?, pod_view(pod)))).collect();
    observed.claims =
        claims.iter().filter_map(|claim| Some((group_of(&claim.metadata)?, claim_view(claim)))).collect();
    let asked = observed.pods.keys().map(|group| ask(context, &namespace, &name, *group));
    observed.brokers = join_all(asked).await.into_iter().collect();
    Ok(observed)
}

async fn ask<A: BrokerAdmin>(
    context: &Context<A>,
    namespace: &str,
    cluster: &str,
    group: u32,
) -> (u32, BrokerView) {
    let view = match context.settings.admin_endpoint.endpoint(namespace, cluster, group) {
        Ok(endpoint) => match context.admin.broker(&endpoint).await {
            Ok(answer) => BrokerView::Answered(Box::new(answer)),
            Err(error) => BrokerView::Unreachable(error.to_string()),
        },
        Err(error) => BrokerView::Unreachable(error.to_string()),
    };
    (group, view)
}

struct Reader<'a, A> {
    context: &'a Context<A>,
    namespace: &'a str,
    labels: String,
}

impl<A> Reader<'_, A> {
    async fn list<K>(&self) -> Result<Vec<K>, CallError>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.context.client.clone(), self.namespace);
        let params = ListParams::default().labels(&self.labels);
        Ok(within(api.list(&params)).await?.items)
    }

    async fn metadata<K>(
        &self,
        kind: &'static str,
    ) -> Result<Vec<((&'static str, String), ChildMeta)>, CallError>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.context.client.clone(), self.namespace);
        let params = ListParams::default().labels(&self.labels);
        let found = within(api.list_metadata(&params)).await?;
        Ok(found
            .items
            .iter()
            .map(|object| ((kind, object.name_any()), child_meta(&object.metadata)))
            .collect())
    }
}

pub(super) fn child_meta(metadata: &ObjectMeta) -> ChildMeta {
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    ChildMeta {
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        applied: metadata.annotations.as_ref().and_then(|map| map.get(APPLIED_ANNOTATION).cloned()),
        owner_uid: owner.map(|owner| owner.uid.clone()),
        owner_kind: owner.map(|owner| owner.kind.clone()),
        owner_name: owner.map(|owner| owner.name.clone()),
    }
}

fn pod_view(pod: &Pod) -> PodView {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let waiting = containers.iter().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        Some(
            waiting
                .message
                .as_ref()
                .map_or_else(|| reason.to_owned(), |message| format!("{reason}: {message}")),
        )
    });
    let unscheduled = || {
        let condition = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
        condition.message.clone()
    };
    PodView {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        revision: pod.labels().get("controller-revision-hash").cloned().unwrap_or_default(),
        ready: conditions.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        waiting: waiting.or_else(unscheduled),
    }
}

fn claim_view(claim: &PersistentVolumeClaim) -> ClaimView {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let capacity = claim.status.as_ref().and_then(|status| status.capacity.as_ref());
    ClaimView {
        name: claim.name_any(),
        requested: requests.and_then(|map| map.get("storage")).map(|q| q.0.clone()).unwrap_or_default(),
        capacity: capacity.and_then(|map| map.get("storage")).map(|q| q.0.clone()),
    }
}
