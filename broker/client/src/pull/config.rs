//! What a pull consumer is made of.

use super::PullConsumer;
use crate::config::{Checks, ClientBuilder, ClientConfig, InvalidConfig, Problem};
use crate::filter::Filter;
use crate::session::StartError;

/// What a pull consumer reads, as it is being put together.
#[derive(Debug, Clone)]
pub struct PullBuilder {
    client: ClientBuilder,
    group: String,
    subscriptions: Vec<(String, Filter)>,
}

/// What a pull consumer reads.
#[derive(Debug, Clone)]
pub struct PullConfig {
    pub(super) client: ClientConfig,
    pub(super) group: String,
    pub(super) subscriptions: Vec<(String, Filter)>,
}

impl PullBuilder {
    pub(super) fn new(client: ClientBuilder, group: String) -> Self {
        Self { client, group, subscriptions: Vec::new() }
    }

    /// Reads a topic, too; at least one.
    #[must_use]
    pub fn subscribe(mut self, topic: impl Into<String>, filter: impl Into<Filter>) -> Self {
        self.subscriptions.push((topic.into(), filter.into()));
        self
    }

    /// Checks everything.
    pub fn build(self) -> Result<PullConfig, InvalidConfig> {
        let Self { client, group, subscriptions } = self;
        let mut checks = Checks::default();
        let client = checks.client(client);
        checks.group(&group);
        if subscriptions.is_empty() {
            checks.problem(Problem::NoTopic);
        }
        checks.subscriptions(&subscriptions);
        checks.finish(PullConfig { client, group, subscriptions })
    }

    /// Checks everything and starts the consumer.
    pub async fn start(self) -> Result<PullConsumer, StartError> {
        PullConsumer::start(self.build()?).await
    }
}
