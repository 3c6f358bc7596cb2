//! The RPCs of `apache.rocketmq.v2` by path.

use crate::rocketmq_admin::Rpc;

/// An RPC of the messaging service, or of the administration beside it.
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
    /// One of service `Admin`.
    Admin(Rpc),
}

impl Method {
    /// The RPC that a request path names.
    pub fn from_path(path: &str) -> Option<Self> {
        if let Some(name) = path.strip_prefix("/apache.rocketmq.v2.Admin/") {
            return Rpc::from_name(name).map(Self::Admin);
        }
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
