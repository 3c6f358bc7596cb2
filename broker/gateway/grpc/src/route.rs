//! `QueryRoute` and `QueryAssignment`: which brokers serve a topic.
//!
//! ```text
//!   several groups           g0 ▪  g1 ▪  g2 ▪         the address that leads to each group's leader
//!   one group, 1 copy        g0 ▪                     what the client dialled
//!   one group, 3 copies      g0-0 ▪  g0-1 ▪  g0-2 ▪   each member as a broker: any of them gets a call to the leader
//! ```
//!
//! A route has no entry per queue: the leader places a send, and a receive drains every queue of its topic, whatever entry
//! it names. Entries are ways to get there, for an SDK tries again with another broker if it knows one.
//! Clients that pull name the queue: their route has an entry for each, and their assignments are each client's share.
//! Limit: the Go SDK (5.1.4) makes all attempts at one entry, so that more of them only mean more that can be broken.

use engine::catalog::Topic;
use wire::v2::{self, ClientType, Permission};

use crate::authorize::{Action, Principal, Resource, authorize};
use crate::call::Call;
use crate::endpoints::{self, GroupAddress};
use crate::gateway::{Gateway, name_of};
use crate::refusal::{Refusal, ok};
use crate::session::Profile;
use crate::topic_type::accepted;
use http::uri::Authority;

/// Replicas have other ids; SDKs write to and read from 0 only.
const MASTER_ID: i32 = 0;
/// "All queues of this broker" in an assignment.
const ALL_QUEUES: i32 = -1;

/// Where a client is sent.
pub(crate) struct Ways {
    /// The groups, or the ways to the only one.
    pub(crate) brokers: Vec<v2::Broker>,
    pub(crate) are_groups: bool,
}

impl Gateway {
    pub(crate) fn query_route(
        &self,
        call: &Call,
        request: &v2::QueryRouteRequest,
    ) -> Result<v2::QueryRouteResponse, Refusal> {
        call.identified()?;
        let name = name_of(request.topic.as_ref());
        authorize(Principal::Anonymous, Action::Locate, Resource::Topic(name))?;
        let topic = self.topic(name)?;
        let permission = permission(&topic);
        let entry = |broker| v2::MessageQueue {
            topic: request.topic.clone(),
            id: 0,
            permission: permission.into(),
            broker: Some(broker),
            accept_message_types: accepted(topic.spec.topic_type).iter().map(|&found| found.into()).collect(),
        };
        let ways = self.ways(call, request.endpoints.as_ref());
        let message_queues = if self.pulls(call) {
            let queue = |(id, broker)| v2::MessageQueue { id, ..entry(broker) };
            each_queue(&ways, &topic).map(queue).collect()
        } else {
            ways.brokers.into_iter().map(entry).collect()
        };
        Ok(v2::QueryRouteResponse { status: Some(ok()), message_queues })
    }

    pub(crate) fn query_assignment(
        &self,
        call: &Call,
        request: &v2::QueryAssignmentRequest,
    ) -> Result<v2::QueryAssignmentResponse, Refusal> {
        call.identified()?;
        let (name, group) = (name_of(request.topic.as_ref()), name_of(request.group.as_ref()));
        authorize(Principal::Anonymous, Action::Subscribe, Resource::ConsumerGroup(group))?;
        authorize(Principal::Anonymous, Action::Subscribe, Resource::Topic(name))?;
        let is_ordered = self.consumer_group(group)?.spec.ordered;
        let topic = self.topic(name)?;
        let permission = permission(&topic);
        // Every member of a group gets all queues: leases keep members apart, so nothing has to be divided.
        let assignment = |(id, broker)| v2::Assignment {
            message_queue: Some(v2::MessageQueue {
                topic: request.topic.clone(),
                id,
                permission: permission.into(),
                broker: Some(broker),
                accept_message_types: Vec::new(),
            }),
        };
        let ways = self.ways(call, request.endpoints.as_ref());
        let queues = if self.pulls(call) {
            self.share(call, group, each_queue(&ways, &topic))
        } else if is_ordered {
            per_queue(&ways.brokers, topic.queues.len())
        } else {
            each_once(ways.brokers)
        };
        let assignments = queues.into_iter().map(assignment).collect();
        Ok(v2::QueryAssignmentResponse { status: Some(ok()), assignments })
    }

