//! Single clients: `PrintThreadStackTrace`, `VerifyMessage` and `GetConsumerRunningInfo`.
//!
//! | what is wrong | code |
//! |---|---|
//! | no such consumer group | `CONSUMER_GROUP_NOT_FOUND` |
//! | the client is not known, of another group, or without an open telemetry stream; or it left before it answered | `NOT_FOUND` |
//! | it does not read its stream, or others wait for too many answers | `TOO_MANY_REQUESTS` |
//! | it does not answer in time: some SDKs never do | `PROXY_TIMEOUT` |
//!
//! What a client answers is passed on, its code included. A message that is verified is shown to the client; nothing is
//! leased or done.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::mpsc::error::TrySendError;
use wire::frame;
use wire::v2::telemetry_command::Command;
use wire::v2::{self, Code, MessageQueueItem, ProcessQueueInfo};
use wire::validate::Shown;

use super::questions::{Answer, Told};
use super::subscriptions::{Member, client_info, whole};
use super::{allow, named};
use crate::authorize::{Action, Resource};
use crate::call::Call;
use crate::gateway::{Gateway, name_of};
use crate::refusal::{Failure, Refusal, ok};

/// As long as the reference server waits, ...
const ANSWER_MS_MAX: u64 = 5000;
/// ... or until so long before the caller's deadline.
const RESERVE_MS: u64 = 200;

impl Gateway {
    pub(super) async fn stack_trace(
        &self,
        call: &Call,
        asked: &v2::PrintThreadStackTraceRequest,
    ) -> Result<v2::PrintThreadStackTraceResponse, Refusal> {
        self.deployed(asked.deployment_name.as_ref())?;
        let member = self.member(asked.group.as_ref(), &asked.client_id, Action::Describe)?;
        let command =
            |nonce| Command::PrintThreadStackTraceCommand(v2::PrintThreadStackTraceCommand { nonce });
        let told = self.told(call, &member, command).await?;
        let trace = match told.answer {
            Answer::Trace(trace) => trace,
            Answer::Verdict | Answer::Echo => return Err(misunderstood(&asked.client_id)),
        };
        let status = told.status.unwrap_or_else(ok);
        Ok(v2::PrintThreadStackTraceResponse { status: Some(status), thread_stack_trace: trace })
    }

    pub(super) async fn verify(
        &self,
        call: &Call,
        asked: &v2::VerifyMessageRequest,
    ) -> Result<v2::VerifyMessageResponse, Failure> {
        self.deployed(asked.deployment_name.as_ref())?;
        let member = self.member(asked.group.as_ref(), &asked.client_id, Action::Administer)?;
        let name = name_of(asked.topic.as_ref());
        allow(Action::Describe, Resource::Topic(name))?;
        let topic = self.topic(name)?;
        let message = self.find_message(call, &topic, &asked.message_id).await?;
        let command =
            |nonce| Command::VerifyMessageCommand(v2::VerifyMessageCommand { nonce, message: Some(message) });
        let told = self.told(call, &member, command).await?;
        let status = match told.answer {
            Answer::Verdict => told.status.unwrap_or_else(ok),
            Answer::Echo => told.status.ok_or_else(|| misunderstood(&asked.client_id))?,
            Answer::Trace(_) => return Err(misunderstood(&asked.client_id).into()),
        };
        Ok(v2::VerifyMessageResponse { status: Some(status) })
    }

    /// What the broker knows of a consumer; numbers that only the client has are 0.
    pub(super) fn running_info(
        &self,
        asked: &v2::GetConsumerRunningInfoRequest,
    ) -> Result<v2::GetConsumerRunningInfoResponse, Refusal> {
        self.deployed(asked.deployment_name.as_ref())?;
        let member = self.member(asked.group.as_ref(), &asked.client_id, Action::Describe)?;
        let name = name_of(asked.group.as_ref());
        let group = self.consumer_group(name)?;
        let profile = &member.profile;
        let read = profile.reads.iter();
        let subscriptions: HashMap<_, _> =
            read.map(|read| (read.topic.clone(), whole(read.expression.as_ref()))).collect();
        let topics: BTreeSet<&str> = profile.reads.iter().map(|read| read.topic.as_str()).collect();
        let mut message_queue_table = Vec::new();
        for topic in topics.into_iter().filter_map(|name| self.group.topic(name)) {
            for backlog in self.group.backlog(&topic, &group, self.now_ms()) {
                let item = MessageQueueItem {
                    message_queue: Some(self.message_queue(&topic.spec.name, backlog.queue)),
                    process_queue_info: Some(ProcessQueueInfo {
                        commit_offset: backlog.floor.0.cast_signed(),
                        cached_msg_min_offset: backlog.floor.0.cast_signed(),
                        cached_msg_max_offset: backlog.next.0.saturating_sub(1).cast_signed(),
                        cached_msg_count: i32::try_from(backlog.in_flight).unwrap_or(i32::MAX),
                        ..Default::default()
                    }),
                };
                message_queue_table.push(item);
            }
        }
        let info = v2::ConsumerRunningInfo {
            properties: properties(&member),
            subscriptions,
            message_queue_table,
            consume_status_table: HashMap::new(),
        };
        Ok(v2::GetConsumerRunningInfoResponse { status: Some(ok()), consumer_running_info: Some(info) })
    }

