//! The queues of a topic and the servers that hold them.

use std::sync::Arc;

use wire::v2;

use crate::endpoint::Endpoint;
use crate::transport::Link;

/// One queue and where to use it.
#[derive(Clone)]
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
            queues.iter().enumerate().filter(move |(_, entry)| is_usable(entry, wanted)).map(|(at, _)| at)
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

    /// How many brokers can be received from.
    pub(crate) fn places(&self) -> usize {
        self.readable.len()
    }

    /// Every queue that may be read, those of one broker as well.
    pub(crate) fn each_readable(&self) -> impl Iterator<Item = &RouteQueue> {
        self.queues.iter().filter(|entry| is_usable(entry, v2::Permission::Read))
    }

    /// The next one in turn that answers; if none does, the next one.
    fn pick(&self, usable: &[usize], turn: usize) -> Option<&RouteQueue> {
        let first = turn.checked_rem(usable.len())?;
        let (before, from) = usable.split_at(first);
        let mut in_turn = from.iter().chain(before).map(|&at| &self.queues[at]);
        in_turn.clone().find(|queue| !queue.link.is_silent()).or_else(|| in_turn.next())
    }
}

fn is_usable(entry: &RouteQueue, wanted: v2::Permission) -> bool {
    let permission = entry.queue.permission();
    let leads = entry.queue.broker.as_ref().is_some_and(|broker| broker.id == 0);
    leads && (permission == wanted || permission == v2::Permission::ReadWrite)
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::net::TcpListener;

    use super::*;
    use crate::dial::{Dialer, Trust};
    use crate::transport::{Identity, Rpc};

    fn link(port: u16) -> Arc<Link> {
        let identity = Identity {
            client_id: "test".to_owned(),
            client_type: v2::ClientType::Producer,
            namespace: String::new(),
            request_timeout: Duration::from_millis(20),
        };
        let dialer = Dialer::new(&Trust::Anyone).unwrap();
        Arc::new(Link::new(vec![Endpoint::plain("127.0.0.1", port)], 1, dialer, &identity).unwrap())
    }

    fn queue(name: &str, link: &Arc<Link>) -> RouteQueue {
        let broker = v2::Broker { name: name.to_owned(), ..v2::Broker::default() };
        let permission = v2::Permission::ReadWrite.into();
        let queue = v2::MessageQueue { broker: Some(broker), permission, ..v2::MessageQueue::default() };
        RouteQueue { queue, link: Arc::clone(link) }
    }

    #[tokio::test]
    async fn a_server_that_does_not_answer_is_passed_over_unless_none_does() {
        // It takes connections and says nothing.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let silent = link(listener.local_addr().unwrap().port());
        let other = link(1);
        let route = Route::new(vec![queue("silent", &silent), queue("other", &other)]);
        let names = |turns: std::ops::Range<usize>| -> Vec<String> {
            let name = |turn| route.writable(turn).unwrap().queue.broker.clone().unwrap().name;
            turns.map(name).collect()
        };
        assert_eq!(names(0..3), ["silent", "other", "silent"]);
        let request = v2::HeartbeatRequest::default();
        let answer: Result<v2::HeartbeatResponse, _> = silent.call(Rpc::Heartbeat, &request).await;
        assert!(answer.is_err());
        assert_eq!(names(0..3), ["other", "other", "other"]);
        let answer: Result<v2::HeartbeatResponse, _> = other.call(Rpc::Heartbeat, &request).await;
        assert!(answer.is_err());
        assert_eq!(names(0..3), ["silent", "other", "silent"], "one of them may be back");
    }
}
