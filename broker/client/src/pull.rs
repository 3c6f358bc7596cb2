//! A pull consumer: reads queues by offset, as often and from where it likes.
//!
//! ```text
//!   queues(topic) ──▶ PullQueue ──pull(offset)──▶ messages, next offset ──commit──▶ the group's offset in the queue
//!                                    Reader: all of it for several queues
//! ```
//!
//! Promise: nothing is leased or acknowledged, so a pull may be repeated, and dropped, at will. Only `commit` changes anything: where
//! the consumer group stands. Reading is at least once if the commit follows the work, at most once if it goes before.
//! Not here: dividing the queues of a topic again when members of a group come and go; `assigned` tells the share of the moment.

mod config;
mod reader;

use std::collections::HashMap;
use std::time::Duration;

use wire::v2::pull_message_response::Content;
use wire::v2::{self, Code, QueryOffsetPolicy};

pub use config::{PullBuilder, PullConfig};
pub use reader::Reader;

use crate::config::{ClientBuilder, TIME_MAX};
use crate::filter::Filter;
use crate::message::{Delivered, timestamp};
use crate::receive::batch_size;
use crate::session::{Role, RouteQueue, Session, StartError, duration};
use crate::status::{AskError, Refused, check};
use crate::transport::Rpc;

/// Reads queues by offset; share it by reference or in an `Arc`.
pub struct PullConsumer {
    session: Session,
    group: v2::Resource,
    filters: HashMap<String, Filter>,
}

/// A queue of a topic: what offsets count in.
#[derive(Clone)]
pub struct PullQueue {
    /// The topic.
    pub topic: String,
    /// The broker, or group of brokers, that has it.
    pub broker: String,
    /// Its number there.
    pub id: i32,
    found: RouteQueue,
}

/// What a pull brought.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// The messages, in the order of their offsets; without those that the filter turned down.
    pub messages: Vec<Delivered>,
    /// Where to go on.
    pub next_offset: i64,
}

/// A place in a queue that has a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The oldest message that is kept.
    Beginning,
    /// Behind the newest message.
    End,
    /// The first message that was stored at this time, in milliseconds since 1970, or later.
    Time(u64),
}

/// A pull, or a commit, that did not work.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The offset is older than what is kept, or beyond the end.
    #[error("offset {offset} is not in the queue: {refused}")]
    IllegalOffset {
        /// What was asked for.
        offset: i64,
        /// The nearest one that is, if the server said it.
        nearest: Option<i64>,
        /// The server's words.
        refused: Refused,
    },
    /// Anything else.
    #[error(transparent)]
    Ask(#[from] AskError),
}

impl PullConsumer {
    /// A consumer for the servers behind an endpoint, with the offsets of a consumer group.
    pub fn builder(client: impl Into<ClientBuilder>, group: impl Into<String>) -> PullBuilder {
        PullBuilder::new(client.into(), group.into())
    }

    /// Connects and introduces itself.
    pub async fn start(config: PullConfig) -> Result<Self, StartError> {
        let role = Role::Consumer {
            kind: v2::ClientType::PullConsumer,
            group: config.group.clone(),
            subscriptions: config.subscriptions.clone(),
            wait: None,
        };
        let session = Session::start(config.client, role).await?;
        let group = session.resource(&config.group);
        Ok(Self { session, group, filters: config.subscriptions.into_iter().collect() })
    }

    /// All queues of a topic, in the server's order.
    pub async fn queues(&self, topic: &str) -> Result<Vec<PullQueue>, AskError> {
        let route = self.session.refresh(topic).await?;
        Ok(route.each_readable().map(|found| PullQueue::new(topic, found.clone())).collect())
    }

    /// This client's part of the queues of a topic, where the server divides them among the members of the group that are
    /// there at the moment.
    pub async fn assigned(&self, topic: &str) -> Result<Vec<PullQueue>, AskError> {
        let queues = self.session.assignments(topic, self.group.clone()).await?;
        Ok(queues.into_iter().map(|found| PullQueue::new(topic, found)).collect())
    }

