//! What producer and consumer share: routes, and a session with each server in them.
//!
//! ```text
//!   access point ── QueryRoute ──▶ queues ──▶ one Link per address ──▶ Telemetry: settings there and back
//!                                                                      Heartbeat every 10 s
//! ```
//!
//! Promise: a server is not used before it answered the settings; a session that ends is opened again after a second, and
//! routes are asked for anew every 30 s. Dropping the session ends all of it.

mod background;
mod route;
mod settings;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::future::select_ok;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use wire::v2;

pub(crate) use route::{Route, RouteQueue};
pub(crate) use settings::{Role, duration};

use crate::dial::{DialError, Dialer, Trust};
use crate::endpoint::{Endpoint, InvalidEndpoint};
use crate::id;
use crate::status::{AskError, Refused};
use crate::transport::{CallError, Identity, Link, Rpc};

/// How to reach the messaging service.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// The access point; several are tried in turn.
    pub endpoints: Vec<Endpoint>,
    /// Namespace of all topics and groups; mostly empty.
    pub namespace: String,
    /// Whom to believe, if the endpoints speak TLS.
    pub trust: Trust,
    /// Each request ends within this time, a waiting receive within it after its wait.
    pub request_timeout: Duration,
    /// Connections to each server.
    pub connections: usize,
    /// Whether all requests go to the access point, whatever the routes say; for a port that is forwarded.
    pub pinned: bool,
}

impl ClientConfig {
    /// The usual limits.
    pub fn new(endpoints: Vec<Endpoint>) -> Self {
        Self {
            endpoints,
            namespace: String::new(),
            trust: Trust::System,
            request_timeout: Duration::from_secs(3),
            connections: 1,
            pinned: false,
        }
    }
}

/// A client that did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// No endpoint, or one that cannot be.
    #[error(transparent)]
    Endpoint(#[from] InvalidEndpoint),
    /// The certificates to believe in cannot be used.
    #[error(transparent)]
    Dial(#[from] DialError),
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
    tasks: Mutex<JoinSet<()>>,
}

/// A running client.
pub(crate) struct Session(Arc<Shared>);

impl Session {
    /// Connects, asks for the routes of the role's topics, and introduces itself to each server in them.
    pub(crate) async fn start(config: ClientConfig, role: Role) -> Result<Self, StartError> {
        let dialer = Dialer::new(&config.trust)?;
        let identity = Identity {
            client_id: id::client_id(),
            namespace: config.namespace.clone(),
            request_timeout: config.request_timeout,
            polling_timeout: role.polling_timeout(),
        };
        let access = Link::new(config.endpoints.clone(), config.connections, dialer.clone(), &identity)?;
        let topics = role.topics();
        let shared = Arc::new(Shared {
            config,
            role,
            identity,
            dialer,
            access: Arc::new(access),
            servers: Mutex::default(),
            routes: Mutex::default(),
            tasks: Mutex::default(),
        });
        let session = Self(shared.clone());
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

    /// Tells the servers that this client is gone.
    pub(crate) async fn close(self) {
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
