//! `SendMessage`: from a request's bytes to records of the log, and back with their offsets.
//!
//! ```text
//!   request ──split──▶ messages ──scan, validate──▶ Drafts ──Group::send──▶ Ticket ──▶ one entry per message
//! ```
//!
//! Promise: the messages of one request are stored all or none, next to each other; the reply comes after they are as safe
//! as the log's `flush` says. Those that can share a record do, and are answered as if each had its own. Bodies are not copied
//! here, their CRC-32 is computed here.
//!
//! | what happened to the request | code of each entry and of the reply |
//! |---|---|
//! | stored | OK |
//! | too much waits for the log, or too many transactions are open; not stored | `TOO_MANY_REQUESTS`: clients retry with a growing delay |
//! | the disk is full; not stored | `INTERNAL_SERVER_ERROR` |
//! | larger than the log's batches; not stored | `PAYLOAD_TOO_LARGE` |
//! | too few copies are in sync, or messages are to go to another group; not stored | `HA_NOT_AVAILABLE` |
//! | the log or the leadership ended after it was written; stored or not | `MASTER_PERSISTENCE_TIMEOUT` |
//! | leadership ended or is handed over before; not stored | none: the call is steered to the next leader |

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use engine::catalog::Topic;
use engine::inbox::{self, StoreError, SubmitError, Ticket};
use engine::traffic::Sent;
use store::QueueId;
use store::log::{Draft, Encoding, Kind, Placed, crc32};
use wire::stored::{self, Defaults, Scanned, System};
use wire::v2::{self, Code, MessageType};
use wire::{frame, tag, validate};

use crate::authorize::{Action, Principal, Resource, authorize};
use crate::call::{Call, Unanswered};
use crate::gateway::Gateway;
use crate::refusal::{Failure, Refusable, Refusal};
use crate::reply;
use crate::spans::About;
use crate::topic_type::{fits_type, stored_type, type_of};

/// Messages of one request.
const MESSAGES_MAX: usize = 4096;

/// Of the first message of a request, with which the others must agree: the topic, its namespace and its name.
struct Home {
    topic: Arc<Topic>,
    namespace: Bytes,
    name: Bytes,
}

/// A checked request.
struct Prepared {
    topic: Arc<Topic>,
    drafts: Vec<Draft>,
    ids: Vec<Bytes>,
    /// What each is, and the time that is stored with it.
    kinds: Vec<(Kind, u64)>,
    /// Messages and their bytes by type.
    sent: Sent,
    /// What is said about those whose trace is sampled.
    traced: Vec<Arc<About>>,
}

impl Gateway {
    /// Stores the messages of one request; the reply is appended once they are as safe as the log's `flush` says.
    pub async fn send_message(
        &self,
        call: &Call,
        request: Bytes,
        out: &mut BytesMut,
    ) -> Result<(), Unanswered> {
        let begin_ns = self.span_begin_ns();
        let Prepared { topic, drafts, ids, kinds, sent, traced } = match self.prepare(call, &request) {
            Ok(prepared) => prepared,
            Err(failure) => {
                let refusal = failure.refusal()?;
                self.counters.refused(1);
                frame::put(out, &v2::SendMessageResponse::with_status(refusal.status()));
                return Ok(());
            }
        };
        match stored(self.group.send(&topic, drafts, &call.mailbox)).await {
            Ok(placed) => {
                self.tell_sent(call, traced, begin_ns, None);
                self.counters.sent(placed.len(), request.len());
                topic.note_sent(&sent);
                if kinds.iter().all(|(kind, _)| *kind == Kind::Message) {
                    reply::put_stored(out, &ids, &placed);
                } else {
                    frame::put(out, &reply::stored(&ids, &kinds, &placed));
                }
            }
            Err(failure) => {
                let refusal = failure.refusal()?;
                self.tell_sent(call, traced, begin_ns, Some(&refusal));
                self.counters.refused(1);
                frame::put(out, &not_stored(ids.len(), refusal));
            }
        }
        Ok(())
    }

