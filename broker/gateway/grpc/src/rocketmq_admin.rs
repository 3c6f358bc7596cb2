//! Service `apache.rocketmq.v2.Admin`, on the port that clients use: what tools made for RocketMQ 5 ask a server.
//!
//! ```text
//!   /apache.rocketmq.v2.Admin/<Rpc> --steer--> the leader's Gateway::administer --> topics · subscriptions · progress
//!         \ ChangeLogLevel: the broker that was dialled                             messages · clients, questions
//! ```
//!
//! Promise: what is refused changed nothing and says so by a code of the protocol in a gRPC reply that is OK. Callers need
//! no client id.
//! Limit: topics and clients of this broker group; lite topics are not served.
//! Not here: definitions of topics and groups (`admin`, our own service).

mod clients;
mod log_level;
mod messages;
mod progress;
mod questions;
mod search;
mod stats;
mod subscriptions;
mod topics;

use bytes::{Bytes, BytesMut};
use wire::frame;
use wire::v2::{self, Code};

use crate::authorize::{Action, Principal, Resource, authorize};
use crate::call::{Call, GrpcError, Unanswered};
use crate::gateway::{Gateway, GatewayConfig, name_of};
use crate::refusal::Refusal;
use crate::settings::unix_ms;
use crate::unary::{decode, put_status};

pub use log_level::LogLevel;
pub(crate) use questions::Questions;

/// An RPC of service `Admin`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the protocol's own")]
pub enum Rpc {
    ChangeLogLevel,
    DescribeTopicStatus,
    ListSubscription,
    DescribeSubscription,
    DeleteSubscription,
    DescribeGroupAccumulation,
    ListConsumerConnection,
    ResetGroupOffset,
    QueryMessage,
    PrintThreadStackTrace,
    VerifyMessage,
    AdminSendMessage,
    GetConsumerRunningInfo,
    GetTopicRoute,
    QueryTimeSpan,
    GetProxyRuntimeStats,
}

impl Rpc {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::ChangeLogLevel,
        Self::DescribeTopicStatus,
        Self::ListSubscription,
        Self::DescribeSubscription,
        Self::DeleteSubscription,
        Self::DescribeGroupAccumulation,
        Self::ListConsumerConnection,
        Self::ResetGroupOffset,
        Self::QueryMessage,
        Self::PrintThreadStackTrace,
        Self::VerifyMessage,
        Self::AdminSendMessage,
        Self::GetConsumerRunningInfo,
        Self::GetTopicRoute,
        Self::QueryTimeSpan,
        Self::GetProxyRuntimeStats,
    ];

    /// The one of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rpc| rpc.name() == name)
    }

    /// Its name, which ends its path.
    pub fn name(self) -> &'static str {
        match self {
            Self::ChangeLogLevel => "ChangeLogLevel",
            Self::DescribeTopicStatus => "DescribeTopicStatus",
            Self::ListSubscription => "ListSubscription",
            Self::DescribeSubscription => "DescribeSubscription",
            Self::DeleteSubscription => "DeleteSubscription",
            Self::DescribeGroupAccumulation => "DescribeGroupAccumulation",
            Self::ListConsumerConnection => "ListConsumerConnection",
            Self::ResetGroupOffset => "ResetGroupOffset",
            Self::QueryMessage => "QueryMessage",
            Self::PrintThreadStackTrace => "PrintThreadStackTrace",
            Self::VerifyMessage => "VerifyMessage",
            Self::AdminSendMessage => "AdminSendMessage",
            Self::GetConsumerRunningInfo => "GetConsumerRunningInfo",
            Self::GetTopicRoute => "GetTopicRoute",
            Self::QueryTimeSpan => "QueryTimeSpan",
            Self::GetProxyRuntimeStats => "GetProxyRuntimeStats",
        }
    }
}

impl Gateway {
    /// Answers a call of service `Admin`; the whole reply is appended.
    pub(crate) async fn administer(
        &self,
        rpc: Rpc,
        call: &Call,
        request: Bytes,
        out: &mut BytesMut,
    ) -> Result<(), Unanswered> {
        match rpc {
            Rpc::ChangeLogLevel => Ok(change_log_level(&self.config, request, out)?),
            Rpc::DescribeTopicStatus => self.answer(request, out, |asked| self.topic_status(&asked)),
            Rpc::GetTopicRoute => self.answer(request, out, |asked| self.topic_route(call, &asked)),
            Rpc::ListSubscription => self.answer(request, out, |asked| self.subscriptions(&asked)),
            Rpc::DescribeSubscription => {
                self.answer(request, out, |asked| self.subscriptions_of_clients(&asked))
            }
            Rpc::DeleteSubscription => {
                let asked = decode::<v2::DeleteSubscriptionRequest>(request)?;
                self.put(out, self.delete_subscription(call, &asked).await)
            }
            Rpc::ListConsumerConnection => self.answer(request, out, |asked| self.consumers(&asked)),
            Rpc::DescribeGroupAccumulation => {
                let asked = decode::<v2::DescribeGroupAccumulationRequest>(request)?;
                self.put(out, self.accumulation(&asked).await)
            }
            Rpc::QueryTimeSpan => {
                let asked = decode::<v2::QueryTimeSpanRequest>(request)?;
                self.put(out, self.time_spans(&asked).await)
            }
            Rpc::ResetGroupOffset => {
                let asked = decode::<v2::ResetGroupOffsetRequest>(request)?;
                self.put(out, self.reset(call, &asked).await)
            }
            Rpc::QueryMessage => {
                let asked = decode::<v2::ListMessageRequest>(request)?;
                self.put(out, self.query_messages(call, asked).await)
            }
            Rpc::AdminSendMessage => {
                let asked = decode::<v2::AdminSendMessageRequest>(request)?;
                let sent = self.send_for_admin(call, asked).await?;
                self.put(out, sent.map_err(Into::into))
            }
            Rpc::PrintThreadStackTrace => {
                let asked = decode::<v2::PrintThreadStackTraceRequest>(request)?;
                self.put(out, self.stack_trace(call, &asked).await.map_err(Into::into))
            }
            Rpc::VerifyMessage => {
                let asked = decode::<v2::VerifyMessageRequest>(request)?;
                self.put(out, self.verify(call, &asked).await)
            }
            Rpc::GetConsumerRunningInfo => self.answer(request, out, |asked| self.running_info(&asked)),
            Rpc::GetProxyRuntimeStats => self.answer(request, out, |asked| self.runtime_stats(asked)),
        }
    }

