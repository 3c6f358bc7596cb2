//! Members of a group on loopback ports: who leads is set by the test. Time is real here.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::channel::mpsc;
use gateway_grpc::admin::{AdminService, Leading, Membership};
use gateway_grpc::gateway::GatewayConfig;
use gateway_grpc::leader::{LeaderAddress, Leadership, Place};
use gateway_grpc::serve::Connections;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper::server::conn::http2 as server;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;
use tonic::codegen::Service;
use wire::v2;

use crate::broker::{Broker, only};
use crate::network::{request, whole};

/// Longer than anything here takes.
const PATIENCE: Duration = Duration::from_secs(20);

type AnyBody = UnsyncBoxBody<Bytes, Infallible>;

/// A log with a thread that writes it.
pub(crate) struct Log {
    pub(crate) broker: Arc<Broker>,
    stopped: Arc<AtomicBool>,
    writing: Option<std::thread::JoinHandle<()>>,
}

impl Log {
    pub(crate) async fn start() -> Self {
        let broker = Arc::new(Broker::start().await);
        let stopped = Arc::new(AtomicBool::new(false));
        let (writing, ended) = (Arc::clone(&broker), Arc::clone(&stopped));
        let writing = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                writing.write();
                writing.group.park(5);
            }
        });
        Self { broker, stopped, writing: Some(writing) }
    }

    /// What comes in from now on stays in the inbox.
    pub(crate) fn write_no_more(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        if let Some(writing) = self.writing.take() {
            writing.join().unwrap();
        }
    }

    /// This log's group is led by whoever has this place.
    pub(crate) fn here(&self) -> Place {
        Place::Here(Arc::clone(&self.broker.group))
    }

    /// Messages of `orders` that were ever stored.
    pub(crate) fn stored(&self) -> u64 {
        let topic = self.broker.group.topic("orders").unwrap();
        topic.queues.iter().map(|queue| self.broker.group.queue_range(*queue).1.0).sum()
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}

/// One broker of the group.
pub(crate) struct Member {
    pub(crate) leadership: Arc<Leadership>,
    pub(crate) address: LeaderAddress,
    serving: [JoinHandle<()>; 2],
}

impl Member {
    pub(crate) async fn start(config: GatewayConfig) -> Self {
        Self::make("127.0.0.1:0", config, None).await
    }

    /// As `start`, for clients of this address.
    pub(crate) async fn start_on(clients: &str, config: GatewayConfig) -> Self {
        Self::make(clients, config, None).await
    }

    /// With what the admin API knows of the member.
    pub(crate) async fn among(membership: Membership) -> Self {
        Self::make("127.0.0.1:0", GatewayConfig::default(), Some(membership)).await
    }

    async fn make(clients: &str, config: GatewayConfig, membership: Option<Membership>) -> Self {
        let began = tokio::time::Instant::now();
        let now_ms: Arc<dyn Fn() -> u64 + Send + Sync> =
            Arc::new(move || crate::broker::START_MS + began.elapsed().as_millis() as u64);
        let leadership = Leadership::new(config, Arc::clone(&now_ms));
        let connections = Connections {
            leadership: Arc::clone(&leadership),
            relay: Arc::default(),
            mailbox: engine::mailbox::Mailbox::new(),
            tls: None,
            now_ms,
            listener: None,
            stop: CancellationToken::new(),
        };
        let admin =
            AdminService::new(Arc::clone(&leadership), Arc::clone(&connections.mailbox), Arc::new(|| 0));
        let admin = admin.among(membership).server(Arc::default());
        let clients = TcpListener::bind(clients).await.unwrap();
        let admins = listener().await;
        let address = LeaderAddress { member: 0, client: address(&clients), admin: address(&admins) };
        let serving = [
            serve(clients, move |stream, remote| connections.clone().serve(stream, remote)),
            serve(admins, move |stream, _| serve_admin(admin.clone(), stream)),
        ];
        Self { leadership, address, serving }
    }

    /// Where the others find this one when it leads.
    pub(crate) fn there(&self) -> Place {
        Place::There(Arc::new(self.address.clone()))
    }

    /// Its connections end as those of a killed process do.
    pub(crate) fn kill(&self) {
        self.serving.iter().for_each(JoinHandle::abort);
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(&self.address.client).await
    }

