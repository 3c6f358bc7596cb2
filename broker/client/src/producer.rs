//! A producer of messages: without order, in order within a message group, for a later time, or in a transaction.
//!
//! Promise: a message that was answered with a receipt is stored. One that failed with `SendError::Refused` or `NotSent` is not;
//! after `Unknown` it may be, and a send that was tried again may have stored it twice, with one id.

mod config;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use prost::Message as _;
use tokio::time::sleep;
use wire::v2::{self, Code};

pub use config::{ProducerBuilder, ProducerConfig};

use crate::clock::now_ms;
use crate::config::ClientBuilder;
use crate::id::{MessageIds, host_name};
use crate::message::{Message, SendReceipt};
use crate::session::{Role, Session, StartError};
use crate::status::{AskError, Refused, check};
use crate::transaction::Transaction;
use crate::transport::{CallError, Link, Rpc};

/// Bytes of one request; a broker stores as much at once.
const REQUEST_BYTES_MAX: usize = 64 << 20;
const BACKOFF_MS_MIN: u64 = 10;
const BACKOFF_MS_MAX: u64 = 1000;

/// A message that was not confirmed.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// There is nothing to send.
    #[error("a request takes at least one message")]
    Empty,
    /// Messages of one request must be of one topic.
    #[error("a request takes messages of one topic")]
    Mixed,
    /// More than a server stores at once; nothing was sent.
    #[error("request of {bytes} B is over the limit of {limit_bytes} B")]
    TooLarge {
        /// Bytes of the request.
        bytes: usize,
        /// The most that it may have.
        limit_bytes: usize,
    },
    /// A transaction needs its topic among those of the config: the server asks only their producers.
    #[error("topic `{0}` is not among those that this producer was made for")]
    Undeclared(String),
    /// The server does not take it; it is not stored.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// No queue to send to, or no connection; it is not stored.
    #[error("not sent: {0}")]
    NotSent(AskError),
    /// The outcome of the last attempt is not known: it may be stored.
    #[error("outcome unknown: {0}")]
    Unknown(CallError),
}

/// Sends messages; share it by reference or in an `Arc`.
pub struct Producer {
    session: Session,
    topics: Vec<String>,
    attempts_max: u32,
    ids: MessageIds,
    host: String,
    turn: AtomicUsize,
}

impl Producer {
    /// A producer for the servers behind an endpoint.
    pub fn builder(client: impl Into<ClientBuilder>) -> ProducerBuilder {
        ProducerBuilder::new(client.into())
    }

    /// Connects and introduces itself.
    pub async fn start(config: ProducerConfig) -> Result<Self, StartError> {
        let ProducerConfig { client, topics, checker, attempts_max } = config;
        let role = Role::Producer { topics: topics.clone(), checker };
        let session = Session::start(client, role).await?;
        Ok(Self {
            session,
            topics,
            attempts_max,
            ids: MessageIds::new(),
            host: host_name(),
            turn: AtomicUsize::new(0),
        })
    }

    /// Sends one message.
    pub async fn send(&self, message: Message) -> Result<SendReceipt, SendError> {
        let mut results = self.send_all(vec![message]).await?;
        results.pop().map_or(Err(SendError::Empty), |result| Ok(result?))
    }

    /// Sends a batch: messages of one topic in one request; each has its own result, in their order. Our broker stores all or
    /// none of them, next to each other in one queue, but for message groups and priorities, which have their own queues. A
    /// batch of small messages costs little more than one of them.
    pub async fn send_all(
        &self,
        messages: Vec<Message>,
    ) -> Result<Vec<Result<SendReceipt, Refused>>, SendError> {
        let topic = messages.first().map(|message| message.topic.clone()).ok_or(SendError::Empty)?;
        if messages.iter().any(|message| message.topic != topic) {
            return Err(SendError::Mixed);
        }
        let messages = messages.into_iter().map(|message| self.proto(message)).collect();
        let request = v2::SendMessageRequest { messages };
        let bytes = request.encoded_len();
        if bytes > REQUEST_BYTES_MAX {
            return Err(SendError::TooLarge { bytes, limit_bytes: REQUEST_BYTES_MAX });
        }
        let (results, _) = self.store(&topic, request).await?;
        Ok(results)
    }

    /// Sends a message that consumers get once it is committed.
    pub async fn begin(&self, message: Message) -> Result<Transaction, SendError> {
        let topic = message.topic.clone();
        if !self.topics.contains(&topic) {
            return Err(SendError::Undeclared(topic));
        }
        let mut half = self.proto(message);
        half.system_properties.get_or_insert_default().message_type = v2::MessageType::Transaction.into();
        let request = v2::SendMessageRequest { messages: vec![half] };
        let (mut results, link) = self.store(&topic, request).await?;
        let SendReceipt { message_id, transaction_id, .. } = results.pop().ok_or(SendError::Empty)??;
        let topic = self.session.resource(&topic);
        Ok(Transaction { message_id, transaction_id, topic, link, attempts_max: self.attempts_max })
    }

