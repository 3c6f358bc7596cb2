//! A reader by offset: every queue of a topic, from where its group stands; from one member until it fails, then from the next.
//!
//! Promise: a hole, and a place to begin with that is before an acknowledged commit or behind the last one that was tried, are
//! problems.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};

use client::{Endpoint, Place, PullConsumer, RECEIVE_MAX};
use tokio::time::{sleep, timeout};

use super::reader::Reader;
use super::{AGAIN_AFTER, SILENCE_MAX, START_MAX, Shared, WAIT, client};
use crate::wait;

const READER: Reader = Reader::ByOffset;

/// How far a queue is read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Progress {
    /// The last commit that was acknowledged; never above `tried`.
    committed: i64,
    /// The furthest commit that was tried: one without an answer may have worked.
    tried: i64,
    /// What has to come next.
    next: i64,
}

/// One consumer for each member.
pub(super) async fn consumers(endpoints: &[Endpoint]) -> Vec<PullConsumer> {
    let mut consumers = Vec::new();
    for endpoint in endpoints {
        let consumer = PullConsumer::builder(client(vec![endpoint.clone()]), READER.group())
            .subscribe(READER.kind().topic(), READER.filter());
        let start = async || consumer.clone().start().await.map_err(|error| error.to_string());
        consumers.push(wait::eventually("a pull consumer starts", START_MAX, start).await);
    }
    consumers
}

/// Reads and commits until it is told to stop, then says farewell.
pub(super) async fn read(shared: &Shared, stops: &AtomicBool, consumers: Vec<PullConsumer>) {
    let mut queues = BTreeMap::new();
    let mut turn = 0;
    while !stops.load(Ordering::Relaxed) {
        if follow(shared, stops, &consumers[turn % consumers.len()], &mut queues).await.is_none() {
            turn += 1;
            sleep(AGAIN_AFTER).await;
        }
    }
    for consumer in consumers {
        consumer.close().await;
    }
}

/// Reads from where the group stands until it is told to stop; none if the member fails.
async fn follow(
    shared: &Shared,
    stops: &AtomicBool,
    consumer: &PullConsumer,
    queues: &mut BTreeMap<i32, Progress>,
) -> Option<()> {
    let all = timeout(SILENCE_MAX, consumer.queues(READER.kind().topic())).await.ok()?.ok()?;
    let mut reader = timeout(SILENCE_MAX, consumer.reader(all, Place::Beginning)).await.ok()?.ok()?;
    for (queue, at) in reader.positions() {
        note(shared, queues.entry(queue.id).or_default().begin(at));
    }
    while !stops.load(Ordering::Relaxed) {
        let messages = timeout(SILENCE_MAX, reader.next(RECEIVE_MAX, WAIT)).await.ok()?.ok()?;
        shared.arrive(READER, &messages);
        for message in &messages {
            note(shared, queues.entry(message.queue).or_default().read(message.offset));
        }
        for (queue, at) in reader.positions() {
            let progress = queues.entry(queue.id).or_default();
            progress.tried = progress.tried.max(at);
        }
        timeout(SILENCE_MAX, reader.commit()).await.ok()?.ok()?;
        for (queue, at) in reader.positions() {
            queues.entry(queue.id).or_default().committed = at;
        }
    }
    Some(())
}

impl Progress {
    /// Reading begins at an offset.
    fn begin(&mut self, at: i64) -> Result<(), String> {
        let before = *self;
        self.next = at;
        let stands = self.committed..=self.tried;
        if stands.contains(&at) { Ok(()) } else { Err(format!("the group stands at {at} after {before:?}")) }
    }

    fn read(&mut self, offset: i64) -> Result<(), String> {
        let before = *self;
        self.next = offset + 1;
        if offset == before.next { Ok(()) } else { Err(format!("offset {offset} came after {before:?}")) }
    }
}

fn note(shared: &Shared, found: Result<(), String>) {
    if let Err(text) = found {
        shared.ledger().problem(format!("{READER:?}: {text}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_stands_between_the_last_acknowledged_commit_and_the_last_one() {
        let progress = Progress { committed: 3, tried: 5, next: 9 };
        let begun = |at| progress.clone().begin(at).is_ok();
        assert_eq!([2, 3, 4, 5, 6].map(begun), [false, true, true, true, false]);
    }

    #[test]
    fn a_hole_and_a_step_back_are_problems() {
        let progress = Progress { committed: 0, tried: 5, next: 5 };
        assert_eq!([4, 5, 6].map(|offset| progress.clone().read(offset).is_ok()), [false, true, false]);
    }
}
