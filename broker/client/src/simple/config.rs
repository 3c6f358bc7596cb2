//! What a simple consumer is made of.

use std::time::Duration;

use super::SimpleConsumer;
use crate::config::{Checks, ClientBuilder, ClientConfig, InvalidConfig, Problem, TIME_MAX};
use crate::filter::Filter;
use crate::session::StartError;

/// What a simple consumer reads, as it is being put together.
#[derive(Debug, Clone)]
pub struct SimpleBuilder {
    client: ClientBuilder,
    group: String,
    subscriptions: Vec<(String, Filter)>,
    wait: Duration,
}

/// What a simple consumer reads.
#[derive(Debug, Clone)]
pub struct SimpleConfig {
    pub(super) client: ClientConfig,
    pub(super) group: String,
    pub(super) subscriptions: Vec<(String, Filter)>,
    pub(super) wait: Duration,
}

impl SimpleBuilder {
    pub(super) fn new(client: ClientBuilder, group: String) -> Self {
        Self { client, group, subscriptions: Vec::new(), wait: Duration::from_secs(20) }
    }

    /// Reads a topic, too; at least one.
    #[must_use]
    pub fn subscribe(mut self, topic: impl Into<String>, filter: impl Into<Filter>) -> Self {
        self.subscriptions.push((topic.into(), filter.into()));
        self
    }

    /// How long a receive waits for the first message, up to 10 min; 20 s without this. Servers have limits of their own,
    /// mostly from 5 s to 20 s.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = wait;
        self
    }

    /// Checks everything.
    pub fn build(self) -> Result<SimpleConfig, InvalidConfig> {
        let Self { client, group, subscriptions, wait } = self;
        let mut checks = Checks::default();
        let client = checks.client(client);
        checks.group(&group);
        if subscriptions.is_empty() {
            checks.problem(Problem::NoTopic);
        }
        checks.subscriptions(&subscriptions);
        checks.range("wait", &wait, &Duration::ZERO, &TIME_MAX);
        checks.finish(SimpleConfig { client, group, subscriptions, wait })
    }

    /// Checks everything and starts the consumer.
    pub async fn start(self) -> Result<SimpleConsumer, StartError> {
        SimpleConsumer::start(self.build()?).await
    }
}
