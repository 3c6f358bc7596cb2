//! The way over a socket: frames, trailers, and clients that vanish. Time is real here.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use gateway_grpc::serve::Connections;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use wire::v2::{self, ClientType, Code, telemetry_command::Command};

use crate::broker::{Broker, code_of, frames, message, only, simple};

/// A broker on a loopback port, with a thread that writes its log.
struct Server {
    address: std::net::SocketAddr,
    accepting: JoinHandle<()>,
    stop: CancellationToken,
    stopped: Arc<AtomicBool>,
}

impl Server {
    async fn start() -> Self {
        let broker = Arc::new(Broker::start().await);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let clock = Arc::clone(&broker);
        let connections = Connections {
            leadership: Arc::clone(&broker.leadership),
            relay: Arc::default(),
            mailbox: Arc::clone(&broker.mailbox),
            tls: None,
            now_ms: Arc::new(move || clock.now_ms()),
            listener: None,
            stop: stop.clone(),
        };
        let accepting = tokio::spawn(async move {
            while let Ok((stream, remote)) = listener.accept().await {
                tokio::spawn(connections.clone().serve(stream, remote));
            }
        });
        let stopped = Arc::new(AtomicBool::new(false));
        let (writing, ended) = (broker, Arc::clone(&stopped));
        std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                writing.write();
                writing.group.park(5);
            }
        });
        Self { address, accepting, stop, stopped }
    }

    /// A client; with `window_bytes`, the server may send so much before it reads.
    async fn connect(&self, window_bytes: u32) -> (SendRequest<Full<Bytes>>, JoinHandle<()>) {
        let stream = TcpStream::connect(self.address).await.unwrap();
        let (client, connection) = http2::Builder::new(TokioExecutor::new())
            .initial_stream_window_size(window_bytes)
            .handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let running = tokio::spawn(async move {
            let _ = connection.await;
        });
        (client, running)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
        self.stop.cancel();
        self.stopped.store(true, Ordering::Relaxed);
    }
}

