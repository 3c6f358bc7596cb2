//! A server that accepts every send and stores nothing: what the same HTTP/2 and gRPC framing reaches on a machine.
//!
//! `cargo run --release -p gateway-grpc --example empty_server -- 127.0.0.1:8081`
#![forbid(unsafe_code)]

use std::convert::Infallible;

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use wire::v2;

type Reply = StreamBody<futures::stream::Iter<std::array::IntoIter<Result<Frame<Bytes>, Infallible>, 2>>>;

fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8081".to_owned());
    let cores = std::thread::available_parallelism()?.get();
    let runtimes: Vec<mpsc::UnboundedSender<std::net::TcpStream>> = (0..cores).map(|_| runtime()).collect();
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind(address).await?;
        for turn in 0_usize.. {
            let (stream, _) = listener.accept().await?;
            if runtimes[turn % cores].send(stream.into_std()?).is_err() {
                break;
            }
        }
        Ok(())
    })
}

fn runtime() -> mpsc::UnboundedSender<std::net::TcpStream> {
    let (handed, mut inbox) = mpsc::unbounded_channel::<std::net::TcpStream>();
    std::thread::spawn(move || -> std::io::Result<()> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
            while let Some(stream) = inbox.recv().await {
                stream.set_nodelay(true)?;
                tokio::spawn(serve(TcpStream::from_std(stream)?));
            }
            Ok(())
        })
    });
    handed
}

async fn serve(stream: TcpStream) {
    let served = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(1 << 20)
        .initial_connection_window_size(8 << 20)
        .max_frame_size(64 << 10)
        .serve_connection(TokioIo::new(stream), service_fn(answer))
        .await;
    if let Err(error) = served {
        eprintln!("connection ended: {error}");
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Reply>, hyper::Error> {
    let is_telemetry = request.uri().path().ends_with("/Telemetry");
    let mut body = request.into_body();
    if is_telemetry {
        // The client waits for its settings to come back and keeps its side open.
        let settings = body.frame().await.transpose()?.and_then(|frame| frame.into_data().ok());
        return Ok(reply(settings.unwrap_or_default()));
    }
    let body = body.collect().await?.to_bytes();
    let request = v2::SendMessageRequest::decode(body.get(5..).unwrap_or_default()).unwrap_or_default();
    let ok = v2::Status { code: v2::Code::Ok.into(), message: "OK".to_owned() };
    let id = |message: v2::Message| message.system_properties.unwrap_or_default().message_id;
    let entries = request.messages.into_iter().map(|message| {
        let message_id = id(message);
        let transaction_id = message_id.clone();
        v2::SendResultEntry { status: Some(ok.clone()), message_id, transaction_id, ..Default::default() }
    });
    let answer = v2::SendMessageResponse { status: Some(ok.clone()), entries: entries.collect() };
    let mut frame = BytesMut::with_capacity(5 + answer.encoded_len());
    frame.put_u8(0);
    frame.put_u32(answer.encoded_len() as u32);
    frame.put_slice(&answer.encode_to_vec());
    Ok(reply(frame.freeze()))
}

fn reply(frame: Bytes) -> Response<Reply> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let frames = [Ok(Frame::data(frame)), Ok(Frame::trailers(trailers))];
    let mut response = Response::new(StreamBody::new(futures::stream::iter(frames)));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}
