//! Senders.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::{Code, Endpoint, Message, Producer, ProducerConfig, SendError, SendReceipt};
use tokio::time::sleep;

use super::{Shared, TOPIC};
use crate::history::{Key, Outcome, Send};

/// Before a message is tried again.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
/// Tries of a message of the library's own.
const LIBRARY_ATTEMPTS: u32 = 3;

/// Sends to one member until it fails, then to the next.
pub(super) async fn by_turns(shared: Arc<Shared>, endpoints: Vec<Endpoint>, sender: usize) {
    let mut producers = Vec::new();
    for endpoint in endpoints {
        producers.push(start(&shared, vec![endpoint], 1).await);
    }
    send_all(&shared, &producers, sender, false).await;
}

/// Sends by one producer that knows all addresses.
pub(super) async fn by_library(shared: Arc<Shared>, endpoints: Vec<Endpoint>, sender: usize) {
    let producer = start(&shared, endpoints, LIBRARY_ATTEMPTS).await;
    send_all(&shared, &[producer], sender, true).await;
}

async fn start(shared: &Shared, endpoints: Vec<Endpoint>, attempts_max: u32) -> Producer {
    let config = ProducerConfig {
        topics: vec![TOPIC.to_owned()],
        attempts_max,
        ..ProducerConfig::new(shared.client(endpoints))
    };
    Producer::start(config).await.expect("a producer starts while all is well")
}

async fn send_all(shared: &Shared, producers: &[Producer], sender: usize, may_repeat: bool) {
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

fn outcome(sent: Result<SendReceipt, SendError>) -> Outcome {
    match sent {
        Ok(receipt) => Outcome::Acknowledged(receipt.offset),
        Err(SendError::Refused(refused)) => match refused.code() {
            // The one refusal that promises nothing.
            Some(Code::MasterPersistenceTimeout) => Outcome::Unknown(refused.to_string()),
            Some(_) | None => Outcome::Refused(refused.to_string()),
        },
        Err(error @ (SendError::Mixed | SendError::NotSent(_))) => Outcome::Refused(error.to_string()),
        Err(error @ SendError::Unknown(_)) => Outcome::Unknown(error.to_string()),
    }
}
