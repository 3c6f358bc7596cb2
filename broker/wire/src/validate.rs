//! Names and values of the protocol: what is allowed, and which code and sentence answer what is not.
//!
//! Promise: pure functions; each refusal names the value and the limit, and has exactly one code of the protocol.
//! Limits that a broker may set itself (body size, longest delay) are parameters, the others are the protocol's.
//! Not here: whether a topic or group exists, and whether a message fits its topic's type.

mod reserved;
mod violation;

pub use reserved::{is_reserved_property, is_system_topic};
pub use violation::{Shown, Violation};

use crate::stored::Scanned;

/// Characters of a topic's name.
pub const TOPIC_CHARS_MAX: usize = 127;
/// Characters of a consumer group's name.
pub const GROUP_CHARS_MAX: usize = 120;
/// Bytes of a message group.
pub const MESSAGE_GROUP_BYTES_MAX: usize = 63;
/// Bytes of a lite topic's name.
pub const LITE_TOPIC_BYTES_MAX: usize = 64;
/// User properties of one message.
pub const PROPERTIES_MAX: usize = 128;
/// Bytes of all user properties, the tag and the keys of one message.
pub const PROPERTIES_BYTES_MAX: usize = 16_384;
/// Bytes of a body where nothing else is set.
pub const BODY_BYTES_MAX: usize = 4_194_304;
/// Longest delay where nothing else is set.
pub const DELAY_MS_MAX: u64 = 86_400_000;
/// Shortest invisible time of a receive without automatic renewal.
pub const INVISIBLE_MS_MIN: u64 = 10_000;
/// Longest invisible time.
pub const INVISIBLE_MS_MAX: u64 = 12 * 3_600_000;
/// Longest time a transaction may stay undecided before the sender is asked.
pub const RECOVERY_MS_MAX: u64 = 3_600_000;

/// What a broker lets a message be.
#[derive(Debug, Clone, Copy)]
pub struct MessageLimits {
    /// Bytes of a body.
    pub body_bytes_max: usize,
    /// How far ahead a delivery time may lie.
    pub delay_ms_max: u64,
}

impl Default for MessageLimits {
    fn default() -> Self {
        Self { body_bytes_max: BODY_BYTES_MAX, delay_ms_max: DELAY_MS_MAX }
    }
}

/// A topic that is read from, or asked about: also one that the broker itself fills (`%DLQ%…` and the like).
pub fn topic(name: &str) -> Result<(), Violation> {
    if name.trim().is_empty() {
        return Err(Violation::TopicBlank);
    }
    if name.chars().count() > TOPIC_CHARS_MAX {
        return Err(Violation::TopicLong(name.into(), name.chars().count()));
    }
    if !name.bytes().all(is_name_byte) {
        return Err(Violation::TopicChars(name.into()));
    }
    if is_system_topic(name) {
        return Err(Violation::TopicReserved(name.into()));
    }
    Ok(())
}

/// A topic that is sent to: none that the broker itself fills.
pub fn topic_to_send(name: &str) -> Result<(), Violation> {
    topic(name)?;
    let is_own = name.starts_with("%DLQ%") || name.starts_with("%RETRY%");
    if is_own || name == reserved::ABANDONED_TRANSACTIONS_TOPIC {
        return Err(Violation::TopicReserved(name.into()));
    }
    Ok(())
}

/// A consumer group.
pub fn group(name: &str) -> Result<(), Violation> {
    if name.trim().is_empty() {
        return Err(Violation::GroupBlank);
    }
    if name.chars().count() > GROUP_CHARS_MAX {
        return Err(Violation::GroupLong(name.into(), name.chars().count()));
    }
    if !name.bytes().all(is_name_byte) {
        return Err(Violation::GroupChars(name.into()));
    }
    if name.starts_with("CID_RMQ_SYS_") {
        return Err(Violation::GroupReserved(name.into()));
    }
    Ok(())
}

/// All that can be said about one message without knowing its topic; the first violation counts.
pub fn message(message: &Scanned<'_>, limits: &MessageLimits, now_ms: u64) -> Result<(), Violation> {
    topic_to_send(message.topic)?;
    message_id(message.system.message_id)?;
    body(message.body.len(), limits)?;
    if let Some(text) = message.system.tag {
        tag(text)?;
    }
    message.keys().try_for_each(key)?;
    properties(message)?;
    if let Some(text) = message.system.message_group {
        message_group(text)?;
    }
    if let Some(text) = message.system.lite_topic {
        lite_topic(text)?;
    }
    if let Some(delivery_ms) = message.system.delivery_ms {
        delivery_time(delivery_ms, limits, now_ms)?;
    }
    if let Some(number) = message.system.priority {
        priority(number)?;
    }
    match message.system.recovery_ms {
        Some(ms) if !u64::try_from(ms).is_ok_and(|ms| ms <= RECOVERY_MS_MAX) => {
            Err(Violation::RecoveryTime(ms))
        }
        _ => Ok(()),
    }
}

