//! A push consumer: messages come to a listener, many at once, and are done when it says so.
//!
//! ```text
//!   QueryAssignment, every 5 s ──▶ a receive loop for each assignment ──▶ lines ──▶ listener, up to `concurrency` at once
//!                                     ▲ waits while the cache is full                 │ Done ──▶ ack
//!                                     └────────────── room again ◀────────────────────┤ Retry ──▶ hidden for the time of the
//!                                                                                     │    group's policy; in an ordered group
//!                                                                                     │    tried again here, then a dead letter
//! ```
//!
//! Promise: each message is handed to a listener until one says `Done`, or the group's attempts are over: at least once. Its lease
//! is renewed by the server meanwhile. Of an ordered group's message group one message is worked on at a time, in order.
//! What is said about a message is repeated until the server takes it, or says that the message is no longer this client's.
//! Limits: the server renews a lease for 3 h; after a restart of the broker not at all, so a message that takes longer than a
//! minute then comes again.
//! Not here: settings, routes and sessions with servers (`session`).

mod cache;
mod config;
mod handle;
mod lines;
mod listener;
mod pump;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;
use tracing::warn;
use wire::v2;

pub use config::{PushBuilder, PushConfig};
pub use listener::Consumed;

use crate::config::ClientBuilder;
use crate::filter::Filter;
use crate::session::{Role, Session, StartError};
use cache::Cache;
use lines::Lines;
use listener::Listener;

/// Messages that are given back at once.
const GIVING_BACK_MAX: usize = 32;
/// For giving back what was not begun.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(3);

/// Hands messages to a listener until it is closed. Dropped without a close, it stops at once; its messages come again when
/// their leases end.
pub struct PushConsumer {
    inner: Arc<Inner>,
    pumps: JoinHandle<()>,
    begins: JoinHandle<()>,
    close_within: Duration,
}

/// What is held here at the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Held {
    /// Messages that were received and are not done.
    pub messages: usize,
    /// Bytes of their bodies.
    pub bytes: usize,
}

/// State that the tasks share.
struct Inner {
    session: Session,
    group: v2::Resource,
    filters: HashMap<String, Filter>,
    listener: Listener,
    permits: Arc<Semaphore>,
    cache: Arc<Cache>,
    lines: Lines,
    /// One for each message that was begun.
    begun: parking_lot::Mutex<JoinSet<()>>,
    closing: watch::Sender<bool>,
}

impl PushConsumer {
    /// A consumer for the servers behind an endpoint, as a member of a consumer group.
    pub fn builder(client: impl Into<ClientBuilder>, group: impl Into<String>) -> PushBuilder {
        PushBuilder::new(client.into(), group.into())
    }

    /// Connects, introduces itself, and begins to receive.
    pub async fn start(config: PushConfig) -> Result<Self, StartError> {
        let role = Role::Consumer {
            kind: v2::ClientType::PushConsumer,
            group: config.group.clone(),
            subscriptions: config.subscriptions.clone(),
            wait: None,
        };
        let session = Session::start(config.client, role).await?;
        let group = session.resource(&config.group);
        let inner = Arc::new(Inner {
            group,
            session,
            filters: config.subscriptions.into_iter().collect(),
            listener: config.listener,
            permits: Arc::new(Semaphore::new(config.concurrency)),
            cache: Arc::new(Cache::new(config.cache_messages, config.cache_bytes)),
            lines: Lines::default(),
            begun: parking_lot::Mutex::default(),
            closing: watch::Sender::new(false),
        });
        let mut pumps = pump::Pumps::default();
        for topic in inner.filters.keys() {
            let looked = pumps.look(&inner, topic).await;
            looked.map_err(|source| StartError::Route { topic: topic.clone(), source })?;
        }
        let pumps = tokio::spawn(pumps.keep_up(inner.clone()));
        let begins = tokio::spawn(handle::begin_all(inner.clone()));
        Ok(Self { inner, pumps, begins, close_within: config.close_within })
    }

    /// What is held here at the moment.
    pub fn held(&self) -> Held {
        let (messages, bytes) = self.inner.cache.held();
        Held { messages, bytes }
    }

    /// Stops receiving, gives back what no listener has begun, waits for those that run up to the time of `close_within`, and
    /// tells the servers. What was still running then is stopped at its next await; its messages come again.
    pub async fn close(mut self) {
        let inner = &self.inner;
        inner.closing.send_replace(true);
        inner.permits.close();
        // What a receive brings from here on is nobody's: the farewell below gives it back.
        let _ = (&mut self.pumps).await;
        let unbegun = inner.lines.close();
        let _ = (&mut self.begins).await;
        let giving_back = futures::stream::iter(unbegun)
            .for_each_concurrent(GIVING_BACK_MAX, |job| async move { inner.give_back(&job).await });
        let _ = timeout(GIVE_BACK_WITHIN, giving_back).await;
        let mut begun = std::mem::take(&mut *inner.begun.lock());
        let finish = async { while begun.join_next().await.is_some() {} };
        if timeout(self.close_within, finish).await.is_err() {
            warn!(messages = begun.len(), "listeners did not end in time, their messages come again");
            begun.shutdown().await;
        }
        inner.session.close().await;
    }
}

impl Drop for PushConsumer {
    fn drop(&mut self) {
        // The tasks hold the shared state; without this they would keep each other alive.
        self.pumps.abort();
        self.begins.abort();
        self.inner.begun.lock().abort_all();
    }
}

impl std::fmt::Debug for PushConsumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PushConsumer").field("group", &self.inner.group.name).finish_non_exhaustive()
    }
}
