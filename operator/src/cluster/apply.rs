//! Carries out a plan. Each call may fail, and the next pass plans anew.

use std::collections::BTreeMap;

use crds::group_record::{GroupRecord, RECORD_ANNOTATION};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use super::{ChildMeta, Growth, LeaseStep, Observed, Plan, Refresh, Removal, Restart};
use crate::children::{Child, FRESH_ANNOTATION};
use crate::context::Context;
use crate::kubernetes::{CallError, MANAGER, within};
use crate::metrics::Counter;
use crate::written::Last;

/// What stopped a plan.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Kubernetes refused or did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An object with a needed name exists and is not the cluster's.
    #[error(
        "{kind} {name} exists and does not belong to the cluster; rename or delete it, or name the cluster differently"
    )]
    NameTaken {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// Kubernetes does not take what the spec makes of an object.
    #[error(
        "Kubernetes refuses {kind} {name}: {reason}; change what the spec says about it, or set that back"
    )]
    Refused {
        /// Its kind.
        kind: &'static str,
        /// Its name.
        name: String,
        /// What Kubernetes said.
        reason: String,
    },
    /// The storage class does not let volumes grow.
    #[error(
        "volume claim {claim} cannot grow to {size}: {reason}; use a storage class that allows expansion, or keep storage.size"
    )]
    GrowthRefused {
        /// The claim.
        claim: String,
        /// The size that was asked for.
        size: String,
        /// What Kubernetes said.
        reason: String,
    },
}

/// What a plan changed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Applied {
    /// Objects that were made.
    pub created: Vec<String>,
    /// Objects that somebody else had changed or deleted.
    pub drifted: Vec<String>,
}

/// For the cluster of this namespace and name: applies Leases, children, growth, and removes what is not needed. The restart
/// comes last and by itself.
pub(super) async fn apply<A>(
    context: &Context<A>,
    (namespace, cluster): (&str, &str),
    plan: &Plan,
    observed: &Observed,
) -> Result<Applied, ApplyError> {
    let mut applied = Applied::default();
    for step in &plan.leases {
        if apply_lease(context, namespace, step).await? {
            applied.created.push(format!("Lease/{}", step.wanted.name_any()));
        }
    }
    for child in &plan.children {
        let change = match child {
            Child::ServiceAccount(object) => {
                apply_one(context, (namespace, cluster), child, object, observed).await?
            }
            Child::Role(object) => apply_one(context, (namespace, cluster), child, object, observed).await?,
            Child::RoleBinding(object) => {
                apply_one(context, (namespace, cluster), child, object, observed).await?
            }
            Child::NetworkPolicy(object) => {
                apply_one(context, (namespace, cluster), child, object.as_ref(), observed).await?
            }
            Child::PodDisruptionBudget(object) => {
                apply_one(context, (namespace, cluster), child, object.as_ref(), observed).await?
            }
            Child::ConfigMap(object) => {
                apply_one(context, (namespace, cluster), child, object, observed).await?
            }
            Child::Service(object) => {
                apply_one(context, (namespace, cluster), child, object.as_ref(), observed).await?
            }
            Child::EndpointSlice(object) => {
                apply_one(context, (namespace, cluster), child, object, observed).await?
            }
            Child::StatefulSet(object) => {
                apply_one(context, (namespace, cluster), child, object.as_ref(), observed).await?
            }
        };
        let name = || format!("{}/{}", child.kind(), child.name());
        match change {
            Change::None => {}
            Change::Created => applied.created.push(name()),
            Change::Drift => applied.drifted.push(name()),
        }
    }
    context.written.retain(namespace, cluster, |kind, name| {
        plan.children.iter().any(|child| (child.kind(), child.name()) == (kind, name))
    });
    for growth in &plan.growths {
        grow(context, namespace, growth).await?;
    }
    for one in &plan.refreshes {
        refresh(context, namespace, one).await?;
    }
    for removal in &plan.removals {
        remove(context, namespace, removal).await?;
    }
    Ok(applied)
}