    fn prepare(&self, call: &Call, request: &Bytes) -> Result<Prepared, Failure> {
        call.identified()?;
        let now_ms = self.now_ms();
        let mut heads = BytesMut::new();
        let mut home: Option<Home> = None;
        let mut drafts = Vec::new();
        let (mut ids, mut kinds, mut traced) = (Vec::new(), Vec::new(), Vec::new());
        let mut sent = Sent::default();
        for message in stored::split_messages(request) {
            let message = message?;
            let scanned = stored::scan(&message)?;
            if drafts.len() == MESSAGES_MAX {
                let text = format!("request holds more than {MESSAGES_MAX} messages");
                return Err(Refusal::new(Code::PayloadTooLarge, text).into());
            }
            validate::message(&scanned, &self.config.limits(), now_ms)?;
            let topic = if let Some(home) = &home {
                home.takes(&scanned)?;
                &home.topic
            } else {
                authorize(Principal::Anonymous, Action::Publish, Resource::Topic(scanned.topic))?;
                let part = |text: &str| message.slice_ref(text.as_bytes());
                let (namespace, name) = (part(scanned.namespace), part(scanned.topic));
                let topic = self.topic(scanned.topic)?;
                self.takes(&topic)?;
                &home.insert(Home { topic, namespace, name }).topic
            };
            let message_type = type_of(&scanned.system);
            fits_type(topic, message_type)?;
            fits_together(&scanned, message_type)?;
            ids.push(message.slice_ref(scanned.system.message_id.as_bytes()));
            let draft = self.draft(&message, &scanned, message_type, call, now_ms, &mut heads);
            let draft = Draft { queue: queue_of(topic, message_type, &scanned.system), ..draft };
            kinds.push((draft.kind, draft.due_ms));
            sent.add(stored_type(message_type), message.len());
            drafts.push(draft);
            traced.extend(self.about_sent(&scanned));
        }
        match home {
            Some(Home { topic, .. }) => Ok(Prepared { topic, drafts, ids, kinds, sent, traced }),
            None => Err(Refusal::new(Code::MessageCorrupted, "request holds no message").into()),
        }
    }

    /// Refuses what is for another group: its sender goes by an old route, tries again, and asks for the way again.
    fn takes(&self, topic: &Topic) -> Result<(), Refusal> {
        let (name, group) = (&topic.spec.name, &self.config.group);
        let why = if !topic.is_in(group) {
            format!("topic `{name}` has no queues in group `{group}`; ask for its route again")
        } else if self.config.standing().refuses() {
            format!(
                "group `{group}` is leaving the cluster and takes no message; ask for the route of `{name}` again"
            )
        } else {
            return Ok(());
        };
        Err(Refusal::new(Code::HaNotAvailable, why))
    }

    fn draft(
        &self,
        message: &Bytes,
        scanned: &Scanned<'_>,
        message_type: MessageType,
        call: &Call,
        now_ms: u64,
        heads: &mut BytesMut,
    ) -> Draft {
        let born_host =
            if scanned.system.born_host.is_empty() { call.remote.ip().to_string() } else { String::new() };
        let defaults = Defaults { born_ms: now_ms, born_host: &born_host, message_type: message_type.into() };
        heads.reserve(scanned.head_bytes_max(&defaults));
        scanned.put_head(heads, &defaults);
        let (kind, due_ms) = match message_type {
            MessageType::Transaction => {
                let recovery_ms = scanned.system.recovery_ms.and_then(|ms| u64::try_from(ms).ok());
                let after_ms =
                    recovery_ms.filter(|&ms| ms > 0).unwrap_or_else(|| self.config.check_after_ms.get());
                (Kind::Half, now_ms.saturating_add(after_ms))
            }
            MessageType::Delay => match due_ms(scanned, now_ms) {
                0 => (Kind::Message, 0),
                due_ms => (Kind::Timed, due_ms),
            },
            MessageType::Unspecified
            | MessageType::Normal
            | MessageType::Fifo
            | MessageType::Lite
            | MessageType::Priority => (Kind::Message, 0),
        };
        Draft {
            kind,
            encoding: Encoding::RocketmqV2,
            queue: QueueId::NONE,
            count: 1,
            attempt: 0,
            tag_hash: scanned.system.tag.map_or(0, tag::hash),
            lane: scanned.system.message_group.map_or(0, lane_of),
            due_ms,
            body_crc: crc32(scanned.body),
            head: heads.split().freeze(),
            body: message.slice_ref(scanned.body),
        }
    }
}