    /// A client of a consumer group; of a group that is not named, whatever client has that id.
    fn member(
        &self,
        group: Option<&v2::Resource>,
        client_id: &str,
        action: Action,
    ) -> Result<Member, Refusal> {
        let group = named(group);
        allow(action, group.map_or(Resource::Broker, Resource::ConsumerGroup))?;
        if let Some(name) = group {
            self.consumer_group(name)?;
        }
        let found =
            self.sessions.find(client_id).map(|session| Member { profile: session.profile(), session });
        found
            .filter(|member| group.is_none_or(|name| member.profile.group.as_deref() == Some(name)))
            .ok_or_else(|| {
                let of = group.map_or_else(String::new, |name| format!(" of consumer group `{name}`"));
                Refusal::new(Code::NotFound, format!("client `{}`{of} is not known", Shown::from(client_id)))
            })
    }

    /// Asks a client and waits for its answer.
    async fn told(
        &self,
        call: &Call,
        member: &Member,
        command: impl FnOnce(String) -> Command,
    ) -> Result<Told, Refusal> {
        let client = Shown::from(&*member.session.client_id);
        let gone = |what: &str| Refusal::new(Code::NotFound, format!("client `{client}` {what}"));
        let Some(stream) = &member.profile.stream else { return Err(gone("has no open telemetry stream")) };
        let mut answered = self.questions.ask(stream.number)?;
        let mut framed = BytesMut::new();
        let question = v2::TelemetryCommand { status: Some(ok()), command: Some(command(answered.nonce())) };
        frame::put(&mut framed, &question);
        stream.outbox.try_send(framed.freeze()).map_err(|error| match error {
            TrySendError::Closed(_) => gone("has no open telemetry stream"),
            TrySendError::Full(_) => Refusal::new(
                Code::TooManyRequests,
                format!("client `{client}` does not read its telemetry stream"),
            ),
        })?;
        let now_ms = self.now_ms();
        let left_ms =
            call.deadline_ms().map_or(ANSWER_MS_MAX, |at_ms| at_ms.saturating_sub(now_ms + RESERVE_MS));
        let waited_ms = left_ms.min(ANSWER_MS_MAX);
        match tokio::time::timeout(Duration::from_millis(waited_ms), answered.told()).await {
            Ok(Some(told)) => Ok(told),
            Ok(None) => Err(gone("left before it answered")),
            Err(_) => {
                let text = format!("client `{client}` did not answer within {waited_ms} ms");
                Err(Refusal::new(Code::ProxyTimeout, text))
            }
        }
    }
}

fn misunderstood(client_id: &str) -> Refusal {
    let text = format!("client `{}` answered something that was not asked", Shown::from(client_id));
    Refusal::new(Code::Unsupported, text)
}

fn properties(member: &Member) -> HashMap<String, String> {
    let v2::ClientInfo { client_id, version, language, hostname, .. } = client_info(member);
    let profile = &member.profile;
    let stream = if profile.stream.is_some() { "open" } else { "none" };
    let properties = [
        ("client_id", client_id),
        ("client_type", profile.client_type.as_str_name().to_owned()),
        ("language", language),
        ("version", version),
        ("hostname", hostname),
        ("remote", profile.remote.to_string()),
        ("request_timeout_ms", profile.request_timeout_ms.to_string()),
        ("last_seen_ms", member.session.seen_ms().to_string()),
        ("telemetry_stream", stream.to_owned()),
    ];
    properties.map(|(key, value)| (key.to_owned(), value)).into()
}
