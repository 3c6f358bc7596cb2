//! What metrics are told of topics and consumer groups.

use std::sync::Arc;

use engine::catalog::{Broadcast, ConsumerGroup, ConsumerGroupSpec, TopicSpec, TopicType};
use engine::group::{Census, CensusLimits, Decision, Member, Pair, Receive, TransactionId, Waits};
use engine::traffic::{Amount, Outflow};
use store::log::{Draft, Kind};

use crate::harness::{Broker, INVISIBLE_MS, config, group_spec, message, topic_spec};

const ALL: CensusLimits = CensusLimits { topics: 100, consumer_groups: 100, pairs: 100, looks: 100 };

fn census(broker: &Broker) -> Census {
    broker.group.census(&ALL, broker.now_ms)
}

fn pair(broker: &Broker) -> Pair {
    let mut pairs = census(broker).pairs;
    assert_eq!(pairs.len(), 1);
    pairs.remove(0)
}

fn names(pairs: &[Pair]) -> Vec<(&str, &str)> {
    pairs.iter().map(|pair| (&*pair.topic.spec.name, &*pair.group.spec.name)).collect()
}

#[test]
fn a_pair_tells_what_progress_tells_and_how_long_the_oldest_wait() {
    let mut broker = Broker::new(1);
    broker.send(&["first", "second"]);
    assert!(census(&broker).pairs.is_empty(), "nobody reads the topic yet");
    broker.now_ms += 700;
    broker.send(&["third"]);
    let taken = broker.receive(2);
    broker.now_ms += 300;
    let now = pair(&broker);
    assert_eq!((now.in_flight, now.ready), (2, 1));
    assert_eq!(now.waits, Some(Waits { undone_ms: 1000, ready_ms: 300 }));
    let lag: u64 = broker.group.progress(&broker.billing()).iter().map(|queue| queue.lag).sum();
    assert_eq!(lag, now.in_flight + now.ready);
    broker.now_ms += INVISIBLE_MS;
    let later = pair(&broker);
    assert_eq!((later.in_flight, later.ready), (0, 3), "their time is over");
    assert_eq!(later.waits.map(|waits| waits.ready_ms), Some(1000 + INVISIBLE_MS));
    broker.now_ms -= INVISIBLE_MS;
    broker.ack_all(&taken);
    broker.ack_all(&broker.receive(9));
    let done = pair(&broker);
    assert_eq!((done.in_flight, done.ready, done.waits), (0, 0, Some(Waits::default())));
}

#[test]
fn the_oldest_ones_are_told_and_the_others_are_counted() {
    let mut broker = Broker::new(1);
    for number in 0..5 {
        broker.apply_topic(&topic_spec(&format!("topic-{}", 9 - number), 4));
        broker.apply_group(&group_spec(&format!("group-{}", 9 - number), 3));
    }
    for topic in broker.group.topics() {
        for group in broker.group.consumer_groups() {
            broker.receive_from(&topic.spec.name, &group.spec.name, 1);
        }
    }
    broker.step();
    let limits = CensusLimits { topics: 2, consumer_groups: 3, pairs: 8, looks: 0 };
    for turn in 0..2 {
        let told = broker.group.census(&limits, broker.now_ms);
        assert_eq!((told.topic_count, told.consumer_group_count), (6, 6));
        let left_out = [told.topics_left_out, told.consumer_groups_left_out, told.pairs_left_out];
        assert_eq!(left_out, [4, 3, 28]);
        let topics: Vec<_> = told.topics.iter().map(|told| &*told.topic.spec.name).collect();
        assert_eq!(topics, ["orders", "topic-9"], "by age, and not by name: turn {turn}");
        let groups: Vec<_> = told.consumer_groups.iter().map(|told| &*told.group.spec.name).collect();
        assert_eq!(groups, ["billing", "group-9", "group-8"]);
        let names = names(&told.pairs);
        assert_eq!((names.len(), names[0], names[7]), (8, ("orders", "billing"), ("topic-9", "group-9")));
        assert!(told.pairs.iter().all(|pair| pair.waits.is_some()), "nothing has to be looked up");
        // What comes later takes the place of nothing.
        broker.apply_topic(&topic_spec("a", 1));
        let (_, ticket) = broker.group.delete_topics(&["a".to_owned()], None, &broker.mailbox).unwrap();
        broker.settle(ticket);
    }
}

