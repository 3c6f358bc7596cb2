//! The member that this broker is, as its admin API shows it, and the hand-over of the leadership.
//!
//! Promise: a hand-over is answered when another member is known to lead, or with the reason why none does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crds::broker_config::{ArbiterConfig, FlushMode, MemberAddress, ReplicationConfig};
use crds::group_record::MemberId;
use gateway_grpc::admin::{HandOverError, Membership, Successor};
use gateway_grpc::members::Members;
use parking_lot::RwLock;
use peer::running::{Peer, PeerHandle};
use peer::standing::{Standing, Status};
use replica::event::{Fault, Refusal};
use tokio::sync::watch;
use wire::admin;

/// A hand-over that a successor did not follow up is given up by the protocol after three seconds.
const HAND_OVER_MAX: Duration = Duration::from_secs(5);

/// How the admin API reaches a member.
pub(crate) fn membership(peer: &Peer, members: &[MemberAddress]) -> Membership {
    let (status, addresses) = (Arc::clone(&peer.status), addresses(members));
    let asked = Asked { status: Arc::clone(&status), standing: peer.standing.clone(), handle: peer.handle() };
    Membership {
        view: Arc::new(move || admin::Member { addresses: addresses.clone(), ..view(&status.read()) }),
        hand_over: Arc::new(move |to| {
            let asked = asked.clone();
            Box::pin(async move { asked.hand_over(to).await })
        }),
    }
}

/// Where clients reach the members.
pub(crate) fn members(
    status: &Arc<RwLock<Status>>,
    replication: &ReplicationConfig,
    cluster: &str,
) -> Members {
    let addresses: Vec<_> = replication.members.iter().map(|member| member.client.clone()).collect();
    let service = match &replication.arbiter {
        ArbiterConfig::Lease { namespace, .. } => {
            let port = addresses.first().and_then(|address| address.rsplit_once(':')).map(|(_, port)| port);
            port.map(|port| format!("{cluster}.{namespace}.svc:{port}"))
        }
        ArbiterConfig::File { .. } => None,
    };
    let status = Arc::clone(status);
    let in_sync =
        Arc::new(move || status.read().record.in_sync.iter().map(|member| member.ordinal).collect());
    Members { addresses, service, in_sync }
}

/// What a fault is called.
pub(crate) fn fault_name(fault: &Fault) -> &'static str {
    match fault {
        Fault::Diverged { .. } => "Diverged",
        Fault::RecordRegressed { .. } => "RecordRegressed",
    }
}

fn addresses(members: &[MemberAddress]) -> Vec<admin::MemberAddress> {
    let address = |(ordinal, member): (u32, &MemberAddress)| admin::MemberAddress {
        ordinal,
        client: member.client.clone(),
        admin: member.admin.clone(),
    };
    (0..).zip(members).map(address).collect()
}

/// What a member says of itself; its addresses are not its to say.
fn view(status: &Status) -> admin::Member {
    let record = &status.record;
    let ids = |members: &BTreeSet<MemberId>| members.iter().map(MemberId::to_string).collect();
    admin::Member {
        ordinal: status.ordinal,
        id: status.id.map(|id| id.to_string()).unwrap_or_default(),
        role: status.role.to_owned(),
        in_sync: status.is_in_sync,
        epoch: status.epoch.0,
        leader: record.leader.map(|leader| leader.to_string()).unwrap_or_default(),
        in_sync_members: ids(&record.in_sync),
        members: ids(&record.members),
        min_in_sync: record.min_in_sync,
        copies: status.copies,
        written: status.written.0,
        committed: status.committed.0,
        lags: status.lag_bytes.iter().map(|(&ordinal, &bytes)| admin::MemberLag { ordinal, bytes }).collect(),
        refusal: status.refusal.map(refusal).unwrap_or_default(),
        fault: status.fault.as_ref().map(fault_name).unwrap_or_default().to_owned(),
        fault_detail: status.fault.as_ref().map(fault_detail).unwrap_or_default(),
        arbiter_error: status.arbiter_error.clone().unwrap_or_default(),
        transition: status.transition.map(|transition| admin::Transition {
            cause: transition.cause.name().to_owned(),
            at_ms: transition.at_ms,
            gap_ms: transition.gap_ms,
            epoch: transition.epoch.0,
        }),
        dirty: status.is_dirty,
        asynchronous: status.is_async,
        flush_sync: status.flush == FlushMode::Sync,
        // Revision 0 is what a member has that has read none.
        record: if record.format > 0 { record.to_json() } else { String::new() },
        ruled_ms: status.ruled_ms,
        decided: status.is_decided,
        addresses: Vec::new(),
    }
}

fn refusal(refusal: Refusal) -> String {
    match refusal {
        Refusal::HandingOver => "another member is about to lead".to_owned(),
        Refusal::TooFewCopies { in_sync, min_in_sync } => {
            format!("{in_sync} in sync, {min_in_sync} needed")
        }
    }
}

