//! From the bytes of a sent `Message` to what validation needs and to the head of its log record.

use bytes::{BufMut, Bytes, BytesMut};

use super::head::Pair;
use super::system::{System, is_owned_by_server};
use crate::fields::{Field, Fields, Malformed};
use crate::traceparent::{self, TraceParent};
use crate::v2::Encoding;

/// One sent message, as slices of its bytes.
#[derive(Debug, Clone, Copy)]
pub struct Scanned<'a> {
    raw: &'a [u8],
    /// Name of the topic; empty if it was not stated.
    pub topic: &'a str,
    /// Namespace of the topic; mostly empty.
    pub namespace: &'a str,
    /// How many user properties there are.
    pub property_count: u32,
    /// Bytes of their keys and values.
    pub property_bytes: u64,
    user_bytes: u32,
    /// The trace that an instrumentation of the sender put among the user properties.
    traceparent: Option<&'a str>,
    /// The system properties the sender filled in.
    pub system: System<'a>,
    /// The body as sent.
    pub body: &'a [u8],
}

/// What the head gets where the sender left it out: clients rely on these fields when they receive.
#[derive(Debug, Clone, Copy)]
pub struct Defaults<'a> {
    /// Becomes the time of birth.
    pub born_ms: u64,
    /// Becomes the place of birth: the sender's address.
    pub born_host: &'a str,
    /// Becomes the message type, a number of `v2::MessageType`.
    pub message_type: i32,
}

/// Splits the bytes of a `SendMessageRequest` into those of its messages, without a copy; ends at the first error.
pub fn split_messages(request: &Bytes) -> impl Iterator<Item = Result<Bytes, Malformed>> {
    Fields::of(request).filter_map(|field| match field {
        Ok(field) if field.number == 1 => {
            Some(field.bytes("messages").map(|message| request.slice_ref(message)))
        }
        Ok(_) => None,
        Err(malformed) => Some(Err(malformed)),
    })
}

/// Looks through the bytes of one `Message`. Every text that a consumer will have to decode is checked here: a message that
/// cannot be decoded would otherwise stop each consumer that gets it.
pub fn scan(message: &[u8]) -> Result<Scanned<'_>, Malformed> {
    let _ = u32::try_from(message.len()).map_err(|_| Malformed::TooLong(message.len()))?;
    let mut scanned = Scanned {
        raw: message,
        topic: "",
        namespace: "",
        property_count: 0,
        property_bytes: 0,
        user_bytes: 0,
        traceparent: None,
        system: System::default(),
        body: &[],
    };
    for field in Fields::of(message) {
        scanned.absorb(&field?)?;
    }
    Ok(scanned)
}

impl<'a> Scanned<'a> {
    /// The keys in the order they were sent.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        systems(self.raw)
            .flat_map(|content| Fields::of(content).flatten())
            .filter(|field| field.number == 2)
            .filter_map(|field| field.text("keys").ok())
    }

    /// The user properties in the order they were sent; a key may come twice, then the last one counts.
    pub fn user_properties(&self) -> impl Iterator<Item = Pair<'a>> + use<'a> {
        Fields::of(self.raw)
            .flatten()
            .filter(|field| field.number == 2)
            .filter_map(|field| Pair::read(field.bytes("user_properties").ok()?).ok())
    }

    /// The context of its trace, if that is sampled.
    pub fn sampled(&self) -> Option<TraceParent> {
        TraceParent::sampled(self.system.trace_context, self.traceparent)
    }

    /// Bytes of the head that `put_head` will write.
    pub fn head_bytes_max(&self, defaults: &Defaults<'_>) -> usize {
        // The head is the message without topic and body, and at most these defaults.
        4 + (self.raw.len() - self.body.len()) + 32 + defaults.born_host.len()
    }

    /// The head of this message's log record.
    pub fn head(&self, defaults: &Defaults<'_>) -> Bytes {
        let mut head = BytesMut::with_capacity(self.head_bytes_max(defaults));
        self.put_head(&mut head, defaults);
        head.freeze()
    }

    /// Appends the head of this message's log record.
    pub fn put_head(&self, into: &mut impl BufMut, defaults: &Defaults<'_>) {
        into.put_u32_le(self.user_bytes);
        for field in Fields::of(self.raw).flatten().filter(|field| field.number == 2) {
            into.put_slice(field.raw);
        }
        for content in systems(self.raw) {
            if self.system.forged {
                put_kept(into, content);
            } else {
                into.put_slice(content);
            }
        }
        self.put_defaults(into, defaults);
    }

    fn put_defaults(&self, into: &mut impl BufMut, defaults: &Defaults<'_>) {
        use prost::encoding::{int32, message, string};
        if self.system.body_encoding == 0 {
            int32::encode(5, &Encoding::Identity.into(), into);
        }
        if self.system.message_type == 0 {
            int32::encode(6, &defaults.message_type, into);
        }
        if self.system.born_ms.is_none() {
            let born = prost_types::Timestamp {
                seconds: (defaults.born_ms / 1000).cast_signed(),
                nanos: (defaults.born_ms % 1000 * 1_000_000) as i32,
            };
            message::encode(7, &born, into);
        }
        if self.system.born_host.is_empty() && !defaults.born_host.is_empty() {
            string::encode(8, &defaults.born_host.to_owned(), into);
        }
    }

    fn absorb(&mut self, field: &Field<'a>) -> Result<(), Malformed> {
        match field.number {
            1 => self.absorb_topic(field.bytes("topic")?)?,
            2 => {
                let pair = Pair::read(field.bytes("user_properties")?)?;
                if pair.key == traceparent::PROPERTY {
                    self.traceparent = Some(pair.value);
                }
                self.property_count += 1;
                self.property_bytes += (pair.key.len() + pair.value.len()) as u64;
                self.user_bytes += field.raw.len() as u32;
            }
            3 => self.system.absorb(field.bytes("system_properties")?)?,
            4 => self.body = field.bytes("body")?,
            // Not known yet: not kept, and no reason to refuse the message.
            _ => {}
        }
        Ok(())
    }

    fn absorb_topic(&mut self, resource: &'a [u8]) -> Result<(), Malformed> {
        for field in Fields::of(resource) {
            let field = field?;
            match field.number {
                1 => self.namespace = field.text("topic.resource_namespace")?,
                2 => self.topic = field.text("topic.name")?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Contents of the `system_properties` fields; more than one are one in parts.
fn systems(message: &[u8]) -> impl Iterator<Item = &[u8]> {
    Fields::of(message)
        .flatten()
        .filter(|field| field.number == 3)
        .filter_map(|field| field.bytes("system_properties").ok())
}

/// Copies a `system_properties` without what the server owns.
fn put_kept(into: &mut impl BufMut, content: &[u8]) {
    for field in Fields::of(content).flatten() {
        if !is_owned_by_server(field.number) {
            into.put_slice(field.raw);
        }
    }
}
