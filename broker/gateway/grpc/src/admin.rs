//! `millpond.admin.v1`: the administration of one broker group, for the operator, the command line tool and tests.
//!
//! Promise: one result per item, in the order of the request; an item that is refused leaves the others alone. What answers
//! CREATED, CHANGED or DELETED is as safe as the log's `flush` says.
//! A broker that does not lead relays what is about the group, and answers what is about itself (`GetBroker`).
//! Not here: what a definition may be (`engine`), beyond names the client protocol could not use.

mod convert;
mod describe;
mod find;
mod leading;
mod look;
mod member;
mod offsets;
mod remains;
mod trace;

use std::sync::Arc;

use engine::catalog::{Adopt, ApplyOutcome};
use engine::inbox::{SubmitError, Ticket};
use engine::mailbox::Mailbox;
use tokio::sync::Semaphore;
use tonic::{Request, Response, Status};
use wire::admin::admin_server::{Admin, AdminServer};
use wire::admin::{self, Code};

use crate::authorize::{Action, Principal, Resource, authorize};
use crate::gateway::Gateway;
use crate::leader::Leadership;
use crate::relay::Relay;

pub use leading::Leading;
pub use member::{HandOver, HandOverError, Membership, Successor};

/// A bulk request: some 100,000 definitions.
const REQUEST_BYTES_MAX: usize = 64 << 20;

/// Answers administration calls; cheap to clone.
#[derive(Clone)]
pub struct AdminService {
    leadership: Arc<Leadership>,
    mailbox: Arc<Mailbox>,
    connections: Arc<dyn Fn() -> u64 + Send + Sync>,
    membership: Option<Membership>,
    /// Turns of calls that look through the log.
    looks: Arc<Semaphore>,
    started_ms: u64,
}

type Applied = Result<(Vec<ApplyOutcome>, Option<Ticket>), SubmitError>;

impl AdminService {
    /// A service for the group that `leadership` is about. `mailbox` belongs to the runtime that serves it; `connections` counts clients.
    pub fn new(
        leadership: Arc<Leadership>,
        mailbox: Arc<Mailbox>,
        connections: Arc<dyn Fn() -> u64 + Send + Sync>,
    ) -> Self {
        let started_ms = leadership.now_ms();
        let looks = Arc::new(Semaphore::new(look::LOOKS_MAX));
        Self { leadership, mailbox, connections, membership: None, looks, started_ms }
    }

    /// As a member of a group with several copies.
    #[must_use]
    pub fn among(self, membership: Option<Membership>) -> Self {
        Self { membership, ..self }
    }

    /// The service for a tonic server; `relay` is the way to the leader when this broker is not.
    pub fn server(self, relay: Arc<Relay>) -> Leading {
        let leadership = Arc::clone(&self.leadership);
        let served = AdminServer::new(self)
            .max_decoding_message_size(REQUEST_BYTES_MAX)
            .max_encoding_message_size(REQUEST_BYTES_MAX);
        Leading::new(served, leadership, relay)
    }

    /// The gateway of this moment. Calls come here only when this broker led just now.
    fn gateway(&self) -> Result<Arc<Gateway>, Status> {
        self.leadership.gateway().ok_or_else(|| Status::unavailable(self.leadership.nobody().message))
    }

    /// Applies the items that were read and waits until they are stored.
    async fn apply<S>(
        &self,
        items: Vec<(String, Result<S, String>)>,
        apply: impl FnOnce(&[S]) -> Applied + Send,
    ) -> Response<admin::ApplyResponse>
    where
        S: Send + Sync,
    {
        let (names, read): (Vec<_>, Vec<_>) = items.into_iter().unzip();
        let mut specs = Vec::with_capacity(names.len());
        let checked: Vec<_> = read.into_iter().map(|item| item.map(|spec| specs.push(spec))).collect();
        let mut applied = settle(specs.len(), apply(&specs)).await.into_iter();
        let result = |(name, checked): (String, Result<(), String>)| {
            let (code, message) = match checked {
                Ok(()) => applied.next().expect("one outcome per item"),
                Err(why) => (Code::Invalid, why),
            };
            admin::Result { name, code: code.into(), message }
        };
        let results = names.into_iter().zip(checked).map(result).collect();
        Response::new(admin::ApplyResponse { results })
    }
}

/// One code and text per item, once what had to be written is stored.
async fn settle(items: usize, applied: Applied) -> Vec<(Code, String)> {
    let (outcomes, ticket) = match applied {
        Ok(applied) => applied,
        Err(refused) => return vec![(Code::Unavailable, refused.to_string()); items],
    };
    let failed = match ticket {
        Some(ticket) => ticket.await.err(),
        None => None,
    };
    let coded = |outcome| match (convert::outcome(outcome), &failed) {
        ((Code::Created | Code::Changed | Code::Deleted, _), Some(error)) => {
            (Code::Unavailable, error.to_string())
        }
        (coded, _) => coded,
    };
    outcomes.into_iter().map(coded).collect()
}

fn allow(action: Action, resource: Resource<'_>) -> Result<(), Status> {
    authorize(Principal::Anonymous, action, resource)
        .map_err(|refusal| Status::permission_denied(refusal.message))
}

fn adopt(number: i32) -> Result<Adopt, Status> {
    convert::adopt(number).ok_or_else(|| Status::invalid_argument(format!("adopt: {number} is not known")))
}

