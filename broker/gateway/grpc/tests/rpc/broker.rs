//! A broker without a network.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine::catalog::{
    Adopt, ApplyOutcome, Backoff, Broadcast, ConsumeFrom, ConsumerGroupSpec, PriorityPolicy, RetryPolicy,
    TopicSpec, TopicType,
};
use engine::group::{Group, GroupConfig, TransactionChecks};
use engine::mailbox::Mailbox;
use engine::writer::{Step, Writer};
use gateway_grpc::call::{Call, Unanswered};
use gateway_grpc::gateway::{Gateway, GatewayConfig};
use gateway_grpc::handout::Handout;
use gateway_grpc::leader::Leadership;
use gateway_grpc::method::Method;
use parking_lot::Mutex;
use prost::Message;
use store::disk::sim::SimDisk;
use store::log::{Flush, LogConfig, Retention};
use wire::v2::{self, Code, receive_message_response::Content};

/// When tests begin, in milliseconds since 1970.
pub(crate) const START_MS: u64 = 1_763_000_000_000;

/// A gateway, its group and the log's writer.
pub(crate) struct Broker {
    pub(crate) leadership: Arc<Leadership>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) group: Arc<Group>,
    pub(crate) disk: SimDisk,
    pub(crate) mailbox: Arc<Mailbox>,
    writer: Mutex<Writer>,
    clock: Arc<dyn Fn() -> u64 + Send + Sync>,
}

/// What a receive brought.
pub(crate) struct Received {
    pub(crate) status: v2::Status,
    pub(crate) messages: Vec<v2::Message>,
    pub(crate) handout: Handout,
}

impl Broker {
    /// A broker with topic `orders` of 4 queues and group `billing` of 3 attempts.
    pub(crate) async fn start() -> Self {
        Self::start_with(GatewayConfig::default(), 64 << 20).await
    }

    pub(crate) async fn start_with(config: GatewayConfig, inbox_bytes_max: u64) -> Self {
        let began = tokio::time::Instant::now();
        let clock: Arc<dyn Fn() -> u64 + Send + Sync> =
            Arc::new(move || START_MS + began.elapsed().as_millis() as u64);
        let disk = SimDisk::new(7);
        let group_config = GroupConfig {
            log: LogConfig { segment_bytes: 8 << 20, flush: Flush::Async, new_id: Some([7; 16]) },
            retention: Retention { max_age_ms: u64::MAX, max_bytes: None }.into(),
            inbox_bytes_max,
            batch_bytes_max: 4 << 20,
            cached_bytes: 0,
            checks: TransactionChecks::default().into(),
        };
        let (group, mut writer) = Group::open(Arc::new(disk.clone()), group_config, clock()).unwrap();
        writer.lead_alone(clock()).unwrap();
        let leadership = Leadership::always(config, Arc::clone(&group), Arc::clone(&clock));
        let gateway = leadership.gateway().unwrap();
        let broker = Self {
            leadership,
            gateway,
            group,
            disk,
            mailbox: Mailbox::new(),
            writer: Mutex::new(writer),
            clock,
        };
        broker.topic("orders", 4).await;
        broker.consumer_group("billing", 3).await;
        broker
    }

    pub(crate) fn now_ms(&self) -> u64 {
        (self.clock)()
    }