/// The sender's id of a message.
pub fn message_id(id: &str) -> Result<(), Violation> {
    if id.trim().is_empty() { Err(Violation::MessageId) } else { Ok(()) }
}

/// The size of a body.
pub fn body(bytes: usize, limits: &MessageLimits) -> Result<(), Violation> {
    if bytes == 0 {
        return Err(Violation::BodyEmpty);
    }
    if bytes > limits.body_bytes_max {
        return Err(Violation::BodyLarge { bytes, limit: limits.body_bytes_max });
    }
    Ok(())
}

/// A tag that was given.
pub fn tag(tag: &str) -> Result<(), Violation> {
    if tag.trim().is_empty() || tag.contains('|') || has_control(tag) {
        return Err(Violation::Tag(tag.into()));
    }
    Ok(())
}

/// One of a message's keys.
pub fn key(key: &str) -> Result<(), Violation> {
    if key.trim().is_empty() || has_control(key) { Err(Violation::Key(key.into())) } else { Ok(()) }
}

/// A message group that was given.
pub fn message_group(group: &str) -> Result<(), Violation> {
    if group.trim().is_empty() || has_control(group) {
        return Err(Violation::MessageGroup(group.into()));
    }
    if group.len() > MESSAGE_GROUP_BYTES_MAX {
        return Err(Violation::MessageGroupLong(group.into(), group.len()));
    }
    Ok(())
}

/// A lite topic that was given.
pub fn lite_topic(name: &str) -> Result<(), Violation> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    if name.is_empty() || !name.bytes().all(allowed) {
        return Err(Violation::LiteTopic(name.into()));
    }
    if name.len() > LITE_TOPIC_BYTES_MAX {
        return Err(Violation::LiteTopicLong(name.into(), name.len()));
    }
    Ok(())
}

/// A priority that was given.
pub fn priority(priority: i32) -> Result<(), Violation> {
    if priority < 0 { Err(Violation::Priority(priority)) } else { Ok(()) }
}

/// A delivery time that was given; one in the past means now.
pub fn delivery_time(delivery_ms: i64, limits: &MessageLimits, now_ms: u64) -> Result<(), Violation> {
    match u64::try_from(delivery_ms) {
        Ok(at) if at > now_ms.saturating_add(limits.delay_ms_max) => {
            Err(Violation::DeliveryTime { ahead_ms: at - now_ms, limit_ms: limits.delay_ms_max })
        }
        _ => Ok(()),
    }
}

/// How long a receive without automatic renewal hides its messages.
pub fn invisible_on_receive(ms: i64) -> Result<u64, Violation> {
    invisible(ms, INVISIBLE_MS_MIN)
}

/// How long a change hides a message from now on; 0 shows it at once.
pub fn invisible_on_change(ms: i64) -> Result<u64, Violation> {
    invisible(ms, 0)
}

/// The id of a transaction that is to be decided.
pub fn transaction_id(id: &str) -> Result<(), Violation> {
    if id.trim().is_empty() { Err(Violation::TransactionId) } else { Ok(()) }
}

fn invisible(ms: i64, min_ms: u64) -> Result<u64, Violation> {
    u64::try_from(ms)
        .ok()
        .filter(|ms| (min_ms..=INVISIBLE_MS_MAX).contains(ms))
        .ok_or(Violation::InvisibleTime { ms, min_ms })
}

fn properties(message: &Scanned<'_>) -> Result<(), Violation> {
    let count = message.property_count as usize;
    if count > PROPERTIES_MAX {
        return Err(Violation::PropertiesMany(count));
    }
    let tag_bytes = message.system.tag.map_or(0, str::len);
    let bytes = message.property_bytes as usize + message.system.key_bytes as usize + tag_bytes;
    if bytes > PROPERTIES_BYTES_MAX {
        return Err(Violation::PropertiesLarge(bytes));
    }
    for pair in message.user_properties() {
        if is_reserved_property(pair.key) {
            return Err(Violation::PropertyReserved(pair.key.into()));
        }
        if has_control(pair.key) || has_control(pair.value) {
            return Err(Violation::PropertyControl(pair.key.into()));
        }
    }
    Ok(())
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'|' | b'_' | b'-')
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests;
