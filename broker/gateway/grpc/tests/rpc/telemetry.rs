use bytes::Bytes;
use futures::{Stream, StreamExt};
use gateway_grpc::call::{Call, GrpcError};
use prost::Message;
use tokio::sync::mpsc;
use wire::v2::{
    self, ClientType, Code, retry_policy::Strategy, settings::PubSub, telemetry_command::Command,
};

use crate::broker::{Broker, code_of, duration, only, resource};

/// An open stream: what the client sends, and what it gets.
pub(crate) struct Telemetry {
    send: mpsc::UnboundedSender<Bytes>,
    receive: std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, GrpcError>>>>,
}

impl Telemetry {
    pub(crate) fn new(broker: &Broker, call: &Call) -> Self {
        let (send, mut inbound) = mpsc::unbounded_channel();
        let inbound =
            futures::stream::poll_fn(move |context| inbound.poll_recv(context).map(|m| m.map(Ok::<_, ()>)));
        Self { send, receive: Box::pin(broker.gateway.telemetry(call.clone(), inbound)) }
    }

    fn write(&self, command: Command) {
        self.answer(None, command);
    }

    /// A command with a status beside it.
    pub(crate) fn answer(&self, status: Option<v2::Status>, command: Command) {
        let command = v2::TelemetryCommand { status, command: Some(command) };
        self.send.send(command.encode_to_vec().into()).unwrap();
    }

    pub(crate) async fn next(&mut self) -> Option<Result<v2::TelemetryCommand, GrpcError>> {
        self.receive.next().await.map(|frame| frame.map(|frame| only(&frame)))
    }

    pub(crate) async fn settle(&mut self, settings: v2::Settings) -> Result<v2::Settings, GrpcError> {
        self.write(Command::Settings(settings));
        let reply = self.next().await.expect("settings are answered")?;
        assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
        let Some(Command::Settings(settings)) = reply.command else { panic!("{reply:?}") };
        Ok(settings)
    }
}

/// A stream whose settings are settled.
pub(crate) async fn open(broker: &Broker, call: &Call, settings: v2::Settings) -> Telemetry {
    let mut stream = Telemetry::new(broker, call);
    stream.settle(settings).await.unwrap();
    stream
}

fn settings(client_type: ClientType, pub_sub: PubSub) -> v2::Settings {
    v2::Settings {
        client_type: Some(client_type.into()),
        access_point: Some(v2::Endpoints {
            scheme: 1,
            addresses: vec![v2::Address { host: "10.9.8.7".into(), port: 1 }],
        }),
        backoff_policy: None,
        request_timeout: duration(4000),
        user_agent: Some(v2::Ua { version: "5.2.0".into(), ..Default::default() }),
        metric: None,
        pub_sub: Some(pub_sub),
        client_properties: [("p".to_owned(), "v".to_owned())].into(),
    }
}

pub(crate) fn producer(topics: &[&str]) -> v2::Settings {
    let namespaced = |name: &&str| v2::Resource { resource_namespace: "ns".into(), name: (*name).into() };
    let topics = topics.iter().map(namespaced).collect();
    settings(ClientType::Producer, PubSub::Publishing(v2::Publishing { topics, ..Default::default() }))
}

pub(crate) fn consumer(client_type: ClientType) -> v2::Settings {
    let entry = v2::SubscriptionEntry { topic: resource("orders"), expression: None };
    let subscription =
        v2::Subscription { group: resource("billing"), subscriptions: vec![entry], ..Default::default() };
    settings(client_type, PubSub::Subscription(subscription))
}

#[tokio::test(start_paused = true)]
async fn a_producer_gets_its_settings_back_with_the_brokers_word_on_bodies_and_retries() {
    let broker = Broker::start().await;
    let asked = producer(&["orders"]);
    let mut told = Telemetry::new(&broker, &broker.call()).settle(asked.clone()).await.unwrap();
    let Some(PubSub::Publishing(publishing)) = &mut told.pub_sub else { panic!("{told:?}") };
    assert_eq!((publishing.max_body_size, publishing.validate_message_type), (4_194_304, true));
    assert_eq!(publishing.topics[0].resource_namespace, "ns");
    let backoff = told.backoff_policy.take().unwrap();
    let exponential = v2::ExponentialBackoff { initial: duration(10), max: duration(1000), multiplier: 2.0 };
    assert_eq!(
        (backoff.max_attempts, backoff.strategy),
        (3, Some(Strategy::ExponentialBackoff(exponential)))
    );
    assert_eq!(told.metric.take(), Some(v2::Metric { on: false, endpoints: None }));
    told.pub_sub.clone_from(&asked.pub_sub);
    assert_eq!(told, asked, "everything else comes back as it was");
}

#[tokio::test(start_paused = true)]
async fn both_kinds_of_consumers_get_their_groups_retries_and_the_brokers_limits() {
    let broker = Broker::start().await;
    for client_type in [ClientType::PushConsumer, ClientType::SimpleConsumer] {
        let told = Telemetry::new(&broker, &broker.call()).settle(consumer(client_type)).await.unwrap();
        let Some(PubSub::Subscription(subscription)) = &told.pub_sub else { panic!("{told:?}") };
        assert_eq!((subscription.fifo, subscription.receive_batch_size), (Some(false), Some(32)));
        assert_eq!(subscription.long_polling_timeout, duration(20_000));
        assert_eq!(
            (subscription.lite_subscription_quota, subscription.max_lite_topic_size),
            (Some(2000), Some(64))
        );
        let backoff = told.backoff_policy.unwrap();
        let times = vec![duration(1000).unwrap(), duration(5000).unwrap()];
        let customized = v2::CustomizedBackoff { next: times };
        assert_eq!(
            (backoff.max_attempts, backoff.strategy),
            (3, Some(Strategy::CustomizedBackoff(customized)))
        );
    }
}

