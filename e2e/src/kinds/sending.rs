//! Senders: to one member until it fails, then to the next.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::{AskError, Checker, Code, Endpoint, Message, Producer, Resolution, Undecided};
use tokio::time::sleep;

use super::{Fate, Kind, START_MAX, Shared, client, lock};
use crate::wait;

/// From the end of one send to the next.
const PAUSE: Duration = Duration::from_millis(10);
/// Before another member is asked.
const AGAIN_AFTER: Duration = Duration::from_millis(50);
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
        let mut producer = Producer::builder(client(endpoint)).topic(kind.name()).attempts_max(1);
        if kind == Kind::InTransaction {
            producer = producer.checker(checker);
        }
        let start = async || producer.clone().start().await.map_err(|error| error.to_string());
        producers.push(wait::eventually("a producer starts", START_MAX, start).await);
    }
    producers
}

/// One message after the other, each until it is acknowledged.
pub(super) async fn in_order(shared: Arc<Shared>, producers: Vec<Producer>) -> Vec<Producer> {
    let mut turn = 0;
    'messages: for number in 0.. {
        let (group, number) = (number % MESSAGE_GROUPS, number / MESSAGE_GROUPS);
        let body = format!("{group}.{number}");
        shared.note(Kind::InOrder, &body, Fate::MayCome);
        loop {
            if shared.stops_sending.load(Ordering::Relaxed) {
                break 'messages;
            }
            let message = Message::new(Kind::InOrder.name(), body.clone()).message_group(group.to_string());
            if producers[turn % producers.len()].send(message).await.is_ok() {
                break;
            }
            turn += 1;
            sleep(AGAIN_AFTER).await;
        }
        shared.note(Kind::InOrder, &body, Fate::Comes);
        sleep(PAUSE).await;
    }
    producers
}

/// Each for another time, tried once.
pub(super) async fn for_later(shared: Arc<Shared>, producers: Vec<Producer>) -> Vec<Producer> {
    let mut turn = 0;
    for number in 0_u64.. {
        if shared.stops_sending.load(Ordering::Relaxed) {
            break;
        }
        let due_ms = wait::epoch_ms() + number * 997 % AHEAD_MS_MAX;
        let body = format!("{due_ms}.{number}");
        shared.note(Kind::ForLater, &body, Fate::MayCome);
        let message = Message::new(Kind::ForLater.name(), body.clone()).delivery_ms(due_ms);
        if producers[turn % producers.len()].send(message).await.is_ok() {
            shared.note(Kind::ForLater, &body, Fate::Comes);
        } else {
            turn += 1;
            sleep(AGAIN_AFTER).await;
        }
        sleep(PAUSE).await;
    }
    producers
}

/// One transaction after the other. What is known to be stored is decided, if not by its sender then by a checker.
pub(super) async fn in_transactions(shared: Arc<Shared>, producers: Vec<Producer>) -> Vec<Producer> {
    let mut turn = 0;
    for number in 0_u64.. {
        if shared.stops_sending.load(Ordering::Relaxed) {
            break;
        }
        let body = number.to_string();
        let goes = resolution(number) == Resolution::Commit;
        let fate = |sure| if goes { sure } else { Fate::Never };
        shared.note(Kind::InTransaction, &body, fate(Fate::MayCome));
        let begun =
            producers[turn % producers.len()].begin(Message::new(Kind::InTransaction.name(), body.clone()));
        if let Ok(transaction) = begun.await {
            shared.note(Kind::InTransaction, &body, fate(Fate::Comes));
            // Every tenth sender forgets to decide.
            let decided = match number % 10 {
                9 => Ok(()),
                _ if goes => transaction.commit().await,
                _ => transaction.roll_back().await,
            };
            if let Err(AskError::Refused(refused)) = decided
                && refused.code() == Some(Code::InvalidTransactionId)
            {
                lock(&shared.problems).push(format!("decision about {body}: {refused}"));
            }
        } else {
            turn += 1;
            sleep(AGAIN_AFTER).await;
        }
        sleep(PAUSE).await;
    }
    producers
}

fn resolution(number: u64) -> Resolution {
    if number % 3 == 2 { Resolution::RollBack } else { Resolution::Commit }
}
