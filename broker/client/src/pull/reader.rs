//! A reader: goes over several queues, knows how far it is in each, and commits that.
//!
//! Promise: a queue that always has messages does not keep others waiting. What was removed from a queue before it was read is
//! passed over, with a warning. After an error nothing has moved, and the next call tries again.

use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tracing::warn;

use super::{Place, PullConsumer, PullError, PullQueue, Pulled};
use crate::message::Delivered;
use crate::status::AskError;

/// Reads queues in turn.
#[derive(Debug)]
pub struct Reader<'a> {
    consumer: &'a PullConsumer,
    queues: Vec<Reading>,
    /// The queue that is asked first.
    turn: usize,
}

/// How far one queue is read.
#[derive(Debug)]
struct Reading {
    queue: PullQueue,
    position: i64,
    /// What the server knows, if anything.
    committed: Option<i64>,
}

impl<'a> Reader<'a> {
    pub(super) async fn start(
        consumer: &'a PullConsumer,
        queues: Vec<PullQueue>,
        place: Place,
    ) -> Result<Self, AskError> {
        let mut readings = Vec::with_capacity(queues.len());
        for queue in queues {
            let committed = consumer.offset_of(&queue).await?;
            let position = match committed {
                Some(offset) => offset,
                None => consumer.query_offset(&queue, place).await?,
            };
            readings.push(Reading { queue, position, committed });
        }
        Ok(Self { consumer, queues: readings, turn: 0 })
    }

    /// The queues with the offset of the next message of each.
    pub fn positions(&self) -> impl Iterator<Item = (&PullQueue, i64)> {
        self.queues.iter().map(|reading| (&reading.queue, reading.position))
    }

    /// Up to `max` messages of one queue, that of the next in turn that has some. If none has, waits up to `wait` for the first,
    /// and then brings none.
    pub async fn next(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivered>, PullError> {
        if self.queues.is_empty() {
            // Other members have them all for now.
            tokio::time::sleep(wait).await;
            return Ok(Vec::new());
        }
        for _ in 0..self.queues.len() {
            let at = self.turn;
            self.turn = (at + 1) % self.queues.len();
            let pulled = self.queues[at].pull(self.consumer, max, Duration::ZERO).await?;
            let messages = self.queues[at].advance(pulled);
            if !messages.is_empty() {
                return Ok(messages);
            }
        }
        self.wait_for_first(max, wait).await
    }

    /// Goes to a place in all queues; it is committed with the next commit.
    pub async fn seek(&mut self, place: Place) -> Result<(), AskError> {
        let mut positions = Vec::with_capacity(self.queues.len());
        for reading in &self.queues {
            positions.push(self.consumer.query_offset(&reading.queue, place).await?);
        }
        for (reading, position) in self.queues.iter_mut().zip(positions) {
            reading.position = position;
        }
        Ok(())
    }

    /// Says that everything is done that was brought so far. After an error some queues may be committed and others not; the
    /// next commit goes on with these.
    pub async fn commit(&mut self) -> Result<(), PullError> {
        for reading in &mut self.queues {
            if reading.committed != Some(reading.position) {
                self.consumer.commit(&reading.queue, reading.position).await?;
                reading.committed = Some(reading.position);
            }
        }
        Ok(())
    }

    /// Asks all queues at once; those that are not the first are dropped, which changes nothing.
    async fn wait_for_first(&mut self, max: usize, wait: Duration) -> Result<Vec<Delivered>, PullError> {
        let consumer = self.consumer;
        let pulls = self.queues.iter().enumerate();
        let mut pulls: FuturesUnordered<_> =
            pulls.map(|(at, reading)| async move { (at, reading.pull(consumer, max, wait).await) }).collect();
        let mut first = None;
        let mut moved = Vec::new();
        while let Some((at, pulled)) = pulls.next().await {
            let pulled = pulled?;
            if !pulled.messages.is_empty() {
                first = Some((at, pulled));
                break;
            }
            moved.push((at, pulled));
        }
        drop(pulls);
        for (at, pulled) in moved {
            self.queues[at].advance(pulled);
        }
        Ok(first.map_or_else(Vec::new, |(at, pulled)| self.queues[at].advance(pulled)))
    }
}

impl Reading {
    async fn pull(&self, consumer: &PullConsumer, max: usize, wait: Duration) -> Result<Pulled, PullError> {
        match consumer.pull(&self.queue, self.position, max, wait).await {
            Err(PullError::IllegalOffset { offset, nearest: Some(nearest), .. }) if nearest != offset => {
                warn!(queue = ?self.queue, offset, nearest, "offset is not in the queue");
                consumer.pull(&self.queue, nearest, max, wait).await
            }
            pulled => pulled,
        }
    }

    fn advance(&mut self, pulled: Pulled) -> Vec<Delivered> {
        self.position = pulled.next_offset;
        pulled.messages
    }
}
