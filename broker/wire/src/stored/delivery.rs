//! From a stored message to the frame that a consumer receives, or a producer who is asked about it.

use bytes::{BufMut, BytesMut};

use super::head::Head;
use crate::digest::BodyDigest;
use crate::frame;

/// A stored message and what the broker says about this delivery of it.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryParts<'a> {
    /// Topic the message is read from.
    pub topic: &'a str,
    /// Namespace of the topic as the client asked for it; mostly empty.
    pub namespace: &'a str,
    /// The stored head.
    pub head: Head<'a>,
    /// The stored body.
    pub body: &'a [u8],
    /// Digest of the body in the form the client's language expects.
    pub digest: &'a BodyDigest,
    /// Handle of this delivery; none where the message is only shown.
    pub receipt: Option<&'a str>,
    /// Number of the queue within its topic.
    pub queue: u32,
    /// Offset in the queue.
    pub offset: u64,
    /// When the broker stored it, in milliseconds since 1970.
    pub stored_ms: u64,
    /// Address of the broker.
    pub store_host: &'a str,
    /// Which delivery this is, from 1.
    pub attempt: u32,
    /// How long it stays hidden from others.
    pub invisible_ms: Option<u64>,
    /// Where a dead letter came from.
    pub dead_letter: Option<DeadLetter<'a>>,
    /// The transaction that the message was sent in.
    pub transaction_id: Option<&'a str>,
}

/// The origin of a message in a dead letter topic.
#[derive(Debug, Clone, Copy)]
pub struct DeadLetter<'a> {
    /// Topic that the message was sent to.
    pub topic: &'a str,
    /// Id it had there.
    pub message_id: &'a str,
}

/// The user property that tells consumers the transaction; one client's tests want it.
const TRANSACTION_ID_KEY: &str = "__transactionId__";

/// Appends one gRPC frame with a `ReceiveMessageResponse` of this message. Every field is copied once.
pub fn encode_delivery(into: &mut BytesMut, parts: &DeliveryParts<'_>) {
    let lengths = Lengths::of(parts);
    let response = 1 + varint_bytes(lengths.message as u64) + lengths.message;
    into.reserve(frame::PREFIX_BYTES + response);
    frame::put_prefix(into, response);
    let end = into.len() + response;
    put_message(into, 2, parts, &lengths);
    assert_eq!(into.len(), end, "the measured length is the written one");
}

/// Appends one gRPC frame with a `TelemetryCommand` that asks the sender of this message what became of its transaction.
pub fn encode_check(into: &mut BytesMut, parts: &DeliveryParts<'_>, transaction_id: &str) {
    let lengths = Lengths::of(parts);
    let message = 1 + varint_bytes(lengths.message as u64) + lengths.message;
    let command = message + tagged(2, transaction_id.len());
    let frame_bytes = 1 + varint_bytes(command as u64) + command;
    into.reserve(frame::PREFIX_BYTES + frame_bytes);
    frame::put_prefix(into, frame_bytes);
    put_length(into, 5, command);
    put_message(into, 1, parts, &lengths);
    put_bytes(into, 2, transaction_id.as_bytes());
}

/// Lengths come before what they count.
struct Lengths {
    topic: usize,
    system: usize,
    message: usize,
}

impl Lengths {
    fn of(parts: &DeliveryParts<'_>) -> Self {
        let topic = measured(|m| put_topic(m, parts));
        let delta = measured(|m| put_delta(m, parts));
        let system = parts.head.system_bytes().len() + delta;
        let fields = measured(|m| put_fields(m, parts, topic, system));
        Self { topic, system, message: fields + system + tagged(4, parts.body.len()) }
    }
}

/// The message as the field of that number.
fn put_message(into: &mut BytesMut, number: u32, parts: &DeliveryParts<'_>, lengths: &Lengths) {
    put_length(into, number, lengths.message);
    put_fields(into, parts, lengths.topic, lengths.system);
    into.put_slice(parts.head.system_bytes());
    put_delta(into, parts);
    put_bytes(into, 4, parts.body);
}

