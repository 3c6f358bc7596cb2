//! Messages that a consumer group gives up on.

use engine::group::Origin;
use engine::inbox::StoreError;

use crate::harness::{Broker, INVISIBLE_MS, group_spec, message, texts};

const LETTERS: &str = "%DLQ%billing";

/// Lets every attempt of what is there expire.
fn use_up_attempts(broker: &mut Broker, attempts: u16) {
    for attempt in 1..=attempts {
        let received = broker.receive(32);
        assert!(received.deliveries.iter().all(|delivery| delivery.attempt == attempt));
        assert!(!received.deliveries.is_empty());
        broker.now_ms += INVISIBLE_MS;
    }
}

fn letters(broker: &mut Broker) -> engine::group::Received {
    broker.apply_group(&group_spec("undertaker", 2));
    broker.receive_from(LETTERS, "undertaker", 32)
}

#[test]
fn a_message_whose_attempts_are_used_up_goes_to_the_dead_letters_with_its_origin() {
    let mut broker = Broker::new(1);
    broker.send(&["poison", "too"]);
    use_up_attempts(&mut broker, 3);
    assert!(broker.receive(32).deliveries.is_empty(), "not delivered a fourth time");
    broker.step();
    let found = letters(&mut broker);
    assert_eq!(texts(&found), ["poison", "too"]);
    assert_eq!(found.deliveries[0].origin, Some(Origin { topic: "orders".to_owned() }));
    let progress = &broker.group.progress(&broker.billing())[0];
    assert_eq!((progress.lag, progress.in_flight), (0, 0));
}

#[test]
fn the_dead_letter_and_the_ack_survive_together() {
    let mut broker = Broker::new(1);
    broker.send(&["poison"]);
    use_up_attempts(&mut broker, 3);
    broker.receive(32);
    broker.step();
    let mut broker = broker.restart();
    assert!(broker.receive(32).deliveries.is_empty());
    assert_eq!(texts(&letters(&mut broker)), ["poison"]);
}

#[test]
fn a_client_forwards_a_message_to_the_dead_letters() {
    let mut broker = Broker::new(1);
    broker.send(&["bad", "good"]);
    let received = broker.receive(2);
    let receipt = &received.deliveries[0].receipt;
    let ticket = broker.group.dead_letter(receipt, broker.now_ms, &broker.mailbox).unwrap();
    broker.step();
    assert!(ticket.try_outcome().unwrap().is_ok());
    let again = broker.group.dead_letter(receipt, broker.now_ms, &broker.mailbox).unwrap();
    assert_eq!(again.try_outcome(), Some(Ok(Vec::new())), "done already, not written twice");
    assert_eq!(texts(&letters(&mut broker)), ["bad"]);
    broker.now_ms += 100 * INVISIBLE_MS;
    assert_eq!(texts(&broker.receive(9)), ["good"]);
}

#[test]
fn neighbours_of_a_dead_letter_are_held_no_longer_than_their_lease() {
    let mut broker = Broker::new(1);
    broker.send(&["bad", "good"]);
    let received = broker.receive(2);
    let forwarded =
        broker.group.dead_letter(&received.deliveries[0].receipt, broker.now_ms, &broker.mailbox).unwrap();
    broker.now_ms += INVISIBLE_MS;
    assert_eq!(texts(&broker.receive(9)), ["good"], "the other one is still on its way");
    broker.step();
    assert!(forwarded.try_outcome().unwrap().is_ok());
    assert_eq!(texts(&letters(&mut broker)), ["bad"]);
    broker.now_ms += INVISIBLE_MS;
    assert_eq!(texts(&broker.receive(9)), ["good"]);
}

