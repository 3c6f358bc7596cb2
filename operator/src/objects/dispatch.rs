//! Watches, and the workers that they wake: one worker per cluster, so that passes over a cluster never overlap and a
//! slow broker holds up nobody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::Resource;
use kube::api::Api;
use kube::core::{DeserializeGuard, NamespaceResourceScope};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt, watcher as watch};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::sync::watch as channel;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::consumer_group::ConsumerGroups;
use super::index::{ClusterKey, Index, ObjectKey};
use super::pass::pass;
use super::topic::Topics;
use super::view::ClusterView;
use super::world::{Indices, Snapshot, World};
use crate::admin::BrokerAdmin;
use crate::backoff::Backoff;
use crate::context::{Context, Scope};
use crate::metrics::Counter;

/// How long a worker lets changes gather: objects that were applied together go out together.
const GATHER: Duration = Duration::from_millis(100);

/// Workers by cluster; a message wakes one.
type Workers = Arc<Mutex<BTreeMap<ClusterKey, channel::Sender<()>>>>;

/// Reconciles topics and consumer groups of the scopes until told to stop.
pub async fn run<A: BrokerAdmin>(context: Arc<Context<A>>, scopes: Vec<Scope>, stop: CancellationToken) {
    let world = Arc::new(World::new(scopes.len() * 3));
    let mut tasks = JoinSet::new();
    for scope in scopes {
        let hub = Arc::new(Hub { context: context.clone(), world: world.clone(), scope, stop: stop.clone() });
        tasks.spawn(hub.clone().watch(|indices| indices.clusters));
        tasks.spawn(hub.clone().watch(|indices| indices.topics));
        tasks.spawn(hub.watch(|indices| indices.groups));
    }
    let workers = Workers::default();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            () = world.news.notified() => {}
        }
        for key in world.take_dirty() {
            wake(&context, &world, &workers, key, &stop, &mut tasks);
        }
        // Workers that are through; their results are in the statuses.
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
}

fn wake<A: BrokerAdmin>(
    context: &Arc<Context<A>>,
    world: &Arc<World>,
    workers: &Workers,
    key: ClusterKey,
    stop: &CancellationToken,
    tasks: &mut JoinSet<()>,
) {
    let mut known = workers.lock();
    if let Some(worker) = known.get(&key) {
        worker.send_replace(());
        return;
    }
    let (sender, news) = channel::channel(());
    known.insert(key.clone(), sender);
    let worker = Worker {
        context: context.clone(),
        world: world.clone(),
        workers: workers.clone(),
        key,
        news,
        stop: stop.clone(),
    };
    tasks.spawn(worker.run());
}

struct Hub<A> {
    context: Arc<Context<A>>,
    world: Arc<World>,
    scope: Scope,
    stop: CancellationToken,
}

