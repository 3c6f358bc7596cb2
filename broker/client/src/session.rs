//! What producers and consumers share: routes, and a session with each server in them.
//!
//! ```text
//!   access point ── QueryRoute ──▶ queues ──▶ one Link per address ──▶ Telemetry: settings there and back
//!                                                                      Heartbeat every 10 s
//! ```
//!
//! Promise: a server is not used before it answered the settings; a session that ends is opened again after a second, and
//! routes are asked for anew every 30 s. Dropping the session ends all of it.

mod background;
mod guidance;
mod route;
mod settings;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures::future::select_ok;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use wire::v2;

pub(crate) use guidance::Guidance;
pub(crate) use route::{Route, RouteQueue};
pub(crate) use settings::{Role, duration};

use crate::config::{ClientConfig, InvalidConfig};
use crate::dial::{DialError, Dialer};
use crate::endpoint::{Endpoint, InvalidEndpoint};
use crate::id;
use crate::status::{AskError, Refused};
use crate::transport::{CallError, Identity, Link, Rpc};

/// A client that did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// It cannot be as configured.
    #[error(transparent)]
    Config(#[from] InvalidConfig),
    /// The certificates to believe in cannot be used.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The access point does not take this client.
    #[error(transparent)]
    Session(AskError),
    /// The routes of a topic cannot be had.
    #[error("topic `{topic}`: {source}")]
    Route {
        /// Which topic.
        topic: String,
        /// Why.
        source: AskError,
    },
}

/// Whether a server has answered the settings.
#[derive(Debug, Clone)]
enum Readiness {
    /// With the reason why the last try did not succeed.
    Waiting(Option<String>),
    Ready,
    Refused(Refused),
    /// The server ended the call with this status of gRPC, as the reference server does with settings it does not take.
    Failed {
        code: u32,
        message: String,
    },
}

/// A server in the routes.
struct Server {
    link: Arc<Link>,
    readiness: watch::Receiver<Readiness>,
}

/// State that the background tasks share.
pub(crate) struct Shared {
    config: ClientConfig,
    role: Role,
    identity: Identity,
    dialer: Dialer,
    access: Arc<Link>,
    servers: Mutex<HashMap<Vec<Endpoint>, Server>>,
    routes: Mutex<BTreeMap<String, Arc<Route>>>,
    guidance: Mutex<Arc<Guidance>>,
    tasks: Mutex<JoinSet<()>>,
    /// Held during heartbeats: one that is still on its way must not be taken for a new life after the farewell.
    has_left: tokio::sync::Mutex<bool>,
}

/// A running client.
pub(crate) struct Session(Arc<Shared>);

impl Session {
    /// Connects, asks for the routes of the role's topics, and introduces itself to each server in them.
    pub(crate) async fn start(config: ClientConfig, role: Role) -> Result<Self, StartError> {
        let dialer = Dialer::new(&config.trust)?;
        let identity = Identity {
            client_id: id::client_id(),
            client_type: role.client_type(),
            namespace: config.namespace.clone(),
            request_timeout: config.request_timeout,
        };
        let access = Link::new(config.endpoints.clone(), config.connections, dialer.clone(), &identity)
            .map_err(InvalidConfig::from)?;
        let topics = role.topics();
        let shared = Arc::new(Shared {
            config,
            role,
            identity,
            dialer,
            access: Arc::new(access),
            servers: Mutex::default(),
            routes: Mutex::default(),
            guidance: Mutex::default(),
            tasks: Mutex::default(),
            has_left: tokio::sync::Mutex::default(),
        });
        let session = Self(shared.clone());
        if session.0.role.is_known_first() {
            let access = shared.access.endpoints().to_vec();
            let known = shared.link(access).map_err(InvalidConfig::from)?;
            shared.ready(&known).await.map_err(StartError::Session)?;
        }
        for topic in topics {
            session.route(&topic).await.map_err(|source| StartError::Route { topic, source })?;
        }
        let upkeep = background::keep_up(shared.clone());
        shared.tasks.lock().spawn(upkeep);
        Ok(session)
    }

    pub(crate) fn resource(&self, name: &str) -> v2::Resource {
        self.0.resource(name)
    }

    /// The queues of a topic, asked for once and then kept up in the background.
    pub(crate) async fn route(&self, topic: &str) -> Result<Arc<Route>, AskError> {
        let known = self.0.routes.lock().get(topic).cloned();
        match known {
            Some(route) => Ok(route),
            None => self.refresh(topic).await,
        }
    }

    /// Asks for the queues of a topic anew.
    pub(crate) async fn refresh(&self, topic: &str) -> Result<Arc<Route>, AskError> {
        let route = background::query_route(&self.0, topic).await?;
        // One that answers is enough: another one may be down, and be told apart when it is called.
        let sessions = route.queues.iter().map(|queue| Box::pin(self.0.ready(&queue.link)));
        select_ok(sessions).await?;
        Ok(route)
    }