pub(crate) fn request(
    address: std::net::SocketAddr,
    method: &str,
    body: &impl Message,
) -> Request<Full<Bytes>> {
    let mut framed = BytesMut::new();
    wire::frame::put(&mut framed, body);
    Request::post(format!("http://{address}/apache.rocketmq.v2.MessagingService/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .header("x-mq-client-id", "net")
        .header("x-mq-language", "JAVA")
        .header("x-mq-client-version", "5.2.0")
        .header("grpc-timeout", "8S")
        .body(Full::new(framed.freeze()))
        .unwrap()
}

/// The frames of a reply, and its gRPC status.
pub(crate) async fn whole(response: http::Response<Incoming>) -> (Bytes, String) {
    let in_headers = response.headers().get("grpc-status").cloned();
    let body = response.into_body().collect().await.unwrap();
    let status =
        in_headers.or_else(|| body.trailers().and_then(|trailers| trailers.get("grpc-status")).cloned());
    (body.to_bytes(), status.unwrap().to_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_message_goes_in_and_comes_out_over_a_socket() {
    let server = Server::start().await;
    let (mut client, _running) = server.connect(1 << 20).await;
    let send = v2::SendMessageRequest { messages: vec![message("M")] };
    let response = client.send_request(request(server.address, "SendMessage", &send)).await.unwrap();
    let (frame, status) = whole(response).await;
    let reply: v2::SendMessageResponse = only(&frame);
    assert_eq!((code_of(reply.status.as_ref()), status.as_str()), (Code::Ok, "0"));
    let response = client.send_request(request(server.address, "ReceiveMessage", &simple())).await.unwrap();
    let (bytes, status) = whole(response).await;
    let replies = frames::<v2::ReceiveMessageResponse>(&bytes);
    assert_eq!((replies.len(), status.as_str()), (3, "0"), "status, message, time");
}

#[tokio::test]
async fn a_client_that_vanishes_before_it_read_its_messages_gives_them_back() {
    let server = Server::start().await;
    let large = v2::Message { body: vec![7; 100_000].into(), ..message("M") };
    let (mut client, _running) = server.connect(1 << 20).await;
    let send = v2::SendMessageRequest { messages: vec![large] };
    client.send_request(request(server.address, "SendMessage", &send)).await.unwrap();
    let hour = crate::broker::duration(3_600_000);
    let hidden = v2::ReceiveMessageRequest { invisible_duration: hour, ..simple() };
    let (mut vanishing, connection) = server.connect(1000).await;
    let half = vanishing.send_request(request(server.address, "ReceiveMessage", &hidden)).await.unwrap();
    connection.abort();
    drop((half, vanishing));
    let response = client.send_request(request(server.address, "ReceiveMessage", &simple())).await.unwrap();
    let (bytes, _) = whole(response).await;
    assert_eq!(frames::<v2::ReceiveMessageResponse>(&bytes).len(), 3, "status, the message, time");
}

#[tokio::test]
async fn a_client_that_vanishes_while_it_waits_does_not_take_a_message_with_it() {
    let server = Server::start().await;
    let (mut vanishing, connection) = server.connect(1 << 20).await;
    let hour = crate::broker::duration(3_600_000);
    let hidden = v2::ReceiveMessageRequest { invisible_duration: hour, ..simple() };
    let waiting = tokio::spawn(vanishing.send_request(request(server.address, "ReceiveMessage", &hidden)));
    let (mut client, _running) = server.connect(1 << 20).await;
    // Answered after the receive was begun: requests of one runtime are taken in turn.
    let route = v2::QueryRouteRequest { topic: crate::broker::resource("orders"), endpoints: None };
    whole(client.send_request(request(server.address, "QueryRoute", &route)).await.unwrap()).await;
    waiting.abort();
    connection.abort();
    drop(vanishing);
    let send = v2::SendMessageRequest { messages: vec![message("M")] };
    client.send_request(request(server.address, "SendMessage", &send)).await.unwrap();
    let response = client.send_request(request(server.address, "ReceiveMessage", &simple())).await.unwrap();
    let (bytes, _) = whole(response).await;
    assert_eq!(frames::<v2::ReceiveMessageResponse>(&bytes).len(), 3, "status, the message, time");
}

#[tokio::test]
async fn a_message_that_was_read_stays_the_readers_when_its_connection_ends() {
    let server = Server::start().await;
    let (mut client, connection) = server.connect(1 << 20).await;
    let send = v2::SendMessageRequest { messages: vec![message("M")] };
    client.send_request(request(server.address, "SendMessage", &send)).await.unwrap();
    let response = client.send_request(request(server.address, "ReceiveMessage", &simple())).await.unwrap();
    whole(response).await;
    connection.abort();
    drop(client);
    let (mut other, _running) = server.connect(1 << 20).await;
    let response = other.send_request(request(server.address, "ReceiveMessage", &simple())).await.unwrap();
    let (bytes, _) = whole(response).await;
    assert_eq!(frames::<v2::ReceiveMessageResponse>(&bytes).len(), 2, "nothing within 5 s");
}

#[tokio::test]
async fn headers_of_a_telemetry_stream_come_before_its_first_reply() {
    let server = Server::start().await;
    let (mut client, _running) = server.connect(1 << 20).await;
    let settings = crate::telemetry::consumer(ClientType::SimpleConsumer);
    let command = v2::TelemetryCommand { status: None, command: Some(Command::Settings(settings)) };
    let response = client.send_request(request(server.address, "Telemetry", &command)).await.unwrap();
    assert_eq!(response.headers()["content-type"], "application/grpc");
    let (frame, status) = whole(response).await;
    let reply: v2::TelemetryCommand = only(&frame);
    assert_eq!((code_of(reply.status.as_ref()), status.as_str()), (Code::Ok, "0"));
}

#[tokio::test]
async fn what_is_not_grpc_ends_in_a_status_or_a_closed_connection_and_others_are_served() {
    let server = Server::start().await;
    for noise in [&b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"[..], &[0; 64], b"\x16\x03\x01\x00\x01\x00"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(noise).await.unwrap();
        let mut rest = Vec::new();
        // Closed in good order or reset: either way it ends.
        let _ = stream.read_to_end(&mut rest).await;
    }
    let (mut client, _running) = server.connect(1 << 20).await;
    let unknown =
        client.send_request(request(server.address, "NoSuchMethod", &v2::HeartbeatRequest::default()));
    assert_eq!(whole(unknown.await.unwrap()).await.1, "12");
    let mut oversized = BytesMut::from(&[0][..]);
    oversized.extend_from_slice(&u32::MAX.to_be_bytes());
    let mut request = request(server.address, "SendMessage", &v2::HeartbeatRequest::default());
    *request.body_mut() = Full::new(oversized.freeze());
    assert_eq!(whole(client.send_request(request).await.unwrap()).await.1, "8");
}