    /// Refuses what is meant for another cluster.
    fn deployed(&self, deployment: Option<&String>) -> Result<(), Refusal> {
        let (own, named) = (&self.config.cluster, deployment.filter(|name| !name.is_empty()));
        match named {
            Some(named) if named != own => {
                let named = wire::validate::Shown::from(&**named);
                let text = format!("deployment `{named}` is not served here, this is cluster `{own}`");
                Err(Refusal::new(Code::NotFound, text))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// Changes what the program of this broker logs; the whole reply is appended. The reply of this call has no status.
pub(crate) fn change_log_level(
    config: &GatewayConfig,
    request: Bytes,
    out: &mut BytesMut,
) -> Result<(), GrpcError> {
    allow(Action::Administer, Resource::Broker)
        .map_err(|refusal| GrpcError { code: 7, message: refusal.message })?;
    let asked = decode::<v2::ChangeLogLevelRequest>(request)?;
    let changed = log_level::change(config.log_level.as_ref(), asked)?;
    frame::put(out, &changed);
    Ok(())
}

/// The reply that holds nothing but a refusal.
pub(crate) fn refused(rpc: Rpc, status: v2::Status, out: &mut BytesMut) -> Result<(), GrpcError> {
    match rpc {
        Rpc::ChangeLogLevel => return Err(GrpcError::unavailable(status.message)),
        Rpc::DescribeTopicStatus => put_status::<v2::DescribeTopicStatusResponse>(status, out),
        Rpc::ListSubscription => put_status::<v2::ListSubscriptionResponse>(status, out),
        Rpc::DescribeSubscription => put_status::<v2::DescribeSubscriptionResponse>(status, out),
        Rpc::DeleteSubscription => put_status::<v2::DeleteSubscriptionResponse>(status, out),
        Rpc::DescribeGroupAccumulation => put_status::<v2::DescribeGroupAccumulationResponse>(status, out),
        Rpc::ListConsumerConnection => put_status::<v2::ListConsumerConnectionResponse>(status, out),
        Rpc::ResetGroupOffset => put_status::<v2::ResetGroupOffsetResponse>(status, out),
        Rpc::QueryMessage => put_status::<v2::ListMessageResponse>(status, out),
        Rpc::PrintThreadStackTrace => put_status::<v2::PrintThreadStackTraceResponse>(status, out),
        Rpc::VerifyMessage => put_status::<v2::VerifyMessageResponse>(status, out),
        Rpc::AdminSendMessage => put_status::<v2::AdminSendMessageResponse>(status, out),
        Rpc::GetConsumerRunningInfo => put_status::<v2::GetConsumerRunningInfoResponse>(status, out),
        Rpc::GetTopicRoute => put_status::<v2::GetTopicRouteResponse>(status, out),
        Rpc::QueryTimeSpan => put_status::<v2::QueryTimeSpanResponse>(status, out),
        Rpc::GetProxyRuntimeStats => put_status::<v2::GetProxyRuntimeStatsResponse>(status, out),
    }
    Ok(())
}

fn allow(action: Action, resource: Resource<'_>) -> Result<(), Refusal> {
    authorize(Principal::Anonymous, action, resource)
}

/// The name of an optional resource that is there and not empty.
fn named(resource: Option<&v2::Resource>) -> Option<&str> {
    Some(name_of(resource)).filter(|name| !name.is_empty())
}

fn resource(name: &str) -> v2::Resource {
    v2::Resource { resource_namespace: String::new(), name: name.to_owned() }
}

fn timestamp(ms: u64) -> prost_types::Timestamp {
    let prost_types::Duration { seconds, nanos } = crate::settings::duration(ms);
    prost_types::Timestamp { seconds, nanos }
}

/// Milliseconds since 1970 of a time in a request.
fn time_ms(what: &str, time: &prost_types::Timestamp) -> Result<u64, Refusal> {
    let ms = unix_ms(time);
    u64::try_from(ms).map_err(|_| Refusal::new(Code::BadRequest, format!("{what} {ms} ms is before 1970")))
}

fn no_lite_topics<R>() -> Result<R, Refusal> {
    Err(Refusal::new(Code::NotImplemented, "lite topics are not served by this version"))
}
