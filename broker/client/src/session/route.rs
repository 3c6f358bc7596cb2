//! The queues of a topic and the servers that hold them.

use std::sync::Arc;

use wire::v2;

use crate::endpoint::Endpoint;
use crate::transport::Link;

/// One queue and where to use it.
pub(crate) struct RouteQueue {
    pub(crate) queue: v2::MessageQueue,
    pub(crate) link: Arc<Link>,
}

/// All queues of a topic.
pub(crate) struct Route {
    pub(crate) queues: Vec<RouteQueue>,
    writable: Vec<usize>,
    readable: Vec<usize>,
}

impl Route {
    pub(crate) fn new(queues: Vec<RouteQueue>) -> Self {
        let usable = |wanted: v2::Permission| {
            queues.iter().enumerate().filter_map(move |(at, entry)| {
                let permission = entry.queue.permission();
                let leads = entry.queue.broker.as_ref().is_some_and(|broker| broker.id == 0);
                (leads && (permission == wanted || permission == v2::Permission::ReadWrite)).then_some(at)
            })
        };
        let writable = usable(v2::Permission::Write).collect();
        // A receive takes from any queue of a broker, so one queue of each will do.
        let mut readable: Vec<usize> = Vec::new();
        for at in usable(v2::Permission::Read) {
            let same = |&other: &usize| queues[other].queue.broker == queues[at].queue.broker;
            if !readable.iter().any(same) {
                readable.push(at);
            }
        }
        Self { queues, writable, readable }
    }

    /// A queue to send to; `turn` counts up.
    pub(crate) fn writable(&self, turn: usize) -> Option<&RouteQueue> {
        self.pick(&self.writable, turn)
    }

    /// A queue to receive from, one for each broker.
    pub(crate) fn readable(&self, turn: usize) -> Option<&RouteQueue> {
        self.pick(&self.readable, turn)
    }

    fn pick(&self, usable: &[usize], turn: usize) -> Option<&RouteQueue> {
        usable.get(turn.checked_rem(usable.len())?).map(|&at| &self.queues[at])
    }
}

/// The addresses of a queue's broker; they speak TLS where the access point does.
pub(crate) fn broker_endpoints(queue: &v2::MessageQueue, tls: bool) -> Vec<Endpoint> {
    let endpoints = queue.broker.as_ref().and_then(|broker| broker.endpoints.as_ref());
    let Some(endpoints) = endpoints else { return Vec::new() };
    let port = |address: &v2::Address| u16::try_from(address.port).ok();
    endpoints
        .addresses
        .iter()
        .filter_map(|address| Some(Endpoint { host: address.host.clone(), port: port(address)?, tls }))
        .collect()
}