    /// Waits until so many calls are held.
    pub(crate) async fn holds(&self, calls: u64) {
        eventually(|| self.leadership.figures().held_calls == calls).await;
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A leader and a follower of one log.
pub(crate) async fn pair() -> (Log, Member, Member) {
    let log = Log::start().await;
    let leader = Member::start(GatewayConfig::default()).await;
    let follower = Member::start(GatewayConfig::default()).await;
    leader.leadership.set(log.here());
    follower.leadership.set(leader.there());
    (log, leader, follower)
}

/// A client's connection.
#[derive(Clone)]
pub(crate) struct Client {
    pub(crate) local: SocketAddr,
    address: SocketAddr,
    send: SendRequest<AnyBody>,
}

impl Client {
    pub(crate) async fn connect(address: &str) -> Self {
        Self::connect_reading(address, 1 << 20).await
    }

    /// One whose replies may have so many bytes before it reads them.
    pub(crate) async fn connect_reading(address: &str, window_bytes: u32) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        let local = stream.local_addr().unwrap();
        let (send, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(window_bytes)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Self { local, address: address.parse().unwrap(), send }
    }

    /// The reply's head.
    pub(crate) async fn begin(&self, method: &str, message: &impl Message) -> Response<Incoming> {
        self.any(request(self.address, method, message).map(Full::boxed_unsync)).await
    }

    pub(crate) async fn any(&self, request: Request<AnyBody>) -> Response<Incoming> {
        in_time(self.send.clone().send_request(request)).await.unwrap()
    }

    /// The reply's frames and its gRPC status.
    pub(crate) async fn call(&self, method: &str, message: &impl Message) -> (Bytes, String) {
        in_time(whole(self.begin(method, message).await)).await
    }

    /// The only message of a reply that is OK as gRPC.
    pub(crate) async fn ask<R: Message + Default>(&self, method: &str, message: &impl Message) -> R {
        let (frame, status) = self.call(method, message).await;
        assert_eq!(status, "0", "{method}");
        only(&frame)
    }

    /// As `ask`, of the admin API.
    pub(crate) async fn administer<R: Message + Default>(&self, method: &str, message: &impl Message) -> R {
        let mut request = request(self.address, "", message);
        *request.uri_mut() =
            format!("http://{}/millpond.admin.v1.Admin/{method}", self.address).parse().unwrap();
        let (frame, status) = in_time(whole(self.any(request.map(Full::boxed_unsync)).await)).await;
        assert_eq!(status, "0", "{method}");
        only(&frame)
    }

    /// A telemetry stream: its way in, and its reply.
    pub(crate) async fn telemetry(&self) -> (mpsc::UnboundedSender<Bytes>, Response<Incoming>) {
        let (send, written) = mpsc::unbounded();
        let body = StreamBody::new(written.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes))));
        let request = request(self.address, "Telemetry", &v2::TelemetryCommand::default());
        (send, self.any(request.map(|_| body.boxed_unsync())).await)
    }
}

/// A leader that answers with what the test writes, frame by frame; each frame given is one DATA frame.
pub(crate) async fn scripted() -> (LeaderAddress, mpsc::UnboundedSender<Bytes>, JoinHandle<()>) {
    let listener = listener().await;
    let (send, written) = mpsc::unbounded();
    let address = LeaderAddress { member: 9, client: address(&listener), admin: String::new() };
    let written = Arc::new(parking_lot::Mutex::new(Some(written)));
    let serving = serve(listener, move |stream, _| {
        let written = Arc::clone(&written);
        async move {
            let service = service_fn(move |_: Request<Incoming>| {
                let written = written.lock().take();
                async move {
                    let Some(written) = written else { return std::future::pending().await };
                    let frames = written.map(|bytes| Ok::<_, Infallible>(Frame::data(bytes)));
                    Ok::<_, Infallible>(Response::new(StreamBody::new(frames)))
                }
            });
            let _ = server::Builder::new(TokioExecutor::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    });
    (address, send, serving)
}

/// Waits for a condition that tasks of this runtime bring about.
pub(crate) async fn eventually(mut condition: impl FnMut() -> bool) {
    in_time(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

pub(crate) async fn in_time<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("takes less than 20 s")
}

async fn listener() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

fn address(listener: &TcpListener) -> String {
    listener.local_addr().unwrap().to_string()
}

fn serve<F: Future<Output = ()> + Send + 'static>(
    listener: TcpListener,
    mut connection: impl FnMut(TcpStream, SocketAddr) -> F + Send + 'static,
) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, remote)) = listener.accept().await {
            connections.spawn(connection(stream, remote));
        }
    })
}

async fn serve_admin(admin: Leading, stream: TcpStream) {
    let service = service_fn(move |request: Request<Incoming>| {
        let mut admin = admin.clone();
        async move { admin.call(request.map(tonic::body::Body::new)).await }
    });
    let _ = server::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}
