//! What became of a message, as the log tells it.

use bytes::Bytes;
use engine::catalog::{ABANDONED_TRANSACTIONS_TOPIC, ConsumerGroupSpec, TopicType};
use engine::group::{Decision, GroupConfig, Happened, TrailError, TransactionId};
use engine::lease::Standing;
use store::Position;
use store::log::{Draft, Kind, Placed, Retention};

use crate::harness::{Broker, INVISIBLE_MS, config, group_spec, message};

/// A message whose head is its name.
fn named(name: &str) -> Draft {
    Draft { head: Bytes::copy_from_slice(name.as_bytes()), ..message(name, 0) }
}

fn send(broker: &mut Broker, draft: Draft) -> Placed {
    broker.send_drafts(vec![draft]).unwrap()[0]
}

/// What happened and when, each with the topic and the offset of the entry that it is about.
fn history(broker: &Broker, sent: &Placed) -> Vec<(u64, Happened, Option<String>)> {
    let mut trail = broker.group.trail(sent.position, sent.bytes, 0, &[]).unwrap();
    while broker.group.trail_on(&mut trail).unwrap() {}
    assert_eq!(trail.damaged(), 0);
    let events = trail.events().iter().map(|event| {
        let place = event.place.map(|place| {
            let topic = broker.group.topic_of(place.queue).unwrap();
            format!("{} {}", topic.spec.name, place.offset)
        });
        (event.at_ms, event.what.clone(), place)
    });
    events.collect()
}

fn standings(broker: &Broker, sent: &Placed) -> Vec<(String, Standing)> {
    let mut trail = broker.group.trail(sent.position, sent.bytes, 0, &[]).unwrap();
    while broker.group.trail_on(&mut trail).unwrap() {}
    let standings = broker.group.standings(&trail, broker.now_ms).into_iter();
    standings
        .map(|(group, _, standing)| {
            (broker.group.consumer_group_by_id(group).unwrap().spec.name.clone(), standing)
        })
        .collect()
}

fn orders(offset: u64) -> String {
    format!("orders {offset}")
}

fn delivered(group: u32, attempt: u16, client: Option<&str>) -> Happened {
    Happened::Delivered { group, attempt, client: client.map(str::to_owned) }
}

/// Receives one message and notes who got it.
fn hand(broker: &mut Broker, group: &str, client: &str) -> engine::lease::Receipt {
    let received = broker.receive_from("orders", group, 1);
    let group = broker.group.consumer_group(group).unwrap();
    broker.group.note_handed(&group, &received.deliveries, client, &broker.mailbox);
    broker.step();
    received.deliveries[0].receipt
}

fn ack(broker: &mut Broker, receipt: &engine::lease::Receipt) {
    broker.group.ack(receipt, broker.now_ms, &broker.mailbox).unwrap();
    broker.step();
}

#[test]
fn deliveries_and_acks_of_two_groups_are_told_also_after_a_restart() {
    let mut broker = Broker::new(1);
    broker.apply_group(&ConsumerGroupSpec { trace: true, ..group_spec("tracing", 5) });
    let sent = send(&mut broker, named("M"));
    let other = send(&mut broker, named("other"));
    let [billing, tracing] = ["billing", "tracing"].map(|name| broker.group.consumer_group(name).unwrap().id);
    assert_eq!(standings(&broker, &sent), []);

    broker.now_ms = 2_000;
    hand(&mut broker, "billing", "unseen");
    hand(&mut broker, "tracing", "c1");
    broker.now_ms += INVISIBLE_MS;
    let again_ms = broker.now_ms;
    let receipt = hand(&mut broker, "billing", "unseen");
    hand(&mut broker, "tracing", "c2");
    let held = Standing::Held { until_ms: again_ms + INVISIBLE_MS, attempts: 2 };
    assert_eq!(standings(&broker, &sent), [("billing".to_owned(), held), ("tracing".to_owned(), held)]);
    broker.now_ms += 5;
    ack(&mut broker, &receipt);

    let told = [
        (2_000, delivered(tracing, 1, Some("c1")), Some(orders(0))),
        (again_ms, delivered(billing, 2, None), Some(orders(0))),
        (again_ms, delivered(tracing, 2, Some("c2")), Some(orders(0))),
        (again_ms + 5, Happened::Done { group: billing }, Some(orders(0))),
    ];
    assert_eq!(history(&broker, &sent), told);
    assert_eq!(history(&broker, &other), []);
    broker.group.checkpoint().unwrap();
    let broker = broker.restart();
    assert_eq!(history(&broker, &sent), told);
    let ready = Standing::Ready { attempts: 2 };
    assert_eq!(
        standings(&broker, &sent),
        [("billing".to_owned(), Standing::Finished), ("tracing".to_owned(), ready)]
    );
    assert_eq!(
        standings(&broker, &other),
        [("billing".to_owned(), Standing::Unread), ("tracing".to_owned(), Standing::Unread)]
    );
}