    /// A client that comes from another broker, or from before this one was started again, has no session here yet; one of ours
    /// says with each call what it is. Told less than every queue, it would never read the others.
    fn pulls(&self, call: &Call) -> bool {
        let session = self.sessions.find(call.client_id());
        call.client_type() == ClientType::PullConsumer.as_str_name()
            || session.is_some_and(|session| session.profile().client_type == ClientType::PullConsumer)
    }

    /// The part of the queues that is this client's, where those of its group that pull divide them in the order of their ids.
    fn share(
        &self,
        call: &Call,
        group: &str,
        queues: impl Iterator<Item = (i32, v2::Broker)>,
    ) -> Vec<(i32, v2::Broker)> {
        let sessions = self.sessions.all();
        let pulls = |profile: &Profile| {
            profile.client_type == ClientType::PullConsumer && profile.group.as_deref() == Some(group)
        };
        let members: Vec<_> = sessions.iter().filter(|session| pulls(&session.profile())).collect();
        let place = members.iter().position(|session| session.client_id == call.client_id());
        let (place, count) = place.map_or((0, 1), |place| (place, members.len()));
        queues.enumerate().filter(|(number, _)| number % count == place).map(|(_, queue)| queue).collect()
    }

    /// The brokers that a client is told, in a lasting order: a changed list makes clients open new connections.
    pub(crate) fn ways(&self, call: &Call, typed: Option<&v2::Endpoints>) -> Ways {
        let broker = |name: String, endpoints| v2::Broker { name, id: MASTER_ID, endpoints: Some(endpoints) };
        // One group needs no address of its own: through a tunnel or a node port only the dialled one works.
        let groups = self.config.groups.get();
        if groups.len() > 1 {
            let of_group = |group: &GroupAddress| broker(group.name.clone(), group.endpoints());
            return Ways { brokers: groups.iter().map(of_group).collect(), are_groups: true };
        }
        let authority = call.authority.as_ref().map(Authority::as_str);
        let dialled = endpoints::dialled(typed, authority, &self.config.host);
        let ways = match &self.config.members {
            Some(members) if !call.language().eq_ignore_ascii_case("GO") => members.ways(&dialled),
            Some(_) | None => Vec::new(),
        };
        if ways.len() <= 1 {
            return Ways { brokers: vec![broker(self.config.group.clone(), dialled)], are_groups: false };
        }
        let named = |(number, way)| broker(format!("{}-{number}", self.config.group), way);
        Ways { brokers: ways.into_iter().map(named).collect(), are_groups: false }
    }
}

/// Every queue with a way to its broker group; the members of a group all lead to the same one.
fn each_queue<'a>(ways: &'a Ways, topic: &Topic) -> impl Iterator<Item = (i32, v2::Broker)> + use<'a> {
    let groups = if ways.are_groups { ways.brokers.as_slice() } else { &ways.brokers[..1] };
    let queues = i32::try_from(topic.queues.len()).unwrap_or(i32::MAX);
    groups.iter().flat_map(move |broker| (0..queues).map(move |id| (id, broker.clone())))
}

/// A consumer that does not care for order asks each broker for everything.
fn each_once(brokers: Vec<v2::Broker>) -> Vec<(i32, v2::Broker)> {
    brokers.into_iter().map(|broker| (ALL_QUEUES, broker)).collect()
}

/// An SDK that reads in order takes the messages of one assignment one by one: as many can be under way as it has
/// assignments. Which queue they name does not matter to a receive.
fn per_queue(brokers: &[v2::Broker], queues: usize) -> Vec<(i32, v2::Broker)> {
    let rounds = (0..).flat_map(|id| brokers.iter().map(move |broker| (id, broker.clone())));
    rounds.take(queues.max(brokers.len())).collect()
}

/// Topics that the broker fills by itself are read-only for clients.
pub(crate) fn permission(topic: &Topic) -> Permission {
    if wire::validate::topic_to_send(&topic.spec.name).is_ok() {
        Permission::ReadWrite
    } else {
        Permission::Read
    }
}