    fn proto(&self, message: Message) -> v2::Message {
        let now_ms = now_ms();
        let topic = self.session.resource(&message.topic);
        message.into_proto(topic, self.ids.next(now_ms), now_ms, self.host.clone())
    }

    /// Tries until the messages are stored, and where.
    async fn store(
        &self,
        topic: &str,
        request: v2::SendMessageRequest,
    ) -> Result<(Vec<Result<SendReceipt, Refused>>, Arc<Link>), SendError> {
        let mut maybe_stored = None;
        for attempt in 1.. {
            let error = match self.attempt(topic, &request).await {
                Ok(results) => return Ok(results),
                Err(error) => error,
            };
            let final_one = attempt >= self.attempts_max || !is_retryable(&error);
            match error {
                AskError::Call(call) if !call.is_not_sent() => maybe_stored = Some(call),
                AskError::Call(_) | AskError::Refused(_) | AskError::NoQueue(_) if final_one => {
                    return Err(maybe_stored.map_or_else(|| not_stored(error), SendError::Unknown));
                }
                AskError::Call(_) | AskError::Refused(_) | AskError::NoQueue(_) => {
                    pause(&error, attempt).await;
                }
            }
            if final_one {
                break;
            }
            // The queues may have moved; if nobody answers, the next attempt tells.
            let _ = self.session.refresh(topic).await;
        }
        Err(SendError::Unknown(maybe_stored.expect("the loop ends only after a lost call")))
    }

    /// Takes back a message that waits for its time; returns its id. After `Ok` it is never delivered; refused with
    /// `NOT_FOUND` it was delivered or recalled before.
    pub async fn recall(&self, topic: &str, recall_handle: &str) -> Result<String, AskError> {
        let route = self.session.route(topic).await?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let queue = route.writable(turn).ok_or_else(|| AskError::NoQueue(topic.to_owned()))?;
        let request = v2::RecallMessageRequest {
            topic: Some(self.session.resource(topic)),
            recall_handle: recall_handle.to_owned(),
        };
        let answer: v2::RecallMessageResponse = queue.link.call(Rpc::RecallMessage, &request).await?;
        check(answer.status.as_ref())?;
        Ok(answer.message_id)
    }

    /// Ends the session in good order.
    pub async fn close(self) {
        self.session.close().await;
    }

    async fn attempt(
        &self,
        topic: &str,
        request: &v2::SendMessageRequest,
    ) -> Result<(Vec<Result<SendReceipt, Refused>>, Arc<Link>), AskError> {
        let route = self.session.route(topic).await?;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let queue = route.writable(turn).ok_or_else(|| AskError::NoQueue(topic.to_owned()))?;
        let answer: v2::SendMessageResponse = queue.link.call(Rpc::SendMessage, request).await?;
        // One code for all messages means that all have failed with it, unless it is the good one.
        match answer.status.as_ref().map(v2::Status::code) {
            Some(Code::MultipleResults) => {}
            _ => check(answer.status.as_ref())?,
        }
        let (entries, messages) = (&answer.entries, &request.messages);
        // The reference server, with its broker inside, answers a batch with one entry for all of it.
        let whole = entries.len() == 1;
        if entries.len() != messages.len() && !whole {
            let text = format!("{} results for {} messages", entries.len(), messages.len());
            return Err(CallError::Unreadable(text).into());
        }
        let receipt = |(at, message): (usize, &v2::Message)| {
            let entry = &entries[if whole { 0 } else { at }];
            check(entry.status.as_ref())?;
            let id = message.system_properties.as_ref().map(|system| system.message_id.clone());
            Ok(SendReceipt {
                message_id: id.unwrap_or_default(),
                offset: entry.offset,
                recall_handle: entry.recall_handle.clone(),
                transaction_id: entry.transaction_id.clone(),
            })
        };
        Ok((messages.iter().enumerate().map(receipt).collect(), Arc::clone(&queue.link)))
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").field("topics", &self.topics).finish_non_exhaustive()
    }
}

fn is_retryable(error: &AskError) -> bool {
    match error {
        AskError::Call(_) | AskError::NoQueue(_) => true,
        AskError::Refused(refused) => refused.is_retryable(),
    }
}

fn not_stored(error: AskError) -> SendError {
    match error {
        AskError::Refused(refused) => SendError::Refused(refused),
        error @ (AskError::Call(_) | AskError::NoQueue(_)) => SendError::NotSent(error),
    }
}

/// A server with too much to do wants a pause, and one that cannot be reached a moment; otherwise the next is asked at once.
async fn pause(error: &AskError, attempt: u32) {
    let wanted = match error {
        AskError::Refused(refused) => refused.code() == Some(Code::TooManyRequests),
        AskError::Call(_) | AskError::NoQueue(_) => true,
    };
    if wanted {
        let ms = (BACKOFF_MS_MIN << attempt.min(10)).min(BACKOFF_MS_MAX);
        sleep(Duration::from_millis(ms)).await;
    }
}