#[tokio::test(start_paused = true)]
async fn settings_that_break_a_rule_end_the_stream_as_invalid_argument() {
    let broker = Broker::start().await;
    let mut unknown = consumer(ClientType::PushConsumer);
    let Some(PubSub::Subscription(subscription)) = &mut unknown.pub_sub else { unreachable!() };
    subscription.group = resource("none");
    let cases = [
        (v2::Settings { pub_sub: None, ..producer(&[]) }, "neither publishing nor subscription"),
        (producer(&["a b"]), "a b"),
        (unknown, "consumer group `none` does not exist"),
        (consumer(ClientType::LitePushConsumer), "LITE_PUSH_CONSUMER"),
        (consumer(ClientType::LiteSimpleConsumer), "LITE_SIMPLE_CONSUMER"),
    ];
    for (settings, names) in cases {
        let mut stream = Telemetry::new(&broker, &broker.call());
        let error = stream.settle(settings).await.unwrap_err();
        assert_eq!(error.code, 3);
        assert!(error.message.contains(names), "{error}");
        assert!(stream.next().await.is_none());
    }
    assert!(broker.gateway.clients().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_filter_that_is_none_ends_the_stream_of_a_push_consumer_only() {
    let broker = Broker::start().await;
    for (client_type, is_taken) in [(ClientType::PushConsumer, false), (ClientType::SimpleConsumer, true)] {
        let mut settings = consumer(client_type);
        let Some(PubSub::Subscription(subscription)) = &mut settings.pub_sub else { unreachable!() };
        let filter =
            v2::FilterExpression { r#type: v2::FilterType::Sql.into(), expression: "price > > 10".into() };
        subscription.subscriptions[0].expression = Some(filter);
        let settled = Telemetry::new(&broker, &broker.call()).settle(settings).await;
        assert_eq!(settled.is_ok(), is_taken, "{client_type:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_producer_may_declare_no_topic_and_blank_ones_do_not_count() {
    let broker = Broker::start().await;
    for topics in [&[][..], &["", " "], &["orders", ""]] {
        assert!(Telemetry::new(&broker, &broker.call()).settle(producer(topics)).await.is_ok());
    }
    assert_eq!(broker.gateway.clients()[0].profile().topics, ["orders"]);
}

#[tokio::test(start_paused = true)]
async fn commands_that_need_no_answer_get_none_and_settings_may_come_again() {
    let broker = Broker::start().await;
    let mut stream = Telemetry::new(&broker, &broker.call());
    stream
        .write(Command::VerifyMessageCommand(v2::VerifyMessageCommand { nonce: "1".into(), message: None }));
    stream.write(Command::ThreadStackTrace(v2::ThreadStackTrace {
        nonce: "2".into(),
        thread_stack_trace: None,
    }));
    stream.send.send(Bytes::new()).unwrap();
    // A command of a later protocol: field 99.
    stream.send.send(Bytes::from_static(b"\x9a\x06\x01x")).unwrap();
    for _ in 0..3 {
        stream.settle(producer(&["orders"])).await.unwrap();
    }
    drop(stream.send);
    assert!(stream.receive.next().await.is_none(), "when the client ends its side, so does the broker");
}

#[tokio::test(start_paused = true)]
async fn noise_on_a_stream_ends_it_as_invalid_argument() {
    let broker = Broker::start().await;
    let mut stream = Telemetry::new(&broker, &broker.call());
    stream.send.send(Bytes::from_static(b"\x0a\x7f")).unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap_err().code, 3);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_an_older_stream_leaves_the_latest_one_known() {
    let broker = Broker::start().await;
    let older = open(&broker, &broker.call(), consumer(ClientType::PushConsumer)).await;
    let later = open(&broker, &broker.call(), consumer(ClientType::PushConsumer)).await;
    drop(older);
    assert!(broker.gateway.clients()[0].profile().stream.is_some());
    drop(later);
    let client = &broker.gateway.clients()[0];
    assert!(client.profile().stream.is_none() && !client.ended(), "the client may come back");
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_client_id_is_told_so_and_completed() {
    let broker = Broker::start().await;
    let call = broker.call_with("x-mq-client-id", "");
    let mut stream = Telemetry::new(&broker, &call);
    stream.write(Command::Settings(producer(&[])));
    let reply = stream.next().await.unwrap().unwrap();
    assert_eq!(code_of(reply.status.as_ref()), Code::ClientIdRequired);
    assert!(stream.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn the_stream_of_a_client_that_fell_silent_is_complete() {
    let broker = Broker::start().await;
    let mut stream = open(&broker, &broker.call(), producer(&["orders"])).await;
    broker.pass(119_000).await;
    assert!(futures::poll!(Box::pin(stream.next())).is_pending());
    broker.pass(2000).await;
    assert!(stream.next().await.is_none(), "a client that waits for this end would wait for ever");
}
