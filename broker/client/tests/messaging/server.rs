//! A broker with topic `orders` and consumer group `billing`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::Endpoint;
use engine::catalog::{
    Adopt, Backoff, Broadcast, ConsumeFrom, ConsumerGroupSpec, PriorityPolicy, RetryPolicy, TopicSpec,
    TopicType,
};
use engine::group::{Group, GroupConfig, TransactionChecks};
use engine::mailbox::Mailbox;
use engine::writer::Step;
use gateway_grpc::gateway::GatewayConfig;
use gateway_grpc::leader::Leadership;
use gateway_grpc::serve::Connections;
use store::disk::sim::SimDisk;
use store::log::{Flush, LogConfig, Retention};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const START_MS: u64 = 1_763_000_000_000;

pub(crate) struct Server {
    port: u16,
    accepting: JoinHandle<()>,
    /// Each change cuts the connections there are.
    cuts: watch::Sender<u32>,
    stopped: Arc<AtomicBool>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        let began = Instant::now();
        let clock: Arc<dyn Fn() -> u64 + Send + Sync> =
            Arc::new(move || START_MS + began.elapsed().as_millis() as u64);
        let config = GroupConfig {
            log: LogConfig { segment_bytes: 16 << 20, flush: Flush::Async, new_id: Some([7; 16]) },
            retention: Retention { max_age_ms: u64::MAX, max_bytes: None }.into(),
            inbox_bytes_max: 64 << 20,
            batch_bytes_max: 4 << 20,
            cached_bytes: 0,
            checks: TransactionChecks { every_ms: 50, max: 1000 }.into(),
        };
        let (group, mut writer) = Group::open(Arc::new(SimDisk::new(7)), config, clock()).unwrap();
        writer.lead_alone(clock()).unwrap();
        let stopped = Arc::new(AtomicBool::new(false));
        let config = GatewayConfig { check_after_ms: 50.into(), ..GatewayConfig::default() };
        let leadership = Leadership::always(config, Arc::clone(&group), clock.clone());
        let (log, sweeper, ended, now) = (group.clone(), leadership.clone(), stopped.clone(), clock.clone());
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                while writer.step(now()).unwrap() == Step::Wrote {}
                sweeper.sweep();
                log.park(5);
            }
        });
        let mailbox = Mailbox::new();
        define(&group, &mailbox).await;
        let connections = Connections {
            leadership,
            relay: Arc::default(),
            mailbox,
            tls: None,
            now_ms: clock,
            listener: None,
            stop: CancellationToken::new(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cuts, cut) = watch::channel(0);
        Self { port, accepting: tokio::spawn(accept(listener, connections, cut)), cuts, stopped }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::plain("127.0.0.1", self.port)
    }

    pub(crate) fn cut_connections(&self) {
        self.cuts.send_modify(|count| *count += 1);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        self.stopped.store(true, Ordering::Relaxed);
    }
}

async fn accept(listener: TcpListener, connections: Connections, mut cut: watch::Receiver<u32>) {
    let mut serving = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let (stream, remote) = accepted.unwrap();
                serving.spawn(connections.clone().serve(stream, remote));
            }
            Ok(()) = cut.changed() => serving.shutdown().await,
        }
    }
}

async fn define(group: &Arc<Group>, mailbox: &Arc<Mailbox>) {
    let topic = |name: &str, topic_type| TopicSpec {
        name: name.into(),
        topic_type,
        queues: 4,
        retention_ms: 0,
        groups: Vec::new(),
        owner: String::new(),
    };
    let topics = [topic("orders", TopicType::Normal), topic("paid", TopicType::Transaction)];
    let (_, ticket) = group.apply_topics(&topics, Adopt::Always, mailbox).unwrap();
    tokio::time::timeout(Duration::from_secs(10), ticket.unwrap()).await.unwrap().unwrap();
    let billing = ConsumerGroupSpec {
        name: "billing".into(),
        ordered: false,
        priority: PriorityPolicy::Strict,
        retry: RetryPolicy { max_attempts: 16, backoff: Backoff::Custom(vec![1000]) },
        trace: false,
        consume_from: ConsumeFrom::Earliest,
        reset: None,
        broadcast: Broadcast::No,
        owner: String::new(),
    };
    let (_, ticket) = group.apply_consumer_groups(&[billing], Adopt::Always, mailbox).unwrap();
    tokio::time::timeout(Duration::from_secs(10), ticket.unwrap()).await.unwrap().unwrap();
}
