//! Disks that grow. Pure.
//!
//! ```text
//!   spec.storage.size ──► the claims ask for it ──► Kubernetes has enlarged all of a group ──► its brokers keep more
//! ```
//!
//! Promise: brokers are told of a larger disk once every copy of their group has it; before that they would keep more than
//! there is room for. Nobody is restarted.

use std::collections::BTreeMap;

use crds::BrokerCluster;
use crds::amount::Quantity;

use super::observe::{ClaimView, Member, Observed};
use super::plan::{Growth, is_ours};

/// The claims that ask for less than they should.
pub(super) fn growths(
    cluster: &BrokerCluster,
    observed: &Observed,
    replicas: &BTreeMap<u32, u32>,
) -> Vec<Growth> {
    let size = &cluster.spec.storage.size;
    let Ok(wanted) = size.bytes() else { return Vec::new() };
    let smaller = |claim: &ClaimView| bytes(&claim.requested).is_some_and(|bytes| bytes < wanted);
    kept(observed, replicas)
        .filter(|(_, claim)| smaller(claim))
        .map(|(_, claim)| Growth { claim: claim.name.clone(), size: size.0.clone() })
        .collect()
}

/// What Kubernetes has not enlarged yet, as people read it: `data-shop-g0-0 (10Gi of 20Gi)`.
pub(super) fn growing(observed: &Observed, replicas: &BTreeMap<u32, u32>) -> Vec<String> {
    let is_growing = |claim: &ClaimView| Some(capacity(claim)? < bytes(&claim.requested)?);
    kept(observed, replicas)
        .filter(|(_, claim)| is_growing(claim).unwrap_or(false))
        .map(|(_, claim)| {
            let has = claim.capacity.as_deref().unwrap_or_default();
            format!("{} ({has} of {})", claim.name, claim.requested)
        })
        .collect()
}

/// Bytes of the smallest disk of each group that has one smaller than all are to be.
pub(super) fn smaller(
    cluster: &BrokerCluster,
    observed: &Observed,
    replicas: &BTreeMap<u32, u32>,
) -> BTreeMap<u32, u64> {
    let mut smallest = BTreeMap::new();
    let Ok(wanted) = cluster.spec.storage.size.bytes() else { return smallest };
    for ((group, _), claim) in kept(observed, replicas) {
        if let Some(bytes) = capacity(claim).filter(|bytes| *bytes < wanted) {
            let known = smallest.entry(*group).or_insert(bytes);
            *known = bytes.min(*known);
        }
    }
    smallest
}

/// The claims of members that the cluster keeps.
fn kept<'a>(
    observed: &'a Observed,
    replicas: &'a BTreeMap<u32, u32>,
) -> impl Iterator<Item = (&'a Member, &'a ClaimView)> {
    let is_kept = |(group, ordinal): &Member| replicas.get(group).is_some_and(|pods| ordinal < pods);
    observed.claims.iter().filter(move |(member, claim)| is_kept(member) && is_ours(&claim.name))
}

fn capacity(claim: &ClaimView) -> Option<u64> {
    bytes(claim.capacity.as_deref()?)
}

fn bytes(quantity: &str) -> Option<u64> {
    Quantity(quantity.to_owned()).bytes().ok()
}