/// Waits for a submission and says what became of it.
pub(crate) async fn stored(submitted: Result<Ticket, SubmitError>) -> Result<Vec<Placed>, Failure> {
    let ticket = submitted.map_err(not_taken)?;
    ticket.await.map_err(|error| {
        let code = match error {
            StoreError::DiskFull => Code::InternalServerError,
            StoreError::TooLarge { .. } => Code::PayloadTooLarge,
            StoreError::Unknown => Code::MasterPersistenceTimeout,
            StoreError::NotLeading => return Failure::NotLeading(error.to_string()),
        };
        Refusal::new(code, error.to_string()).into()
    })
}

/// Why the log took nothing.
pub(crate) fn not_taken(error: SubmitError) -> Failure {
    let code = match error {
        SubmitError::Busy(_) | SubmitError::TooManyTransactions { .. } => Code::TooManyRequests,
        SubmitError::Refused(inbox::Refusal::TooFewCopies { .. }) => Code::HaNotAvailable,
        SubmitError::NotLeading | SubmitError::Refused(inbox::Refusal::HandingOver) => {
            return Failure::NotLeading(error.to_string());
        }
    };
    Refusal::new(code, error.to_string()).into()
}

/// One failed entry per message: clients compare the counts.
fn not_stored(messages: usize, refusal: Refusal) -> v2::SendMessageResponse {
    let status = refusal.status();
    let entry = v2::SendResultEntry { status: Some(status.clone()), ..Default::default() };
    v2::SendMessageResponse { status: Some(status), entries: vec![entry; messages] }
}

/// The reply to a request that nobody looked at any further.
pub(crate) fn none_stored(request: &Bytes, refusal: Refusal) -> v2::SendMessageResponse {
    not_stored(stored::split_messages(request).take(MESSAGES_MAX).count(), refusal)
}

/// The queue of a message with a priority; others get theirs from the engine.
fn queue_of(topic: &Topic, message_type: MessageType, system: &System<'_>) -> QueueId {
    let priority = system.priority.filter(|_| message_type == MessageType::Priority);
    let priority = priority.and_then(|priority| u32::try_from(priority).ok());
    priority.map_or(QueueId::NONE, |priority| topic.queue_of_priority(priority))
}

/// When the message is to be delivered; 0: at once, its time has come.
fn due_ms(scanned: &Scanned<'_>, now_ms: u64) -> u64 {
    let due_ms = scanned.system.delivery_ms.and_then(|ms| u64::try_from(ms).ok());
    due_ms.filter(|&due_ms| due_ms > now_ms).unwrap_or(0)
}

/// A message waits for its time or for a decision, not for both.
fn fits_together(scanned: &Scanned<'_>, message_type: MessageType) -> Result<(), Refusal> {
    if message_type == MessageType::Transaction && scanned.system.delivery_ms.is_some() {
        let text = "a message of a transaction cannot have a delivery time";
        return Err(Refusal::new(Code::MessagePropertyConflictWithType, text));
    }
    Ok(())
}

/// The lane of a message group: it decides the queue and who waits for whom, for as long as the messages are kept.
fn lane_of(message_group: &str) -> u32 {
    crc32(message_group.as_bytes()).max(1)
}

impl Home {
    /// The messages of a request must agree on the topic, namespace included.
    fn takes(&self, scanned: &Scanned<'_>) -> Result<(), Refusal> {
        if scanned.namespace.as_bytes() == self.namespace && scanned.topic.as_bytes() == self.name {
            return Ok(());
        }
        let name = String::from_utf8_lossy(&self.name);
        let (one, other) = (validate::Shown::from(&*name), validate::Shown::from(scanned.topic));
        let text =
            format!("messages of one request are for topics `{one}` and `{other}`, or differ in namespace");
        Err(Refusal::new(Code::MessageCorrupted, text))
    }
}
