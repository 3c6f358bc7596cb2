//! The StatefulSet of a group: a pod and a volume for each copy.

use std::collections::BTreeMap;

use crds::names;
use crds::object::DeletionPolicy;
use k8s_openapi::api::apps::v1::{
    StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec, StatefulSetUpdateStrategy,
};
use k8s_openapi::api::core::v1::{
    PersistentVolumeClaim, PersistentVolumeClaimSpec, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::{Blueprint, CLAIM, Shape, labels, pod};

pub(super) fn stateful_set(blueprint: &Blueprint, group: u32, shape: &Shape, config: &str) -> StatefulSet {
    let name = names::group_object_name(&blueprint.cluster, group);
    let when_deleted = match blueprint.spec.deletion_policy {
        DeletionPolicy::Retain => "Retain",
        DeletionPolicy::Delete => "Delete",
    };
    // One after the other would wait for ever: a copy is ready only once others are there to agree with.
    let management = shape.management.clone().unwrap_or_else(|| "Parallel".to_owned());
    let size = shape.claim_size.as_deref().unwrap_or(&blueprint.spec.storage.size.0);
    StatefulSet {
        metadata: labels::metadata(blueprint, name.clone(), labels::group_labels(&blueprint.cluster, group)),
        spec: Some(StatefulSetSpec {
            replicas: i32::try_from(shape.replicas).ok(),
            service_name: Some(name),
            selector: labels::selector(labels::group_selector(&blueprint.cluster, group)),
            pod_management_policy: Some(management),
            // The operator deletes pods itself: one at a time, leaders last, and only while all others serve.
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some(when_deleted.to_owned()),
                // The operator removes a disk itself, after it has made sure that no record names its member.
                when_scaled: Some("Retain".to_owned()),
            }),
            template: pod::template(blueprint, group, config),
            volume_claim_templates: Some(vec![claim(blueprint, size)]),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

/// Without labels: Kubernetes adds those of the selector, and a template cannot be changed later.
fn claim(blueprint: &Blueprint, size: &str) -> PersistentVolumeClaim {
    let requests = BTreeMap::from([("storage".to_owned(), Quantity(size.to_owned()))]);
    PersistentVolumeClaim {
        metadata: ObjectMeta { name: Some(CLAIM.to_owned()), ..ObjectMeta::default() },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: blueprint.spec.storage.class_name.clone(),
            resources: Some(VolumeResourceRequirements { requests: Some(requests), limits: None }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