    /// Runs a future; whenever it waits, the log's work is done, and when there is none, time passes.
    pub(crate) async fn drive<F: Future>(&self, future: F) -> F::Output {
        let mut future = pin!(future);
        std::future::poll_fn(|context| {
            loop {
                if let Poll::Ready(output) = future.as_mut().poll(context) {
                    return Poll::Ready(output);
                }
                // A log that has ended answers whoever waits for it.
                if !matches!(self.writer.lock().step(self.now_ms()), Ok(Step::Wrote)) {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Writes what waits.
    pub(crate) fn write(&self) {
        while self.writer.lock().step(self.now_ms()).unwrap() == Step::Wrote {}
    }

    /// Leads no more, for good.
    pub(crate) fn close(&self) {
        self.writer.lock().close();
    }

    /// From now on nothing is committed: the other copies have to agree, and there are none.
    pub(crate) fn wait_for_copies(&self) {
        self.writer.lock().set_solo(false).unwrap();
    }

    /// Lets time pass as it does in a running broker: with a sweep and the log's work every second.
    pub(crate) async fn pass(&self, ms: u64) {
        let until_ms = self.now_ms() + ms;
        while self.now_ms() < until_ms {
            tokio::time::advance(Duration::from_millis(1000.min(until_ms - self.now_ms()))).await;
            self.gateway.sweep();
            self.write();
        }
    }

    pub(crate) async fn topic(&self, name: &str, queues: u32) {
        self.topic_of(name, TopicType::Normal, queues).await;
    }

    pub(crate) async fn topic_of(&self, name: &str, topic_type: TopicType, queues: u32) {
        let spec = TopicSpec { name: name.into(), topic_type, queues, ..TopicSpec::default() };
        let (outcomes, ticket) = self.group.apply_topics(&[spec], Adopt::Always, &self.mailbox).unwrap();
        assert_eq!(outcomes, [ApplyOutcome::Created]);
        self.drive(ticket.unwrap()).await.unwrap();
    }

    pub(crate) async fn consumer_group(&self, name: &str, max_attempts: u32) {
        self.group_of(name, max_attempts, false).await;
    }

    pub(crate) async fn group_of(&self, name: &str, max_attempts: u32, ordered: bool) {
        let backoff = Backoff::Custom(vec![1000, 5000]);
        let spec = ConsumerGroupSpec {
            name: name.into(),
            ordered,
            priority: PriorityPolicy::Strict,
            retry: RetryPolicy { max_attempts, backoff },
            trace: false,
            consume_from: ConsumeFrom::Earliest,
            reset: None,
            broadcast: Broadcast::No,
            owner: String::new(),
        };
        let (outcomes, ticket) =
            self.group.apply_consumer_groups(&[spec], Adopt::Always, &self.mailbox).unwrap();
        assert_eq!(outcomes, [ApplyOutcome::Created]);
        self.drive(ticket.unwrap()).await.unwrap();
    }

    /// A call of client `a`, on its only connection.
    pub(crate) fn call(&self) -> Call {
        let headers = [
            ("x-mq-client-id", "a"),
            ("x-mq-language", "JAVA"),
            ("x-mq-client-version", "5.2.0"),
            ("grpc-timeout", "60S"),
        ];
        let headers = headers.map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()));
        Call {
            headers: headers.into_iter().collect(),
            authority: Some("broker.example:8081".parse().unwrap()),
            remote: "10.0.0.1:40000".parse().unwrap(),
            connection: Arc::default(),
            arrived_ms: self.now_ms(),
            mailbox: Arc::clone(&self.mailbox),
        }
    }

    /// As `call`, with another value in one header.
    pub(crate) fn call_with(&self, header: &'static str, value: &str) -> Call {
        let mut call = self.call();
        call.headers.insert(header, value.parse().unwrap());
        call
    }

    pub(crate) async fn send(&self, messages: Vec<v2::Message>) -> v2::SendMessageResponse {
        let request = v2::SendMessageRequest { messages };
        self.send_raw(&self.call(), request.encode_to_vec().into()).await.unwrap()
    }

    pub(crate) async fn send_raw(
        &self,
        call: &Call,
        request: Bytes,
    ) -> Result<v2::SendMessageResponse, Unanswered> {
        let mut out = BytesMut::new();
        self.drive(self.gateway.send_message(call, request, &mut out)).await?;
        Ok(only(&out))
    }

    /// Sends messages that must be stored; returns their offsets.
    pub(crate) async fn send_ok(&self, messages: Vec<v2::Message>) -> Vec<i64> {
        let reply = self.send(messages).await;
        assert_eq!(code_of(reply.status.as_ref()), Code::Ok, "{reply:?}");
        reply.entries.iter().map(|entry| entry.offset).collect()
    }

    pub(crate) async fn receive(&self, request: v2::ReceiveMessageRequest) -> Received {
        self.receive_as(&self.call(), request).await
    }

    pub(crate) async fn receive_as(&self, call: &Call, request: v2::ReceiveMessageRequest) -> Received {
        let mut out = BytesMut::new();
        let request = request.encode_to_vec().into();
        let handout = self.drive(self.gateway.receive_message(call, request, &mut out)).await.unwrap();
        let mut replies =
            frames::<v2::ReceiveMessageResponse>(&out).into_iter().map(|reply| reply.content.unwrap());
        let Some(Content::Status(status)) = replies.next() else { panic!("a reply begins with its status") };
        let mut messages = Vec::new();
        let mut time = None;
        for content in replies {
            assert!(time.is_none(), "nothing comes after the time");
            match content {
                Content::Message(message) => messages.push(message),
                Content::DeliveryTimestamp(at) => time = Some(at),
                Content::Status(status) => panic!("a second status: {status:?}"),
            }
        }
        assert!(time.is_some(), "a reply ends with the time");
        Received { status, messages, handout }
    }

    /// Receives messages and keeps them.
    pub(crate) async fn take(&self, request: v2::ReceiveMessageRequest) -> Vec<v2::Message> {
        let received = self.receive(request).await;
        received.handout.delivered();
        received.messages
    }

    pub(crate) async fn ack(&self, group: &str, handles: &[&str]) -> v2::AckMessageResponse {
        let entry = |handle: &&str| v2::AckMessageEntry {
            message_id: "id".into(),
            receipt_handle: (*handle).into(),
            lite_topic: None,
        };
        let request = v2::AckMessageRequest {
            group: resource(group),
            topic: resource("orders"),
            entries: handles.iter().map(entry).collect(),
        };
        let mut out = BytesMut::new();
        self.drive(self.gateway.ack_message(&self.call(), request.encode_to_vec().into(), &mut out))
            .await
            .unwrap();
        only(&out)
    }

    pub(crate) async fn unary<Q: Message, R: Message + Default>(&self, method: Method, request: Q) -> R {
        self.unary_as(&self.call(), method, request).await
    }

    pub(crate) async fn unary_as<Q: Message, R: Message + Default>(
        &self,
        call: &Call,
        method: Method,
        request: Q,
    ) -> R {
        let mut out = BytesMut::new();
        let request = request.encode_to_vec().into();
        self.drive(self.gateway.unary(method, call, request, &mut out)).await.unwrap();
        only(&out)
    }

    /// Messages of `orders` that `billing` has not done.
    pub(crate) fn lag(&self) -> u64 {
        let group = self.group.consumer_group("billing").unwrap();
        let progress = self.group.progress(&group);
        progress.iter().filter(|progress| progress.topic == "orders").map(|progress| progress.lag).sum()
    }
}

pub(crate) fn resource(name: &str) -> Option<v2::Resource> {
    Some(v2::Resource { resource_namespace: String::new(), name: name.into() })
}

/// A message for `orders` that breaks no rule.
pub(crate) fn message(id: &str) -> v2::Message {
    let system = v2::SystemProperties { message_id: id.into(), ..Default::default() };
    v2::Message {
        topic: resource("orders"),
        user_properties: [("colour".to_owned(), "blue".to_owned())].into(),
        system_properties: Some(system),
        body: format!("body of {id}").into(),
    }
}

pub(crate) fn system(message: &v2::Message) -> &v2::SystemProperties {
    message.system_properties.as_ref().unwrap()
}

pub(crate) fn handle(message: &v2::Message) -> &str {
    system(message).receipt_handle.as_deref().unwrap()
}

pub(crate) fn ids(messages: &[v2::Message]) -> Vec<&str> {
    let mut ids: Vec<_> = messages.iter().map(|message| system(message).message_id.as_str()).collect();
    ids.sort_unstable();
    ids
}

pub(crate) fn duration(ms: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds: ms / 1000, nanos: (ms % 1000 * 1_000_000) as i32 })
}

/// A simple consumer's receive: all of `orders` for `billing`, hidden for 10 s, waiting 5 s.
pub(crate) fn simple() -> v2::ReceiveMessageRequest {
    v2::ReceiveMessageRequest {
        group: resource("billing"),
        message_queue: Some(v2::MessageQueue { topic: resource("orders"), ..Default::default() }),
        filter_expression: None,
        batch_size: 32,
        invisible_duration: duration(10_000),
        auto_renew: false,
        long_polling_timeout: duration(5000),
        attempt_id: None,
    }
}

pub(crate) fn tagged(expression: &str) -> v2::ReceiveMessageRequest {
    let filter = v2::FilterExpression { r#type: v2::FilterType::Tag.into(), expression: expression.into() };
    v2::ReceiveMessageRequest { filter_expression: Some(filter), ..simple() }
}

/// A push consumer's receive.
pub(crate) fn push() -> v2::ReceiveMessageRequest {
    v2::ReceiveMessageRequest { invisible_duration: None, auto_renew: true, ..simple() }
}

pub(crate) fn code_of(status: Option<&v2::Status>) -> Code {
    Code::try_from(status.unwrap().code).unwrap()
}

/// The messages of length-prefixed frames, which must be whole.
pub(crate) fn frames<R: Message + Default>(out: &[u8]) -> Vec<R> {
    let mut rest = out;
    let mut frames = Vec::new();
    while let [compressed, a, b, c, d, tail @ ..] = rest {
        assert_eq!(*compressed, 0);
        let (frame, next) = tail.split_at(u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        frames.push(R::decode(frame).unwrap());
        rest = next;
    }
    assert!(rest.is_empty());
    frames
}

pub(crate) fn only<R: Message + Default>(out: &[u8]) -> R {
    let mut frames = frames(out);
    assert_eq!(frames.len(), 1);
    frames.pop().unwrap()
}
