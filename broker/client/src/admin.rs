//! The administration of a broker: topics, consumer groups and the broker's own state.
//!
//! Promise: connecting is lazy, so a client can be made for a broker that does not run yet, and a lost connection comes back by
//! itself. Applying is idempotent: after an error that left the outcome open the same call may be made again. A bulk call sends
//! requests of at most `BULK_MAX` items and answers one outcome per item, in the order of the items.
//! Not here: retries. The caller knows when to try again.

mod outcome;

use std::time::Duration;

use hyper_util::rt::TokioIo;
use tonic::transport::{Channel, Uri};
use tonic::{Code, Request, Response, Status};
use tower::service_fn;
use wire::admin::{self as proto, admin_client};

pub use outcome::{Change, Outcome, Refusal};
pub use wire::admin::move_offsets_request::To as MoveTo;
pub use wire::admin::{
    Adopt, Broadcast, ConsumeFrom, ConsumerGroup, DescribeConsumerGroupResponse, DescribeTopicResponse,
    FindMessagesRequest, FindMessagesResponse, GetBrokerResponse, GroupClient, GroupProgress,
    HandOverOutcome, HandOverResponse, Member, MemberAddress, MemberLag, MoveOffsetsRequest as MoveOffsets,
    MovedOffset, PriorityPolicy, QueueStatus, Remainder, Remains, Reset, RetryPolicy, StoredKind,
    StoredMessage, Topic, TopicType, TraceEvent, TraceMessageRequest, TraceMessageResponse, TraceStanding,
    TraceState, TraceWhat, Transition,
};

use crate::dial::{DialError, Dialer, Trust};
use crate::endpoint::Endpoint;

/// Items of one request; longer lists are sent in several.
pub const BULK_MAX: usize = 1000;
/// A million topics in one answer.
const ANSWER_BYTES_MAX: usize = 256 << 20;

/// How to reach the administration of a broker.
#[derive(Debug, Clone)]
pub struct AdminConfig {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Whom to believe, if the endpoint speaks TLS.
    pub trust: Trust,
    /// Each request, a connection it needs included, ends within this time.
    pub timeout: Duration,
}

impl AdminConfig {
    /// The usual limits.
    pub fn new(endpoint: Endpoint) -> Self {
        Self { endpoint, trust: Trust::System, timeout: Duration::from_secs(10) }
    }
}

/// A request that was not answered, or answered with a refusal as a whole.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No connection. Changes were not made, unless the connection broke while the answer was under way.
    #[error("broker at {endpoint} cannot be reached: {reason}")]
    Unreachable {
        /// Where it should be.
        endpoint: Endpoint,
        /// What the network said.
        reason: String,
    },
    /// No answer in time; a change may have been made.
    #[error("broker at {endpoint} did not answer within {} ms", timeout.as_millis())]
    Timeout {
        /// Where it is.
        endpoint: Endpoint,
        /// What it was given.
        timeout: Duration,
    },
    /// The one item that was asked for cannot be had.
    #[error("{0}")]
    Refused(Refusal),
    /// The answer is not one of this protocol: another version, or no broker at all.
    #[error("broker at {endpoint} answered {code:?}: {message}")]
    Protocol {
        /// Where it is.
        endpoint: Endpoint,
        /// The code of gRPC.
        code: Code,
        /// Its text.
        message: String,
    },
}

/// A client of one broker; cheap to clone, and to be shared by clones.
#[derive(Clone)]
pub struct AdminClient {
    grpc: admin_client::AdminClient<Channel>,
    endpoint: Endpoint,
    timeout: Duration,
}

impl AdminClient {
    /// A client that connects with its first request. Must be called within a tokio runtime.
    pub fn new(config: AdminConfig) -> Result<Self, DialError> {
        let dialer = Dialer::new(&config.trust)?;
        let endpoint = config.endpoint.clone();
        // The connector encrypts where it has to, so for the layers above it is plain HTTP.
        let uri = format!("http://{}", Endpoint { tls: false, ..config.endpoint.clone() });
        let channel = Channel::from_shared(uri)
            .map_err(|error| DialError::Trust(error.to_string()))?
            .connect_with_connector_lazy(service_fn(move |_: Uri| {
                let (dialer, endpoint) = (dialer.clone(), endpoint.clone());
                async move { dialer.dial(&endpoint).await.map(TokioIo::new) }
            }));
        let grpc = admin_client::AdminClient::new(channel).max_decoding_message_size(ANSWER_BYTES_MAX);
        Ok(Self { grpc, endpoint: config.endpoint, timeout: config.timeout })
    }

    /// Where this client's broker is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// State of the broker.
    pub async fn broker(&self) -> Result<GetBrokerResponse, AdminError> {
        let mut grpc = self.grpc.clone();
        self.answer(grpc.get_broker(self.request(proto::GetBrokerRequest {}))).await
    }

