//! Telemetry: one stream per client and broker, over which settings are settled.
//!
//! ```text
//!   client: settings ──▶ session learns ──▶ merged settings      (again every few seconds to minutes)
//!   broker: a question of an administrator ──▶ client ──▶ its answer   (`rocketmq_admin`)
//!   client: any other command ──▶ nothing
//!   broker: what became of this transaction? ──▶ client, who answers with `EndTransaction`
//! ```
//!
//! Promise: each settings frame is answered on its stream, which is also what a client waits for to start. A stream that
//! ends takes nothing with it: the session lives on until it falls silent, and a later stream of the same client stays.
//! With a session that fell silent its stream is complete.
//! When this broker no longer leads, the stream ends as gRPC `UNAVAILABLE`: clients open another, to the new leader.
//! Settings that break a rule end the stream as gRPC `INVALID_ARGUMENT`: this is the one call where clients expect that.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt, stream};
use prost::Message;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wire::v2::{self, ClientType, Code, settings::PubSub, telemetry_command::Command};
use wire::{frame, validate};

use crate::authorize::{Action, Principal, Resource, authorize};
use crate::call::{Call, GrpcError};
use crate::filter::Filter;
use crate::gateway::{Gateway, name_of};
use crate::refusal::{Refusal, ok};
use crate::session::{OpenStream, Read, Session};
use crate::settings::{self, millis};

/// Topics of one client that are remembered.
const TOPICS_MAX: usize = 1024;
/// Bytes of a machine's name that are remembered.
const HOSTNAME_BYTES_MAX: usize = 255;
/// Bytes of a filter expression that are remembered, to be shown.
const EXPRESSION_BYTES_MAX: usize = 4096;
/// Frames that may wait for a client to read them.
const OUTBOX_MAX: usize = 64;

/// The serving of a telemetry stream.
struct Serving {
    /// Weak: a client that does not read must not keep a group open that this broker no longer leads.
    gateway: Weak<Gateway>,
    ended: CancellationToken,
    call: Call,
    number: u64,
    session: Option<Arc<Session>>,
    outbox: mpsc::Sender<Bytes>,
    outgoing: mpsc::Receiver<Bytes>,
    silenced: CancellationToken,
}

enum Answer {
    Nothing,
    Frame(Bytes),
    /// A frame, and then the stream is complete.
    Last(Bytes),
    Fail(GrpcError),
}

impl Gateway {
    /// Serves a telemetry stream: message bytes in, frames out.
    pub fn telemetry<S, E>(
        self: &Arc<Self>,
        call: Call,
        inbound: S,
    ) -> impl Stream<Item = Result<Bytes, GrpcError>> + Send + use<S, E>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
        E: Send,
    {
        let number = self.streams.fetch_add(1, Ordering::Relaxed);
        let (gateway, ended) = (Arc::downgrade(self), self.ended.clone());
        let (outbox, outgoing) = mpsc::channel(OUTBOX_MAX);
        let silenced = CancellationToken::new();
        let open = Serving { gateway, ended, call, number, session: None, outbox, outgoing, silenced };
        stream::unfold(Some((open, Box::pin(inbound))), |state| async move {
            let (mut open, mut inbound) = state?;
            loop {
                let next = tokio::select! {
                    next = inbound.next() => next,
                    Some(frame) = open.outgoing.recv() => return Some((Ok(frame), Some((open, inbound)))),
                    () = open.ended.cancelled() => return Some((Err(no_longer()), None)),
                    () = open.silenced.cancelled() => return None,
                };
                // Whether the client ended its side or was cut off: there is nobody left to answer.
                let Some(Ok(bytes)) = next else { return None };
                match open.answer(bytes) {
                    Answer::Nothing => {}
                    Answer::Frame(frame) => return Some((Ok(frame), Some((open, inbound)))),
                    Answer::Last(frame) => return Some((Ok(frame), None)),
                    Answer::Fail(error) => return Some((Err(error), None)),
                }
            }
        })
    }
}

impl Serving {
    fn answer(&mut self, bytes: Bytes) -> Answer {
        if let Err(refusal) = self.call.identified() {
            return Answer::Last(framed(refusal.status(), None));
        }
        let command = match v2::TelemetryCommand::decode(bytes) {
            Ok(command) => command,
            Err(error) => return Answer::Fail(GrpcError::invalid_argument(error.to_string())),
        };
        let Some(gateway) = self.gateway.upgrade() else { return Answer::Fail(no_longer()) };
        if let Some(session) = &self.session {
            session.seen(gateway.now_ms());
        }
        let settings = match command.command {
            Some(Command::Settings(settings)) => settings,
            Some(other) => {
                gateway.questions.answered(self.number, command.status, other);
                return Answer::Nothing;
            }
            None => return Answer::Nothing,
        };
        match self.settle(&gateway, settings) {
            Ok(settings) => Answer::Frame(framed(ok(), Some(settings))),
            Err(refusal) if refusal.code == Code::Unauthorized => {
                Answer::Last(framed(refusal.status(), None))
            }
            Err(refusal) => Answer::Fail(failure(&refusal)),
        }
    }