#[test]
fn a_group_that_does_not_trace_writes_nothing_for_a_first_delivery() {
    let mut broker = Broker::new(1);
    broker.send_drafts(vec![named("M"), named("N")]).unwrap();
    // The first receive writes down where the group begins.
    hand(&mut broker, "billing", "c1");
    let written = broker.group.written();
    hand(&mut broker, "billing", "c1");
    assert_eq!(broker.group.written(), written);
    broker.apply_group(&ConsumerGroupSpec { trace: true, ..group_spec("tracing", 3) });
    hand(&mut broker, "tracing", "c1");
    let written = broker.group.written();
    hand(&mut broker, "tracing", "c1");
    assert!(broker.group.written() > written, "as it does for one that traces");
}

#[test]
fn a_dead_letter_ends_the_message_for_its_group_and_is_followed() {
    let mut broker = Broker::new(1);
    let sent = send(&mut broker, named("M"));
    let receipt = hand(&mut broker, "billing", "c");
    broker.now_ms += 7;
    let ticket = broker.group.dead_letter(&receipt, broker.now_ms, &broker.mailbox).unwrap();
    broker.settle(Some(ticket));
    broker.apply_group(&group_spec("repair", 2));
    let letter = broker.receive_from("%DLQ%billing", "repair", 1).deliveries[0].receipt;
    ack(&mut broker, &letter);
    let repair = broker.group.consumer_group("repair").unwrap().id;
    let place = Some("%DLQ%billing 0".to_owned());
    let told = [
        (broker.now_ms, Happened::DeadLettered { group: "billing".to_owned(), attempts: 1 }, place.clone()),
        (broker.now_ms, Happened::Done { group: repair }, place),
    ];
    assert_eq!(history(&broker, &sent), told);
    assert_eq!(history(&broker.restart(), &sent), told);
}

#[test]
fn a_copied_dead_letter_is_followed_as_well() {
    let retention = Retention { max_age_ms: 100_000, max_bytes: None };
    let mut broker = Broker::with(GroupConfig { retention: retention.into(), ..config() }, 1);
    let sent = send(&mut broker, named("M"));
    let longer = send(&mut broker, named("M and more"));
    broker.now_ms += 60_000;
    let receipt = hand(&mut broker, "billing", "c");
    let ticket = broker.group.dead_letter(&receipt, broker.now_ms, &broker.mailbox).unwrap();
    broker.settle(Some(ticket));
    let what = Happened::DeadLettered { group: "billing".to_owned(), attempts: 1 };
    assert_eq!(history(&broker, &sent), [(broker.now_ms, what, Some("%DLQ%billing 0".to_owned()))]);
    assert_eq!(history(&broker, &longer), []);
}

