//! Consumers: from one member until it fails, then from the next.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::{Endpoint, Filter, RECEIVE_MAX, SimpleConsumer};
use tokio::time::{sleep, timeout};

use super::{Arrival, Kind, START_MAX, Shared, client, lock};
use crate::wait;

/// What was received and got lost on its way comes again after this time.
const INVISIBLE: Duration = Duration::from_secs(10);
/// A receive waits so long for a first message.
const WAIT: Duration = Duration::from_millis(500);
/// A member that has said nothing for so long is cut off.
const SILENCE_MAX: Duration = Duration::from_secs(7);
/// Before another member is asked.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// One consumer for each member.
pub(super) async fn consumers(kind: Kind, endpoints: &[Endpoint]) -> Vec<SimpleConsumer> {
    let mut consumers = Vec::new();
    for endpoint in endpoints {
        let consumer = SimpleConsumer::builder(client(endpoint), kind.name())
            .subscribe(kind.name(), Filter::all())
            .wait(WAIT);
        let start = async || consumer.clone().start().await.map_err(|error| error.to_string());
        consumers.push(wait::eventually("a consumer starts", START_MAX, start).await);
    }
    consumers
}

/// Receives and acknowledges everything.
pub(super) async fn receive(shared: Arc<Shared>, kind: Kind, consumers: Vec<SimpleConsumer>) {
    let mut turn = 0;
    while !shared.stops_receiving.load(Ordering::Relaxed) {
        let consumer = &consumers[turn % consumers.len()];
        let Ok(Ok(received)) = timeout(SILENCE_MAX, consumer.receive(RECEIVE_MAX, INVISIBLE)).await else {
            turn += 1;
            sleep(AGAIN_AFTER).await;
            continue;
        };
        let at_ms = wait::epoch_ms();
        let arrivals = received.iter().map(|message| Arrival {
            kind,
            body: String::from_utf8_lossy(&message.body).into_owned(),
            at_ms,
        });
        lock(&shared.arrivals).extend(arrivals);
        // One that is lost is answered with another delivery.
        if !matches!(timeout(SILENCE_MAX, consumer.ack_all(&received)).await, Ok(Ok(_))) {
            turn += 1;
        }
    }
}
