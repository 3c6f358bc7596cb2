//! Members of broadcasts.

use engine::catalog::{Broadcast, ConsumerGroupSpec};
use engine::group::{MEMBERS_MAX, Member};
use engine::inbox::Ticket;

use crate::harness::{Broker, group_spec};

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