#[test]
fn a_delayed_message_becomes_visible_or_is_recalled() {
    let mut broker = Broker::of_type(config(), TopicType::Delay);
    let due_ms = broker.now_ms + 5_000;
    let delayed = |name| Draft { kind: Kind::Timed, due_ms, ..named(name) };
    let (comes, goes) = (send(&mut broker, delayed("comes")), send(&mut broker, delayed("goes")));
    broker.now_ms += 100;
    let recalled_ms = broker.now_ms;
    let ticket = broker.group.recall(due_ms, goes.position, &broker.mailbox).unwrap();
    broker.settle(Some(ticket));
    assert_eq!(history(&broker, &comes), []);
    broker.now_ms = due_ms;
    broker.step();
    let receipt = hand(&mut broker, "billing", "c");
    ack(&mut broker, &receipt);
    let done = Happened::Done { group: broker.billing().id };
    let told = [(due_ms, Happened::Visible, Some(orders(0))), (due_ms, done, Some(orders(0)))];
    for _ in 0..2 {
        assert_eq!(history(&broker, &comes), told);
        assert_eq!(history(&broker, &goes), [(recalled_ms, Happened::Recalled, None)]);
        broker = broker.restart();
    }
}

#[test]
fn a_transaction_is_committed_rolled_back_or_given_up() {
    let mut broker = Broker::of_type(config(), TopicType::Transaction);
    let check_ms = broker.now_ms + 1_000;
    let half = |name| Draft { kind: Kind::Half, due_ms: check_ms, ..named(name) };
    let [yes, no, never] = ["yes", "no", "never"].map(|name| send(&mut broker, half(name)));
    for (sent, decision) in [(&yes, Decision::Commit), (&no, Decision::RollBack)] {
        broker.now_ms += 10;
        let id = TransactionId { check_ms, position: sent.position };
        let ticket = broker.group.decide(&broker.topic(), id, decision, broker.now_ms, &broker.mailbox);
        broker.settle(Some(ticket.unwrap()));
    }
    let decided_ms = broker.now_ms;
    while broker.group.open_transactions() > 0 {
        broker.now_ms += 1_000;
        broker.group.due_checks(broker.now_ms).due.iter().for_each(|check| broker.group.asked(check));
        broker.step();
    }
    let abandoned = Some(format!("{ABANDONED_TRANSACTIONS_TOPIC} 0"));
    assert_eq!(history(&broker, &yes), [(decided_ms - 10, Happened::Committed, Some(orders(0)))]);
    assert_eq!(history(&broker, &no), [(decided_ms, Happened::RolledBack, None)]);
    assert_eq!(history(&broker, &never), [(broker.now_ms, Happened::GivenUp, abandoned)]);
}

#[test]
fn a_trail_goes_on_where_an_earlier_one_stopped() {
    let mut broker = Broker::with_small_segments(1);
    let sent = send(&mut broker, named("M"));
    for attempt in 1..=20u16 {
        let receipt = broker.receive_from("orders", "billing", 1).deliveries[0].receipt;
        assert_eq!(receipt.offset.0, u64::from(attempt - 1), "one each");
        ack(&mut broker, &receipt);
        broker
            .send_drafts(
                (0..20)
                    .map(|_| Draft {
                        body: vec![0; 1000].into(),
                        body_crc: store::log::crc32(&[0; 1000]),
                        ..named("filler")
                    })
                    .collect(),
            )
            .unwrap();
    }
    let done = Happened::Done { group: broker.billing().id };
    let (mut told, mut scroll, mut calls) = (Vec::new(), Vec::new(), 0);
    loop {
        let mut trail = broker.group.trail(sent.position, sent.bytes, 0, &scroll).unwrap();
        let goes_on = broker.group.trail_on(&mut trail).unwrap();
        told.extend(trail.events().iter().map(|event| event.what.clone()));
        calls += 1;
        if !goes_on {
            break;
        }
        scroll = trail.scroll();
    }
    assert!(calls > 3, "one for each segment at least");
    assert_eq!(told, [done]);
}