impl<A: BrokerAdmin> Hub<A> {
    /// Feeds one kind into the world.
    async fn watch<O>(self: Arc<Self>, index: for<'a, 'b> fn(&'a mut Indices<'b>) -> &'a mut Index<O>)
    where
        O: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + std::fmt::Debug
            + DeserializeOwned
            + Send
            + 'static,
    {
        let api: Api<DeserializeGuard<O>> = self.scope.api(&self.context.client);
        let mut events = watch(api, watcher::Config::default()).default_backoff().boxed();
        let mut listed = false;
        loop {
            let event = tokio::select! {
                () = self.stop.cancelled() => return,
                event = events.next() => event,
            };
            match event {
                None => return,
                Some(Ok(event)) => {
                    let done = matches!(event, Event::InitDone);
                    self.world.change(|indices| self.take(index(indices), event));
                    if done && !listed {
                        listed = true;
                        self.world.listed();
                    }
                }
                Some(Err(error)) => {
                    self.context.metrics.count_error("watch", "broken");
                    warn!(kind = %O::kind(&()), %error, "watch broke and starts again");
                }
            }
        }
    }

    /// An object that cannot be read is treated as if it were not there, and told.
    fn take<O>(&self, index: &mut Index<O>, event: Event<DeserializeGuard<O>>) -> Vec<ClusterKey>
    where
        O: Resource<DynamicType = ()>,
    {
        let event = match event {
            Event::Init => Ok(Event::Init),
            Event::InitDone => Ok(Event::InitDone),
            Event::InitApply(DeserializeGuard(object)) => object.map(Event::InitApply),
            Event::Apply(DeserializeGuard(object)) => object.map(Event::Apply),
            Event::Delete(DeserializeGuard(object)) => object.map(Event::Delete),
        };
        match event {
            Ok(event) => index.take(&self.scope, event),
            Err(malformed) => {
                self.context.metrics.count(Counter::MalformedObjects);
                let meta = &malformed.metadata;
                let key = ObjectKey {
                    namespace: meta.namespace.clone().unwrap_or_default(),
                    name: meta.name.clone().unwrap_or_default(),
                };
                warn!(kind = %O::kind(&()), object = %key, error = malformed.error, "object cannot be read");
                index.remove(&key)
            }
        }
    }
}

struct Worker<A> {
    context: Arc<Context<A>>,
    world: Arc<World>,
    workers: Workers,
    key: ClusterKey,
    news: channel::Receiver<()>,
    stop: CancellationToken,
}

impl<A: BrokerAdmin> Worker<A> {
    /// Passes whenever there is news, and now and then without, until there is nothing left to look after.
    async fn run(mut self) {
        let resync = self.context.settings.resync;
        let mut next_full = Instant::now();
        let mut due = true;
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(GATHER) => {}
            }
            self.news.mark_unchanged();
            let full = due || Instant::now() >= next_full;
            if full {
                next_full = Instant::now() + resync;
            }
            let present = matches!(self.snapshot().view, ClusterView::Present { .. });
            let retry = self.pass(full).await;
            // A pass that reached no broker has not told how far consumer groups have come: the next one has to.
            due = full && (!present || retry.is_some());
            if self.retire() {
                return;
            }
            let wait = retry.unwrap_or_else(|| next_full.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = self.stop.cancelled() => return,
                _ = self.news.changed() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    fn snapshot(&self) -> Snapshot {
        self.world.snapshot(&self.key, self.context.now())
    }

    /// One pass over both kinds; returns how soon to try again, if something did not work.
    async fn pass(&self, full: bool) -> Option<Duration> {
        let (context, key) = (&*self.context, &self.key);
        context.metrics.count(Counter::ObjectPasses);
        let now = self.snapshot();
        let topics = pass::<Topics, A>(context, key, &now.view, now.topics, full).await;
        let groups = pass::<ConsumerGroups, A>(context, key, &now.view, now.groups, full).await;
        let cluster = key.to_string();
        context.metrics.set_objects(&cluster, "Topic", &topics.states);
        context.metrics.set_objects(&cluster, "ConsumerGroup", &groups.states);
        let backoff_key = Backoff::key("Objects", &key.namespace, &key.name);
        let Some(error) = topics.failed.or(groups.failed) else {
            context.backoff.forget(&backoff_key);
            if let ClusterView::Present { leaders, .. } = &now.view {
                context.holding.note(&key.namespace, &key.name, leaders.len() as u32);
            }
            return None;
        };
        let wait = context.backoff.next(&backoff_key);
        debug!(%cluster, error, wait_ms = wait.as_millis() as u64, "pass is tried again");
        Some(wait)
    }

    /// Whether there is nothing left to look after. Under the lock, so that news cannot slip in between.
    fn retire(&self) -> bool {
        let mut workers = self.workers.lock();
        let now = self.snapshot();
        let idle = now.topics.is_empty() && now.groups.is_empty() && now.view == ClusterView::Missing;
        if !idle || self.news.has_changed().unwrap_or(false) {
            return false;
        }
        workers.remove(&self.key);
        self.context.holding.forget(&self.key.namespace, &self.key.name);
        self.context.written.forget(&self.key.namespace, &self.key.name);
        true
    }
}
