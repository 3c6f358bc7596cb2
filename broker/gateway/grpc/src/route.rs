//! `QueryRoute` and `QueryAssignment`: which brokers serve a topic.
//!
//! ```text
//!   several groups           g0 ▪  g1 ▪  g2 ▪         the address that leads to each group's leader,
//!                                                     or what the client's listener advertises
//!   one group, 1 copy        g0 ▪                     what the client dialled
//!   one group, 3 copies      g0-0 ▪  g0-1 ▪  g0-2 ▪   each member as a broker: any of them gets a call to the leader
//! ```
//!
//! A topic that is in some groups only has entries for these, in the order of its definition: producers choose one by the
//! message group, so that the order of the list is the order of the messages. A group that is leaving is shown for reading alone,
//! and to known producers not at all, but for topics that were put there by name.
//! A route has no entry per queue: the leader places a send, and a receive drains every queue of its topic, whatever entry
//! it names. Entries are ways to get there, for an SDK tries again with another broker if it knows one.
//! Clients that pull name the queue: their route has an entry for each, and their assignments are each client's share.
//! Limit: the Go SDK (5.1.4) makes all attempts at one entry, so that more of them only mean more that can be broken.

use engine::catalog::Topic;
use wire::v2::{self, ClientType, Permission};

use crate::authorize::{Action, Principal, Resource, authorize};
use crate::call::Call;
use crate::endpoints::{self, GroupAddress, Standing};
use crate::gateway::{Gateway, name_of};
use crate::listener;
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
    pub(crate) brokers: Vec<Way>,
    pub(crate) are_groups: bool,
}

/// One entry of a route.
#[derive(Clone)]
pub(crate) struct Way {
    pub(crate) broker: v2::Broker,
    pub(crate) permission: Permission,
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
        let entry = |way: Way| v2::MessageQueue {
            topic: request.topic.clone(),
            id: 0,
            permission: way.permission.into(),
            broker: Some(way.broker),
            accept_message_types: accepted(topic.spec.topic_type).iter().map(|&found| found.into()).collect(),
        };
        let mut ways = self.ways(call, request.endpoints.as_ref(), &topic);
        // One SDK sends to entries that are for reading alone.
        if self.sends(call) && ways.brokers.iter().any(|way| way.permission == Permission::ReadWrite) {
            ways.brokers.retain(|way| way.permission == Permission::ReadWrite);
        }
        let message_queues = if self.pulls(call) {
            let queue = |(id, way)| v2::MessageQueue { id, ..entry(way) };
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
        // Every member of a group gets all queues: leases keep members apart, so nothing has to be divided.
        let assignment = |(id, way): (i32, Way)| v2::Assignment {
            message_queue: Some(v2::MessageQueue {
                topic: request.topic.clone(),
                id,
                permission: way.permission.into(),
                broker: Some(way.broker),
                accept_message_types: Vec::new(),
            }),
        };
        let ways = self.ways(call, request.endpoints.as_ref(), &topic);
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

    fn sends(&self, call: &Call) -> bool {
        let session = self.sessions.find(call.client_id());
        session.is_some_and(|session| session.profile().client_type == ClientType::Producer)
    }

    /// The part of the queues that is this client's, where those of its group that pull divide them in the order of their ids.
    fn share(&self, call: &Call, group: &str, queues: impl Iterator<Item = (i32, Way)>) -> Vec<(i32, Way)> {
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
    pub(crate) fn ways(&self, call: &Call, typed: Option<&v2::Endpoints>, topic: &Topic) -> Ways {
        let permission = permission(topic);
        let way = |name: String, endpoints, permission| Way {
            broker: v2::Broker { name, id: MASTER_ID, endpoints: Some(endpoints) },
            permission,
        };
        // One group needs no address of its own: through a tunnel or a node port only the dialled one works.
        let groups = self.config.groups.get();
        let authority = call.authority.as_ref().map(Authority::as_str);
        let dialled = endpoints::dialled(typed, authority, &self.config.host);
        if groups.len() > 1 {
            let listeners = self.config.listeners.get();
            let listener = listeners.iter().find(|listener| listener.name == call.listener());
            let of_group = |group: &GroupAddress| {
                let endpoints = listener::endpoints(listener, group, &dialled)?;
                let takes = group.standing == Standing::Open
                    || (group.standing == Standing::Diverting && !topic.spec.groups.is_empty());
                let permission = if takes { permission } else { Permission::Read };
                Some(way(group.name.clone(), endpoints, permission))
            };
            let brokers = homes(&groups, topic).into_iter().filter_map(of_group).collect();
            return Ways { brokers, are_groups: true };
        }
        let ways = match &self.config.members {
            Some(members) if !call.language().eq_ignore_ascii_case("GO") => members.ways(&dialled),
            Some(_) | None => Vec::new(),
        };
        if ways.len() <= 1 {
            let only = way(self.config.group.clone(), dialled, permission);
            return Ways { brokers: vec![only], are_groups: false };
        }
        let named =
            |(number, endpoints)| way(format!("{}-{number}", self.config.group), endpoints, permission);
        Ways { brokers: ways.into_iter().map(named).collect(), are_groups: false }
    }
}

/// The groups that have queues of a topic, in its own order, without those that nobody is sent to.
fn homes<'a>(groups: &'a [GroupAddress], topic: &Topic) -> Vec<&'a GroupAddress> {
    let is_shown = |group: &&GroupAddress| group.standing != Standing::Closed;
    if topic.spec.groups.is_empty() {
        return groups.iter().filter(is_shown).collect();
    }
    let named = |name: &String| groups.iter().find(|group| group.name == *name).filter(is_shown);
    topic.spec.groups.iter().filter_map(named).collect()
}

/// Every queue with a way to its broker group; the members of a group all lead to the same one.
fn each_queue<'a>(ways: &'a Ways, topic: &Topic) -> impl Iterator<Item = (i32, Way)> + use<'a> {
    let groups = if ways.are_groups { ways.brokers.as_slice() } else { &ways.brokers[..1] };
    let queues = i32::try_from(topic.queues.len()).unwrap_or(i32::MAX);
    groups.iter().flat_map(move |way| (0..queues).map(move |id| (id, way.clone())))
}

/// A consumer that does not care for order asks each broker for everything.
fn each_once(ways: Vec<Way>) -> Vec<(i32, Way)> {
    ways.into_iter().map(|way| (ALL_QUEUES, way)).collect()
}

/// An SDK that reads in order takes the messages of one assignment one by one: as many can be under way as it has
/// assignments. Which queue they name does not matter to a receive.
fn per_queue(ways: &[Way], queues: usize) -> Vec<(i32, Way)> {
    let rounds =
        (0..).take_while(|_| !ways.is_empty()).flat_map(|id| ways.iter().map(move |way| (id, way.clone())));
    rounds.take(queues.max(ways.len())).collect()
}

/// Topics that the broker fills by itself are read-only for clients.
pub(crate) fn permission(topic: &Topic) -> Permission {
    if wire::validate::topic_to_send(&topic.spec.name).is_ok() {
        Permission::ReadWrite
    } else {
        Permission::Read
    }
}
