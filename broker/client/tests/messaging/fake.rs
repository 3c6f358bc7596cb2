//! A server that answers as a test says: the parts of the protocol that a broker in this process does not show.

use std::sync::Arc;

use bytes::{Buf, Bytes, BytesMut};
use client::Endpoint;
use h2::server::SendResponse;
use h2::{RecvStream, server};
use http::{HeaderMap, HeaderValue, Request, Response};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use wire::frame;
use wire::v2::{self, telemetry_command::Command};

/// Frames of the reply to a call, or none: the call is never answered.
type Answer = dyn Fn(&str, Bytes) -> Option<Vec<Bytes>> + Send + Sync;

pub(crate) struct Fake {
    port: u16,
    accepting: JoinHandle<()>,
}

impl Fake {
    /// Settings come back as they were sent, heartbeats and farewells are fine; `answer` says the rest.
    pub(crate) async fn start(
        answer: impl Fn(&str, Bytes) -> Option<Vec<Bytes>> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer: Arc<Answer> = Arc::new(answer);
        let accepting = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                tokio::spawn(connection(stream, answer.clone()));
            }
        });
        Self { port, accepting }
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::plain("127.0.0.1", self.port)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A message with what goes before it on the wire.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let mut out = BytesMut::new();
    frame::put(&mut out, message);
    out.freeze()
}

pub(crate) fn status(code: v2::Code) -> v2::Status {
    v2::Status { code: code.into(), message: code.as_str_name().to_owned() }
}

async fn connection(stream: TcpStream, answer: Arc<Answer>) {
    let mut connection = server::handshake(stream).await.unwrap();
    while let Some(Ok((request, respond))) = connection.accept().await {
        tokio::spawn(call(request, respond, answer.clone()));
    }
}

async fn call(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, answer: Arc<Answer>) {
    let name = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
    let mut body = request.into_body();
    let head = Response::builder().header("content-type", "application/grpc").body(()).unwrap();
    let mut stream = respond.send_response(head, false).unwrap();
    if name == "Telemetry" {
        let first = message(&mut body).await;
        let mut command = v2::TelemetryCommand::decode(first).unwrap();
        assert!(matches!(command.command, Some(Command::Settings(_))));
        command.status = Some(status(v2::Code::Ok));
        stream.send_data(framed(&command), false).unwrap();
        // Until the client ends its side.
        while let Some(Ok(_)) = body.data().await {}
        return;
    }
    let request = message(&mut body).await;
    let frames = match name.as_str() {
        "Heartbeat" => Some(vec![framed(&v2::HeartbeatResponse { status: Some(status(v2::Code::Ok)) })]),
        "NotifyClientTermination" => {
            Some(vec![framed(&v2::NotifyClientTerminationResponse { status: Some(status(v2::Code::Ok)) })])
        }
        _ => answer(&name, request),
    };
    let Some(frames) = frames else { return std::future::pending().await };
    for frame in frames {
        stream.send_data(frame, false).unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    // A client that gave up is not there any more.
    let _ = stream.send_trailers(trailers);
}

/// The first message of a call.
async fn message(body: &mut RecvStream) -> Bytes {
    let mut buffer = BytesMut::new();
    loop {
        if let Some((prefix, rest)) = buffer.split_first_chunk::<5>() {
            let bytes = u32::from_be_bytes([prefix[1], prefix[2], prefix[3], prefix[4]]) as usize;
            if rest.len() >= bytes {
                buffer.advance(5);
                return buffer.split_to(bytes).freeze();
            }
        }
        let chunk = body.data().await.unwrap().unwrap();
        let _ = body.flow_control().release_capacity(chunk.len());
        buffer.extend_from_slice(&chunk);
    }
}
