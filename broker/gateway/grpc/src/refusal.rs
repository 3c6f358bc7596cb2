//! Why a request is not served: a code of the protocol, and a sentence for people.
//!
//! A refusal travels as `Status` inside a gRPC reply that is itself OK; clients turn any other gRPC status into a
//! transport failure, retry it and hide the text.

use prost::{DecodeError, Message};
use wire::Malformed;
use wire::v2::{self, Code};
use wire::validate::Violation;

use crate::call::{GrpcError, Unanswered};

/// A request that is answered with another code than OK; what `message` names comes with its limit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str_name())]
pub struct Refusal {
    /// The protocol's code.
    pub code: Code,
    /// Text for the client.
    pub message: String,
}

/// How a handler ends without a result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Failure {
    /// Told within the reply.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// Told as gRPC status: the bytes are no request.
    #[error("request does not decode: {0}")]
    Malformed(String),
    /// Nothing was done, and another member will lead: not told to clients, see [`Unanswered`].
    #[error("{0}")]
    NotLeading(String),
}

/// A reply that can carry a refusal.
pub(crate) trait Refusable: Message + Default {
    /// The reply that holds nothing but this status.
    fn with_status(status: v2::Status) -> Self;
}

impl Refusal {
    /// A refusal of this code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The form that replies carry.
    pub fn status(self) -> v2::Status {
        v2::Status { code: self.code.into(), message: self.message }
    }
}

impl From<Violation> for Refusal {
    fn from(violation: Violation) -> Self {
        Self::new(violation.code(), violation.to_string())
    }
}

impl From<Violation> for Failure {
    fn from(violation: Violation) -> Self {
        Self::Refused(violation.into())
    }
}

/// The status of success.
pub(crate) fn ok() -> v2::Status {
    v2::Status { code: Code::Ok.into(), message: "OK".to_owned() }
}

impl From<DecodeError> for Failure {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl From<Malformed> for Failure {
    fn from(error: Malformed) -> Self {
        Self::Malformed(error.to_string())
    }
}

impl Failure {
    /// The refusal, or why there is no reply.
    pub(crate) fn refusal(self) -> Result<Refusal, Unanswered> {
        match self {
            Self::Refused(refusal) => Ok(refusal),
            Self::Malformed(_) => Err(GrpcError::invalid_argument(self.to_string()).into()),
            Self::NotLeading(why) => Err(Unanswered::NotLeading(why)),
        }
    }
}

macro_rules! refusable {
    ($($reply:ident)*) => {$(
        impl Refusable for v2::$reply {
            fn with_status(status: v2::Status) -> Self {
                let mut reply = Self::default();
                reply.status = Some(status);
                reply
            }
        }
    )*};
}

refusable! {
    QueryRouteResponse SendMessageResponse QueryAssignmentResponse AckMessageResponse HeartbeatResponse
    ForwardMessageToDeadLetterQueueResponse EndTransactionResponse NotifyClientTerminationResponse
    ChangeInvisibleDurationResponse UpdateOffsetResponse GetOffsetResponse QueryOffsetResponse
    RecallMessageResponse SyncLiteSubscriptionResponse
    DescribeTopicStatusResponse ListSubscriptionResponse DescribeSubscriptionResponse DeleteSubscriptionResponse
    DescribeGroupAccumulationResponse ListConsumerConnectionResponse ResetGroupOffsetResponse ListMessageResponse
    PrintThreadStackTraceResponse VerifyMessageResponse AdminSendMessageResponse GetConsumerRunningInfoResponse
    GetTopicRouteResponse QueryTimeSpanResponse GetProxyRuntimeStatsResponse
}

impl Refusable for v2::PullMessageResponse {
    fn with_status(status: v2::Status) -> Self {
        Self { content: Some(v2::pull_message_response::Content::Status(status)) }
    }
}