#[test]
fn two_forwards_that_make_the_topic_at_the_same_time_agree_on_it() {
    let mut broker = Broker::new(1);
    broker.send(&["a", "b"]);
    let received = broker.receive(2);
    let tickets: Vec<_> = received
        .deliveries
        .iter()
        .map(|delivery| broker.group.dead_letter(&delivery.receipt, broker.now_ms, &broker.mailbox).unwrap())
        .collect();
    broker.step();
    assert!(tickets.iter().all(|ticket| ticket.try_outcome().unwrap().is_ok()));
    assert_eq!(texts(&letters(&mut broker)), ["a", "b"]);
}

#[test]
fn a_dead_letter_of_an_old_message_is_a_copy_and_outlives_it() {
    let mut broker = Broker::with_small_segments(1);
    broker.send(&["precious"]);
    broker.now_ms += broker.config.retention.get().max_age_ms / 2 + 1;
    use_up_attempts(&mut broker, 3);
    broker.receive(32);
    for _ in 0..40 {
        broker.send_drafts(vec![message(&"x".repeat(4000), 9)]).unwrap();
    }
    broker.now_ms += broker.config.retention.get().max_age_ms / 2;
    broker.group.checkpoint().unwrap();
    broker.group.checkpoint().unwrap();
    broker.writer.retain(broker.now_ms).unwrap();
    let found = letters(&mut broker);
    assert_eq!(texts(&found), ["precious"]);
    assert_eq!(found.deliveries[0].origin, Some(Origin { topic: "orders".to_owned() }));
}

#[test]
fn an_old_message_that_does_not_verify_is_named_once_and_leaves_no_letter() {
    let mut broker = Broker::new(1);
    broker.send(&["rotten bytes"]);
    broker.send(&["good"]);
    broker.now_ms += broker.config.retention.get().max_age_ms / 2 + 1;
    use_up_attempts(&mut broker, 3);
    let file = format!("log/{:020}.log", 0);
    let bytes = broker.disk.contents(&file).unwrap();
    let at = bytes.windows(6).position(|window| window == b"rotten").unwrap();
    assert!(broker.disk.flip_bit(&file, at as u64, 3));
    assert_eq!(broker.receive(32).corrupt.len(), 1);
    broker.step();
    broker.now_ms += INVISIBLE_MS;
    assert!(broker.receive(32).corrupt.is_empty(), "tried again");
    let progress = &broker.group.progress(&broker.billing())[0];
    assert_eq!((progress.lag, progress.in_flight), (0, 0));
    assert_eq!(texts(&letters(&mut broker)), ["good"]);
    let broker = broker.restart();
    assert_eq!(broker.group.progress(&broker.billing())[0].lag, 0, "survives a restart");
}

#[test]
fn a_dead_letter_that_dies_again_keeps_its_first_origin() {
    let mut broker = Broker::new(1);
    broker.send(&["poison"]);
    use_up_attempts(&mut broker, 3);
    broker.receive(32);
    broker.step();
    let found = letters(&mut broker);
    let receipt = &found.deliveries[0].receipt;
    broker.group.dead_letter(receipt, broker.now_ms, &broker.mailbox).unwrap();
    broker.step();
    let found = broker.receive_from("%DLQ%undertaker", "billing", 9);
    assert_eq!(texts(&found), ["poison"]);
    assert_eq!(found.deliveries[0].origin, Some(Origin { topic: "orders".to_owned() }));
}

#[test]
fn a_dead_letter_that_finds_no_room_leaves_the_message_where_it_is() {
    let mut broker = Broker::new(1);
    broker.send(&["poison"]);
    let receipt = broker.receive(1).deliveries[0].receipt;
    broker.disk.set_capacity_bytes(Some(0));
    let ticket = broker.group.dead_letter(&receipt, broker.now_ms, &broker.mailbox).unwrap();
    broker.step();
    assert_eq!(ticket.try_outcome(), Some(Err(StoreError::DiskFull)));
    broker.now_ms += 10 * INVISIBLE_MS;
    assert_eq!(texts(&broker.receive(1)), ["poison"]);
}