fn fault_detail(fault: &Fault) -> String {
    match fault {
        Fault::Diverged { common, committed } => {
            format!("committed here up to {committed}, and the leader's log is the same only up to {common}")
        }
        Fault::RecordRegressed { known, found } => {
            format!("revision {known} of the record was known, revision {found} was read")
        }
    }
}

/// Whom to ask for a hand-over.
#[derive(Clone)]
struct Asked {
    status: Arc<RwLock<Status>>,
    standing: watch::Receiver<Standing>,
    handle: PeerHandle,
}

impl Asked {
    async fn hand_over(mut self, to: Option<u32>) -> Result<Successor, HandOverError> {
        let leader = may_hand_over(&self.status.read(), to)?;
        if to == Some(leader) {
            return Ok(leader);
        }
        self.handle.hand_over(to).await;
        let later = self.standing.wait_for(|standing| matches!(standing, Standing::Following(_)));
        let waited_ms = HAND_OVER_MAX.as_millis() as u64;
        match tokio::time::timeout(HAND_OVER_MAX, later).await {
            Ok(Ok(standing)) => match *standing {
                Standing::Following(successor) => Ok(successor),
                Standing::Leading(_) | Standing::Leaderless => Err(HandOverError::TimedOut { waited_ms }),
            },
            Ok(Err(_)) | Err(_) => Err(HandOverError::TimedOut { waited_ms }),
        }
    }
}

/// The leader, if it is this member and that one may take over, or is the same.
fn may_hand_over(status: &Status, to: Option<u32>) -> Result<u32, HandOverError> {
    let record = &status.record;
    if status.role != "leader" {
        return Err(HandOverError::NotLeading(status.ordinal));
    }
    let others = record.in_sync.iter().filter(|member| member.ordinal != status.ordinal);
    match to {
        Some(to) if to == status.ordinal => Ok(to),
        Some(to) if record.members.iter().all(|member| member.ordinal != to) => {
            Err(HandOverError::NoSuchMember(to))
        }
        Some(to) if others.clone().all(|member| member.ordinal != to) => Err(HandOverError::NotInSync(to)),
        None if others.clone().next().is_none() => Err(HandOverError::NobodyInSync),
        Some(_) | None => Ok(status.ordinal),
    }
}

#[cfg(test)]
mod tests {
    use crds::group_record::{FORMAT, GroupRecord};
    use store::{Epoch, Position};

    use super::*;

    fn id(ordinal: u32) -> MemberId {
        MemberId { ordinal, store: 0xab }
    }

    fn leader() -> Status {
        let record = GroupRecord {
            format: FORMAT,
            revision: 9,
            epoch: 7,
            leader: Some(id(1)),
            in_sync: BTreeSet::from([id(0), id(1)]),
            members: BTreeSet::from([id(0), id(1), id(2)]),
            min_in_sync: 2,
            ..GroupRecord::default()
        };
        Status { ordinal: 1, id: Some(id(1)), role: "leader", epoch: Epoch(7), record, ..Status::default() }
    }

    #[test]
    fn only_a_member_that_has_everything_may_take_over() {
        let answers = [
            (None, Ok(1)),
            (Some(0), Ok(1)),
            (Some(1), Ok(1)),
            (Some(2), Err(HandOverError::NotInSync(2))),
            (Some(3), Err(HandOverError::NoSuchMember(3))),
        ];
        for (to, answer) in answers {
            assert_eq!(may_hand_over(&leader(), to), answer, "to {to:?}");
        }
    }

    #[test]
    fn a_leader_without_others_in_sync_stays() {
        let mut alone = leader();
        alone.record.in_sync.remove(&id(0));
        assert_eq!(may_hand_over(&alone, None), Err(HandOverError::NobodyInSync));
        let follower = Status { role: "follower", ..leader() };
        assert_eq!(may_hand_over(&follower, None), Err(HandOverError::NotLeading(1)));
    }

    #[test]
    fn the_record_that_a_lost_one_is_made_from_is_shown_whole() {
        let status = leader();
        let view = view(&status);
        assert_eq!(GroupRecord::from_json(&view.record).unwrap(), status.record);
        assert_eq!((&*view.id, &*view.leader), ("1-00000000000000ab", "1-00000000000000ab"));
        assert_eq!(super::view(&Status::default()).record, "", "a member that has read none shows none");
    }

    #[test]
    fn what_keeps_a_member_from_going_on_is_said_with_its_values() {
        let fault = Fault::Diverged { common: Position(5), committed: Position(9) };
        let refusal = Some(Refusal::TooFewCopies { in_sync: 1, min_in_sync: 2 });
        let view = view(&Status { fault: Some(fault), refusal, ..leader() });
        assert_eq!(view.fault, "Diverged");
        assert!(view.fault_detail.contains('5') && view.fault_detail.contains('9'), "{}", view.fault_detail);
        assert_eq!(view.refusal, "1 in sync, 2 needed");
    }
}
