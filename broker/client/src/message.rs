//! Messages as a program sends and gets them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use crc_fast::CrcAlgorithm;
use wire::digest::DigestForm;
use wire::v2;

use crate::clock::now_ms;
use crate::session::duration;
use crate::transport::Link;

/// A message to send.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Message {
    /// Where it goes.
    pub topic: String,
    /// What it says.
    pub body: Bytes,
    /// What consumers filter by.
    pub tag: Option<String>,
    /// What it can be found by.
    pub keys: Vec<String>,
    /// Whatever the programs agree on.
    pub properties: Vec<(String, String)>,
    /// Messages of one group are in order, in topics of type FIFO.
    pub message_group: Option<String>,
    /// Not delivered before, in milliseconds since 1970, in topics of type DELAY.
    pub delivery_ms: Option<u64>,
    /// A producer is asked about the message if it is undecided for so long, in topics of type TRANSACTION; left out: as the
    /// server likes.
    pub check_after: Option<Duration>,
    /// Higher goes first, from 0 to 9, in topics of type PRIORITY.
    pub priority: Option<u32>,
    /// The trace it was sent in, as the W3C's `traceparent`: brokers that export spans add theirs, and consumers get it as it is.
    pub trace_context: Option<String>,
}

impl Message {
    /// A message with a body only.
    pub fn new(topic: impl Into<String>, body: impl Into<Bytes>) -> Self {
        Self { topic: topic.into(), body: body.into(), ..Self::default() }
    }

    /// Sets the tag.
    #[must_use]
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.tag = Some(tag.into());
        self
    }

    /// Adds a key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Adds a property.
    #[must_use]
    pub fn property(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.properties.push((key.into(), value.into()));
        self
    }

    /// Sets the message group.
    #[must_use]
    pub fn message_group(mut self, group: impl Into<String>) -> Self {
        self.message_group = Some(group.into());
        self
    }

    /// Sets the time of delivery, in milliseconds since 1970.
    #[must_use]
    pub fn delivery_ms(mut self, at_ms: u64) -> Self {
        self.delivery_ms = Some(at_ms);
        self
    }

    /// Sets the time of delivery to so much later than now.
    #[must_use]
    pub fn delay(self, delay: Duration) -> Self {
        self.delivery_ms(now_ms().saturating_add(delay.as_millis() as u64))
    }

    /// Sets how long a transaction may stay undecided before the server asks.
    #[must_use]
    pub fn check_after(mut self, time: Duration) -> Self {
        self.check_after = Some(time);
        self
    }

    /// Sets the priority.
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Sets the trace it belongs to, a W3C `traceparent`.
    #[must_use]
    pub fn trace_context(mut self, context: impl Into<String>) -> Self {
        self.trace_context = Some(context.into());
        self
    }

    fn message_type(&self) -> v2::MessageType {
        if self.delivery_ms.is_some() {
            v2::MessageType::Delay
        } else if self.message_group.is_some() {
            v2::MessageType::Fifo
        } else if self.priority.is_some() {
            v2::MessageType::Priority
        } else {
            v2::MessageType::Normal
        }
    }

    pub(crate) fn into_proto(
        self,
        topic: v2::Resource,
        id: String,
        born_ms: u64,
        born_host: String,
    ) -> v2::Message {
        let message_type = self.message_type();
        v2::Message {
            topic: Some(topic),
            user_properties: self.properties.into_iter().collect(),
            system_properties: Some(v2::SystemProperties {
                tag: self.tag,
                keys: self.keys,
                message_id: id,
                body_encoding: v2::Encoding::Identity.into(),
                message_type: message_type.into(),
                message_group: self.message_group,
                delivery_timestamp: self.delivery_ms.map(timestamp),
                priority: self.priority.map(|priority| i32::try_from(priority).unwrap_or(i32::MAX)),
                born_timestamp: Some(timestamp(born_ms)),
                born_host,
                orphaned_transaction_recovery_duration: self.check_after.map(duration),
                trace_context: self.trace_context,
                ..Default::default()
            }),
            body: self.body,
        }
    }
}

