//! Consumers that receive and acknowledge: from one member until it fails, then from the next.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::{Delivered, Endpoint, RECEIVE_MAX, SimpleConsumer};
use tokio::time::{sleep, timeout};

use super::kind::name;
use super::ledger::Arrival;
use super::reader::Reader;
use super::{AGAIN_AFTER, OWED_MAX, SILENCE_MAX, START_MAX, Shared, WAIT, client};
use crate::wait;

/// What was received and got lost on its way comes again after this time.
const INVISIBLE: Duration = Duration::from_secs(10);

/// One consumer for each member. Who is known by the client id is one consumer, whose connections go to any member.
pub(super) async fn consumers(reader: Reader, endpoints: &[Endpoint]) -> Vec<SimpleConsumer> {
    let each: Vec<Vec<Endpoint>> = if let Reader::Everywhere(_) = reader {
        vec![endpoints.to_vec()]
    } else {
        endpoints.iter().map(|endpoint| vec![endpoint.clone()]).collect()
    };
    let mut consumers = Vec::new();
    for endpoints in each {
        let consumer = SimpleConsumer::builder(client(endpoints), reader.group())
            .subscribe(reader.kind().topic(), reader.filter())
            .wait(WAIT);
        let start = async || consumer.clone().start().await.map_err(|error| error.to_string());
        consumers.push(wait::eventually("a consumer starts", START_MAX, start).await);
    }
    consumers
}

/// Receives and acknowledges until it is told to stop, then says farewell.
pub(super) async fn receive(
    shared: &Shared,
    reader: Reader,
    stops: &AtomicBool,
    consumers: Vec<SimpleConsumer>,
) {
    let mut turn = 0;
    while !stops.load(Ordering::Relaxed) {
        if !receive_some(shared, reader, &consumers[turn % consumers.len()]).await {
            turn += 1;
            sleep(AGAIN_AFTER).await;
        }
    }
    for consumer in consumers {
        consumer.close().await;
    }
}

/// Reads a backlog while nobody sends and nobody is disturbed.
///
/// # Panics
/// When a receive fails: what it brought would come again, out of its turn. When something does not come.
pub(super) async fn drain(shared: &Shared, reader: Reader, endpoint: &Endpoint) {
    let consumers = consumers(reader, std::slice::from_ref(endpoint)).await;
    for consumer in consumers {
        let all = async {
            while !shared.ledger().owed(reader).is_empty() {
                assert!(receive_some(shared, reader, &consumer).await, "{reader:?}: a receive fails");
            }
        };
        let read = timeout(OWED_MAX, all).await;
        assert!(read.is_ok(), "{reader:?} is owed {:.400}", format!("{:?}", shared.ledger().owed(reader)));
        consumer.close().await;
    }
}

/// Whether the member answered.
async fn receive_some(shared: &Shared, reader: Reader, consumer: &SimpleConsumer) -> bool {
    let Ok(Ok(received)) = timeout(SILENCE_MAX, consumer.receive(RECEIVE_MAX, INVISIBLE)).await else {
        return false;
    };
    let first = shared.arrive(reader, &received);
    // What is not done comes again.
    let Ok(Ok(done)) = timeout(SILENCE_MAX, consumer.ack_all(&received)).await else { return false };
    let mut ledger = shared.ledger();
    for (at, _) in done.iter().enumerate().filter(|(_, one)| one.is_ok()) {
        ledger.done(first + at);
    }
    true
}

impl Shared {
    /// Writes deliveries down, and what is wrong with them by themselves. They are numbered from the answer on.
    pub(super) fn arrive(&self, reader: Reader, received: &[Delivered]) -> usize {
        let at_ms = wait::epoch_ms();
        let spoilt = received.iter().filter(|delivered| !reader.kind().is_whole(delivered));
        let spoilt: Vec<_> = spoilt
            .map(|one| format!("{reader:?}: not as it was sent: {one:?} {:?}", one.properties))
            .collect();
        let arrivals = received.iter().map(|delivered| Arrival {
            reader,
            name: name(&delivered.body),
            queue: delivered.queue,
            offset: delivered.offset,
            at_ms,
            is_done: false,
        });
        let arrivals = arrivals.collect();
        let mut ledger = self.ledger();
        for text in spoilt {
            ledger.problem(text);
        }
        ledger.arrive(arrivals)
    }
}