    /// Lets another member of the broker's group lead: that one, or the best one. The answer says what became of it.
    pub async fn hand_over(&self, to: Option<u32>) -> Result<HandOverResponse, AdminError> {
        let mut grpc = self.grpc.clone();
        self.answer(grpc.hand_over(self.request(proto::HandOverRequest { to }))).await
    }

    /// Topics by name; an empty prefix means all.
    pub async fn topics(&self, prefix: &str) -> Result<Vec<Topic>, AdminError> {
        self.list_topics(prefix, Vec::new()).await
    }

    /// Those of the named topics that exist.
    pub async fn topics_named(&self, names: Vec<String>) -> Result<Vec<Topic>, AdminError> {
        if names.is_empty() { Ok(Vec::new()) } else { self.list_topics("", names).await }
    }

    /// One topic and its queues.
    pub async fn topic(&self, name: &str) -> Result<DescribeTopicResponse, AdminError> {
        let mut grpc = self.grpc.clone();
        let request = proto::DescribeRequest { name: name.to_owned() };
        let answer = self.answer(grpc.describe_topic(self.request(request))).await?;
        found(answer.result.as_ref())?;
        Ok(answer)
    }

    /// Consumer groups by name; an empty prefix means all.
    pub async fn consumer_groups(&self, prefix: &str) -> Result<Vec<ConsumerGroup>, AdminError> {
        self.list_consumer_groups(prefix, Vec::new()).await
    }

    /// Those of the named consumer groups that exist.
    pub async fn consumer_groups_named(&self, names: Vec<String>) -> Result<Vec<ConsumerGroup>, AdminError> {
        if names.is_empty() { Ok(Vec::new()) } else { self.list_consumer_groups("", names).await }
    }

    /// One consumer group, its progress and its clients.
    pub async fn consumer_group(&self, name: &str) -> Result<DescribeConsumerGroupResponse, AdminError> {
        let mut grpc = self.grpc.clone();
        let request = proto::DescribeRequest { name: name.to_owned() };
        let answer = self.answer(grpc.describe_consumer_group(self.request(request))).await?;
        found(answer.result.as_ref())?;
        Ok(answer)
    }

    /// Moves a consumer group to another place in topics, or only tells what would be done.
    pub async fn move_offsets(&self, to: MoveOffsets) -> Result<Vec<MovedOffset>, AdminError> {
        let mut grpc = self.grpc.clone();
        let answer = self.answer(grpc.move_offsets(self.request(to))).await?;
        found(answer.result.as_ref())?;
        Ok(answer.moves)
    }

    /// Stored messages, newest first; an answer with `next_before` is not the whole one.
    pub async fn find_messages(
        &self,
        request: FindMessagesRequest,
    ) -> Result<FindMessagesResponse, AdminError> {
        let mut grpc = self.grpc.clone();
        let answer = self.answer(grpc.find_messages(self.request(request))).await?;
        found(answer.result.as_ref())?;
        Ok(answer)
    }

    /// What happened to a stored message; an answer with `scroll` is not the whole one.
    pub async fn trace_message(
        &self,
        request: TraceMessageRequest,
    ) -> Result<TraceMessageResponse, AdminError> {
        let mut grpc = self.grpc.clone();
        let answer = self.answer(grpc.trace_message(self.request(request))).await?;
        found(answer.result.as_ref())?;
        Ok(answer)
    }

    /// Creates or changes topics.
    pub async fn apply_topics(&self, topics: Vec<Topic>, adopt: Adopt) -> Result<Vec<Outcome>, AdminError> {
        let mut outcomes = Vec::with_capacity(topics.len());
        for part in topics.chunks(BULK_MAX) {
            let request = proto::ApplyTopicsRequest { topics: part.to_vec(), adopt: adopt.into() };
            let mut grpc = self.grpc.clone();
            let answer = self.answer(grpc.apply_topics(self.request(request))).await?;
            outcomes.extend(self.outcomes(answer, part.len())?);
        }
        Ok(outcomes)
    }

    /// Creates or changes consumer groups.
    pub async fn apply_consumer_groups(
        &self,
        groups: Vec<ConsumerGroup>,
        adopt: Adopt,
    ) -> Result<Vec<Outcome>, AdminError> {
        let mut outcomes = Vec::with_capacity(groups.len());
        for part in groups.chunks(BULK_MAX) {
            let request = proto::ApplyConsumerGroupsRequest { groups: part.to_vec(), adopt: adopt.into() };
            let mut grpc = self.grpc.clone();
            let answer = self.answer(grpc.apply_consumer_groups(self.request(request))).await?;
            outcomes.extend(self.outcomes(answer, part.len())?);
        }
        Ok(outcomes)
    }

