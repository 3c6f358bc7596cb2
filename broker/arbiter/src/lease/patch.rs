//! The bodies of the patches, and nothing else.

use crds::group_record::{GroupRecord, RECORD_ANNOTATION, Version};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::LeaseSpec;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use serde_json::{Value, json};

/// How long a Lease is said to hold; people and tools compare it with `renewTime`.
const LEASE_SECONDS: i32 = 20;

/// The liveness half of a Lease, of one of its versions.
#[derive(Default)]
pub(super) struct Holder {
    version: Version,
    name: Option<String>,
    transitions: i32,
}

impl Holder {
    pub(super) fn take_in(&mut self, version: Version, spec: Option<&LeaseSpec>) {
        // Answers come in any order.
        if version >= self.version {
            let name = spec.and_then(|spec| spec.holder_identity.clone());
            let transitions = spec.and_then(|spec| spec.lease_transitions).unwrap_or(0);
            *self = Self { version, name, transitions };
        }
    }

    fn renewed_by(&self, holder: &str, now_ms: u64) -> Value {
        let now = i64::try_from(now_ms).ok().and_then(|now_ms| Timestamp::from_millisecond(now_ms).ok());
        let now = MicroTime(now.unwrap_or_default());
        let mut spec = json!({
            "holderIdentity": holder,
            "renewTime": now,
            "leaseDurationSeconds": LEASE_SECONDS,
        });
        if self.name.as_deref() != Some(holder) {
            let had_one = self.name.as_ref().is_some_and(|name| !name.is_empty());
            spec["acquireTime"] = json!(now);
            spec["leaseTransitions"] = json!(self.transitions + i32::from(had_one));
        }
        spec
    }
}

/// Another record in place of the one of version `base`; another holder with it when the leader is another.
pub(super) fn proposal(base: Version, record: &GroupRecord, held: &Holder, now_ms: u64) -> Value {
    let mut body = json!({
        "metadata": {
            "resourceVersion": base.0.to_string(),
            "annotations": { RECORD_ANNOTATION: record.to_json() },
        },
    });
    let leader = record.leader.map(|leader| leader.to_string());
    if let Some(leader) = leader.filter(|leader| held.name.as_ref() != Some(leader)) {
        body["spec"] = held.renewed_by(&leader, now_ms);
    }
    body
}

/// A sign of life on top of the latest version.
pub(super) fn renewal(holder: &str, held: &Holder, now_ms: u64) -> Value {
    json!({
        "metadata": { "resourceVersion": held.version.0.to_string() },
        "spec": held.renewed_by(holder, now_ms),
    })
}
