//! Types: what a message is by its content, and what a topic takes.
//!
//! | content of the message | type |
//! |---|---|
//! | called TRANSACTION by its sender | TRANSACTION |
//! | a delivery time | DELAY |
//! | a message group | FIFO |
//! | a priority | PRIORITY |
//! | a lite topic | LITE |
//! | nothing of these | NORMAL |
//!
//! The first row that fits counts: a message with a delivery time and a message group is one of type DELAY.

use engine::catalog::{Topic, TopicType};
use wire::stored::System;
use wire::v2::{Code, MessageType};

use crate::refusal::Refusal;

/// The types of messages that a topic takes.
pub(crate) fn accepted(topic_type: TopicType) -> &'static [MessageType] {
    match topic_type {
        TopicType::Normal => &[MessageType::Normal],
        TopicType::Fifo => &[MessageType::Fifo],
        TopicType::Delay => &[MessageType::Delay],
        TopicType::Transaction => &[MessageType::Transaction],
        TopicType::Priority => &[MessageType::Priority],
        TopicType::Mixed => {
            &[MessageType::Normal, MessageType::Fifo, MessageType::Delay, MessageType::Transaction]
        }
    }
}

/// The type that the content of a message makes it.
pub(crate) fn type_of(system: &System<'_>) -> MessageType {
    if system.message_type == i32::from(MessageType::Transaction) {
        MessageType::Transaction
    } else if system.delivery_ms.is_some() {
        MessageType::Delay
    } else if system.message_group.is_some() {
        MessageType::Fifo
    } else if system.priority.is_some() {
        MessageType::Priority
    } else if system.lite_topic.is_some() {
        MessageType::Lite
    } else {
        MessageType::Normal
    }
}

/// The type under which a message is counted; no topic takes the last ones.
pub(crate) fn stored_type(message_type: MessageType) -> TopicType {
    match message_type {
        MessageType::Fifo => TopicType::Fifo,
        MessageType::Delay => TopicType::Delay,
        MessageType::Transaction => TopicType::Transaction,
        MessageType::Priority => TopicType::Priority,
        MessageType::Normal | MessageType::Lite | MessageType::Unspecified => TopicType::Normal,
    }
}

/// Refuses a type that the topic does not take.
pub(crate) fn fits_type(topic: &Topic, found: MessageType) -> Result<(), Refusal> {
    if accepted(topic.spec.topic_type).contains(&found) {
        return Ok(());
    }
    let (found, name, takes) = (found.as_str_name(), &topic.spec.name, topic.spec.topic_type.word());
    let text = format!("message is of type {found}, topic `{name}` takes {takes}");
    Err(Refusal::new(Code::MessagePropertyConflictWithType, text))
}
