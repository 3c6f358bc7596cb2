//! A simple consumer: receives, and says itself when a message is done.
//!
//! Promise: a message that was received stays hidden from the rest of its group for the invisible time, and comes again afterwards
//! unless it was acknowledged. Nothing is acknowledged behind the caller's back.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use wire::v2::receive_message_response::Content;
use wire::v2::{self, Code};

use crate::message::Delivered;
use crate::session::{ClientConfig, Role, Session, StartError, duration};
use crate::status::{AskError, Refused, check};
use crate::transport::Rpc;

/// Messages of one receive that any server gives.
pub const RECEIVE_MAX: usize = 32;

/// Which messages of a topic are wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// `*`, or tags with `||` between them.
    Tags(String),
    /// A condition on properties.
    Sql(String),
}

/// What a consumer reads.
#[derive(Debug, Clone)]
pub struct ConsumerConfig {
    /// How to reach the servers.
    pub client: ClientConfig,
    /// The consumer group.
    pub group: String,
    /// Topics with a filter each.
    pub subscriptions: Vec<(String, Filter)>,
    /// How long a receive waits for the first message.
    pub wait: Duration,
}

impl Filter {
    fn into_proto(self) -> v2::FilterExpression {
        let (kind, expression) = match self {
            Self::Tags(text) => (v2::FilterType::Tag, text),
            Self::Sql(text) => (v2::FilterType::Sql, text),
        };
        v2::FilterExpression { r#type: kind.into(), expression }
    }
}

impl ConsumerConfig {
    /// One topic, all tags.
    pub fn new(client: ClientConfig, group: impl Into<String>, topic: impl Into<String>) -> Self {
        Self {
            client,
            group: group.into(),
            subscriptions: vec![(topic.into(), Filter::Tags("*".to_owned()))],
            wait: Duration::from_secs(20),
        }
    }
}

/// Receives messages; share it by reference or in an `Arc`.
pub struct SimpleConsumer {
    session: Session,
    group: v2::Resource,
    subscriptions: Vec<(String, v2::FilterExpression)>,
    wait: Duration,
    turn: AtomicUsize,
}

impl SimpleConsumer {
    /// Connects and introduces itself.
    pub async fn start(config: ConsumerConfig) -> Result<Self, StartError> {
        let subscriptions: Vec<_> =
            config.subscriptions.into_iter().map(|(topic, filter)| (topic, filter.into_proto())).collect();
        let role = Role::SimpleConsumer {
            group: config.group.clone(),
            subscriptions: subscriptions.clone(),
            wait: config.wait,
        };
        let session = Session::start(config.client, role).await?;
        let group = session.resource(&config.group);
        Ok(Self { session, group, subscriptions, wait: config.wait, turn: AtomicUsize::new(0) })
    }

    /// Up to `max` messages of one of the topics, in turn; none if there was none in the time to wait.
    pub async fn receive(&self, max: usize, invisible: Duration) -> Result<Vec<Delivered>, AskError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let topics = self.subscriptions.len();
        let Some((topic, filter)) = turn.checked_rem(topics).and_then(|at| self.subscriptions.get(at)) else {
            return Ok(Vec::new());
        };
        let route = self.session.route(topic).await?;
        let queue = route.readable(turn / topics).ok_or_else(|| AskError::NoQueue(topic.clone()))?;
        let request = v2::ReceiveMessageRequest {
            group: Some(self.group.clone()),
            message_queue: Some(queue.queue.clone()),
            filter_expression: Some(filter.clone()),
            batch_size: i32::try_from(max.min(RECEIVE_MAX)).unwrap_or(i32::MAX),
            invisible_duration: Some(duration(invisible)),
            long_polling_timeout: Some(duration(self.wait)),
            ..Default::default()
        };
        let (mut status, mut delivered) = (None, Vec::new());
        let take = |answer: v2::ReceiveMessageResponse| match answer.content {
            Some(Content::Status(found)) => status = Some(found),
            Some(Content::Message(message)) => delivered.push(Delivered::from_proto(message, &queue.link)),
            Some(Content::DeliveryTimestamp(_)) | None => {}
        };
        let received = queue.link.call_for_many(Rpc::ReceiveMessage, &request, take).await;
        if let Err(error) = received {
            // What arrived before the break is in the caller's lease; losing it here would only delay it.
            return if delivered.is_empty() { Err(error.into()) } else { Ok(delivered) };
        }
        match check(status.as_ref()) {
            Ok(()) => Ok(delivered),
            Err(refused) if refused.code() == Some(Code::MessageNotFound) => Ok(delivered),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Says that a message is done.
    pub async fn ack(&self, delivered: &Delivered) -> Result<(), AskError> {
        let results = self.ack_all(std::slice::from_ref(delivered)).await?;
        results.into_iter().next().map_or(Ok(()), |result| result.map_err(AskError::Refused))
    }

    /// Says that messages are done, in one request for each topic and server; each has its own result, in their order.
    pub async fn ack_all(&self, delivered: &[Delivered]) -> Result<Vec<Result<(), Refused>>, AskError> {
        let together = |a: &Delivered, b: &Delivered| a.topic == b.topic && Arc::ptr_eq(&a.link, &b.link);
        let mut results = Vec::with_capacity(delivered.len());
        for part in delivered.chunk_by(together) {
            self.ack_part(part, &mut results).await?;
        }
        Ok(results)
    }

    /// Hides a message for this long from now on; its handle is a new one afterwards.
    pub async fn change_invisible(
        &self,
        delivered: &mut Delivered,
        invisible: Duration,
    ) -> Result<(), AskError> {
        let request = v2::ChangeInvisibleDurationRequest {
            group: Some(self.group.clone()),
            topic: Some(self.session.resource(&delivered.topic)),
            receipt_handle: delivered.receipt_handle.clone(),
            invisible_duration: Some(duration(invisible)),
            message_id: delivered.message_id.clone(),
            ..Default::default()
        };
        let answer: v2::ChangeInvisibleDurationResponse =
            delivered.link.call(Rpc::ChangeInvisibleDuration, &request).await?;
        check(answer.status.as_ref())?;
        delivered.receipt_handle = answer.receipt_handle;
        Ok(())
    }

    /// Ends the session in good order.
    pub async fn close(self) {
        self.session.close().await;
    }

    async fn ack_part(
        &self,
        part: &[Delivered],
        results: &mut Vec<Result<(), Refused>>,
    ) -> Result<(), AskError> {
        let Some(first) = part.first() else { return Ok(()) };
        let entries = part.iter().map(|delivered| v2::AckMessageEntry {
            message_id: delivered.message_id.clone(),
            receipt_handle: delivered.receipt_handle.clone(),
            lite_topic: None,
        });
        let request = v2::AckMessageRequest {
            group: Some(self.group.clone()),
            topic: Some(self.session.resource(&first.topic)),
            entries: entries.collect(),
        };
        let answer: v2::AckMessageResponse = first.link.call(Rpc::AckMessage, &request).await?;
        if answer.entries.len() == part.len() {
            results.extend(answer.entries.iter().map(|entry| check(entry.status.as_ref())));
        } else {
            // Refused as a whole, or by a server that does not answer each entry.
            check(answer.status.as_ref())?;
            results.extend(part.iter().map(|_| Ok(())));
        }
        Ok(())
    }
}
