//! What can be wrong with names and values.

use std::fmt;

use super::{
    GROUP_CHARS_MAX, INVISIBLE_MS_MAX, LITE_TOPIC_BYTES_MAX, MESSAGE_GROUP_BYTES_MAX, PROPERTIES_BYTES_MAX,
    PROPERTIES_MAX, RECOVERY_MS_MAX, TOPIC_CHARS_MAX,
};
use crate::v2::Code;

const SHOWN_CHARS_MAX: usize = 64;

/// A text of a client inside an error: shortened, and without control characters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown(String);

impl From<&str> for Shown {
    fn from(text: &str) -> Self {
        let mut shown: String = text.chars().take(SHOWN_CHARS_MAX).flat_map(char::escape_debug).collect();
        if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
            shown.push('…');
        }
        Self(shown)
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name or value that the protocol does not allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each text says it")]
pub enum Violation {
    #[error("topic name is blank")]
    TopicBlank,
    #[error("topic `{0}` has {1} characters, at most {TOPIC_CHARS_MAX} are allowed")]
    TopicLong(Shown, usize),
    #[error("topic `{0}` has a character other than a-z A-Z 0-9 % | _ -")]
    TopicChars(Shown),
    #[error("topic `{0}` is reserved for the system")]
    TopicReserved(Shown),
    #[error("consumer group name is blank")]
    GroupBlank,
    #[error("consumer group `{0}` has {1} characters, at most {GROUP_CHARS_MAX} are allowed")]
    GroupLong(Shown, usize),
    #[error("consumer group `{0}` has a character other than a-z A-Z 0-9 % | _ -")]
    GroupChars(Shown),
    #[error("consumer group `{0}` is reserved for the system")]
    GroupReserved(Shown),
    #[error("message id is blank")]
    MessageId,
    #[error("tag `{0}` is blank, or has `|` or a control character")]
    Tag(Shown),
    #[error("key `{0}` is blank or has a control character")]
    Key(Shown),
    #[error("message group `{0}` is blank or has a control character")]
    MessageGroup(Shown),
    #[error("message group `{0}` has {1} B, at most {MESSAGE_GROUP_BYTES_MAX} B are allowed")]
    MessageGroupLong(Shown, usize),
    #[error("lite topic `{0}` is empty or has a character other than a-z A-Z 0-9 _ -")]
    LiteTopic(Shown),
    #[error("lite topic `{0}` has {1} B, at most {LITE_TOPIC_BYTES_MAX} B are allowed")]
    LiteTopicLong(Shown, usize),
    #[error("property key `{0}` is reserved for the system")]
    PropertyReserved(Shown),
    #[error("property `{0}` has a control character in its key or value")]
    PropertyControl(Shown),
    #[error("{0} user properties, at most {PROPERTIES_MAX} are allowed")]
    PropertiesMany(usize),
    #[error(
        "user properties, tag and keys have {0} B together, at most {PROPERTIES_BYTES_MAX} B are allowed"
    )]
    PropertiesLarge(usize),
    #[error("body is empty")]
    BodyEmpty,
    #[error("body of {bytes} B is over the limit of {limit} B")]
    BodyLarge { bytes: usize, limit: usize },
    #[error("delivery time is {ahead_ms} ms ahead, at most {limit_ms} ms are allowed")]
    DeliveryTime { ahead_ms: u64, limit_ms: u64 },
    #[error("priority {0} is negative")]
    Priority(i32),
    #[error("transaction recovery time of {0} ms is outside of 0 to {RECOVERY_MS_MAX} ms")]
    RecoveryTime(i64),
    #[error("invisible time of {ms} ms is outside of {min_ms} to {INVISIBLE_MS_MAX} ms")]
    InvisibleTime { ms: i64, min_ms: u64 },
    #[error("transaction id is blank")]
    TransactionId,
}

impl Violation {
    /// The protocol's code for it.
    pub fn code(&self) -> Code {
        match self {
            Self::TopicBlank | Self::TopicLong(..) | Self::TopicChars(_) | Self::TopicReserved(_) => {
                Code::IllegalTopic
            }
            Self::GroupBlank | Self::GroupLong(..) | Self::GroupChars(_) | Self::GroupReserved(_) => {
                Code::IllegalConsumerGroup
            }
            Self::MessageId => Code::IllegalMessageId,
            Self::Tag(_) => Code::IllegalMessageTag,
            Self::Key(_) => Code::IllegalMessageKey,
            Self::MessageGroup(_) | Self::MessageGroupLong(..) => Code::IllegalMessageGroup,
            Self::LiteTopic(_) | Self::LiteTopicLong(..) => Code::IllegalLiteTopic,
            Self::PropertyReserved(_) | Self::PropertyControl(_) => Code::IllegalMessagePropertyKey,
            Self::PropertiesMany(_) | Self::PropertiesLarge(_) => Code::MessagePropertiesTooLarge,
            Self::BodyEmpty => Code::MessageBodyEmpty,
            Self::BodyLarge { .. } => Code::MessageBodyTooLarge,
            Self::DeliveryTime { .. } => Code::IllegalDeliveryTime,
            Self::Priority(_) | Self::RecoveryTime(_) => Code::BadRequest,
            Self::InvisibleTime { .. } => Code::IllegalInvisibleTime,
            Self::TransactionId => Code::InvalidTransactionId,
        }
    }
}
