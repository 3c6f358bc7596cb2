//! What comes back after a restart, with a checkpoint, without, and with an old one.

use store::Offset;

use crate::harness::{Broker, INVISIBLE_MS, group_spec, text, texts, topic_spec};

/// A life with everything that leaves a record.
fn live(broker: &mut Broker, round: usize) {
    broker.apply_topic(&topic_spec(&format!("extra-{round}"), 2));
    broker.apply_group(&group_spec(&format!("readers-{round}"), 2));
    for n in 0..40 {
        broker.send(&[&format!("{round}/{n}"), "second", "third"]);
    }
    let received = broker.receive(32);
    for delivery in received.deliveries.iter().step_by(3) {
        broker.group.ack(&delivery.receipt, broker.now_ms, &broker.mailbox).unwrap();
    }
    broker.now_ms += INVISIBLE_MS;
    // Second attempts are records.
    let again = broker.receive(64);
    assert!(again.deliveries.iter().any(|delivery| delivery.attempt >= 2));
    let last = again.deliveries.last().unwrap();
    broker.group.ack(&last.receipt, broker.now_ms, &broker.mailbox).unwrap();
    broker.step();
}

fn checkpoint_files(broker: &Broker) -> Vec<String> {
    use store::disk::Disk;
    let names = broker.disk.list("state").unwrap();
    names.into_iter().map(|name| format!("state/{name}")).collect()
}

/// What a replay knows: nobody holds anything. Progress is compared after a restart on both sides.
fn summary_after_restart(broker: &Broker) -> Vec<String> {
    let twin = broker.disk.fork();
    twin.kill_process();
    Broker::open(twin, broker.config.clone()).summary()
}

#[test]
fn a_replay_of_the_whole_log_brings_back_what_a_checkpoint_does() {
    use store::disk::Disk;
    let mut broker = Broker::new(4);
    for round in 0..6 {
        live(&mut broker, round);
        let without = summary_after_restart(&broker);
        broker.group.checkpoint().unwrap();
        let with = summary_after_restart(&broker);
        assert_eq!(with, without, "round {round}");
        // A checkpoint of the middle, and a log that goes on.
        live(&mut broker, round + 100);
        let old = summary_after_restart(&broker);
        for file in checkpoint_files(&broker) {
            broker.disk.remove(&file).unwrap();
        }
        assert_eq!(old, summary_after_restart(&broker), "round {round}, old checkpoint");
    }
}

#[test]
fn damaged_checkpoints_are_done_without_as_long_as_the_log_has_its_beginning() {
    let mut broker = Broker::new(2);
    live(&mut broker, 0);
    broker.group.checkpoint().unwrap();
    live(&mut broker, 1);
    broker.group.checkpoint().unwrap();
    let before = summary_after_restart(&broker);
    for file in checkpoint_files(&broker) {
        assert!(broker.disk.flip_bit(&file, 100, 1));
    }
    let broker = broker.restart();
    assert_eq!(broker.summary(), before);
    broker.group.checkpoint().unwrap();
    assert_eq!(broker.restart().summary(), before);
}

#[test]
fn what_was_acked_stays_done_and_the_rest_comes_again() {
    let mut broker = Broker::new(2);
    for n in 0..10 {
        broker.send(&[&n.to_string()]);
    }
    let received = broker.receive(10);
    let acked: Vec<_> = received.deliveries.iter().take(4).map(text).collect();
    for delivery in &received.deliveries[..4] {
        broker.group.ack(&delivery.receipt, broker.now_ms, &broker.mailbox).unwrap();
    }
    broker.step();
    let broker = broker.restart();
    let again = texts(&broker.receive(20));
    assert_eq!(again.len(), 6);
    assert!(again.iter().all(|text| !acked.contains(text)));
}

#[test]
fn attempts_are_counted_across_restarts() {
    let mut broker = Broker::new(1);
    broker.send(&["one"]);
    broker.receive(1);
    broker.now_ms += INVISIBLE_MS;
    assert_eq!(broker.receive(1).deliveries[0].attempt, 2);
    broker.step();
    let broker = broker.restart();
    assert_eq!(broker.receive(1).deliveries[0].attempt, 3);
}

#[test]
fn a_receipt_of_the_last_epoch_is_good_until_somebody_else_holds_the_message() {
    let mut broker = Broker::new(1);
    broker.send(&["one", "two"]);
    let received = broker.receive(2);
    broker.step();
    let broker = broker.restart();
    assert_eq!(broker.group.ack(&received.deliveries[1].receipt, broker.now_ms, &broker.mailbox), Ok(()));
    assert_eq!(texts(&broker.receive(2)), ["one"]);
    assert!(broker.group.ack(&received.deliveries[0].receipt, broker.now_ms, &broker.mailbox).is_err());
}

#[test]
fn deleted_things_stay_deleted_and_ids_are_not_used_again() {
    let mut broker = Broker::new(1);
    broker.send(&["one"]);
    broker.receive(1);
    let old = (broker.topic().id, broker.topic().queues.clone(), broker.billing().id);
    let (_, ticket) = broker.group.delete_topics(&["orders".to_owned()], None, &broker.mailbox).unwrap();
    broker.settle(ticket);
    let names = ["billing".to_owned()];
    let (_, ticket) = broker.group.delete_consumer_groups(&names, None, &broker.mailbox).unwrap();
    broker.settle(ticket);
    let mut broker = broker.restart();
    assert!(broker.group.topics().is_empty() && broker.group.consumer_groups().is_empty());
    broker.apply_topic(&topic_spec("orders", 1));
    broker.apply_group(&group_spec("billing", 3));
    assert!(broker.topic().id > old.0 && broker.topic().queues > old.1 && broker.billing().id > old.2);
    assert!(broker.receive(1).deliveries.is_empty());
    assert_eq!(broker.group.progress(&broker.billing())[0].tail, Offset(0));
}

#[test]
fn old_segments_go_and_their_messages_are_passed_over() {
    let mut broker = Broker::with_small_segments(1);
    let body = "x".repeat(4000);
    broker.receive(1);
    for _ in 0..100 {
        broker.send(&[&body]);
    }
    broker.now_ms += broker.config.retention.get().max_age_ms + 1;
    broker.send(&["young"]);
    broker.writer.retain(broker.now_ms).unwrap();
    assert_eq!(broker.group.log_state().head.0, 0, "without a checkpoint everything is needed");
    broker.group.checkpoint().unwrap();
    broker.group.checkpoint().unwrap();
    broker.writer.retain(broker.now_ms).unwrap();
    broker.group.trim_index().unwrap();
    assert!(broker.group.log_state().head.0 > 0);
    let (oldest, tail) = broker.group.queue_range(broker.topic().queues[0]);
    assert!(oldest > Offset(50) && tail == Offset(101));
    let mut found = texts(&broker.receive(64));
    assert_eq!(found.pop().unwrap(), "young");
    assert_eq!(broker.group.progress(&broker.billing())[0].floor, oldest);
    let broker = broker.restart();
    assert_eq!(broker.group.queue_range(broker.topic().queues[0]), (oldest, tail));
    assert_eq!(texts(&broker.receive(64)).pop().unwrap(), "young");
}
