//! The engine as the broker runs it: a log thread, senders and receivers that wait.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use engine::group::{Group, Receive};
use engine::mailbox::Mailbox;
use engine::pen::Pen;
use engine::waiter::Waiter;
use engine::writer::{Step, Writer};
use parking_lot::Mutex;
use store::log::Flush;

use crate::harness::{Broker, message, texts};

const SENDERS: usize = 3;
const RECEIVERS: usize = 4;
const REQUESTS: usize = 200;
/// Wakes those who still wait when all is over.
const END: &str = "end";
const NOW_MS: u64 = 5_000;

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(value) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return value;
        }
        std::thread::park();
    }
}

fn write(group: &Group, mut writer: Writer, is_over: &AtomicBool) {
    while !is_over.load(Ordering::Acquire) {
        if writer.step(NOW_MS).unwrap() == Step::Idle {
            group.park(1000);
        }
    }
}

fn send(group: &Group, mailbox: &Arc<Mailbox>, sender: usize) {
    let topic = group.topic("orders").unwrap();
    for request in 0..REQUESTS {
        let drafts = (0..=request % 3).map(|n| message(&format!("{sender}/{request}/{n}"), 0)).collect();
        block_on(group.send(&topic, drafts, mailbox).unwrap()).unwrap();
    }
}

/// Receives until all messages are there, waiting as a long poll does; never with a time-out.
fn receive(
    group: &Group,
    mailbox: &Arc<Mailbox>,
    found: &Mutex<BTreeMap<String, usize>>,
    left: &AtomicUsize,
) {
    let (topic, billing) = (group.topic("orders").unwrap(), group.consumer_group("billing").unwrap());
    let request = Receive {
        group: &billing,
        topic: &topic,
        tags: None,
        max: 2,
        invisible_ms: 60_000,
        attempt_id: None,
        mailbox,
    };
    while left.load(Ordering::Acquire) > 0 {
        // A waiter of its own each time: they come and go, woken or not.
        let waiter = Waiter::new(mailbox);
        let received = group.receive(&request, NOW_MS, Some(&waiter)).unwrap();
        if received.deliveries.is_empty() {
            block_on(waiter.woken());
            continue;
        }
        for (delivery, text) in received.deliveries.iter().zip(texts(&received)) {
            group.ack(&delivery.receipt, NOW_MS, mailbox).unwrap();
            if text != END {
                *found.lock().entry(text).or_insert(0) += 1;
                left.fetch_sub(1, Ordering::AcqRel);
            }
        }
    }
}

#[test]
fn every_message_reaches_exactly_one_of_many_waiting_receivers() {
    let broker = Broker::new(4);
    let Broker { group, writer, mailbox, .. } = broker;
    let sent: usize = SENDERS * (0..REQUESTS).map(|request| request % 3 + 1).sum::<usize>();
    let (found, left, is_over) = (Mutex::default(), AtomicUsize::new(sent), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| write(&group, writer, &is_over));
        let mut clients = Vec::new();
        for _ in 0..RECEIVERS {
            clients.push(scope.spawn(|| receive(&group, &mailbox, &found, &left)));
        }
        for sender in 0..SENDERS {
            let (group, mailbox) = (&group, &mailbox);
            clients.push(scope.spawn(move || send(group, mailbox, sender)));
        }
        // Who still waits when the last message is taken is woken by more.
        while clients.iter().any(|client| !client.is_finished()) {
            if left.load(Ordering::Acquire) == 0 {
                let topic = group.topic("orders").unwrap();
                block_on(group.send(&topic, vec![message(END, 0)], &mailbox).unwrap()).unwrap();
            }
            std::thread::yield_now();
        }
        is_over.store(true, Ordering::Release);
        group.nudge();
    });
    let found = found.into_inner();
    assert_eq!(found.len(), sent);
    assert!(found.values().all(|&count| count == 1));
}

/// As a runtime does it: a task that submits, and the drain task whose turn ends after it.
fn send_and_write_here(group: &Group, pen: &Pen, sender: usize) {
    let mailbox = Mailbox::new();
    let drain = Arc::clone(&mailbox).drain(|| pen.write_here(|| NOW_MS).unwrap());
    let sending = async {
        let topic = group.topic("orders").unwrap();
        for request in 0..REQUESTS {
            let draft = message(&format!("{sender}/{request}"), 0);
            group.send(&topic, vec![draft], &mailbox).unwrap().await.unwrap();
        }
    };
    let (mut drain, mut sending) = (pin!(drain), pin!(sending));
    // It has to be there before the first submission; later it is polled last, as it is woken last.
    block_on(std::future::poll_fn(|context| {
        assert!(drain.as_mut().poll(context).is_pending());
        let sent = sending.as_mut().poll(context);
        assert!(sent.is_ready() || drain.as_mut().poll(context).is_pending());
        sent
    }));
}

#[test]
fn runtimes_that_write_for_themselves_leave_nothing_behind_and_need_no_log_thread() {
    let mut config = crate::harness::config();
    config.log.flush = Flush::Async;
    let Broker { group, writer, .. } = Broker::with(config, 4);
    let pen = Pen::new(Arc::clone(&group), writer);
    // Nobody steps for them: a submission that is left to a holder who does not look again would wait for ever.
    std::thread::scope(|scope| {
        for sender in 0..SENDERS {
            let (group, pen) = (&group, &pen);
            scope.spawn(move || send_and_write_here(group, pen, sender));
        }
    });
    let topic = group.topic("orders").unwrap();
    let stored: u64 = topic.queues.iter().map(|&queue| group.queue_range(queue).1.0).sum();
    assert_eq!(stored, (SENDERS * REQUESTS) as u64);
}