#[tonic::async_trait]
impl Admin for AdminService {
    async fn apply_topics(
        &self,
        request: Request<admin::ApplyTopicsRequest>,
    ) -> Result<Response<admin::ApplyResponse>, Status> {
        let request = request.into_inner();
        let adopt = adopt(request.adopt)?;
        let mut items = Vec::with_capacity(request.topics.len());
        for topic in request.topics {
            allow(Action::Administer, Resource::Topic(&topic.name))?;
            items.push((topic.name.clone(), convert::topic_spec(topic)));
        }
        let group = &self.gateway()?.group;
        Ok(self.apply(items, |specs| group.apply_topics(specs, adopt, &self.mailbox)).await)
    }

    async fn delete_topics(
        &self,
        request: Request<admin::DeleteRequest>,
    ) -> Result<Response<admin::ApplyResponse>, Status> {
        let request = request.into_inner();
        for name in &request.names {
            allow(Action::Administer, Resource::Topic(name))?;
        }
        let owner = Some(request.owner.as_str()).filter(|owner| !owner.is_empty());
        let items = request.names.into_iter().map(|name| (name.clone(), Ok(name))).collect();
        let group = &self.gateway()?.group;
        Ok(self.apply(items, |names| group.delete_topics(names, owner, &self.mailbox)).await)
    }

    async fn list_topics(
        &self,
        request: Request<admin::ListRequest>,
    ) -> Result<Response<admin::ListTopicsResponse>, Status> {
        allow(Action::Describe, Resource::Broker)?;
        Ok(Response::new(describe::topics(&*self.gateway()?, &request.into_inner())))
    }

    async fn describe_topic(
        &self,
        request: Request<admin::DescribeRequest>,
    ) -> Result<Response<admin::DescribeTopicResponse>, Status> {
        let name = request.into_inner().name;
        allow(Action::Describe, Resource::Topic(&name))?;
        Ok(Response::new(describe::topic(&*self.gateway()?, name)))
    }

    async fn apply_consumer_groups(
        &self,
        request: Request<admin::ApplyConsumerGroupsRequest>,
    ) -> Result<Response<admin::ApplyResponse>, Status> {
        let request = request.into_inner();
        let adopt = adopt(request.adopt)?;
        let mut items = Vec::with_capacity(request.groups.len());
        for group in request.groups {
            allow(Action::Administer, Resource::ConsumerGroup(&group.name))?;
            items.push((group.name.clone(), convert::consumer_group_spec(group)));
        }
        let group = &self.gateway()?.group;
        Ok(self.apply(items, |specs| group.apply_consumer_groups(specs, adopt, &self.mailbox)).await)
    }

    async fn delete_consumer_groups(
        &self,
        request: Request<admin::DeleteRequest>,
    ) -> Result<Response<admin::ApplyResponse>, Status> {
        let request = request.into_inner();
        for name in &request.names {
            allow(Action::Administer, Resource::ConsumerGroup(name))?;
        }
        let owner = Some(request.owner.as_str()).filter(|owner| !owner.is_empty());
        let items = request.names.into_iter().map(|name| (name.clone(), Ok(name))).collect();
        let group = &self.gateway()?.group;
        Ok(self.apply(items, |names| group.delete_consumer_groups(names, owner, &self.mailbox)).await)
    }

    async fn list_consumer_groups(
        &self,
        request: Request<admin::ListRequest>,
    ) -> Result<Response<admin::ListConsumerGroupsResponse>, Status> {
        allow(Action::Describe, Resource::Broker)?;
        Ok(Response::new(describe::consumer_groups(&*self.gateway()?, &request.into_inner())))
    }

    async fn describe_consumer_group(
        &self,
        request: Request<admin::DescribeRequest>,
    ) -> Result<Response<admin::DescribeConsumerGroupResponse>, Status> {
        let name = request.into_inner().name;
        allow(Action::Describe, Resource::ConsumerGroup(&name))?;
        Ok(Response::new(describe::consumer_group(&*self.gateway()?, name)))
    }

    async fn move_offsets(
        &self,
        request: Request<admin::MoveOffsetsRequest>,
    ) -> Result<Response<admin::MoveOffsetsResponse>, Status> {
        let request = request.into_inner();
        allow(Action::Administer, Resource::ConsumerGroup(&request.group))?;
        let gateway = self.gateway()?;
        Ok(Response::new(offsets::move_offsets(&gateway, &self.mailbox, request).await))
    }

    async fn get_broker(
        &self,
        _: Request<admin::GetBrokerRequest>,
    ) -> Result<Response<admin::GetBrokerResponse>, Status> {
        allow(Action::Describe, Resource::Broker)?;
        Ok(Response::new(self.broker()))
    }

    async fn find_messages(
        &self,
        request: Request<admin::FindMessagesRequest>,
    ) -> Result<Response<admin::FindMessagesResponse>, Status> {
        match request.get_ref().topic.as_str() {
            "" => allow(Action::Describe, Resource::Broker)?,
            name => allow(Action::Describe, Resource::Topic(name))?,
        }
        Ok(Response::new(self.look(request, find::find).await?))
    }

    async fn trace_message(
        &self,
        request: Request<admin::TraceMessageRequest>,
    ) -> Result<Response<admin::TraceMessageResponse>, Status> {
        allow(Action::Describe, Resource::Broker)?;
        Ok(Response::new(self.look(request, trace::trace).await?))
    }

    async fn hand_over(
        &self,
        request: Request<admin::HandOverRequest>,
    ) -> Result<Response<admin::HandOverResponse>, Status> {
        allow(Action::Administer, Resource::Broker)?;
        Ok(Response::new(member::hand_over(self.membership.as_ref(), request.into_inner().to).await))
    }
}