/// A message that was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendReceipt {
    /// Its id.
    pub message_id: String,
    /// Its place in its queue; 0 for one that waits for its time.
    pub offset: i64,
    /// What takes back a message that waits for its time; empty for others.
    pub recall_handle: String,
    /// Names the transaction of a message that waits for a decision; for others the message's id.
    pub transaction_id: String,
}

/// A message that was received: one delivery of it.
#[derive(Clone)]
pub struct Delivered {
    /// Topic it was read from.
    pub topic: String,
    /// Its id, the same in each delivery.
    pub message_id: String,
    /// What it says.
    pub body: Bytes,
    /// Its tag.
    pub tag: Option<String>,
    /// Its keys.
    pub keys: Vec<String>,
    /// Its properties.
    pub properties: HashMap<String, String>,
    /// Its message group.
    pub message_group: Option<String>,
    /// Its priority, as it was sent.
    pub priority: Option<i32>,
    /// When it was sent, in milliseconds since 1970.
    pub born_ms: i64,
    /// Who sent it.
    pub born_host: String,
    /// When it was stored, in milliseconds since 1970.
    pub stored_ms: i64,
    /// Number of its queue.
    pub queue: i32,
    /// Its place in the queue.
    pub offset: i64,
    /// Which delivery this is, from 1.
    pub attempt: i32,
    /// What finishes or prolongs this delivery.
    pub receipt_handle: String,
    /// Topic and id that a dead letter had before.
    pub dead_letter_of: Option<(String, String)>,
    /// The trace it was sent in, a W3C `traceparent`, if its sender put it into the protocol's own field; instrumentations of
    /// other SDKs use a property of that name.
    pub trace_context: Option<String>,
    digest: Option<v2::Digest>,
    pub(crate) link: Arc<Link>,
}

impl Delivered {
    pub(crate) fn from_proto(message: v2::Message, link: &Arc<Link>) -> Self {
        let system = message.system_properties.unwrap_or_default();
        Self {
            topic: message.topic.map(|topic| topic.name).unwrap_or_default(),
            message_id: system.message_id,
            body: message.body,
            tag: system.tag,
            keys: system.keys,
            properties: message.user_properties,
            message_group: system.message_group,
            priority: system.priority,
            born_ms: system.born_timestamp.as_ref().map_or(0, millis),
            born_host: system.born_host,
            stored_ms: system.store_timestamp.as_ref().map_or(0, millis),
            queue: system.queue_id,
            offset: system.queue_offset.unwrap_or_default(),
            attempt: system.delivery_attempt.unwrap_or_default(),
            receipt_handle: system.receipt_handle.unwrap_or_default(),
            dead_letter_of: system.dead_letter_queue.map(|origin| (origin.topic, origin.message_id)),
            trace_context: system.trace_context,
            digest: system.body_digest,
            link: link.clone(),
        }
    }

    /// Whether the body is what the server says it is. Reads all of it.
    pub fn is_intact(&self) -> bool {
        let Some(digest) = &self.digest else { return true };
        match digest.r#type() {
            v2::DigestType::Crc32 => {
                let crc = crc_fast::checksum(CrcAlgorithm::Crc32IsoHdlc, &self.body);
                u64::from_str_radix(&digest.checksum, 16) == Ok(crc)
            }
            v2::DigestType::Md5 => {
                DigestForm::Md5.digest(0, &self.body).as_str().eq_ignore_ascii_case(&digest.checksum)
            }
            v2::DigestType::Unspecified | v2::DigestType::Sha1 => true,
        }
    }
}

impl std::fmt::Debug for Delivered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Delivered")
            .field("topic", &self.topic)
            .field("message_id", &self.message_id)
            .field("queue", &self.queue)
            .field("offset", &self.offset)
            .field("attempt", &self.attempt)
            .field("bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}

pub(crate) fn timestamp(ms: u64) -> prost_types::Timestamp {
    prost_types::Timestamp { seconds: (ms / 1000).cast_signed(), nanos: (ms % 1000 * 1_000_000) as i32 }
}

fn millis(time: &prost_types::Timestamp) -> i64 {
    time.seconds.saturating_mul(1000).saturating_add(i64::from(time.nanos / 1_000_000))
}
