//! Long polls: nobody waits while there is something, and nobody is woken for nothing.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use engine::catalog::ConsumerGroupSpec;
use engine::waiter::Waiter;
use store::log::Draft;

use crate::harness::{Broker, INVISIBLE_MS, group_spec, message, texts};

#[derive(Default)]
struct Bell {
    rings: AtomicUsize,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rings.fetch_add(1, Ordering::Relaxed);
    }
}

/// A client that waits for `max` messages.
struct Poll1 {
    waiter: Arc<Waiter>,
    bell: Arc<Bell>,
}

impl Poll1 {
    /// Receives nothing, and waits.
    fn new(broker: &Broker, max: usize) -> Self {
        let this = Self { waiter: Waiter::new(&broker.mailbox), bell: Arc::default() };
        assert!(broker.receive_with(max, None, Some(&this.waiter)).deliveries.is_empty());
        assert!(!this.is_woken());
        this
    }

    fn is_woken(&self) -> bool {
        let waker = Waker::from(Arc::clone(&self.bell));
        pin!(self.waiter.woken()).poll(&mut Context::from_waker(&waker)) == Poll::Ready(())
    }

    fn rings(&self) -> usize {
        self.bell.rings.load(Ordering::Relaxed)
    }
}

fn woken(polls: &[Poll1]) -> Vec<usize> {
    (0..).zip(polls).filter(|(_, poll)| poll.rings() > 0).map(|(n, _)| n).collect()
}

#[test]
fn a_publish_wakes_those_who_waited_longest_and_only_as_many_as_it_has_messages() {
    let mut broker = Broker::new(4);
    let polls: Vec<_> = (0..5).map(|_| Poll1::new(&broker, 1)).collect();
    broker.send(&["a", "b"]);
    assert_eq!(woken(&polls), [0, 1]);
    assert_eq!(texts(&broker.receive_with(1, None, Some(&polls[0].waiter))), ["a"]);
    assert_eq!(texts(&broker.receive_with(1, None, Some(&polls[1].waiter))), ["b"]);
    assert_eq!(woken(&polls), [0, 1]);
}

#[test]
fn one_waiter_that_takes_them_all_is_woken_alone() {
    let mut broker = Broker::new(4);
    let polls: Vec<_> = (0..3).map(|_| Poll1::new(&broker, 32)).collect();
    broker.send(&["a", "b", "c"]);
    assert_eq!(woken(&polls), [0]);
}

#[test]
fn a_woken_waiter_that_goes_away_passes_its_wake_on() {
    let mut broker = Broker::new(1);
    let mut polls: Vec<_> = (0..3).map(|_| Poll1::new(&broker, 1)).collect();
    broker.send(&["a"]);
    drop(polls.remove(0));
    assert_eq!(woken(&polls), [0]);
    drop(polls.remove(0));
    assert_eq!(woken(&polls), [0]);
    assert_eq!(texts(&broker.receive_with(1, None, Some(&polls[0].waiter))), ["a"]);
}

#[test]
fn a_waiter_that_goes_away_unwoken_leaves_the_queue() {
    let mut broker = Broker::new(1);
    let mut polls: Vec<_> = (0..3).map(|_| Poll1::new(&broker, 1)).collect();
    drop(polls.remove(0));
    broker.send(&["a"]);
    assert_eq!(woken(&polls), [0]);
}

#[test]
fn a_message_given_back_wakes_a_waiter() {
    let mut broker = Broker::new(1);
    broker.send(&["a"]);
    let receipt = broker.receive(1).deliveries[0].receipt;
    let polls = [Poll1::new(&broker, 1), Poll1::new(&broker, 1)];
    broker.group.extend(&receipt, 0, broker.now_ms).unwrap();
    assert_eq!(woken(&polls), [0]);
    assert_eq!(texts(&broker.receive_with(1, None, Some(&polls[0].waiter))), ["a"]);
}

#[test]
fn the_end_of_a_lease_wakes_one_who_waited_before_it_was_granted() {
    let mut broker = Broker::new(1);
    let polls = [Poll1::new(&broker, 1), Poll1::new(&broker, 1)];
    broker.send(&["a"]);
    // The first one takes it and is never heard of again.
    assert_eq!(broker.receive_with(1, None, Some(&polls[0].waiter)).deliveries.len(), 1);
    broker.now_ms += INVISIBLE_MS - 1;
    broker.step();
    assert_eq!(woken(&polls), [0]);
    broker.now_ms += 1;
    broker.step();
    assert_eq!(woken(&polls), [0, 1]);
    assert_eq!(texts(&broker.receive_with(1, None, Some(&polls[1].waiter))), ["a"]);
}

#[test]
fn a_waiter_can_wait_again() {
    let mut broker = Broker::new(1);
    let poll = Poll1::new(&broker, 1);
    for n in 1..=3 {
        broker.send(&["a"]);
        assert!(poll.is_woken());
        assert_eq!(poll.rings(), n);
        assert_eq!(broker.receive_with(1, None, Some(&poll.waiter)).deliveries.len(), 1);
        assert!(broker.receive_with(1, None, Some(&poll.waiter)).deliveries.is_empty());
        assert!(!poll.is_woken());
    }
}

#[test]
fn what_arrives_between_the_look_and_the_wait_is_not_missed() {
    let mut broker = Broker::new(1);
    let waiter = Waiter::new(&broker.mailbox);
    assert!(broker.receive_with(1, None, Some(&waiter)).deliveries.is_empty());
    broker.send(&["a"]);
    let poll = Poll1 { waiter, bell: Arc::default() };
    assert!(poll.is_woken(), "woken before anybody awaited it");
}

#[test]
fn what_is_blocked_wakes_a_waiter_once_and_not_again_until_it_is_free() {
    let mut broker = Broker::new(1);
    broker.apply_group(&ConsumerGroupSpec { ordered: true, ..group_spec("billing", 3) });
    let send = |broker: &mut Broker, text: &str| {
        broker.send_drafts(vec![Draft { lane: 7, ..message(text, 0) }]).unwrap();
    };
    send(&mut broker, "stuck");
    let stuck = broker.receive(1);
    let poll = Poll1::new(&broker, 1);
    send(&mut broker, "behind");
    assert!(poll.is_woken(), "it has to look whose message that is");
    assert!(broker.receive_with(1, None, Some(&poll.waiter)).deliveries.is_empty());
    let rings = poll.rings();
    for _ in 0..5 {
        broker.now_ms += 100;
        broker.step();
        assert!(!poll.is_woken());
    }
    assert_eq!(poll.rings(), rings, "nothing has changed for it");
    broker.ack_all(&stuck);
    assert!(poll.is_woken());
    assert_eq!(texts(&broker.receive_with(1, None, Some(&poll.waiter))), ["behind"]);
}
