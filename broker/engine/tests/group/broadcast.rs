//! Members of broadcasts.

use std::sync::Arc;

use engine::catalog::{Broadcast, ConsumerGroup, ConsumerGroupSpec};
use engine::group::{DeadLetterError, MEMBERS_MAX, Member, Receive, Received};
use engine::inbox::Ticket;
use engine::lease::LeaseError;

use crate::harness::{Broker, INVISIBLE_MS, group_spec, texts};

/// A broker whose group `billing` is a broadcast.
fn broadcasting() -> Broker {
    let mut broker = Broker::new(1);
    broker.apply_group(&ConsumerGroupSpec { broadcast: Broadcast::ByHost, ..group_spec("billing", 3) });
    broker
}

fn reads_for(broker: &Broker, client: &str) -> Member {
    broker.group.reads_for(&broker.billing(), client, &broker.mailbox).unwrap()
}

fn coming(broker: &Broker, client: &str) -> Ticket {
    let member = reads_for(broker, client);
    let Member::Coming(ticket) = member else { panic!("{client}: {member:?}") };
    ticket
}

fn member(broker: &mut Broker, client: &str) -> Arc<ConsumerGroup> {
    let ticket = coming(broker, client);
    broker.settle(Some(ticket));
    let Member::There(member) = reads_for(broker, client) else { panic!("{client} is no member") };
    member
}

fn receive(broker: &Broker, member: &Arc<ConsumerGroup>) -> Received {
    let topic = broker.topic();
    let request = Receive {
        group: member,
        topic: &topic,
        tags: None,
        max: 9,
        invisible_ms: INVISIBLE_MS,
        attempt_id: None,
        mailbox: &broker.mailbox,
    };
    broker.group.receive(&request, broker.now_ms, None).unwrap()
}

fn delete_group(broker: &mut Broker) {
    let names = ["billing".to_owned()];
    let (_, ticket) = broker.group.delete_consumer_groups(&names, None, &broker.mailbox).unwrap();
    broker.settle(ticket);
}

fn topics(broker: &Broker) -> Vec<String> {
    broker.group.topics().iter().map(|topic| topic.spec.name.clone()).collect()
}

#[test]
fn members_that_come_at_once_are_no_more_than_the_limit() {
    let mut broker = broadcasting();
    let client = |n: usize| format!("host-{n}@1");
    let mut tickets: Vec<_> = (0..MEMBERS_MAX).map(|n| coming(&broker, &client(n))).collect();
    assert!(matches!(reads_for(&broker, &client(MEMBERS_MAX)), Member::TooMany));
    tickets.push(coming(&broker, &client(MEMBERS_MAX - 1)));
    broker.step();
    assert!(tickets.iter().all(|ticket| matches!(ticket.try_outcome(), Some(Ok(_)))));
    assert_eq!(broker.group.members_of(broker.billing().id).len(), MEMBERS_MAX);
    assert!(matches!(reads_for(&broker, &client(0)), Member::There(_)));
    assert!(matches!(reads_for(&broker, &client(MEMBERS_MAX)), Member::TooMany));
}

#[test]
fn a_member_whose_group_is_gone_leaves_no_dead_letters() {
    let mut broker = broadcasting();
    let member = member(&mut broker, "one@1");
    broker.send(&["A", "B"]);
    let received = receive(&broker, &member);
    assert_eq!(texts(&received), ["A", "B"]);
    broker.step();
    delete_group(&mut broker);
    let forwarded = broker.group.dead_letter(&received.deliveries[0].receipt, broker.now_ms, &broker.mailbox);
    let Err(DeadLetterError::Lease(LeaseError::UnknownGroup(id))) = forwarded else {
        panic!("{:?}", forwarded.err())
    };
    assert_eq!(id, member.id);
    for _ in 0..4 {
        broker.now_ms += INVISIBLE_MS;
        receive(&broker, &member);
        broker.step();
    }
    assert_eq!(topics(&broker), ["orders"]);
}

#[test]
fn a_broadcast_that_stops_to_read_a_topic_does_so_for_every_member() {
    let mut broker = broadcasting();
    broker.send(&["A"]);
    let members = ["one@1", "two@1"].map(|client| member(&mut broker, client));
    for member in &members {
        broker.ack_all(&receive(&broker, member));
    }
    broker.step();
    let forgotten = broker.group.forget(&broker.topic(), &broker.billing(), &broker.mailbox).unwrap();
    broker.settle(Some(forgotten.unwrap()));
    assert!(broker.group.forget(&broker.topic(), &broker.billing(), &broker.mailbox).is_none());
    for member in &members {
        assert_eq!(texts(&receive(&broker, member)), ["A"], "anew");
    }
}
