//! A simple consumer: receives, and says itself when a message is done.
//!
//! Promise: a message that was received stays hidden from the rest of its group for the invisible time, and comes again afterwards
//! unless it was acknowledged. Nothing is acknowledged behind the caller's back.

mod config;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wire::v2;

pub use config::{SimpleBuilder, SimpleConfig};

use crate::config::ClientBuilder;
use crate::filter::Filter;
use crate::message::Delivered;
use crate::receive;
use crate::session::{Role, Session, StartError, duration};
use crate::status::{AskError, Refused};

/// Receives messages; share it by reference or in an `Arc`.
pub struct SimpleConsumer {
    session: Session,
    group: v2::Resource,
    subscriptions: Vec<(String, Filter)>,
    wait: Duration,
    turn: AtomicUsize,
}

impl SimpleConsumer {
    /// A consumer for the servers behind an endpoint, as a member of a consumer group.
    pub fn builder(client: impl Into<ClientBuilder>, group: impl Into<String>) -> SimpleBuilder {
        SimpleBuilder::new(client.into(), group.into())
    }

    /// Connects and introduces itself.
    pub async fn start(config: SimpleConfig) -> Result<Self, StartError> {
        let SimpleConfig { client, group, subscriptions, wait } = config;
        let role = Role::Consumer {
            kind: v2::ClientType::SimpleConsumer,
            group: group.clone(),
            subscriptions: subscriptions.clone(),
            wait: Some(wait),
        };
        let session = Session::start(client, role).await?;
        let group = session.resource(&group);
        Ok(Self { session, group, subscriptions, wait, turn: AtomicUsize::new(0) })
    }

    /// Up to `max` messages (at most [`crate::RECEIVE_MAX`]) of one of the topics, in turn; none if there was none in the time to wait.
    /// Where nobody answers the next place is asked; an error says that there is nobody anywhere, or that an answer broke.
    pub async fn receive(&self, max: usize, invisible: Duration) -> Result<Vec<Delivered>, AskError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let topics = self.subscriptions.len();
        let (topic, filter) = &self.subscriptions[turn % topics];
        let route = self.session.route(topic).await?;
        let mut place = turn / topics;
        let last = place + route.places().saturating_sub(1);
        loop {
            let queue = route.readable(place).ok_or_else(|| AskError::NoQueue(topic.clone()))?;
            let request = v2::ReceiveMessageRequest {
                group: Some(self.group.clone()),
                message_queue: Some(queue.queue.clone()),
                filter_expression: Some(filter.to_proto()),
                batch_size: receive::batch_size(max),
                invisible_duration: Some(duration(invisible)),
                long_polling_timeout: Some(duration(self.wait)),
                ..Default::default()
            };
            match receive::receive(queue, self.wait, &request).await {
                // What arrived before the break is in the caller's lease; losing it here would only delay it.
                (delivered, Err(AskError::Call(_))) if !delivered.is_empty() => return Ok(delivered),
                // Nobody there: a route knows for a while of brokers that are gone.
                (_, Err(AskError::Call(error))) if error.is_not_sent() && place < last => place += 1,
                (delivered, ended) => return ended.map(|()| delivered),
            }
        }
    }

    /// From how many places [`Self::receive`] takes messages in turn: so many empty ones in a row say that there is nothing.
    pub async fn places(&self) -> Result<usize, AskError> {
        let mut places = 0;
        for (topic, _) in &self.subscriptions {
            places += self.session.route(topic).await?.places();
        }
        Ok(places)
    }

    /// Says that a message is done.
    pub async fn ack(&self, delivered: &Delivered) -> Result<(), AskError> {
        let results = self.ack_all(std::slice::from_ref(delivered)).await?;
        results.into_iter().next().map_or(Ok(()), |result| result.map_err(AskError::Refused))
    }

    /// Says that messages are done, in one request for each run of one topic and server; each has its own result, in their
    /// order. After an error those before it may be done; acknowledging them again is harmless.
    pub async fn ack_all(&self, delivered: &[Delivered]) -> Result<Vec<Result<(), Refused>>, AskError> {
        let mut results = Vec::with_capacity(delivered.len());
        for part in delivered.chunk_by(receive::go_together) {
            let topic = self.session.resource(&part[0].topic);
            results.extend(receive::ack(&part[0].link, &self.group, topic, part).await?);
        }
        Ok(results)
    }

    /// Hides a message for this long from now on, up to 12 h; its handle is a new one afterwards. With no time at all it is
    /// given back.
    pub async fn change_invisible(
        &self,
        delivered: &mut Delivered,
        invisible: Duration,
    ) -> Result<(), AskError> {
        let topic = self.session.resource(&delivered.topic);
        let link = delivered.link.clone();
        delivered.receipt_handle = receive::hide(&link, &self.group, topic, delivered, invisible).await?;
        Ok(())
    }

    /// Gives a message up: it goes to the dead letters of the group, and is done.
    pub async fn give_up(&self, delivered: &Delivered) -> Result<(), AskError> {
        let topic = self.session.resource(&delivered.topic);
        let attempts_max = self.session.guidance().attempts_max;
        receive::give_up(&delivered.link, &self.group, topic, delivered, attempts_max).await
    }

    /// Ends the session in good order.
    pub async fn close(self) {
        self.session.close().await;
    }
}

impl std::fmt::Debug for SimpleConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimpleConsumer").field("group", &self.group.name).finish_non_exhaustive()
    }
}