    /// Deletes topics with all their messages; with an owner only that owner's.
    pub async fn delete_topics(
        &self,
        names: Vec<String>,
        owner: Option<&str>,
    ) -> Result<Vec<Outcome>, AdminError> {
        let mut outcomes = Vec::with_capacity(names.len());
        for part in names.chunks(BULK_MAX) {
            let mut grpc = self.grpc.clone();
            let answer = self.answer(grpc.delete_topics(self.request(deletion(part, owner)))).await?;
            outcomes.extend(self.outcomes(answer, part.len())?);
        }
        Ok(outcomes)
    }

    /// Deletes consumer groups with their progress; with an owner only that owner's.
    pub async fn delete_consumer_groups(
        &self,
        names: Vec<String>,
        owner: Option<&str>,
    ) -> Result<Vec<Outcome>, AdminError> {
        let mut outcomes = Vec::with_capacity(names.len());
        for part in names.chunks(BULK_MAX) {
            let mut grpc = self.grpc.clone();
            let answer =
                self.answer(grpc.delete_consumer_groups(self.request(deletion(part, owner)))).await?;
            outcomes.extend(self.outcomes(answer, part.len())?);
        }
        Ok(outcomes)
    }

    async fn list_topics(&self, prefix: &str, names: Vec<String>) -> Result<Vec<Topic>, AdminError> {
        let mut grpc = self.grpc.clone();
        let request = proto::ListRequest { prefix: prefix.to_owned(), names };
        Ok(self.answer(grpc.list_topics(self.request(request))).await?.topics)
    }

    async fn list_consumer_groups(
        &self,
        prefix: &str,
        names: Vec<String>,
    ) -> Result<Vec<ConsumerGroup>, AdminError> {
        let mut grpc = self.grpc.clone();
        let request = proto::ListRequest { prefix: prefix.to_owned(), names };
        Ok(self.answer(grpc.list_consumer_groups(self.request(request))).await?.groups)
    }

    fn request<M>(&self, message: M) -> Request<M> {
        let mut request = Request::new(message);
        // Tells the broker as well, so that it does not work for nobody.
        request.set_timeout(self.timeout);
        request
    }

    async fn answer<M>(
        &self,
        call: impl Future<Output = Result<Response<M>, Status>>,
    ) -> Result<M, AdminError> {
        match tokio::time::timeout(self.timeout, call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(self.error(&status)),
            Err(_) => Err(AdminError::Timeout { endpoint: self.endpoint.clone(), timeout: self.timeout }),
        }
    }

    fn error(&self, status: &Status) -> AdminError {
        let endpoint = self.endpoint.clone();
        // A server that ends the call at its time limit says `Cancelled`; nobody else cancels one.
        if matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled) {
            return AdminError::Timeout { endpoint, timeout: self.timeout };
        }
        if status.code() == Code::Unavailable {
            return AdminError::Unreachable { endpoint, reason: innermost(status) };
        }
        AdminError::Protocol { endpoint, code: status.code(), message: status.message().to_owned() }
    }

    fn outcomes(&self, answer: proto::ApplyResponse, items: usize) -> Result<Vec<Outcome>, AdminError> {
        if answer.results.len() == items {
            return Ok(answer.results.into_iter().map(Outcome::from).collect());
        }
        Err(AdminError::Protocol {
            endpoint: self.endpoint.clone(),
            code: Code::Internal,
            message: format!("{} results for {items} items", answer.results.len()),
        })
    }
}

impl AdminError {
    /// Whether the same request may succeed a little later without anybody changing something.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Refused(refusal) => matches!(refusal, Refusal::Unavailable(_)),
            Self::Protocol { .. } => false,
        }
    }

    /// Whether what was asked for does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(Refusal::NotFound(_)))
    }
}

fn deletion(names: &[String], owner: Option<&str>) -> proto::DeleteRequest {
    proto::DeleteRequest { names: names.to_vec(), owner: owner.unwrap_or_default().to_owned() }
}

/// A description has a result only to say that there is nothing to describe.
fn found(result: Option<&proto::Result>) -> Result<(), AdminError> {
    let Some(result) = result else { return Ok(()) };
    if result.code() == proto::Code::Unspecified {
        return Ok(());
    }
    Outcome::from(result.clone()).result.map(|_| ()).map_err(AdminError::Refused)
}

/// The cause at the bottom: "connection refused" says more than "transport error".
fn innermost(status: &Status) -> String {
    let mut cause: &dyn std::error::Error = status;
    while let Some(next) = cause.source() {
        cause = next;
    }
    if std::ptr::eq(std::ptr::from_ref(cause).cast::<()>(), std::ptr::from_ref(status).cast::<()>()) {
        status.message().to_owned()
    } else {
        cause.to_string()
    }
}

#[cfg(test)]
mod tests;
