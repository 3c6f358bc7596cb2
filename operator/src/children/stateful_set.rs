//! The StatefulSet of a group: one pod, one volume.

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

use super::{Blueprint, CLAIM, labels, pod};

pub(super) fn stateful_set(blueprint: &Blueprint, group: u32, size: &str, config: &str) -> StatefulSet {
    let name = names::group_object_name(&blueprint.cluster, group);
    let when_deleted = match blueprint.spec.deletion_policy {
        DeletionPolicy::Retain => "Retain",
        DeletionPolicy::Delete => "Delete",
    };
    StatefulSet {
        metadata: labels::metadata(blueprint, name.clone(), labels::group_labels(&blueprint.cluster, group)),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            service_name: Some(name),
            selector: labels::selector(labels::group_selector(&blueprint.cluster, group)),
            pod_management_policy: Some("Parallel".to_owned()),
            // The operator deletes pods itself: one group at a time, and only while all others serve.
            update_strategy: Some(StatefulSetUpdateStrategy {
                type_: Some("OnDelete".to_owned()),
                rolling_update: None,
            }),
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some(when_deleted.to_owned()),
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