#[test]
fn a_latency_that_takes_too_many_looks_is_not_told_and_the_lag_is() {
    let mut broker = Broker::new(4);
    broker.receive(1);
    for _ in 0..4 {
        broker.send(&["one"]);
    }
    for (looks, is_told) in [(3, false), (4, true)] {
        let told = broker.group.census(&CensusLimits { looks, ..ALL }, broker.now_ms);
        assert_eq!((told.pairs[0].waits.is_some(), told.pairs[0].ready), (is_told, 4), "{looks} looks");
    }
}

#[test]
fn a_broadcast_is_the_sum_of_its_members() {
    let mut broker = Broker::new(2);
    broker.apply_group(&ConsumerGroupSpec { broadcast: Broadcast::ByHost, ..group_spec("billing", 3) });
    broker.send(&["one", "two"]);
    let mut outflow = Outflow::default();
    outflow.add(1, 100);
    outflow.add(2, 20);
    for client in ["a", "b", "c"] {
        let member = member(&mut broker, client);
        let topic = broker.topic();
        let (mailbox, max) = (&broker.mailbox, 1);
        let request = Receive {
            group: &member,
            topic: &topic,
            tags: None,
            max,
            invisible_ms: INVISIBLE_MS,
            attempt_id: None,
            mailbox,
        };
        assert_eq!(broker.group.receive(&request, broker.now_ms, None).unwrap().deliveries.len(), 1);
        broker.group.note_received(&topic, member.id, outflow);
    }
    let told = pair(&broker);
    assert_eq!(names(std::slice::from_ref(&told)), [("orders", "billing")]);
    assert_eq!((told.in_flight, told.ready), (3, 3));
    let (first, again) = (Amount { messages: 3, bytes: 300 }, Amount { messages: 3, bytes: 60 });
    assert_eq!(told.outflow, Outflow { first, again });
    assert_eq!(census(&broker).consumer_group_count, 1, "members are no groups of their own");
}

fn member(broker: &mut Broker, client: &str) -> Arc<ConsumerGroup> {
    let reads_for =
        |broker: &Broker| broker.group.reads_for(&broker.billing(), client, &broker.mailbox).unwrap();
    if let Member::Coming(ticket) = reads_for(broker) {
        broker.settle(Some(ticket));
    }
    let Member::There(member) = reads_for(broker) else { panic!("{client} is no member") };
    member
}

#[test]
fn dead_letters_are_counted_over_restarts() {
    let mut broker = Broker::new(1);
    let letters = |broker: &Broker| census(broker).consumer_groups[0].dead_letters;
    assert_eq!(letters(&broker), 0);
    broker.send(&["poison", "too"]);
    for delivery in broker.receive(2).deliveries {
        broker.group.dead_letter(&delivery.receipt, broker.now_ms, &broker.mailbox).unwrap();
    }
    broker.step();
    assert_eq!(letters(&broker), 2);
    let told = census(&broker);
    let topics: Vec<_> = told.topics.iter().map(|told| &*told.topic.spec.name).collect();
    assert_eq!((topics, told.topic_count, told.topics_left_out), (vec!["orders"], 2, 0));
    assert_eq!(letters(&broker.restart()), 2);
}

#[test]
fn undecided_messages_are_counted_by_topic_over_decisions_and_restarts() {
    let mut broker = Broker::of_type(config(), TopicType::Transaction);
    broker.apply_topic(&TopicSpec { topic_type: TopicType::Transaction, ..topic_spec("other", 1) });
    let half = |broker: &mut Broker, text| {
        let check_ms = broker.now_ms + 6000;
        let draft = Draft { kind: Kind::Half, due_ms: check_ms, ..message(text, 0) };
        let position = broker.send_drafts(vec![draft]).unwrap()[0].position;
        TransactionId { check_ms, position }
    };
    let ids = ["one", "two", "three"].map(|text| half(&mut broker, text));
    let undecided =
        |broker: &Broker| -> Vec<u64> { census(broker).topics.iter().map(|told| told.undecided).collect() };
    assert_eq!(undecided(&broker), [3, 0]);
    for (id, decision) in ids.into_iter().zip([Decision::Commit, Decision::RollBack]) {
        broker.group.decide(&broker.topic(), id, decision, broker.now_ms, &broker.mailbox).unwrap();
        broker.step();
    }
    assert_eq!(undecided(&broker), [1, 0]);
    broker.group.checkpoint().unwrap();
    assert_eq!(undecided(&broker.restart()), [1, 0]);
}
