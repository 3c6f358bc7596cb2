//! What clients are made of: builders check everything once, and give a configuration that does not change any more.
//!
//! ```text
//!   Producer::builder("shop:8081")… ──build──▶ ProducerConfig ──Producer::start──▶ Producer
//!                                     └─ InvalidConfig: everything that is wrong, not only the first
//! ```
//!
//! Promise: a configuration that was built has names, sizes and times that the protocol allows. Building connects to nothing.

use std::fmt;
use std::time::Duration;

use wire::validate;

use crate::dial::Trust;
use crate::endpoint::{Endpoint, InvalidEndpoint};

/// Longest time limit of one request, and longest wait of one receive.
pub(crate) const TIME_MAX: Duration = Duration::from_mins(10);
const TIME_MIN: Duration = Duration::from_millis(10);
const CONNECTIONS_MAX: usize = 1024;

/// A configuration that cannot be, with all that is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidConfig {
    /// At least one.
    pub problems: Vec<Problem>,
}

/// One thing that is wrong with a configuration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No endpoint, or a text that is none.
    #[error(transparent)]
    Endpoint(#[from] InvalidEndpoint),
    /// A topic that no server has.
    #[error("topic: {0}")]
    Topic(String),
    /// A consumer group that no server has.
    #[error("consumer group: {0}")]
    Group(String),
    /// A consumer without a topic.
    #[error("no topic is subscribed to")]
    NoTopic,
    /// A topic with two filters.
    #[error("topic `{0}` is subscribed to twice")]
    TopicTwice(String),
    /// A push consumer without a listener.
    #[error("no listener is set")]
    NoListener,
    /// A number or a time outside of its limits.
    #[error("{what} is {value}, and goes from {least} to {most}")]
    OutOfRange {
        /// Name of the builder's method.
        what: &'static str,
        /// What it was given.
        value: String,
        /// The least that it may be.
        least: String,
        /// The most that it may be.
        most: String,
    },
}

/// How to reach the messaging service, as it is being put together. A text, an [`Endpoint`] or a list of them is one already.
///
/// ```
/// use client::{ClientBuilder, Producer};
/// let reach = ClientBuilder::new("shop-0:8081;shop-1:8081").namespace("blue").connections(2);
/// let config = Producer::builder(reach).build();
/// assert!(config.is_ok());
/// ```
#[derive(Debug, Clone)]
pub struct ClientBuilder {
    endpoints: Result<Vec<Endpoint>, InvalidEndpoint>,
    namespace: String,
    trust: Trust,
    request_timeout: Duration,
    connections: usize,
    pinned: bool,
}

/// How to reach the messaging service.
#[derive(Debug, Clone)]
pub(crate) struct ClientConfig {
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) namespace: String,
    pub(crate) trust: Trust,
    pub(crate) request_timeout: Duration,
    pub(crate) connections: usize,
    pub(crate) pinned: bool,
}

impl ClientBuilder {
    /// The usual limits, and the access point: `host:port`, `https://host:port` for TLS, several with `;` between them are
    /// tried in turn.
    pub fn new(endpoints: impl Into<Self>) -> Self {
        endpoints.into()
    }

    /// Namespace of all topics and groups; none without this.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Whom to believe if the endpoints speak TLS; the machine's authorities without this.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = trust;
        self
    }

    /// Each request ends within this time, a waiting receive within it after its wait; 3 s without this.
    #[must_use]
    pub fn request_timeout(mut self, limit: Duration) -> Self {
        self.request_timeout = limit;
        self
    }

    /// Connections to each server; 1 without this.
    #[must_use]
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// Whether all requests go to the access point, whatever the routes say; for a port that is forwarded.
    #[must_use]
    pub fn pinned(mut self, pinned: bool) -> Self {
        self.pinned = pinned;
        self
    }

    fn from_endpoints(endpoints: Result<Vec<Endpoint>, InvalidEndpoint>) -> Self {
        Self {
            endpoints,
            namespace: String::new(),
            trust: Trust::System,
            request_timeout: Duration::from_secs(3),
            connections: 1,
            pinned: false,
        }
    }
}

impl From<&str> for ClientBuilder {
    fn from(endpoints: &str) -> Self {
        Self::from_endpoints(Endpoint::parse_list(endpoints))
    }
}

impl From<String> for ClientBuilder {
    fn from(endpoints: String) -> Self {
        endpoints.as_str().into()
    }
}

impl From<Endpoint> for ClientBuilder {
    fn from(endpoint: Endpoint) -> Self {
        vec![endpoint].into()
    }
}

impl From<Vec<Endpoint>> for ClientBuilder {
    fn from(endpoints: Vec<Endpoint>) -> Self {
        let none = endpoints.is_empty();
        Self::from_endpoints(if none { Err(InvalidEndpoint(String::new())) } else { Ok(endpoints) })
    }
}

impl fmt::Display for InvalidConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("; ")?;
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for InvalidConfig {}

impl From<InvalidEndpoint> for InvalidConfig {
    fn from(invalid: InvalidEndpoint) -> Self {
        Self { problems: vec![invalid.into()] }
    }
}

/// Collects what is wrong.
#[derive(Debug, Default)]
pub(crate) struct Checks(Vec<Problem>);

impl Checks {
    pub(crate) fn problem(&mut self, problem: Problem) {
        self.0.push(problem);
    }

    pub(crate) fn range<T: PartialOrd + fmt::Debug>(
        &mut self,
        what: &'static str,
        value: &T,
        least: &T,
        most: &T,
    ) {
        if value < least || value > most {
            let text = |value: &T| format!("{value:?}");
            let (value, least, most) = (text(value), text(least), text(most));
            self.problem(Problem::OutOfRange { what, value, least, most });
        }
    }

    pub(crate) fn topic(&mut self, name: &str) {
        if let Err(violation) = validate::topic(name) {
            self.problem(Problem::Topic(violation.to_string()));
        }
    }

    pub(crate) fn group(&mut self, name: &str) {
        if let Err(violation) = validate::group(name) {
            self.problem(Problem::Group(violation.to_string()));
        }
    }

    /// Topics with their filters.
    pub(crate) fn subscriptions<F>(&mut self, subscriptions: &[(String, F)]) {
        for (at, (topic, _)) in subscriptions.iter().enumerate() {
            self.topic(topic);
            if subscriptions[..at].iter().any(|(earlier, _)| earlier == topic) {
                self.problem(Problem::TopicTwice(topic.clone()));
            }
        }
    }

    pub(crate) fn client(&mut self, client: ClientBuilder) -> ClientConfig {
        let ClientBuilder { endpoints, namespace, trust, request_timeout, connections, pinned } = client;
        self.range("request_timeout", &request_timeout, &TIME_MIN, &TIME_MAX);
        self.range("connections", &connections, &1, &CONNECTIONS_MAX);
        let endpoints = endpoints.unwrap_or_else(|invalid| {
            self.problem(invalid.into());
            Vec::new()
        });
        ClientConfig { endpoints, namespace, trust, request_timeout, connections, pinned }
    }

    /// What was built, if nothing is wrong.
    pub(crate) fn finish<T>(self, built: T) -> Result<T, InvalidConfig> {
        if self.0.is_empty() { Ok(built) } else { Err(InvalidConfig { problems: self.0 }) }
    }
}
