//! The RPCs of `apache.rocketmq.v2.MessagingService` by path.

/// An RPC of the messaging service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the protocol's own")]
pub enum Method {
    QueryRoute,
    Heartbeat,
    SendMessage,
    QueryAssignment,
    ReceiveMessage,
    AckMessage,
    ForwardMessageToDeadLetterQueue,
    PullMessage,
    UpdateOffset,
    GetOffset,
    QueryOffset,
    EndTransaction,
    Telemetry,
    NotifyClientTermination,
    ChangeInvisibleDuration,
    RecallMessage,
    SyncLiteSubscription,
}

impl Method {
    /// The RPC that a request path names.
    pub fn from_path(path: &str) -> Option<Self> {
        Some(match path.strip_prefix("/apache.rocketmq.v2.MessagingService/")? {
            "SendMessage" => Self::SendMessage,
            "ReceiveMessage" => Self::ReceiveMessage,
            "AckMessage" => Self::AckMessage,
            "QueryRoute" => Self::QueryRoute,
            "Heartbeat" => Self::Heartbeat,
            "QueryAssignment" => Self::QueryAssignment,
            "ForwardMessageToDeadLetterQueue" => Self::ForwardMessageToDeadLetterQueue,
            "PullMessage" => Self::PullMessage,
            "UpdateOffset" => Self::UpdateOffset,
            "GetOffset" => Self::GetOffset,
            "QueryOffset" => Self::QueryOffset,
            "EndTransaction" => Self::EndTransaction,
            "Telemetry" => Self::Telemetry,
            "NotifyClientTermination" => Self::NotifyClientTermination,
            "ChangeInvisibleDuration" => Self::ChangeInvisibleDuration,
            "RecallMessage" => Self::RecallMessage,
            "SyncLiteSubscription" => Self::SyncLiteSubscription,
            _ => return None,
        })
    }
}