/// Writes the record where there is none, then what the operator owns of the Lease. True: there was none.
async fn apply_lease<A>(context: &Context<A>, namespace: &str, step: &LeaseStep) -> Result<bool, ApplyError> {
    let api: Api<Lease> = Api::namespaced(context.client.clone(), namespace);
    let name = step.wanted.name_any();
    let record = step.record.as_ref().map(GroupRecord::to_json);
    let uid = match (&step.found, record) {
        (Some(found), None) => found.uid.clone(),
        (Some(found), Some(record)) => {
            let patch = json!({ "metadata": {
                "uid": found.uid, "resourceVersion": found.resource_version,
                "annotations": { RECORD_ANNOTATION: record },
            } });
            let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
            within(api.patch(&name, &params, &Patch::Merge(&patch))).await?;
            found.uid.clone()
        }
        // Without a record there is nothing to apply: an empty Lease would invite everybody to lead.
        (None, None) => return Ok(false),
        (None, Some(record)) => create_lease(&api, &step.wanted, record).await?,
    };
    // With its identity: should it be gone by now, applying must not make one without a record.
    let mut wanted = step.wanted.clone();
    wanted.metadata.uid = Some(uid);
    let params = PatchParams::apply(MANAGER).force();
    within(api.patch(&name, &params, &Patch::Apply(&wanted))).await?;
    Ok(step.found.is_none())
}

/// Makes the Lease with its record in one step. The rest is applied, so that it can be taken back in the same way.
async fn create_lease(api: &Api<Lease>, wanted: &Lease, record: String) -> Result<String, ApplyError> {
    let metadata = ObjectMeta {
        name: wanted.metadata.name.clone(),
        labels: wanted.metadata.labels.clone(),
        annotations: Some(BTreeMap::from([(RECORD_ANNOTATION.to_owned(), record)])),
        ..ObjectMeta::default()
    };
    let lease = Lease { metadata, ..Lease::default() };
    let params = PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
    match within(api.create(&params, &lease)).await {
        Ok(made) => Ok(made.uid().unwrap_or_default()),
        // One without our labels: it was not listed.
        Err(CallError::Refused(status)) if status.is_already_exists() => {
            Err(ApplyError::NameTaken { kind: "Lease", name: wanted.name_any() })
        }
        Err(error) => Err(error.into()),
    }
}

/// Deletes an object, if it is still the one that was looked at.
async fn remove<A>(context: &Context<A>, namespace: &str, removal: &Removal) -> Result<(), CallError> {
    let client = context.client.clone();
    match removal {
        Removal::Budget { name, uid } => {
            delete(&Api::<PodDisruptionBudget>::namespaced(client, namespace), name, uid).await
        }
        Removal::Object { kind, name, uid } => match *kind {
            "StatefulSet" => delete(&Api::<StatefulSet>::namespaced(client, namespace), name, uid).await,
            "Service" => delete(&Api::<Service>::namespaced(client, namespace), name, uid).await,
            "ConfigMap" => delete(&Api::<ConfigMap>::namespaced(client, namespace), name, uid).await,
            "EndpointSlice" => delete(&Api::<EndpointSlice>::namespaced(client, namespace), name, uid).await,
            "Lease" => delete(&Api::<Lease>::namespaced(client, namespace), name, uid).await,
            _ => Ok(()),
        },
        Removal::Claim { name, uid } => {
            delete(&Api::<PersistentVolumeClaim>::namespaced(client, namespace), name, uid).await
        }
    }
}