/// Everything of the message before the content of its system properties.
fn put_fields(into: &mut impl Sink, parts: &DeliveryParts<'_>, topic: usize, system: usize) {
    put_length(into, 1, topic);
    put_topic(into, parts);
    into.bytes(parts.head.user_bytes());
    if let Some(transaction_id) = parts.transaction_id {
        put_length(into, 2, tagged(1, TRANSACTION_ID_KEY.len()) + tagged(2, transaction_id.len()));
        put_bytes(into, 1, TRANSACTION_ID_KEY.as_bytes());
        put_bytes(into, 2, transaction_id.as_bytes());
    }
    put_length(into, 3, system);
}

fn put_topic(into: &mut impl Sink, parts: &DeliveryParts<'_>) {
    put_bytes(into, 1, parts.namespace.as_bytes());
    put_bytes(into, 2, parts.topic.as_bytes());
}

/// The system properties that the server owns.
fn put_delta(into: &mut impl Sink, parts: &DeliveryParts<'_>) {
    put_length(into, 4, measured(|m| put_digest(m, parts.digest)));
    put_digest(into, parts.digest);
    put_time(into, 9, parts.stored_ms);
    put_bytes(into, 10, parts.store_host.as_bytes());
    if let Some(receipt) = parts.receipt {
        put_bytes(into, 12, receipt.as_bytes());
    }
    put_number(into, 13, u64::from(parts.queue));
    put_number(into, 14, parts.offset);
    if let Some(invisible_ms) = parts.invisible_ms {
        put_time(into, 15, invisible_ms);
    }
    put_number(into, 16, u64::from(parts.attempt));
    if let Some(origin) = parts.dead_letter {
        put_length(into, 20, tagged(1, origin.topic.len()) + tagged(2, origin.message_id.len()));
        put_bytes(into, 1, origin.topic.as_bytes());
        put_bytes(into, 2, origin.message_id.as_bytes());
    }
}

fn put_digest(into: &mut impl Sink, digest: &BodyDigest) {
    put_number(into, 1, digest.kind() as u64);
    put_bytes(into, 2, digest.as_str().as_bytes());
}

/// A `Timestamp` or a `Duration`.
fn put_time(into: &mut impl Sink, number: u32, ms: u64) {
    let (seconds, nanos) = (ms / 1000, ms % 1000 * 1_000_000);
    put_length(into, number, 2 + varint_bytes(seconds) + varint_bytes(nanos));
    put_number(into, 1, seconds);
    put_number(into, 2, nanos);
}

fn put_number(into: &mut impl Sink, number: u32, value: u64) {
    into.varint(u64::from(number) << 3);
    into.varint(value);
}

fn put_length(into: &mut impl Sink, number: u32, bytes: usize) {
    into.varint(u64::from(number) << 3 | 2);
    into.varint(bytes as u64);
}

/// Empty ones are left out, as the format does with default values; no field here tells empty from absent.
fn put_bytes(into: &mut impl Sink, number: u32, bytes: &[u8]) {
    if !bytes.is_empty() {
        put_length(into, number, bytes.len());
        into.bytes(bytes);
    }
}

/// What `put_bytes` writes.
fn tagged(number: u32, bytes: usize) -> usize {
    let tag = varint_bytes(u64::from(number) << 3);
    if bytes == 0 { 0 } else { tag + varint_bytes(bytes as u64) + bytes }
}

fn varint_bytes(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

fn measured(write: impl FnOnce(&mut Measure)) -> usize {
    let mut measure = Measure(0);
    write(&mut measure);
    measure.0
}

/// Where fields go: a buffer, or the measure of what would go there, since a length comes before what it counts.
trait Sink {
    fn varint(&mut self, value: u64);
    fn bytes(&mut self, bytes: &[u8]);
}

struct Measure(usize);

impl Sink for Measure {
    fn varint(&mut self, value: u64) {
        self.0 += varint_bytes(value);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0 += bytes.len();
    }
}

impl Sink for BytesMut {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.put_u8(value as u8 | 0x80);
            value >>= 7;
        }
        self.put_u8(value as u8);
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.put_slice(bytes);
    }
}
