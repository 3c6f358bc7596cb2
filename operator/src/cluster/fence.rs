//! Who must not lead because its node is being emptied: the leader hands over before a drain evicts it. Pure.

use std::collections::BTreeSet;

use crds::BrokerCluster;
use crds::group_record::{GroupRecord, MemberId};

use super::observe::{Member, Observed};

/// Who must not lead a group. As long as it is not known which nodes are being emptied, what was said last.
pub(super) fn fenced(
    cluster: &BrokerCluster,
    observed: &Observed,
    group: u32,
    record: Option<&GroupRecord>,
) -> BTreeSet<u32> {
    let Some(leaving) = &observed.leaving else {
        let request = observed.leases.get(&group).and_then(|lease| lease.request.as_ref());
        return request.map(|request| request.fenced.clone()).unwrap_or_default();
    };
    let ordinal = |(of, ordinal): &Member| (*of == group).then_some(*ordinal);
    let ready = observed.pods.iter().filter(|(_, pod)| pod.ready && !pod.deleting);
    let ready = ready.filter_map(|(member, _)| ordinal(member)).collect();
    fence(record, cluster.spec.copies(), &ready, &leaving.iter().filter_map(ordinal).collect())
}

/// `ready`: members that are up; `leaving`: those whose node is being emptied.
///
/// Nobody, unless somebody else can lead right now: a group without a leader is worse than one whose leader moves late.
fn fence(
    record: Option<&GroupRecord>,
    copies: u32,
    ready: &BTreeSet<u32>,
    leaving: &BTreeSet<u32>,
) -> BTreeSet<u32> {
    let is_heir = |member: &MemberId| {
        let ordinal = member.ordinal;
        ordinal < copies && ready.contains(&ordinal) && !leaving.contains(&ordinal)
    };
    if record.is_some_and(|record| record.in_sync.iter().any(is_heir)) {
        leaving.clone()
    } else {
        BTreeSet::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Ordinals = &'static [u32];

    #[test]
    fn members_on_a_node_that_is_emptied_are_fenced_while_another_can_lead() {
        let set = |ordinals: &[u32]| ordinals.iter().copied().collect::<BTreeSet<u32>>();
        let cases: [(Ordinals, Ordinals, Ordinals, u32, Ordinals); 8] = [
            // in sync, ready, leaving, copies, fenced
            (&[0, 1, 2], &[0, 1, 2], &[], 3, &[]),
            (&[0, 1, 2], &[0, 1, 2], &[0], 3, &[0]),
            (&[0, 1, 2], &[0, 1, 2], &[0, 1], 3, &[0, 1]),
            (&[0, 1, 2], &[0, 1, 2], &[0, 1, 2], 3, &[]),
            (&[0], &[0], &[0], 1, &[]),
            // The others are learning, or not there, or shall leave.
            (&[0], &[0, 1, 2], &[0], 3, &[]),
            (&[0, 1], &[0], &[0], 2, &[]),
            (&[0, 1], &[0, 1], &[0], 1, &[]),
        ];
        for (in_sync, ready, leaving, copies, expected) in cases {
            let member = |ordinal: &u32| MemberId { ordinal: *ordinal, store: 7 };
            let held =
                GroupRecord { in_sync: in_sync.iter().map(member).collect(), ..GroupRecord::created(1) };
            let fenced = fence(Some(&held), copies, &set(ready), &set(leaving));
            assert_eq!(fenced, set(expected), "{in_sync:?} {ready:?} {leaving:?} {copies}");
        }
        assert_eq!(fence(None, 3, &set(&[0, 1]), &set(&[0])), set(&[]), "nobody ever led");
    }
}