    /// Up to `max` messages (at most [`crate::RECEIVE_MAX`]) from an offset on; at the end of the queue waits for the first one, up to
    /// `wait`, and then brings none. Servers may wait less.
    pub async fn pull(
        &self,
        queue: &PullQueue,
        offset: i64,
        max: usize,
        wait: Duration,
    ) -> Result<Pulled, PullError> {
        let wait = wait.min(TIME_MAX);
        let filter =
            self.filters.get(&queue.topic).map_or_else(|| Filter::all().to_proto(), Filter::to_proto);
        let request = v2::PullMessageRequest {
            group: Some(self.group.clone()),
            message_queue: Some(queue.found.queue.clone()),
            offset,
            batch_size: batch_size(max),
            filter_expression: Some(filter),
            long_polling_timeout: Some(duration(wait)),
        };
        let RouteQueue { link, .. } = self.session.located(&queue.topic, &queue.found);
        let (mut status, mut messages, mut next_offset) = (None, Vec::new(), None);
        let take = |answer: v2::PullMessageResponse| match answer.content {
            Some(Content::Status(found)) => status = Some(found),
            Some(Content::Message(message)) => messages.push(Delivered::from_proto(message, &link)),
            Some(Content::NextOffset(next)) => next_offset = Some(next),
            None => {}
        };
        link.call_for_many(Rpc::PullMessage, wait, &request, take).await.map_err(AskError::from)?;
        match check(status.as_ref()) {
            Err(refused) if refused.code() == Some(Code::IllegalOffset) => {
                Err(PullError::IllegalOffset { offset, nearest: next_offset, refused })
            }
            Err(refused) if refused.code() != Some(Code::MessageNotFound) => {
                Err(AskError::Refused(refused).into())
            }
            Ok(()) | Err(_) => {
                let after = messages.last().map_or(offset, |last: &Delivered| last.offset.saturating_add(1));
                Ok(Pulled { messages, next_offset: next_offset.unwrap_or(after) })
            }
        }
    }

    /// Where the consumer group stands in a queue; none if it has never committed there.
    pub async fn offset_of(&self, queue: &PullQueue) -> Result<Option<i64>, AskError> {
        let request = v2::GetOffsetRequest {
            group: Some(self.group.clone()),
            message_queue: Some(queue.found.queue.clone()),
        };
        let RouteQueue { link, .. } = self.session.located(&queue.topic, &queue.found);
        let answer: v2::GetOffsetResponse = link.call(Rpc::GetOffset, &request).await?;
        match check(answer.status.as_ref()) {
            Ok(()) => Ok(Some(answer.offset)),
            Err(refused) if refused.code() == Some(Code::OffsetNotFound) => Ok(None),
            Err(refused) => Err(refused.into()),
        }
    }

    /// Says where the consumer group stands: everything before the offset is done. Goes back as well as forward.
    pub async fn commit(&self, queue: &PullQueue, offset: i64) -> Result<(), PullError> {
        let request = v2::UpdateOffsetRequest {
            group: Some(self.group.clone()),
            message_queue: Some(queue.found.queue.clone()),
            offset,
        };
        let RouteQueue { link, .. } = self.session.located(&queue.topic, &queue.found);
        let answer: v2::UpdateOffsetResponse =
            link.call(Rpc::UpdateOffset, &request).await.map_err(AskError::from)?;
        check(answer.status.as_ref()).map_err(|refused| match refused.code() {
            Some(Code::IllegalOffset) => PullError::IllegalOffset { offset, nearest: None, refused },
            _ => AskError::Refused(refused).into(),
        })
    }

    /// The offset of a place in a queue.
    pub async fn query_offset(&self, queue: &PullQueue, place: Place) -> Result<i64, AskError> {
        let (policy, time) = match place {
            Place::Beginning => (QueryOffsetPolicy::Beginning, None),
            Place::End => (QueryOffsetPolicy::End, None),
            Place::Time(at_ms) => (QueryOffsetPolicy::Timestamp, Some(timestamp(at_ms))),
        };
        let request = v2::QueryOffsetRequest {
            message_queue: Some(queue.found.queue.clone()),
            query_offset_policy: policy.into(),
            timestamp: time,
        };
        let RouteQueue { link, .. } = self.session.located(&queue.topic, &queue.found);
        let answer: v2::QueryOffsetResponse = link.call(Rpc::QueryOffset, &request).await?;
        check(answer.status.as_ref())?;
        Ok(answer.offset)
    }

    /// Reads queues from where the group stands; from `place` on where it has never committed.
    pub async fn reader(&self, queues: Vec<PullQueue>, place: Place) -> Result<Reader<'_>, AskError> {
        Reader::start(self, queues, place).await
    }

    /// Ends the session in good order.
    pub async fn close(self) {
        self.session.close().await;
    }
}

impl PullQueue {
    fn new(topic: &str, found: RouteQueue) -> Self {
        let broker = found.queue.broker.as_ref().map(|broker| broker.name.clone()).unwrap_or_default();
        Self { topic: topic.to_owned(), broker, id: found.queue.id, found }
    }
}

impl std::fmt::Debug for PullQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.topic, self.broker, self.id)
    }
}

impl std::fmt::Debug for PullConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PullConsumer").field("group", &self.group.name).finish_non_exhaustive()
    }
}
