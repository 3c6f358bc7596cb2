//! Reading by offset.

use std::task::{Context, Poll, Waker};

use engine::group::{Pull, PullError, Pulled};
use engine::waiter::Waiter;
use store::Offset;

use crate::harness::{Broker, message, topic_spec};

fn pull(broker: &Broker, from: u64, max: usize, tags: Option<&[u32]>) -> Result<Pulled, PullError> {
    let request = Pull { topic: &broker.topic(), queue: 0, from: Offset(from), tags, max };
    broker.group.pull(&request, broker.now_ms, None)
}

fn said(pulled: &Pulled) -> Vec<String> {
    let said = |record: &store::log::Record| String::from_utf8(record.body().to_vec()).unwrap();
    pulled.messages.iter().map(|message| said(message.record.as_ref().expect("in memory"))).collect()
}

#[test]
fn a_queue_is_read_by_offset_as_often_as_one_likes() {
    let mut broker = Broker::new(1);
    broker.send(&["a", "b", "c", "d"]);
    for _ in 0..2 {
        let pulled = pull(&broker, 1, 2, None).unwrap();
        assert_eq!(
            (said(&pulled), pulled.next, pulled.is_at_tail),
            (vec!["b".into(), "c".into()], Offset(3), false)
        );
    }
    let rest = pull(&broker, 3, 9, None).unwrap();
    assert_eq!((said(&rest), rest.next, rest.is_at_tail), (vec!["d".into()], Offset(4), true));
    let offsets: Vec<_> = pull(&broker, 0, 9, None).unwrap().messages.iter().map(|m| m.offset.0).collect();
    assert_eq!(offsets, [0, 1, 2, 3]);
    assert_eq!(broker.take().len(), 4, "groups do not notice");
}

#[test]
fn unwanted_messages_are_passed_over_and_the_search_goes_on_where_it_stopped() {
    let mut broker = Broker::new(1);
    for _ in 0..10 {
        broker.send_drafts((0..500).map(|n| message("x", u32::from(n == 499))).collect()).unwrap();
    }
    let (mut next, mut found, mut rounds) = (0, Vec::new(), 0);
    while next < 5000 {
        let pulled = pull(&broker, next, 3, Some(&[1])).unwrap();
        assert!(pulled.next > Offset(next), "{pulled:?}");
        assert!(pulled.messages.len() <= 3);
        found.extend(pulled.messages.iter().map(|message| message.offset.0));
        next = pulled.next.0;
        rounds += 1;
    }
    assert_eq!(found, (1..=10).map(|n| n * 500 - 1).collect::<Vec<_>>());
    assert!(rounds >= 4, "{rounds}");
}

#[test]
fn messages_that_share_a_record_are_read_one_by_one_from_anywhere() {
    let mut broker = Broker::new(1);
    broker.send(&["a", "b", "c"]);
    broker.send(&["d", "e"]);
    let all = ["a", "b", "c", "d", "e"].map(str::to_owned);
    for from in 0..5 {
        for max in 1..6 {
            let pulled = pull(&broker, from as u64, max, None).unwrap();
            let to = (from + max).min(5);
            assert_eq!((said(&pulled), pulled.next), (all[from..to].to_vec(), Offset(to as u64)));
        }
    }
}

#[test]
fn offsets_that_are_not_there_are_refused_with_those_that_are() {
    let mut broker = Broker::with_small_segments(1);
    for _ in 0..40 {
        let body = "x".repeat(5000);
        broker.send(&[&body]);
    }
    let tail = broker.group.queue_range(broker.topic().queues[0]).1;
    assert!(matches!(
        pull(&broker, tail.0 + 1, 1, None),
        Err(PullError::OutOfRange { oldest: Offset(0), tail: told, .. }) if told == tail
    ));
    broker.now_ms += 2_000_000;
    for _ in 0..2 {
        broker.group.checkpoint().unwrap();
    }
    broker.writer.retain(broker.now_ms).unwrap();
    broker.group.trim_index().unwrap();
    let (oldest, _) = broker.group.queue_range(broker.topic().queues[0]);
    assert!(oldest > Offset(0));
    let Err(PullError::OutOfRange { asked: Offset(0), oldest: told, .. }) = pull(&broker, 0, 1, None) else {
        panic!("trimmed messages are not there");
    };
    assert_eq!(told, oldest);
    let request = Pull { topic: &broker.topic(), queue: 7, from: Offset(0), tags: None, max: 1 };
    assert!(matches!(broker.group.pull(&request, 0, None), Err(PullError::NoSuchQueue { queue: 7, .. })));
}

#[test]
fn every_reader_at_the_tail_of_the_queue_is_woken_and_no_other() {
    let mut broker = Broker::new(1);
    broker.apply_topic(&topic_spec("orders", 2));
    let waiters: Vec<_> = (0..100).map(|_| Waiter::new(&broker.mailbox)).collect();
    let wait = |broker: &Broker, waiter, queue| {
        let request = Pull { topic: &broker.topic(), queue, from: Offset(0), tags: None, max: 1 };
        let pulled = broker.group.pull(&request, broker.now_ms, Some(waiter)).unwrap();
        assert!(pulled.messages.is_empty() && pulled.is_at_tail);
    };
    for waiter in &waiters[1..] {
        wait(&broker, waiter, 0);
        wait(&broker, waiter, 0);
    }
    wait(&broker, &waiters[0], 1);
    let is_woken = |waiter: &Waiter| {
        let mut woken = std::pin::pin!(waiter.woken());
        woken.as_mut().poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
    };
    assert!(!waiters.iter().any(|waiter| is_woken(waiter)));
    let topic = broker.topic();
    let mut draft = message("one", 0);
    draft.queue = topic.queues[0];
    broker.send_drafts(vec![draft]).unwrap();
    assert!(waiters[1..].iter().all(|waiter| is_woken(waiter)));
    assert!(!is_woken(&waiters[0]));
}

#[test]
fn a_reader_is_sent_away_when_another_member_leads() {
    let mut broker = Broker::new(1);
    let waiter = Waiter::new(&broker.mailbox);
    let request = Pull { topic: &broker.topic(), queue: 0, from: Offset(0), tags: None, max: 1 };
    broker.group.pull(&request, broker.now_ms, Some(&waiter)).unwrap();
    broker.writer.close();
    let mut woken = std::pin::pin!(waiter.woken());
    assert!(woken.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
    assert!(matches!(broker.group.pull(&request, broker.now_ms, None), Err(PullError::NotLeading)));
}