async fn delete<K: Clone + DeserializeOwned + std::fmt::Debug>(
    api: &Api<K>,
    name: &str,
    uid: &str,
) -> Result<(), CallError> {
    let uid = Preconditions { uid: Some(uid.to_owned()), resource_version: None };
    let params = DeleteParams { preconditions: Some(uid), ..DeleteParams::default() };
    match within(api.delete(name, &params)).await {
        Ok(_) => Ok(()),
        // Gone, or another one already: what was wanted.
        Err(CallError::Refused(status)) if status.is_not_found() || status.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}

enum Change {
    None,
    Created,
    Drift,
}

async fn apply_one<A, K>(
    context: &Context<A>,
    (namespace, cluster): (&str, &str),
    child: &Child,
    object: &K,
    observed: &Observed,
) -> Result<Change, ApplyError>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + Serialize
        + DeserializeOwned
        + std::fmt::Debug,
{
    let api: Api<K> = Api::namespaced(context.client.clone(), namespace);
    let before = observed.children.get(&(child.kind(), child.name().to_owned()));
    // An object without our labels was not listed. Forcing ours upon a stranger's would take it away from them.
    if before.is_none() && within(api.get_metadata_opt(child.name())).await?.is_some() {
        return Err(ApplyError::NameTaken { kind: child.kind(), name: child.name().to_owned() });
    }
    let wish =
        child.metadata().annotations.as_ref().and_then(|map| map.get(crate::children::APPLIED_ANNOTATION));
    let last = |resource_version: &str| Last {
        wish: wish.cloned().unwrap_or_default(),
        resource_version: resource_version.to_owned(),
    };
    let is_last = |before: &ChildMeta| {
        let last = last(&before.resource_version);
        context.written.is_last(namespace, cluster, child.kind(), child.name(), &last)
    };
    if before.is_some_and(is_last) {
        return Ok(Change::None);
    }
    context.metrics.count(Counter::Applies);
    let params = PatchParams::apply(MANAGER).force();
    let after = match within(api.patch(child.name(), &params, &Patch::Apply(object))).await {
        Err(CallError::Refused(status)) if status.is_invalid() => {
            let (kind, name) = (child.kind(), child.name().to_owned());
            return Err(ApplyError::Refused { kind, name, reason: status.message });
        }
        after => after?,
    };
    if let Some(version) = after.resource_version() {
        context.written.note(namespace, cluster, child.kind(), child.name(), last(&version));
    }
    let Some(before) = before else { return Ok(Change::Created) };
    let same_wish = before.applied.as_ref() == wish;
    let written = after.resource_version().is_some_and(|version| version != before.resource_version);
    // A StatefulSet's own status moves its version as well; its generation would tell, but a list gave only metadata. In
    // an EndpointSlice brokers write.
    let is_shared = matches!(child, Child::StatefulSet(_) | Child::EndpointSlice(_));
    Ok(if same_wish && written && !is_shared { Change::Drift } else { Change::None })
}

async fn grow<A>(context: &Context<A>, namespace: &str, growth: &Growth) -> Result<(), ApplyError> {
    let api: Api<PersistentVolumeClaim> = Api::namespaced(context.client.clone(), namespace);
    let patch = json!({ "spec": { "resources": { "requests": { "storage": growth.size } } } });
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match within(api.patch(&growth.claim, &params, &Patch::Merge(&patch))).await {
        Ok(_) => Ok(()),
        Err(CallError::Refused(status)) if status.is_forbidden() || status.is_invalid() => {
            Err(ApplyError::GrowthRefused {
                claim: growth.claim.clone(),
                size: growth.size.clone(),
                reason: status.message,
            })
        }
        Err(error) => Err(error.into()),
    }
}

/// Marks the pod, if it is still the one that was looked at, so that its node brings it the configuration at once.
async fn refresh<A>(context: &Context<A>, namespace: &str, one: &Refresh) -> Result<(), CallError> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    let metadata = json!({ "uid": one.uid, "annotations": { FRESH_ANNOTATION: one.config } });
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match within(api.patch(&one.pod, &params, &Patch::Merge(json!({ "metadata": metadata })))).await {
        Ok(_) => Ok(()),
        // Gone, or another one already, which starts with it.
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Deletes the pod, if it is still the one that was looked at; its StatefulSet makes a new one.
pub(super) async fn restart<A>(
    context: &Context<A>,
    namespace: &str,
    restart: &Restart,
) -> Result<(), CallError> {
    let api: Api<Pod> = Api::namespaced(context.client.clone(), namespace);
    delete(&api, &restart.pod, &restart.uid).await
}
