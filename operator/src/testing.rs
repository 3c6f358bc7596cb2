//! Seams for tests: a Kubernetes API that expects exact requests, and a broker in memory.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use client::Endpoint;
use client::admin::{
    Change, ConsumerGroup, DescribeConsumerGroupResponse, GetBrokerResponse, GroupProgress, Outcome, Topic,
};
use http::{Request, Response};
use http_body_util::BodyExt;
use jiff::Timestamp;
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::admin::{BrokerAdmin, BrokerError};
use crate::backoff::Backoff;
use crate::context::Context;
use crate::events::Events;
use crate::holding::Holding;
use crate::metrics::Metrics;
use crate::settings::{EndpointTemplate, Settings};
use crate::written::Written;

/// The time in tests.
pub(crate) fn noon() -> Timestamp {
    Timestamp::from_second(1_800_000_000).unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings {
        broker_image: "example.org:5000/millpond:1".to_owned(),
        broker_image_pull_policy: None,
        broker_log_json: false,
        namespace: "mq".to_owned(),
        admin_endpoint: EndpointTemplate::default(),
        resync: Duration::from_secs(30),
        writes_max: 4,
    }
}

pub(crate) fn context(client: Client, admin: FakeBroker) -> Context<FakeBroker> {
    Context {
        events: Events::new(client.clone(), "test"),
        client,
        admin,
        settings: settings(),
        metrics: Arc::new(Metrics::default()),
        nodes: Arc::default(),
        holding: Holding::default(),
        fleet: None,
        written: Written::default(),
        backoff: Backoff::default(),
        clock: noon,
    }
}

/// A request that has to come next, and its answer.
pub(crate) struct Expected {
    pub(crate) request: &'static str,
    pub(crate) status: u16,
    pub(crate) answer: Value,
}

/// `METHOD path` of the next request, and a good answer.
pub(crate) fn expect(request: &'static str, answer: Value) -> Expected {
    Expected { request, status: 200, answer }
}

/// The next request is refused.
pub(crate) fn refuse(request: &'static str, status: u16, reason: &str) -> Expected {
    let answer = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": status,
    });
    Expected { request, status, answer }
}

/// What was sent: `METHOD path?query` and the body.
pub(crate) type Sent = Vec<(String, Value)>;

/// An API that wants exactly these requests in this order; events may come in between and are answered. Ends, and gives
/// back what was sent, when the client is dropped.
pub(crate) fn api(expected: Vec<Expected>) -> (Client, JoinHandle<Sent>) {
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let server = tokio::spawn(async move {
        let mut sent = Sent::new();
        let mut expected = expected.into_iter();
        while let Some((request, respond)) = handle.next_request().await {
            let (head, body) = request.into_parts();
            let body = body.collect().await.unwrap().to_bytes();
            let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
            let line = format!("{} {}", head.method, head.uri);
            if line.contains("/apis/events.k8s.io/") {
                respond.send_response(
                    Response::builder().status(201).body(Body::from(body.to_string().into_bytes())).unwrap(),
                );
                continue;
            }
            let next = expected.next().unwrap_or_else(|| panic!("nothing more was expected, got {line}"));
            let path = line.split('?').next().unwrap_or_default();
            assert_eq!(path, next.request, "the next request");
            sent.push((line, body));
            let answer = Body::from(next.answer.to_string().into_bytes());
            respond.send_response(Response::builder().status(next.status).body(answer).unwrap());
        }
        assert!(expected.next().is_none(), "more requests were expected");
        sent
    });
    (Client::new(service, "default"), server)
}

/// A broker in memory that does what the admin API promises.
#[derive(Default)]
pub(crate) struct FakeBroker {
    pub(crate) topics: Mutex<BTreeMap<String, Topic>>,
    pub(crate) groups: Mutex<BTreeMap<String, ConsumerGroup>>,
    pub(crate) calls: Mutex<Vec<String>>,
    pub(crate) down: bool,
}

impl FakeBroker {
    pub(crate) fn with_topics(topics: impl IntoIterator<Item = Topic>) -> Self {
        let broker = Self::default();
        broker.topics.lock().extend(topics.into_iter().map(|topic| (topic.name.clone(), topic)));
        broker
    }

    fn called(&self, call: String) -> Result<(), BrokerError> {
        self.calls.lock().push(call);
        if self.down { Err(BrokerError { message: "broker is down".to_owned() }) } else { Ok(()) }
    }
}

fn put<T: Clone + PartialEq>(map: &mut BTreeMap<String, T>, name: &str, item: &T) -> Outcome {
    let change = match map.insert(name.to_owned(), item.clone()) {
        None => Change::Created,
        Some(old) if old == *item => Change::Unchanged,
        Some(_) => Change::Changed,
    };
    Outcome { name: name.to_owned(), result: Ok(change) }
}

impl BrokerAdmin for FakeBroker {
    async fn broker(&self, _: &Endpoint) -> Result<GetBrokerResponse, BrokerError> {
        self.called("broker".to_owned())?;
        Ok(GetBrokerResponse { state: "serving".to_owned(), ..GetBrokerResponse::default() })
    }

    async fn topics(&self, _: &Endpoint) -> Result<Vec<Topic>, BrokerError> {
        self.called("topics".to_owned())?;
        Ok(self.topics.lock().values().cloned().collect())
    }

    async fn apply_topics(&self, _: &Endpoint, topics: Vec<Topic>) -> Result<Vec<Outcome>, BrokerError> {
        self.called(format!("apply {} topics", topics.len()))?;
        let mut held = self.topics.lock();
        Ok(topics.iter().map(|topic| put(&mut held, &topic.name, topic)).collect())
    }

    async fn delete_topic(&self, _: &Endpoint, name: &str, owner: &str) -> Result<Vec<Outcome>, BrokerError> {
        self.called(format!("delete {name} of {owner}"))?;
        self.topics.lock().remove(name);
        Ok(vec![Outcome { name: name.to_owned(), result: Ok(Change::Deleted) }])
    }

    async fn consumer_groups(&self, _: &Endpoint) -> Result<Vec<ConsumerGroup>, BrokerError> {
        self.called("groups".to_owned())?;
        Ok(self.groups.lock().values().cloned().collect())
    }

    async fn apply_consumer_groups(
        &self,
        _: &Endpoint,
        groups: Vec<ConsumerGroup>,
    ) -> Result<Vec<Outcome>, BrokerError> {
        self.called(format!("apply {} groups", groups.len()))?;
        let mut held = self.groups.lock();
        Ok(groups.iter().map(|group| put(&mut held, &group.name, group)).collect())
    }

    async fn delete_consumer_group(
        &self,
        _: &Endpoint,
        name: &str,
        owner: &str,
    ) -> Result<Vec<Outcome>, BrokerError> {
        self.called(format!("delete {name} of {owner}"))?;
        self.groups.lock().remove(name);
        Ok(vec![Outcome { name: name.to_owned(), result: Ok(Change::Deleted) }])
    }

    async fn consumer_group(
        &self,
        _: &Endpoint,
        name: &str,
    ) -> Result<DescribeConsumerGroupResponse, BrokerError> {
        self.called(format!("describe {name}"))?;
        let queue = |topic: &str, lag| GroupProgress {
            topic: topic.to_owned(),
            lag,
            in_flight: 1,
            ..GroupProgress::default()
        };
        Ok(DescribeConsumerGroupResponse {
            progress: vec![queue("a", 5), queue("a", 7), queue("b", 0)],
            ..DescribeConsumerGroupResponse::default()
        })
    }
}
