//! Receiving: a loop for each assignment, and a look at the assignments now and then.
//!
//! Promise: a loop whose assignment is gone ends after the receive that is under way, so that what it brings is not lost; an
//! assignment that cannot be asked for stays. The attempt id of a receive is kept until it brought something, so that a reply
//! that got lost comes again where the server keeps one.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{debug, warn};
use wire::v2;

use super::Inner;
use super::cache::Share;
use super::lines::Job;
use crate::endpoint::Endpoint;
use crate::filter::Filter;
use crate::id;
use crate::message::Delivered;
use crate::receive;
use crate::session::{RouteQueue, duration};
use crate::status::AskError;

const LOOK_EVERY: Duration = Duration::from_secs(5);
const AGAIN_AFTER_MIN: Duration = Duration::from_millis(100);
const AGAIN_AFTER_MAX: Duration = Duration::from_secs(1);
/// A server that has nothing and does not wait would otherwise be asked in a tight loop.
const AFTER_NOTHING: Duration = Duration::from_millis(10);

/// Topic, broker, queue, and where they are.
type Key = (String, String, i32, Vec<Endpoint>);

/// The receive loops of one consumer.
#[derive(Default)]
pub(crate) struct Pumps {
    loops: HashMap<Key, Arc<AtomicBool>>,
    tasks: JoinSet<()>,
}

/// One receive loop.
struct Pump {
    inner: Arc<Inner>,
    queue: RouteQueue,
    topic: String,
    share: Arc<Share>,
    is_over: Arc<AtomicBool>,
}

impl Pumps {
    /// Looks at the assignments until the consumer is closed.
    pub(crate) async fn keep_up(mut self, inner: Arc<Inner>) {
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut closing = inner.closing.subscribe();
        let looking = async {
            ticks.tick().await;
            loop {
                ticks.tick().await;
                for topic in inner.filters.keys() {
                    if let Err(error) = self.look(&inner, topic).await {
                        debug!(topic, %error, "assignments stay as they were");
                    }
                }
            }
        };
        tokio::select! {
            () = looking => {}
            _ = closing.wait_for(|closing| *closing) => {}
        }
        // A receive that is dropped gives back what it would have brought.
        self.tasks.shutdown().await;
    }

    /// Begins and ends loops as the server shares out the topic.
    pub(crate) async fn look(&mut self, inner: &Arc<Inner>, topic: &str) -> Result<(), AskError> {
        let queues = inner.session.assignments(topic, inner.group.clone()).await?;
        if queues.is_empty() {
            return Err(AskError::NoQueue(topic.to_owned()));
        }
        let assigned: HashMap<Key, RouteQueue> =
            queues.into_iter().map(|queue| (key(topic, &queue), queue)).collect();
        self.loops.retain(|key, is_over| {
            let stays = key.0 != topic || assigned.contains_key(key);
            is_over.store(!stays, Ordering::Relaxed);
            stays
        });
        while self.tasks.try_join_next().is_some() {}
        // The room is shared out before the first loop asks for some.
        let begun: Vec<_> = assigned.into_iter().filter(|(key, _)| !self.loops.contains_key(key)).collect();
        let shares: Vec<_> = begun.iter().map(|_| inner.cache.share()).collect();
        for ((key, queue), share) in begun.into_iter().zip(shares) {
            let is_over = Arc::new(AtomicBool::new(false));
            self.loops.insert(key, is_over.clone());
            let pump = Pump { inner: inner.clone(), queue, topic: topic.to_owned(), share, is_over };
            self.tasks.spawn(pump.run());
        }
        Ok(())
    }
}

impl Pump {
    async fn run(self) {
        let mut attempt_id = id::attempt_id();
        let mut pause = AGAIN_AFTER_MIN;
        while !self.is_over.load(Ordering::Relaxed) {
            let room = self.share.room().await;
            match self.receive(room, &attempt_id).await {
                Ok(delivered) if delivered.is_empty() => sleep(AFTER_NOTHING).await,
                Ok(delivered) => {
                    attempt_id = id::attempt_id();
                    pause = AGAIN_AFTER_MIN;
                    self.line_up(delivered);
                }
                Err(error) => {
                    match &error {
                        AskError::Refused(refused) if !refused.is_retryable() => {
                            warn!(topic = self.topic, %error, "nothing is received");
                        }
                        AskError::Refused(_) | AskError::Call(_) | AskError::NoQueue(_) => {
                            debug!(topic = self.topic, %error, "nothing is received");
                        }
                    }
                    sleep(pause).await;
                    pause = (pause * 2).min(AGAIN_AFTER_MAX);
                }
            }
        }
    }

    async fn receive(&self, room: usize, attempt_id: &str) -> Result<Vec<Delivered>, AskError> {
        let Self { inner, queue, .. } = self;
        inner.session.ready(&queue.link).await?;
        let guidance = inner.session.guidance();
        let request = v2::ReceiveMessageRequest {
            group: Some(inner.group.clone()),
            message_queue: Some(queue.queue.clone()),
            filter_expression: inner.filters.get(&self.topic).map(Filter::to_proto),
            batch_size: receive::batch_size(room.min(guidance.batch)),
            auto_renew: true,
            long_polling_timeout: Some(duration(guidance.wait)),
            attempt_id: Some(attempt_id.to_owned()),
            ..Default::default()
        };
        let (delivered, ended) = receive::receive(queue, guidance.wait, &request).await;
        match ended {
            // In order all of the reply comes again under its name; otherwise what is here is ours already.
            Err(_) if !guidance.is_fifo && !delivered.is_empty() => Ok(delivered),
            ended => ended.map(|()| delivered),
        }
    }

    fn line_up(&self, delivered: Vec<Delivered>) {
        let is_fifo = self.inner.session.guidance().is_fifo;
        for message in delivered {
            let group = message.message_group.clone().filter(|_| is_fifo);
            let line = group.map(|group| (message.topic.clone(), group));
            let slot = self.share.take(message.body.len());
            // Too late only after the end, when the farewell gives everything back.
            self.inner.lines.add(Job { message, line, _slot: slot });
        }
    }
}

fn key(topic: &str, queue: &RouteQueue) -> Key {
    let broker = queue.queue.broker.as_ref().map(|broker| broker.name.clone()).unwrap_or_default();
    (topic.to_owned(), broker, queue.queue.id, queue.link.endpoints().to_vec())
}