    fn settle(&mut self, gateway: &Gateway, settings: v2::Settings) -> Result<v2::Settings, Refusal> {
        let client_type = settings.client_type();
        let request_timeout_ms =
            settings.request_timeout.as_ref().and_then(|time| u64::try_from(millis(time)).ok());
        let hostname = settings.user_agent.as_ref().map_or("", |agent| &agent.hostname);
        let hostname = hostname[..hostname.floor_char_boundary(HOSTNAME_BYTES_MAX)].to_owned();
        let mut reads = Vec::new();
        let (group, topics, merged) = match &settings.pub_sub {
            None => {
                return Err(Refusal::new(
                    Code::BadRequest,
                    "settings hold neither publishing nor subscription",
                ));
            }
            Some(PubSub::Publishing(publishing)) => {
                let topics = producer_topics(publishing)?;
                (None, topics, settings::for_producer(settings, gateway.config.body_bytes_max))
            }
            Some(PubSub::Subscription(subscription)) => {
                let (group, topics) = subscribed(subscription, client_type)?;
                reads = reads_of(subscription);
                refuse_lite(client_type, &group)?;
                let spec = gateway.consumer_group(&group)?.spec.clone();
                (Some(group), topics, settings::for_consumer(settings, &spec))
            }
        };
        let now_ms = gateway.now_ms();
        let session = gateway.sessions.touch(&self.call, now_ms)?;
        session.learn(|profile| {
            profile.client_type = client_type;
            profile.group = group;
            profile.topics = topics;
            profile.reads = reads;
            profile.settled_ms = Some(now_ms);
            profile.hostname = hostname;
            self.call.language().clone_into(&mut profile.language);
            self.call.version().clone_into(&mut profile.version);
            profile.remote = self.call.remote;
            let (outbox, silenced) = (self.outbox.clone(), self.silenced.clone());
            profile.stream =
                Some(OpenStream { number: self.number, remote: self.call.remote, outbox, silenced });
            if let Some(timeout_ms) = request_timeout_ms.filter(|timeout_ms| *timeout_ms > 0) {
                profile.request_timeout_ms = timeout_ms;
            }
        });
        self.session = Some(session);
        Ok(merged)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        if let Some(session) = &self.session {
            session.detach(self.number);
        }
        if let Some(gateway) = self.gateway.upgrade() {
            gateway.questions.stream_ended(self.number);
        }
    }
}

/// Topics that a producer declared. None at all is legal, and blank ones, which an old SDK sends, do not count.
fn producer_topics(publishing: &v2::Publishing) -> Result<Vec<String>, Refusal> {
    let names =
        publishing.topics.iter().map(|topic| topic.name.as_str()).filter(|name| !name.trim().is_empty());
    names.map(|name| declared(name, Action::Publish)).take(TOPICS_MAX).collect()
}

/// The group and the topics of a consumer. A filter that is none is an error here only for push consumers, who would not see
/// another: simple ones get a clear answer to each receive, and none of them shows what is wrong with a stream.
fn subscribed(
    subscription: &v2::Subscription,
    client_type: ClientType,
) -> Result<(String, Vec<String>), Refusal> {
    let group = name_of(subscription.group.as_ref());
    authorize(Principal::Anonymous, Action::Subscribe, Resource::ConsumerGroup(group))?;
    for entry in &subscription.subscriptions {
        let filter = Filter::of(entry.expression.as_ref());
        if client_type != ClientType::SimpleConsumer {
            filter?;
        }
    }
    let names = subscription.subscriptions.iter().map(|entry| name_of(entry.topic.as_ref()));
    let topics =
        names.map(|name| declared(name, Action::Subscribe)).take(TOPICS_MAX).collect::<Result<_, _>>()?;
    Ok((group.to_owned(), topics))
}

/// What a consumer says it reads, for those who look at it.
fn reads_of(subscription: &v2::Subscription) -> Vec<Read> {
    let cut = |expression: &v2::FilterExpression| {
        let text = &expression.expression;
        let text = &text[..text.floor_char_boundary(EXPRESSION_BYTES_MAX)];
        v2::FilterExpression { r#type: expression.r#type, expression: text.to_owned() }
    };
    let read = |entry: &v2::SubscriptionEntry| Read {
        topic: name_of(entry.topic.as_ref()).to_owned(),
        expression: entry.expression.as_ref().map(cut),
    };
    subscription.subscriptions.iter().take(TOPICS_MAX).map(read).collect()
}

fn declared(name: &str, action: Action) -> Result<String, Refusal> {
    authorize(Principal::Anonymous, action, Resource::Topic(name))?;
    validate::topic(name)?;
    Ok(name.to_owned())
}

fn refuse_lite(client_type: ClientType, group: &str) -> Result<(), Refusal> {
    match client_type {
        ClientType::LitePushConsumer | ClientType::LiteSimpleConsumer => Err(Refusal::new(
            Code::IllegalConsumerGroup,
            format!("client type {} needs a lite group, `{group}` is none", client_type.as_str_name()),
        )),
        ClientType::Unspecified
        | ClientType::Producer
        | ClientType::PushConsumer
        | ClientType::SimpleConsumer
        | ClientType::PullConsumer => Ok(()),
    }
}

fn no_longer() -> GrpcError {
    GrpcError::unavailable("this broker no longer leads its group")
}

fn failure(refusal: &Refusal) -> GrpcError {
    let text = format!("process client telemetryCommand failed. {refusal}");
    let code = i32::from(refusal.code);
    if (40_000..50_000).contains(&code) {
        GrpcError::invalid_argument(text)
    } else {
        GrpcError::internal(text)
    }
}

fn framed(status: v2::Status, settings: Option<v2::Settings>) -> Bytes {
    let command = v2::TelemetryCommand { status: Some(status), command: settings.map(Command::Settings) };
    let mut out = BytesMut::new();
    frame::put(&mut out, &command);
    out.freeze()
}
