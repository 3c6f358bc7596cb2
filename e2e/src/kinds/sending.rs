//! Senders: to one member until it fails, then to the next.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::{AskError, Checker, Code, Endpoint, Message, Producer, Resolution, SendReceipt, Undecided};
use tokio::time::sleep;

use super::kind::{Kind, batched, urgent};
use super::ledger::{BATCH, Fate, Receipt};
use super::{AGAIN_AFTER, START_MAX, Shared, client};
use crate::wait;

/// From the end of one send to the next.
const PAUSE: Duration = Duration::from_millis(10);
const BATCH_PAUSE: Duration = Duration::from_millis(200);
const MESSAGE_GROUPS: u64 = 6;
/// A message for later is at most so far ahead.
const AHEAD_MS_MAX: u64 = 3000;

/// One producer for each member. Every third transaction is rolled back, whoever decides.
pub(super) async fn producers(kind: Kind, endpoints: &[Endpoint]) -> Vec<Producer> {
    let mut producers = Vec::new();
    for endpoint in endpoints {
        let checker = Checker::new(|Undecided { message, .. }| async move {
            let number = std::str::from_utf8(&message.body).ok().and_then(|text| text.parse().ok());
            number.map_or(Resolution::Unknown, resolution)
        });
        let mut producer =
            Producer::builder(client(vec![endpoint.clone()])).topic(kind.topic()).attempts_max(1);
        if kind == Kind::InTransaction {
            producer = producer.checker(checker);
        }
        let start = async || producer.clone().start().await.map_err(|error| error.to_string());
        producers.push(wait::eventually("a producer starts", START_MAX, start).await);
    }
    producers
}

/// One after the other until it is told to stop. What is in order is tried until it is acknowledged, anything else once.
pub(super) async fn send(shared: Arc<Shared>, kind: Kind, producers: Vec<Producer>) -> Vec<Producer> {
    let (mut number, mut turn) = (0, 0);
    while !shared.stops_sending.load(Ordering::Relaxed) {
        let producer = &producers[turn % producers.len()];
        let is_sent = match kind {
            Kind::InOrder => in_order(&shared, producer, number).await,
            Kind::ForLater => for_later(&shared, producer, number).await,
            Kind::InTransaction => in_transaction(&shared, producer, number).await,
            Kind::InBatches => in_batch(&shared, producer, number).await,
            Kind::ByPriority => by_priority(&shared, producer, number).await,
        };
        if is_sent || kind != Kind::InOrder {
            number += 1;
        }
        if !is_sent {
            turn += 1;
            sleep(AGAIN_AFTER).await;
        }
        sleep(if kind == Kind::InBatches { BATCH_PAUSE } else { PAUSE }).await;
    }
    producers
}

async fn in_order(shared: &Shared, producer: &Producer, number: u64) -> bool {
    let group = (number % MESSAGE_GROUPS).to_string();
    let name = format!("{group}.{}", number / MESSAGE_GROUPS);
    let message = Message::new(Kind::InOrder.topic(), name.clone()).message_group(group);
    one(shared, producer, Kind::InOrder, &name, message).await
}

async fn for_later(shared: &Shared, producer: &Producer, number: u64) -> bool {
    let due_ms = wait::epoch_ms() + number * 997 % AHEAD_MS_MAX;
    let name = format!("{due_ms}.{number}");
    let message = Message::new(Kind::ForLater.topic(), name.clone()).delivery_ms(due_ms);
    one(shared, producer, Kind::ForLater, &name, message).await
}

async fn by_priority(shared: &Shared, producer: &Producer, number: u64) -> bool {
    one(shared, producer, Kind::ByPriority, &number.to_string(), urgent(number)).await
}

async fn one(shared: &Shared, producer: &Producer, kind: Kind, name: &str, message: Message) -> bool {
    shared.ledger().note(kind, name, Fate::MayCome);
    let Ok(receipt) = producer.send(message).await else { return false };
    shared.ledger().acknowledge(kind, name, Fate::Comes, receipt.into());
    true
}

async fn in_batch(shared: &Shared, producer: &Producer, batch: u64) -> bool {
    let numbers = batch * BATCH..(batch + 1) * BATCH;
    for number in numbers.clone() {
        shared.ledger().note(Kind::InBatches, &number.to_string(), Fate::MayCome);
    }
    let Ok(results) = producer.send_all(numbers.clone().map(batched).collect()).await else { return false };
    let mut ledger = shared.ledger();
    let first = results.first().and_then(|result| result.as_ref().ok()).map(|receipt| receipt.offset);
    for (number, result) in numbers.zip(results) {
        let offset = first.map(|first| first + (number % BATCH).cast_signed());
        match result {
            Ok(receipt) if Some(receipt.offset) == offset => {
                ledger.acknowledge(Kind::InBatches, &number.to_string(), Fate::Comes, receipt.into());
            }
            other => ledger.problem(format!("{number} of a batch at {first:?}: {other:?}")),
        }
    }
    true
}

/// What is known to be stored is decided, if not by its sender then by a checker.
async fn in_transaction(shared: &Shared, producer: &Producer, number: u64) -> bool {
    let name = number.to_string();
    let goes = resolution(number) == Resolution::Commit;
    let fate = |sure| if goes { sure } else { Fate::Never };
    shared.ledger().note(Kind::InTransaction, &name, fate(Fate::MayCome));
    let message = Message::new(Kind::InTransaction.topic(), name.clone());
    let Ok(transaction) = producer.begin(message).await else { return false };
    // It has no offset before it is committed.
    let receipt = Receipt { id: transaction.message_id.clone(), offset: 0 };
    shared.ledger().acknowledge(Kind::InTransaction, &name, fate(Fate::Comes), receipt);
    // Every tenth sender forgets to decide.
    let decided = match number % 10 {
        9 => Ok(()),
        _ if goes => transaction.commit().await,
        _ => transaction.roll_back().await,
    };
    if let Err(AskError::Refused(refused)) = decided
        && refused.code() == Some(Code::InvalidTransactionId)
    {
        shared.ledger().problem(format!("decision about {name}: {refused}"));
    }
    true
}

fn resolution(number: u64) -> Resolution {
    if number % 3 == 2 { Resolution::RollBack } else { Resolution::Commit }
}

impl From<SendReceipt> for Receipt {
    fn from(receipt: SendReceipt) -> Self {
        Self { id: receipt.message_id, offset: receipt.offset }
    }
}