    /// Where a queue is by now, if it is still in the route.
    pub(crate) fn located(&self, topic: &str, found: &RouteQueue) -> RouteQueue {
        let route = self.0.routes.lock().get(topic).cloned();
        let same = |other: &&RouteQueue| {
            let name = |queue: &RouteQueue| queue.queue.broker.as_ref().map(|broker| broker.name.clone());
            other.queue.id == found.queue.id && name(other) == name(found)
        };
        route.and_then(|route| route.queues.iter().find(same).cloned()).unwrap_or_else(|| found.clone())
    }

    /// What a member of the group reads of a topic; its servers know this client.
    pub(crate) async fn assignments(
        &self,
        topic: &str,
        group: v2::Resource,
    ) -> Result<Vec<RouteQueue>, AskError> {
        background::query_assignment(&self.0, topic, group).await
    }

    /// Waits until the server behind the link has answered the settings.
    pub(crate) async fn ready(&self, link: &Arc<Link>) -> Result<(), AskError> {
        self.0.ready(link).await
    }

    /// The latest word of a server on how to consume.
    pub(crate) fn guidance(&self) -> Arc<Guidance> {
        self.0.guidance.lock().clone()
    }

    /// Where to speak about a message that came over `link`: there first, then at the others by turns, since a server that is
    /// gone may have left its work to them.
    pub(crate) fn way(&self, topic: &str, link: &Arc<Link>, failures: usize) -> Arc<Link> {
        let route = self.0.routes.lock().get(topic).cloned();
        let other = route.as_ref().filter(|_| failures > 0 && link.is_silent());
        other
            .and_then(|route| route.readable(failures))
            .map_or_else(|| link.clone(), |queue| queue.link.clone())
    }

    /// Tells the servers that this client is gone, after the last heartbeat has been answered.
    pub(crate) async fn close(&self) {
        *self.0.has_left.lock().await = true;
        let request = v2::NotifyClientTerminationRequest { group: self.0.role.group(&self.0) };
        for link in self.0.links() {
            let told: Result<v2::NotifyClientTerminationResponse, _> =
                link.call(Rpc::NotifyClientTermination, &request).await;
            if let Err(error) = told {
                tracing::debug!(%error, "server was not told that this client ends");
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // The tasks hold the shared state; without this they would keep each other alive.
        self.0.tasks.lock().abort_all();
    }
}

impl Shared {
    fn resource(&self, name: &str) -> v2::Resource {
        v2::Resource { resource_namespace: self.config.namespace.clone(), name: name.to_owned() }
    }

    fn links(&self) -> Vec<Arc<Link>> {
        self.servers.lock().values().map(|server| server.link.clone()).collect()
    }

    /// The link to a server, with a session begun if it is new.
    fn link(self: &Arc<Self>, endpoints: Vec<Endpoint>) -> Result<Arc<Link>, InvalidEndpoint> {
        let mut servers = self.servers.lock();
        if let Some(server) = servers.get(&endpoints) {
            return Ok(server.link.clone());
        }
        let link = if endpoints == self.access.endpoints() {
            self.access.clone()
        } else {
            let connections = self.config.connections;
            Arc::new(Link::new(endpoints.clone(), connections, self.dialer.clone(), &self.identity)?)
        };
        let (tell, readiness) = watch::channel(Readiness::Waiting(None));
        self.tasks.lock().spawn(background::hold_session(self.clone(), link.clone(), tell));
        servers.insert(endpoints, Server { link: link.clone(), readiness });
        Ok(link)
    }

    /// Waits until the server has answered the settings.
    async fn ready(&self, link: &Arc<Link>) -> Result<(), AskError> {
        let Some(mut readiness) =
            self.servers.lock().get(link.endpoints()).map(|server| server.readiness.clone())
        else {
            return Ok(());
        };
        let limit = self.config.request_timeout;
        let answer = readiness.wait_for(|now| !matches!(now, Readiness::Waiting(_)));
        if let Ok(Err(_)) = timeout(limit, answer).await.map(|now| now.map(|_| ())) {
            return Err(CallError::Lost("session ended".to_owned()).into());
        }
        // Also when the time is up: the last failure says more than that.
        let now = readiness.borrow().clone();
        match now {
            Readiness::Ready => Ok(()),
            Readiness::Refused(refused) => Err(refused.into()),
            Readiness::Failed { code, message } => Err(CallError::Grpc { code, message }.into()),
            Readiness::Waiting(None) => Err(CallError::Timeout(limit).into()),
            Readiness::Waiting(Some(reason)) => Err(CallError::Lost(reason).into()),
        }
    }
}
