//! What a push consumer is made of.

use std::future::Future;
use std::time::Duration;

use super::PushConsumer;
use super::listener::{Consumed, Listener};
use crate::config::{Checks, ClientBuilder, ClientConfig, InvalidConfig, Problem, TIME_MAX};
use crate::filter::Filter;
use crate::message::Delivered;
use crate::session::StartError;

const CONCURRENCY: usize = 20;
const CONCURRENCY_MAX: usize = 100_000;
const CACHED_MESSAGES: usize = 1024;
const CACHED_MESSAGES_MAX: usize = 1 << 20;
const CACHED_BYTES: usize = 64 << 20;
const CACHED_BYTES_MAX: usize = 1 << 40;
const CLOSE_WITHIN: Duration = Duration::from_secs(30);

/// How a push consumer works, as it is being put together.
#[derive(Debug, Clone)]
pub struct PushBuilder {
    client: ClientBuilder,
    group: String,
    subscriptions: Vec<(String, Filter)>,
    listener: Option<Listener>,
    concurrency: usize,
    cache_messages: usize,
    cache_bytes: usize,
    close_within: Duration,
}

/// How a push consumer works.
#[derive(Debug, Clone)]
pub struct PushConfig {
    pub(super) client: ClientConfig,
    pub(super) group: String,
    pub(super) subscriptions: Vec<(String, Filter)>,
    pub(super) listener: Listener,
    pub(super) concurrency: usize,
    pub(super) cache_messages: usize,
    pub(super) cache_bytes: usize,
    pub(super) close_within: Duration,
}

impl PushBuilder {
    pub(super) fn new(client: ClientBuilder, group: String) -> Self {
        Self {
            client,
            group,
            subscriptions: Vec::new(),
            listener: None,
            concurrency: CONCURRENCY,
            cache_messages: CACHED_MESSAGES,
            cache_bytes: CACHED_BYTES,
            close_within: CLOSE_WITHIN,
        }
    }

    /// Reads a topic, too; at least one.
    #[must_use]
    pub fn subscribe(mut self, topic: impl Into<String>, filter: impl Into<Filter>) -> Self {
        self.subscriptions.push((topic.into(), filter.into()));
        self
    }

    /// What is done with each delivery of a message; needed. A panic counts as [`Consumed::Retry`].
    #[must_use]
    pub fn listener<F, R>(mut self, listen: F) -> Self
    where
        F: Fn(Delivered) -> R + Send + Sync + 'static,
        R: Future<Output = Consumed> + Send + 'static,
    {
        self.listener = Some(Listener::new(listen));
        self
    }

    /// How many messages the listener works on at once; 20 without this.
    #[must_use]
    pub fn concurrency(mut self, listeners: usize) -> Self {
        self.concurrency = listeners;
        self
    }

    /// How many messages are held here that are not done; 1024 without this. While it is full nothing is received.
    #[must_use]
    pub fn cache_messages(mut self, messages: usize) -> Self {
        self.cache_messages = messages;
        self
    }

    /// How many bytes of bodies are held here of messages that are not done; 64 MiB without this. One receive may go beyond.
    #[must_use]
    pub fn cache_bytes(mut self, bytes: usize) -> Self {
        self.cache_bytes = bytes;
        self
    }

    /// How long a close waits for listeners that run, up to 10 min; 30 s without this.
    #[must_use]
    pub fn close_within(mut self, limit: Duration) -> Self {
        self.close_within = limit;
        self
    }

    /// Checks everything.
    pub fn build(self) -> Result<PushConfig, InvalidConfig> {
        let mut checks = Checks::default();
        let client = checks.client(self.client);
        checks.group(&self.group);
        if self.subscriptions.is_empty() {
            checks.problem(Problem::NoTopic);
        }
        checks.subscriptions(&self.subscriptions);
        checks.range("concurrency", &self.concurrency, &1, &CONCURRENCY_MAX);
        checks.range("cache_messages", &self.cache_messages, &1, &CACHED_MESSAGES_MAX);
        checks.range("cache_bytes", &self.cache_bytes, &1, &CACHED_BYTES_MAX);
        checks.range("close_within", &self.close_within, &Duration::ZERO, &TIME_MAX);
        let listener = self.listener.unwrap_or_else(|| {
            checks.problem(Problem::NoListener);
            Listener::new(|_| async { Consumed::Retry })
        });
        checks.finish(PushConfig {
            client,
            group: self.group,
            subscriptions: self.subscriptions,
            listener,
            concurrency: self.concurrency,
            cache_messages: self.cache_messages,
            cache_bytes: self.cache_bytes,
            close_within: self.close_within,
        })
    }

    /// Checks everything and starts the consumer.
    pub async fn start(self) -> Result<PushConsumer, StartError> {
        PushConsumer::start(self.build()?).await
    }
}
