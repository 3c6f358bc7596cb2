//! Figures for Prometheus, read when asked.

mod page;
mod replica;
mod rocketmq;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crds::broker_config::BrokerConfig;
use engine::group::Group;
use gateway_grpc::leader::{Leadership, Place};
use gateway_grpc::spans::Spans;
use page::Page;
use parking_lot::RwLock;
use peer::standing::Status;

/// Where the figures come from.
pub(crate) struct Figures {
    /// Of the cluster, and of the group.
    names: [String; 2],
    /// One page at a time: it may take long, and wait for the disk.
    turn: tokio::sync::Mutex<()>,
    leadership: Arc<Leadership>,
    /// Of a member that is not alone.
    member: Option<Arc<RwLock<Status>>>,
    connections: Vec<Arc<AtomicUsize>>,
    spans: Arc<Spans>,
    ready: AtomicBool,
}

impl Figures {
    pub(crate) fn new(
        config: &BrokerConfig,
        leadership: Arc<Leadership>,
        member: Option<Arc<RwLock<Status>>>,
        connections: Vec<Arc<AtomicUsize>>,
        spans: Arc<Spans>,
    ) -> Self {
        let names = [config.cluster.clone(), config.group.clone()];
        Self {
            names,
            turn: tokio::sync::Mutex::default(),
            leadership,
            member,
            connections,
            spans,
            ready: AtomicBool::new(false),
        }
    }

    /// Clients are served from now on.
    pub(crate) fn serving(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// New clients should go elsewhere.
    pub(crate) fn stopping(&self) {
        self.ready.store(false, Ordering::Release);
    }

    /// A copy among others is ready when it counts: only then may the next one go down.
    pub(crate) fn is_ready(&self) -> bool {
        let counts = self.member.as_ref().is_none_or(|member| member.read().is_in_sync);
        self.ready.load(Ordering::Acquire) && counts
    }

    /// Counts open client connections when called.
    pub(crate) fn open_connections(&self) -> Arc<dyn Fn() -> u64 + Send + Sync> {
        let connections = self.connections.clone();
        Arc::new(move || connections.iter().map(|count| count.load(Ordering::Relaxed) as u64).sum())
    }

    /// The page for Prometheus, made where it holds up nobody; `None`: the runtime is going away.
    pub(crate) async fn prometheus_page(self: Arc<Self>) -> Option<String> {
        let _turn = self.turn.lock().await;
        let figures = Arc::clone(&self);
        tokio::task::spawn_blocking(move || figures.prometheus_text()).await.ok()
    }

    fn prometheus_text(&self) -> String {
        let mut page = Page::default();
        let [cluster, group] = &self.names;
        let labels = [("cluster", &**cluster), ("group", group)];
        page.family("gauge", "millpond_broker_info", "Which group this broker belongs to.");
        page.labelled("millpond_broker_info", &labels, 1);
        page.gauge("millpond_ready", "1 when clients are served.", u64::from(self.is_ready()));
        let leads = matches!(self.leadership.get(), Place::Here(_));
        page.gauge("millpond_leader", "1 when this broker leads its group.", u64::from(leads));
        page.gauge(
            "millpond_groups",
            "Groups that clients are told of; 0: this one, under the address they dialled.",
            self.leadership.groups() as u64,
        );
        if let Some(group) = self.leadership.local() {
            log_figures(&mut page, &group);
            rocketmq::storage(&mut page, &self.names, &group, self.leadership.now_ms());
        }
        if let Some(member) = &self.member {
            replica::figures(&mut page, &member.read(), self.leadership.now_ms());
        }
        page.gauge("millpond_connections", "Open client connections.", self.open_connections()());
        let figures = self.leadership.figures();
        page.gauge("millpond_clients", "Clients with a session.", figures.clients);
        page.gauge("millpond_renewed_leases", "Leases kept alive for push consumers.", figures.held);
        page.gauge("millpond_waiting_receives", "Receives that wait for messages.", figures.waiting_receives);
        page.counter("millpond_sent_messages_total", "Messages stored.", figures.sent);
        page.counter(
            "millpond_sent_bytes_total",
            "Bytes of the requests that brought them.",
            figures.sent_bytes,
        );
        page.counter("millpond_received_messages_total", "Messages handed out, each time.", figures.received);
        page.counter(
            "millpond_received_bytes_total",
            "Bytes of the replies that took them.",
            figures.received_bytes,
        );
        page.counter(
            "millpond_acked_messages_total",
            "Messages that consumers are done with.",
            figures.acked,
        );
        page.counter(
            "millpond_refused_requests_total",
            "Requests and acks answered with an error.",
            figures.refused,
        );
        page.counter(
            "millpond_relayed_calls_total",
            "Calls handed on to the leader of the group.",
            figures.relayed,
        );
        page.gauge("millpond_held_calls", "Calls that wait for a leader.", figures.held_calls);
        if let Some(gateway) = self.leadership.gateway() {
            rocketmq::figures(&mut page, &self.names, &gateway);
        }
        let spans = self.spans.counts();
        page.counter("millpond_spans_exported_total", "Spans that a collector took.", spans.exported);
        page.counter(
            "millpond_spans_dropped_total",
            "Spans that were not exported: the collector did not take them, or not fast enough.",
            spans.dropped,
        );
        page.into_text()
    }
}

/// What the log of this broker holds, leading or not.
fn log_figures(page: &mut Page, group: &Group) {
    let log = group.log_state();
    page.gauge("millpond_epoch", "Epoch of the log; grows with every start.", log.epoch.0.into());
    page.gauge("millpond_log_head_bytes", "Position of the oldest record kept.", log.head.0);
    page.counter("millpond_log_written_bytes", "Position behind the last record written.", log.written.0);
    page.counter(
        "millpond_log_durable_bytes",
        "Position up to which a power cut loses nothing.",
        log.durable.0,
    );
    page.gauge(
        "millpond_disk_free_bytes",
        "Bytes that can still be allocated in the data folder.",
        log.free_bytes,
    );
    page.gauge("millpond_disk_full", "1 while sends are refused for want of room.", u64::from(log.disk_full));
    page.gauge("millpond_pending_timers", "Messages that wait for their time.", group.pending_timers());
    page.gauge(
        "millpond_open_transactions",
        "Messages whose transaction is not decided.",
        group.open_transactions(),
    );
    let [topics, consumer_groups] = group.counts();
    page.gauge("millpond_topics", "Topics.", topics as u64);
    page.gauge("millpond_consumer_groups", "Consumer groups.", consumer_groups as u64);
}
