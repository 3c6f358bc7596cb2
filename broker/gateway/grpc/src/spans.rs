//! Spans: what this broker did with messages of sampled traces, kept until somebody exports them.
//!
//! ```text
//!   send, receive, ack, … ──record──▶ waiting (at most 8192) ──take──▶ exporter
//!                              └── no room: dropped, and counted
//! ```
//!
//! A span is a child of the context that its message carries. A message without one, or of a trace that is not sampled, has no
//! span; no trace begins here.
//!
//! Promise: recording never waits, whatever becomes of the exporter.
//! Cost: switched off, one look at a flag per call. Switched on, a look at the head of each message, and for one that is
//! sampled a copy of what is said about it: at most some 2 KiB.
//! Not here: ids of spans, the form they are exported in, and where to (`broker`).

mod handed;
mod tell;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;
use wire::stored::System;
use wire::traceparent::TraceParent;
use wire::v2::MessageType;

pub(crate) use handed::HandedOut;
pub(crate) use tell::OnTheWay;

use crate::topic_type::type_of;

/// Spans that may wait for their export.
pub const WAITING_MAX: usize = 8192;
/// So many are worth an export before its time.
pub const BATCH: usize = 512;
/// Bytes of a text in a span; the rest is cut off.
const TEXT_BYTES_MAX: usize = 256;

/// What a broker did with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Stored it: from the request to the answer, when as many copies have it as shall.
    Send,
    /// Handed it out: from the lease to the last byte of the reply.
    Receive,
    /// Took the word that a consumer is done with it.
    Ack,
    /// Changed when it comes again.
    ChangeInvisibleDuration,
    /// Moved it to the dead letters, because a consumer said so or its attempts were used up.
    DeadLetter,
}

/// What a message says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct About {
    /// Where its spans belong.
    pub context: TraceParent,
    /// The topic that it was sent to, or is read from.
    pub topic: String,
    /// Namespace as the client wrote it; mostly empty.
    pub namespace: String,
    /// The sender's id.
    pub message_id: String,
    /// What consumers filter by.
    pub tag: Option<String>,
    /// What it can be found by; left out if they are many or long.
    pub keys: Vec<String>,
    /// Its message group.
    pub message_group: Option<String>,
    /// Of which kind it is.
    pub message_type: MessageType,
    /// Not to be delivered before, in milliseconds since 1970.
    pub delivery_ms: Option<i64>,
    /// Bytes of its body.
    pub body_bytes: usize,
}

/// One delivery of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handed {
    /// The consumer group; of a pull, as the client called itself.
    pub consumer_group: Arc<str>,
    /// Number of the queue in its topic.
    pub queue: u32,
    /// Its number in the queue.
    pub offset: u64,
    /// Which delivery it is, from 1.
    pub attempt: u32,
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One of few words: the code of the answer.
    pub kind: &'static str,
    /// A sentence.
    pub text: String,
}

/// What was done with one message, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What was done.
    pub operation: Operation,
    /// The message.
    pub about: Arc<About>,
    /// The delivery that it is about; none for a send.
    pub handed: Option<Handed>,
    /// The client that asked for it; empty if the broker did it by itself.
    pub client_id: String,
    /// How long the message had been in its queue when it was handed out, in milliseconds.
    pub queued_ms: Option<u64>,
    /// Nanoseconds since 1970.
    pub begin_ns: u64,
    /// Nanoseconds since 1970.
    pub end_ns: u64,
    /// None if all went well.
    pub fault: Option<Fault>,
}

/// How many spans went which way since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// The collector took them.
    pub exported: u64,
    /// Nobody will see them: there was no room, or the collector did not take them.
    pub dropped: u64,
}

/// The spans that wait for their export; shared by gateways and exporter. Switched off at first.
pub struct Spans {
    is_on: AtomicBool,
    now_ns: Box<dyn Fn() -> u64 + Send + Sync>,
    waiting: Mutex<VecDeque<Span>>,
    filled: Notify,
    exported: AtomicU64,
    dropped: AtomicU64,
}

impl Spans {
    /// None yet; `now_ns` is unix time in nanoseconds.
    pub fn new(now_ns: impl Fn() -> u64 + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            is_on: AtomicBool::new(false),
            now_ns: Box::new(now_ns),
            waiting: Mutex::default(),
            filled: Notify::new(),
            exported: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        })
    }

    /// Whether spans are recorded.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// What was exported and dropped so far.
    pub fn counts(&self) -> Counts {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts { exported: read(&self.exported), dropped: read(&self.dropped) }
    }

    /// Returns once a whole batch waits.
    pub async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Records spans from now on, or no more.
    pub fn switch(&self, is_on: bool) {
        self.is_on.store(is_on, Ordering::Relaxed);
    }

    /// The oldest that wait, `max` at most: the caller says what becomes of them.
    pub fn take(&self, max: usize) -> Vec<Span> {
        let mut waiting = self.waiting.lock();
        let count = waiting.len().min(max);
        waiting.drain(..count).collect()
    }

    /// So many that were taken were exported.
    pub fn note_exported(&self, count: usize) {
        self.exported.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// So many that were taken are lost.
    pub fn note_dropped(&self, count: usize) {
        self.dropped.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Keeps a span for the exporter; without room it is dropped.
    pub fn record(&self, span: Span) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= WAITING_MAX {
            drop(waiting);
            return self.note_dropped(1);
        }
        waiting.push_back(span);
        let is_batch = waiting.len() == BATCH;
        drop(waiting);
        if is_batch {
            self.filled.notify_one();
        }
    }

    pub(crate) fn now_ns(&self) -> u64 {
        (self.now_ns)()
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans").field("is_on", &self.is_on).finish_non_exhaustive()
    }
}

impl About {
    fn new<'a>(
        context: TraceParent,
        (namespace, topic): (&str, &str),
        system: &System<'_>,
        keys: impl Iterator<Item = &'a str>,
        body_bytes: usize,
    ) -> Self {
        let is_short =
            system.key_bytes as usize <= TEXT_BYTES_MAX && system.key_count as usize <= TEXT_BYTES_MAX / 16;
        Self {
            context,
            topic: short(topic),
            namespace: short(namespace),
            message_id: short(system.message_id),
            tag: system.tag.map(short),
            keys: if is_short { keys.map(str::to_owned).collect() } else { Vec::new() },
            message_group: system.message_group.map(short),
            message_type: type_of(system),
            delivery_ms: system.delivery_ms,
            body_bytes,
        }
    }
}

/// The text, or as much of it as a span may have.
fn short(text: &str) -> String {
    text[..text.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
}

#[cfg(test)]
mod tests;
