//! The consumer, and the reader at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::admin::{AdminClient, AdminConfig};
use client::{ClientBuilder, Delivered, Endpoint, Filter, RECEIVE_MAX, SimpleConsumer};
use tokio::time::{sleep, timeout};

use super::{LIVE, READER, START_MAX, Shared, TOPIC};
use crate::history::Delivery;
use crate::wait;

/// What was received and got lost on its way comes again after this time.
const INVISIBLE: Duration = Duration::from_secs(10);
/// A receive waits so long for a first message.
const WAIT: Duration = Duration::from_millis(500);
/// The least that brokers want to be given for a receive.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// A member that has said nothing for so long is cut off.
const SILENCE_MAX: Duration = Duration::from_secs(2);
/// Before another member is asked.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
/// Something more is read within this time, or something is wrong.
const READ_MAX: Duration = Duration::from_mins(1);

/// A consumer for each member, of one group.
pub(super) async fn by_turns(endpoints: &[Endpoint]) -> Vec<SimpleConsumer> {
    let mut consumers = Vec::new();
    for endpoint in endpoints {
        consumers.push(start(endpoint.clone(), LIVE).await);
    }
    consumers
}

/// Receives from one member until it fails, then from the next; acknowledges everything once.
pub(super) async fn receive_all(shared: Arc<Shared>, consumers: Vec<SimpleConsumer>) {
    let mut turn = 0;
    while !shared.stops_receiving.load(Ordering::Relaxed) {
        let consumer = &consumers[turn % consumers.len()];
        // What was on its way when it was given up comes again.
        let begun_ms = shared.now_ms();
        let received = match timeout(SILENCE_MAX, consumer.receive(RECEIVE_MAX, INVISIBLE)).await {
            Ok(Ok(received)) => received,
            failed @ (Ok(Err(_)) | Err(_)) => {
                shared.lock_lost_receives().push((begun_ms..shared.now_ms(), format!("{failed:?}")));
                turn += 1;
                sleep(AGAIN_AFTER).await;
                continue;
            }
        };
        let at_ms = shared.now_ms();
        shared.lock_deliveries().extend(received.iter().map(|message| delivery(message, at_ms)));
        // An acknowledgement that is lost is answered with another delivery, which the history knows how to judge.
        if !matches!(timeout(SILENCE_MAX, consumer.ack_all(&received)).await, Ok(Ok(_))) {
            turn += 1;
        }
    }
}

/// The next offset of each queue.
pub(super) async fn ends(admin: &str) -> BTreeMap<i32, i64> {
    let endpoint = admin.parse().expect("an endpoint");
    let client = AdminClient::new(AdminConfig::new(endpoint)).expect("a client");
    let topic = client.topic(TOPIC).await.expect("the leader describes the topic");
    topic.queues.iter().map(|queue| (queue.queue.cast_signed(), queue.tail.cast_signed())).collect()
}

/// Places below `ends` that were not delivered.
pub(super) fn missing(deliveries: &[Delivery], ends: &BTreeMap<i32, i64>) -> Vec<(i32, i64)> {
    let seen: BTreeSet<(i32, i64)> =
        deliveries.iter().map(|delivery| (delivery.queue, delivery.offset)).collect();
    let all = ends.iter().flat_map(|(queue, end)| (0..*end).map(|offset| (*queue, offset)));
    all.filter(|place| !seen.contains(place)).collect()
}

/// The whole topic up to `ends`.
///
/// # Panics
/// When nothing more of it comes for a minute.
pub(super) async fn everything(endpoint: Endpoint, ends: &BTreeMap<i32, i64>) -> Vec<Delivery> {
    let consumer = start(endpoint, READER).await;
    let mut watch = wait::Stopwatch::start();
    let mut read = Vec::new();
    // Looked up with each message: to compare all with all again and again took longer than to read them.
    let mut left: BTreeSet<(i32, i64)> = missing(&read, ends).into_iter().collect();
    while let Some(first) = left.first() {
        assert!(watch.elapsed() < READ_MAX, "never read: {} messages, {first:?} and others", left.len());
        // Whatever a failed receive would have brought comes again.
        let Ok(received) = consumer.receive(RECEIVE_MAX, INVISIBLE).await else { continue };
        for message in &received {
            if left.remove(&(message.queue, message.offset)) {
                watch = wait::Stopwatch::start();
            }
            read.push(delivery(message, 0));
        }
        let _ = consumer.ack_all(&received).await;
    }
    consumer.close().await;
    read
}

async fn start(endpoint: Endpoint, group: &str) -> SimpleConsumer {
    let client = ClientBuilder::new(endpoint).request_timeout(REQUEST_MAX).pinned(true);
    let consumer = SimpleConsumer::builder(client, group).subscribe(TOPIC, Filter::all()).wait(WAIT);
    wait::eventually("a consumer starts", START_MAX, async || {
        consumer.clone().start().await.map_err(|error| error.to_string())
    })
    .await
}

fn delivery(message: &Delivered, at_ms: u64) -> Delivery {
    Delivery {
        queue: message.queue,
        offset: message.offset,
        body: String::from_utf8_lossy(&message.body).into_owned(),
        attempt: message.attempt,
        at_ms,
    }
}
