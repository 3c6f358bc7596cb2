//! What a producer is made of.

use super::Producer;
use crate::config::{Checks, ClientBuilder, ClientConfig, InvalidConfig};
use crate::session::StartError;
use crate::transaction::Checker;

const ATTEMPTS: u32 = 3;
const ATTEMPTS_MAX: u32 = 1000;

/// How a producer sends, as it is being put together.
#[derive(Debug, Clone)]
pub struct ProducerBuilder {
    client: ClientBuilder,
    topics: Vec<String>,
    checker: Option<Checker>,
    attempts_max: u32,
}

/// How a producer sends.
#[derive(Debug, Clone)]
pub struct ProducerConfig {
    pub(super) client: ClientConfig,
    pub(super) topics: Vec<String>,
    pub(super) checker: Option<Checker>,
    pub(super) attempts_max: u32,
}

impl ProducerBuilder {
    pub(super) fn new(client: ClientBuilder) -> Self {
        Self { client, topics: Vec::new(), checker: None, attempts_max: ATTEMPTS }
    }

    /// Names a topic whose routes are asked for at the start; others follow with their first message, but for transactions,
    /// whose topics must be named here.
    #[must_use]
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.topics.push(topic.into());
        self
    }

    /// Decides about transactions of these topics that their senders leave open.
    #[must_use]
    pub fn checker(mut self, checker: Checker) -> Self {
        self.checker = Some(checker);
        self
    }

    /// How often a send is tried, 1 to 1000 times; 3 without this.
    #[must_use]
    pub fn attempts_max(mut self, attempts: u32) -> Self {
        self.attempts_max = attempts;
        self
    }

    /// Checks everything.
    pub fn build(self) -> Result<ProducerConfig, InvalidConfig> {
        let Self { client, topics, checker, attempts_max } = self;
        let mut checks = Checks::default();
        let client = checks.client(client);
        for topic in &topics {
            checks.topic(topic);
        }
        checks.range("attempts_max", &attempts_max, &1, &ATTEMPTS_MAX);
        checks.finish(ProducerConfig { client, topics, checker, attempts_max })
    }

    /// Checks everything and starts the producer.
    pub async fn start(self) -> Result<Producer, StartError> {
        Producer::start(self.build()?).await
    }
}
