//! Senders.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::{Code, Endpoint, Message, Producer, SendError, SendReceipt};
use tokio::time::sleep;

use super::{START_MAX, Shared, TOPIC};
use crate::history::{Key, Outcome, Send};
use crate::wait;

/// Before a message is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
/// Tries of a message of the library's own.
const LIBRARY_ATTEMPTS: u32 = 3;

/// Who sends to one member until it fails, then to the next.
pub(super) async fn by_turns(shared: &Shared, endpoints: &[Endpoint]) -> Vec<Producer> {
    let mut producers = Vec::new();
    for endpoint in endpoints {
        producers.push(start(shared, vec![endpoint.clone()], 1).await);
    }
    producers
}

/// One producer that knows all addresses.
pub(super) async fn by_library(shared: &Shared, endpoints: &[Endpoint]) -> Vec<Producer> {
    vec![start(shared, endpoints.to_vec(), LIBRARY_ATTEMPTS).await]
}

/// One message after the other until it is stopped; whoever sends alone tries again by itself.
pub(super) async fn send_all(shared: Arc<Shared>, producers: Vec<Producer>, sender: usize) {
    let may_repeat = producers.len() == 1;
    let mut turn = sender;
    for number in 0.. {
        for attempt in 0.. {
            if shared.stops_sending.load(Ordering::Relaxed) {
                return;
            }
            let key = Key { sender, number, attempt };
            let start_ms = shared.now_ms();
            let sent = producers[turn % producers.len()].send(Message::new(TOPIC, key.to_string())).await;
            let outcome = outcome(sent);
            let is_done = matches!(outcome, Outcome::Acknowledged(_));
            let span_ms = start_ms..shared.now_ms();
            shared.lock_sends().push(Send { key, span_ms, outcome, may_repeat });
            if is_done {
                shared.acknowledged.fetch_add(1, Ordering::Relaxed);
                break;
            }
            turn += 1;
            sleep(AGAIN_AFTER).await;
        }
        sleep(shared.plan.pause).await;
    }
}

async fn start(shared: &Shared, endpoints: Vec<Endpoint>, attempts_max: u32) -> Producer {
    let producer = Producer::builder(shared.client(endpoints)).topic(TOPIC).attempts_max(attempts_max);
    // Whoever leads looks at the folder of manifests every second; until then there is no topic.
    wait::eventually("a producer starts", START_MAX, async || {
        producer.clone().start().await.map_err(|error| error.to_string())
    })
    .await
}

fn outcome(sent: Result<SendReceipt, SendError>) -> Outcome {
    match sent {
        Ok(receipt) => Outcome::Acknowledged(receipt.offset),
        Err(SendError::Refused(refused)) => match refused.code() {
            // The one refusal that promises nothing.
            Some(Code::MasterPersistenceTimeout) => Outcome::Unknown(refused.to_string()),
            Some(_) | None => Outcome::Refused(refused.to_string()),
        },
        Err(
            error @ (SendError::Empty
            | SendError::Mixed
            | SendError::TooLarge { .. }
            | SendError::Undeclared(_)
            | SendError::NotSent(_)),
        ) => Outcome::Refused(error.to_string()),
        Err(error @ SendError::Unknown(_)) => Outcome::Unknown(error.to_string()),
    }
}
