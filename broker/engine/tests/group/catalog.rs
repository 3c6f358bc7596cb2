//! Topics and consumer groups by name.

use engine::catalog::{Adopt, ApplyOutcome, Backoff, ConsumerGroupSpec, RetryPolicy, TopicSpec};
use engine::group::GroupConfig;

use crate::harness::{Broker, config, group_spec, topic_spec};

fn apply(broker: &mut Broker, spec: &TopicSpec, adopt: Adopt) -> ApplyOutcome {
    let specs = std::slice::from_ref(spec);
    let (mut outcomes, ticket) = broker.group.apply_topics(specs, adopt, &broker.mailbox).unwrap();
    broker.settle(ticket);
    outcomes.remove(0)
}

#[test]
fn an_equal_definition_changes_nothing_and_writes_nothing() {
    let mut broker = Broker::new(2);
    let written = broker.group.log_state().written;
    assert_eq!(broker.apply_topic(&topic_spec("orders", 2)), ApplyOutcome::Unchanged);
    assert_eq!(broker.apply_group(&group_spec("billing", 3)), ApplyOutcome::Unchanged);
    assert_eq!(broker.group.log_state().written, written);
}

#[test]
fn queues_grow_and_never_shrink() {
    let mut broker = Broker::new(2);
    let before = broker.topic();
    assert_eq!(broker.apply_topic(&topic_spec("orders", 5)), ApplyOutcome::Changed);
    let after = broker.topic();
    assert_eq!(after.id, before.id);
    assert_eq!(after.queues[..2], before.queues[..]);
    assert!(matches!(broker.apply_topic(&topic_spec("orders", 4)), ApplyOutcome::InvalidChange(_)));
    assert_eq!(broker.topic().spec.queues, 5);
}

#[test]
fn names_and_numbers_are_checked_with_value_and_limit() {
    let mut broker = Broker::new(1);
    let long = "x".repeat(128);
    for (spec, part) in [
        (topic_spec("", 1), "empty"),
        (topic_spec("a b", 1), "' '"),
        (topic_spec("münchen", 1), "'ü'"),
        (topic_spec(&long, 1), "128 bytes, the limit is 127"),
        (topic_spec("TBW102", 1), "reserved"),
        (topic_spec("rmq_sys_x", 1), "reserved"),
        (topic_spec("many", 1025), "1025"),
        (topic_spec("none", 0), "queues is 0"),
    ] {
        let ApplyOutcome::Invalid(text) = broker.apply_topic(&spec) else { panic!("{spec:?} is accepted") };
        assert!(text.contains(part), "{text}");
    }
    let backoff = Backoff::Custom(Vec::new());
    let retry = RetryPolicy { max_attempts: 3, backoff };
    for spec in [
        group_spec(&"x".repeat(121), 1),
        group_spec("CID_RMQ_SYS_x", 1),
        group_spec("none", 0),
        group_spec("many", 1001),
        ConsumerGroupSpec { retry, ..group_spec("empty", 1) },
    ] {
        assert!(matches!(broker.apply_group(&spec), ApplyOutcome::Invalid(_)), "{spec:?}");
    }
}

#[test]
fn what_belongs_to_somebody_is_left_alone() {
    let mut broker = Broker::new(1);
    let owned = |queues, owner: &str| TopicSpec { owner: owner.to_owned(), ..topic_spec("mine", queues) };
    let conflicts = |outcome| matches!(outcome, ApplyOutcome::Conflict(_));
    assert_eq!(apply(&mut broker, &owned(1, "a"), Adopt::Never), ApplyOutcome::Created);
    assert_eq!(apply(&mut broker, &owned(2, "a"), Adopt::Never), ApplyOutcome::Changed);
    assert!(conflicts(apply(&mut broker, &owned(2, "b"), Adopt::IfCompatible)));
    assert!(conflicts(apply(&mut broker, &owned(2, "b"), Adopt::Never)));
    assert_eq!(apply(&mut broker, &owned(2, "b"), Adopt::Always), ApplyOutcome::Changed);
    // Nobody's: taken over if equal.
    let orders = |queues| TopicSpec { owner: "a".to_owned(), ..topic_spec("orders", queues) };
    assert!(conflicts(apply(&mut broker, &orders(2), Adopt::IfCompatible)));
    assert!(conflicts(apply(&mut broker, &orders(1), Adopt::Never)));
    assert_eq!(apply(&mut broker, &orders(1), Adopt::IfCompatible), ApplyOutcome::Changed);
    let names = ["orders".to_owned(), "mine".to_owned(), "nothing".to_owned()];
    let (outcomes, ticket) = broker.group.delete_topics(&names, Some("a"), &broker.mailbox).unwrap();
    broker.settle(ticket);
    assert_eq!((&outcomes[0], &outcomes[2]), (&ApplyOutcome::Deleted, &ApplyOutcome::NotFound));
    assert!(conflicts(outcomes[1].clone()));
}

#[test]
fn two_requests_on_their_way_for_one_name_agree_on_its_ids() {
    let mut broker = Broker::new(1);
    let first = [topic_spec("both", 2)];
    let second = [topic_spec("both", 4)];
    let (_, one) = broker.group.apply_topics(&first, Adopt::Never, &broker.mailbox).unwrap();
    let (_, two) = broker.group.apply_topics(&second, Adopt::Never, &broker.mailbox).unwrap();
    broker.settle(one);
    assert!(two.unwrap().try_outcome().unwrap().is_ok());
    let topic = broker.group.topic("both").unwrap();
    assert_eq!(topic.queues.len(), 4);
    let summary = broker.summary();
    assert_eq!(broker.restart().summary(), summary);
}

#[test]
fn ten_thousand_topics_are_created_by_one_request_and_come_back() {
    let mut broker = Broker::with(GroupConfig { inbox_bytes_max: 64 << 20, ..config() }, 1);
    let specs: Vec<_> = (0..10_000).map(|n| topic_spec(&format!("topic-{n:05}"), 8)).collect();
    let (outcomes, ticket) = broker.group.apply_topics(&specs, Adopt::Never, &broker.mailbox).unwrap();
    broker.settle(ticket);
    assert!(outcomes.iter().all(|outcome| *outcome == ApplyOutcome::Created));
    let queues: std::collections::BTreeSet<_> =
        broker.group.topics().iter().flat_map(|topic| topic.queues.clone()).collect();
    assert_eq!(queues.len(), 80_001);
    let topic = broker.group.topic("topic-09999").unwrap();
    assert_eq!(broker.group.topic_of(topic.queues[7]).unwrap().id, topic.id);
    let broker = broker.restart();
    assert_eq!(broker.group.topics().len(), 10_001);
    assert_eq!(broker.group.topic("topic-09999").unwrap().queues, topic.queues);
}
