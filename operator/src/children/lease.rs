//! The Lease of a group: where brokers keep who leads, and where the operator says what it wishes.
//!
//! Without the record: applying what one does not own would take it away from the brokers.

use std::collections::BTreeMap;

use crds::group_record::{GroupRequest, REQUEST_ANNOTATION};
use crds::names;
use crds::object::DeletionPolicy;
use k8s_openapi::api::coordination::v1::Lease;

use super::{Blueprint, labels};

/// Keeps the Lease for as long as the cluster exists, even when somebody deletes it.
pub const RECORD_FINALIZER: &str = "millpond.io/record";

/// The Lease of a group as the operator applies it.
///
/// It belongs to the cluster only when the disks do: disks that stay are worth nothing without knowing which of them
/// hold every acknowledged message.
pub fn lease(blueprint: &Blueprint, group: u32, request: &GroupRequest) -> Lease {
    let name = names::group_object_name(&blueprint.cluster, group);
    let mut metadata = labels::metadata(blueprint, name, labels::group_labels(&blueprint.cluster, group));
    if blueprint.spec.deletion_policy == DeletionPolicy::Retain {
        metadata.owner_references = None;
    }
    metadata.finalizers = Some(vec![RECORD_FINALIZER.to_owned()]);
    metadata.annotations = Some(BTreeMap::from([(REQUEST_ANNOTATION.to_owned(), request.to_json())]));
    Lease { metadata, ..Lease::default() }
}
