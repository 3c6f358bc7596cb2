//! Changes that are planned while others are written and not yet agreed.

use engine::catalog::{Adopt, ApplyOutcome, TopicSpec};
use store::QueueId;
use store::log::Flush;

use crate::harness::{Member, outcome, topic_spec};

fn owned(name: &str, queues: u32, owner: &str) -> TopicSpec {
    TopicSpec { owner: owner.to_owned(), ..topic_spec(name, queues) }
}

#[test]
fn two_names_in_flight_get_different_ids() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.apply_topic(&topic_spec("a", 2), Adopt::Never);
    leader.step();
    leader.apply_topic(&topic_spec("b", 2), Adopt::Never);
    leader.agree();
    let (a, b) = (leader.group.topic("a").unwrap(), leader.group.topic("b").unwrap());
    let mut queues: Vec<QueueId> = a.queues.iter().chain(&b.queues).copied().collect();
    queues.dedup();
    assert!(a.id != b.id && queues.len() == 4);
}

#[test]
fn a_name_in_flight_belongs_to_whoever_asked_first() {
    let mut leader = Member::leader(Flush::Async, 1);
    let first = leader.apply_topic(&owned("a", 2, "x"), Adopt::Never);
    leader.step();
    assert_eq!(first.0, ApplyOutcome::Created);
    for adopt in [Adopt::Never, Adopt::IfCompatible] {
        let (second, ticket) = leader.apply_topic(&owned("a", 2, "y"), adopt);
        assert!(matches!(second, ApplyOutcome::Conflict(_)), "{second:?}");
        assert!(ticket.is_none());
    }
    let names = ["a".to_owned()];
    let (deleted, _) = leader.group.delete_topics(&names, Some("y"), &leader.mailbox).unwrap();
    assert!(matches!(deleted[0], ApplyOutcome::Conflict(_)));
    leader.agree();
    assert_eq!(leader.group.topic("a").unwrap().spec, owned("a", 2, "x"));
}

#[test]
fn changes_in_flight_build_on_each_other() {
    let mut leader = Member::leader(Flush::Async, 1);
    for (queues, wanted) in [(2, ApplyOutcome::Created), (4, ApplyOutcome::Created)] {
        assert_eq!(leader.apply_topic(&topic_spec("a", queues), Adopt::Never).0, wanted);
        leader.step();
    }
    let (shrunk, _) = leader.apply_topic(&topic_spec("a", 3), Adopt::Never);
    assert!(matches!(shrunk, ApplyOutcome::InvalidChange(_)), "{shrunk:?}");
    leader.agree();
    let before = leader.group.topic("a").unwrap();
    assert_eq!(before.queues.len(), 4);
    let changed = TopicSpec { retention_ms: 5, ..topic_spec("a", 4) };
    assert_eq!(leader.apply_topic(&changed, Adopt::Never).0, ApplyOutcome::Changed);
    leader.step();
    let grown = TopicSpec { retention_ms: 5, ..topic_spec("a", 6) };
    assert_eq!(leader.apply_topic(&grown, Adopt::Never).0, ApplyOutcome::Changed);
    leader.agree();
    let after = leader.group.topic("a").unwrap();
    assert_eq!((after.id, &after.spec, &after.queues[..4]), (before.id, &grown, &before.queues[..]));
    assert_eq!(leader.apply_topic(&grown, Adopt::Never).0, ApplyOutcome::Unchanged);
}

/// Nobody is told that something is there which may still be lost.
#[test]
fn what_is_in_flight_is_never_called_unchanged() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.apply_topic(&topic_spec("a", 2), Adopt::Never);
    leader.step();
    let (again, ticket) = leader.apply_topic(&topic_spec("a", 2), Adopt::Never);
    assert_eq!(again, ApplyOutcome::Created);
    leader.step();
    let ticket = ticket.expect("it is written again");
    assert!(ticket.try_outcome().is_none());
    leader.commit();
    outcome(&ticket).unwrap();
    assert_eq!(leader.group.topic("a").unwrap().queues.len(), 2);
    assert_eq!(leader.apply_topic(&topic_spec("a", 2), Adopt::Never).0, ApplyOutcome::Unchanged);
}

#[test]
fn a_name_deleted_in_flight_comes_back_under_new_ids() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.apply_topic(&topic_spec("a", 2), Adopt::Never);
    leader.step();
    let names = ["a".to_owned()];
    let (deleted, _) = leader.group.delete_topics(&names, None, &leader.mailbox).unwrap();
    assert_eq!(deleted, [ApplyOutcome::Deleted]);
    leader.step();
    assert_eq!(leader.apply_topic(&topic_spec("a", 1), Adopt::Never).0, ApplyOutcome::Created);
    leader.step();
    let ends = leader.group.written();
    leader.apply_topic(&topic_spec("b", 1), Adopt::Never);
    leader.agree();
    let (a, b) = (leader.group.topic("a").unwrap(), leader.group.topic("b").unwrap());
    assert!(a.spec.queues == 1 && a.id < b.id && ends < leader.group.published());
    let first_ids = 2; // `orders` is 1, the deleted one 2
    assert!(a.id > first_ids);
}

#[test]
fn a_new_leader_plans_on_all_that_was_written_before_it() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.apply_topic(&topic_spec("written", 3), Adopt::Never);
    leader.step();
    let mut next = Member::new(Flush::Async);
    next.follow(&leader);
    next.take_over(2);
    next.apply_topic(&topic_spec("own", 3), Adopt::Never);
    next.agree();
    let (written, own) = (next.group.topic("written").unwrap(), next.group.topic("own").unwrap());
    assert!(written.id != own.id && written.queues.iter().all(|queue| !own.queues.contains(queue)));
}
