//! The brokers' admin API as the operator uses it.
//!
//! The trait is the seam for tests of the operator: its production side is the client crate, and a broker in memory
//! stands in for it in unit tests.

use std::collections::BTreeMap;
use std::time::Duration;

use client::Endpoint;
use client::admin::{
    AdminClient, AdminConfig, AdminError, Adopt, ConsumerGroup, DescribeConsumerGroupResponse,
    GetBrokerResponse, Outcome, Topic,
};
use parking_lot::Mutex;

/// A broker that does not answer within this is treated as unreachable.
const CALL_TIME_MAX: Duration = Duration::from_secs(10);
/// Connections kept; more brokers than this are dialled anew.
const CONNECTIONS_MAX: usize = 1024;

/// Why a broker did not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BrokerError {
    /// A sentence.
    pub message: String,
}

type Answer<T> = Result<T, BrokerError>;

/// What the operator asks of a broker.
pub trait BrokerAdmin: Send + Sync + 'static {
    /// State of the broker.
    fn broker(&self, at: &Endpoint) -> impl Future<Output = Answer<GetBrokerResponse>> + Send;
    /// All topics.
    fn topics(&self, at: &Endpoint) -> impl Future<Output = Answer<Vec<Topic>>> + Send;
    /// Creates or changes topics, whoever owns them: the operator has decided that before.
    fn apply_topics(
        &self,
        at: &Endpoint,
        topics: Vec<Topic>,
    ) -> impl Future<Output = Answer<Vec<Outcome>>> + Send;
    /// Deletes the topics of an owner.
    fn delete_topic(
        &self,
        at: &Endpoint,
        name: &str,
        owner: &str,
    ) -> impl Future<Output = Answer<Vec<Outcome>>> + Send;
    /// All consumer groups.
    fn consumer_groups(&self, at: &Endpoint) -> impl Future<Output = Answer<Vec<ConsumerGroup>>> + Send;
    /// Creates or changes consumer groups, whoever owns them.
    fn apply_consumer_groups(
        &self,
        at: &Endpoint,
        groups: Vec<ConsumerGroup>,
    ) -> impl Future<Output = Answer<Vec<Outcome>>> + Send;
    /// Deletes a consumer group of an owner.
    fn delete_consumer_group(
        &self,
        at: &Endpoint,
        name: &str,
        owner: &str,
    ) -> impl Future<Output = Answer<Vec<Outcome>>> + Send;
    /// Progress and clients of a consumer group.
    fn consumer_group(
        &self,
        at: &Endpoint,
        name: &str,
    ) -> impl Future<Output = Answer<DescribeConsumerGroupResponse>> + Send;
}

/// Reaches real brokers, and keeps its connections.
#[derive(Default)]
pub struct Brokers {
    clients: Mutex<BTreeMap<Endpoint, AdminClient>>,
}

impl Brokers {
    fn client(&self, at: &Endpoint) -> Answer<AdminClient> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(at) {
            return Ok(client.clone());
        }
        let config = AdminConfig { timeout: CALL_TIME_MAX, ..AdminConfig::new(at.clone()) };
        let client = AdminClient::new(config).map_err(|error| BrokerError { message: error.to_string() })?;
        if clients.len() >= CONNECTIONS_MAX {
            clients.clear();
        }
        clients.insert(at.clone(), client.clone());
        Ok(client)
    }
}

impl BrokerAdmin for Brokers {
    async fn broker(&self, at: &Endpoint) -> Answer<GetBrokerResponse> {
        Ok(self.client(at)?.broker().await?)
    }

    async fn topics(&self, at: &Endpoint) -> Answer<Vec<Topic>> {
        Ok(self.client(at)?.topics("").await?)
    }

    async fn apply_topics(&self, at: &Endpoint, topics: Vec<Topic>) -> Answer<Vec<Outcome>> {
        Ok(self.client(at)?.apply_topics(topics, Adopt::Always).await?)
    }

    async fn delete_topic(&self, at: &Endpoint, name: &str, owner: &str) -> Answer<Vec<Outcome>> {
        Ok(self.client(at)?.delete_topics(vec![name.to_owned()], Some(owner)).await?)
    }

    async fn consumer_groups(&self, at: &Endpoint) -> Answer<Vec<ConsumerGroup>> {
        Ok(self.client(at)?.consumer_groups("").await?)
    }

    async fn apply_consumer_groups(&self, at: &Endpoint, groups: Vec<ConsumerGroup>) -> Answer<Vec<Outcome>> {
        Ok(self.client(at)?.apply_consumer_groups(groups, Adopt::Always).await?)
    }

    async fn delete_consumer_group(&self, at: &Endpoint, name: &str, owner: &str) -> Answer<Vec<Outcome>> {
        Ok(self.client(at)?.delete_consumer_groups(vec![name.to_owned()], Some(owner)).await?)
    }

    async fn consumer_group(&self, at: &Endpoint, name: &str) -> Answer<DescribeConsumerGroupResponse> {
        Ok(self.client(at)?.consumer_group(name).await?)
    }
}

impl From<AdminError> for BrokerError {
    fn from(error: AdminError) -> Self {
        Self { message: error.to_string() }
    }
}