#[test]
fn there_is_no_trail_of_what_is_no_message() {
    let mut broker = Broker::new(1);
    let sent = send(&mut broker, named("M"));
    let trail = |position, bytes, scroll: &[u8]| broker.group.trail(position, bytes, 0, scroll).map(drop);
    let beyond = Position(broker.group.published().0 + 8);
    assert!(matches!(trail(beyond, sent.bytes, &[]), Err(TrailError::NotThere(_))));
    assert!(matches!(trail(Position(sent.position.0 + 8), sent.bytes, &[]), Err(TrailError::Read(_))));
    assert!(matches!(trail(sent.position, sent.bytes + 8, &[]), Err(TrailError::Read(_))));
    assert!(matches!(trail(sent.position, u32::MAX, &[]), Err(TrailError::Bytes(u32::MAX))));
    assert!(matches!(trail(sent.position, sent.bytes, b"\xff"), Err(TrailError::Scroll)));
    assert!(matches!(trail(sent.position, sent.bytes, b"\x08\x01"), Err(TrailError::Scroll)));
}

#[test]
fn each_message_of_a_shared_record_has_a_history_of_its_own() {
    let mut broker = Broker::new(1);
    let sent = broker.send_drafts(["a", "b", "c"].map(named).to_vec()).unwrap();
    let billing = broker.billing().id;
    let taken = broker.receive(3).deliveries;
    ack(&mut broker, &taken[0].receipt);
    let letter = broker.group.dead_letter(&taken[1].receipt, broker.now_ms, &broker.mailbox).unwrap();
    broker.settle(Some(letter));
    let of = |number: u16| {
        let mut trail = broker.group.trail(sent[0].position, sent[0].bytes, number, &[]).unwrap();
        while broker.group.trail_on(&mut trail).unwrap() {}
        let head = trail.record().head();
        (head, trail.events().iter().map(|event| event.what.clone()).collect::<Vec<_>>())
    };
    assert_eq!(of(0), (Bytes::from_static(b"a"), vec![Happened::Done { group: billing }]));
    let buried = Happened::DeadLettered { group: "billing".to_owned(), attempts: 1 };
    assert_eq!(of(1), (Bytes::from_static(b"b"), vec![buried]));
    assert_eq!(of(2), (Bytes::from_static(b"c"), vec![]));
    let none = broker.group.trail(sent[0].position, sent[0].bytes, 3, &[]);
    assert!(matches!(none, Err(TrailError::NotThere(_))));
}

#[test]
fn a_move_of_the_group_is_part_of_the_history() {
    let mut broker = Broker::new(1);
    let sent = send(&mut broker, named("M"));
    let group = broker.billing();
    let move_to = |broker: &mut Broker, offset| {
        let places = [(0, store::Offset(offset))];
        let moved =
            broker.group.move_offsets(&broker.billing(), &[(&broker.topic(), &places)], &broker.mailbox);
        broker.settle(Some(moved.unwrap()));
    };
    let receipt = broker.receive(1).deliveries[0].receipt;
    ack(&mut broker, &receipt);
    move_to(&mut broker, 0);
    let receipt = broker.receive(1).deliveries[0].receipt;
    ack(&mut broker, &receipt);
    move_to(&mut broker, 0);
    move_to(&mut broker, 1);
    let told: Vec<_> = history(&broker, &sent).into_iter().map(|(_, what, _)| what).collect();
    let (done, again) =
        (Happened::Done { group: group.id }, Happened::Moved { group: group.id, is_behind: false });
    let passed = Happened::Moved { group: group.id, is_behind: true };
    assert_eq!(told, [done.clone(), again.clone(), done, again, passed]);
    assert_eq!(standings(&broker, &sent), [("billing".to_owned(), Standing::Finished)]);
}

#[test]
fn a_group_that_stopped_to_read_has_the_message_before_it_again() {
    let mut broker = Broker::new(1);
    let sent = send(&mut broker, named("M"));
    let group = broker.billing();
    let receipt = broker.receive(1).deliveries[0].receipt;
    ack(&mut broker, &receipt);
    let stopped = broker.group.forget(&broker.topic(), &group, &broker.mailbox).unwrap();
    broker.settle(Some(stopped.unwrap()));
    let told: Vec<_> = history(&broker, &sent).into_iter().map(|(_, what, _)| what).collect();
    let again = Happened::Moved { group: group.id, is_behind: false };
    assert_eq!(told, [Happened::Done { group: group.id }, again]);
}
