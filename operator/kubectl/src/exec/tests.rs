//! Commands in a pod that a test plays: what comes through the WebSocket, and what goes back.

use futures::{SinkExt, StreamExt};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

use super::*;
use crate::testing::{api, refuse};

fn code(status: Value) -> Result<u8, String> {
    exit_code(&serde_json::from_value(status).unwrap())
}

#[test]
fn the_exit_code_is_in_the_causes() {
    let ended = |code: &str| {
        json!({"status": "Failure", "reason": "NonZeroExitCode", "message": "command terminated",
            "details": {"causes": [{"reason": "ExitCode", "message": code}]}})
    };
    assert_eq!(code(json!({"status": "Success"})), Ok(0));
    assert_eq!(code(ended("4")), Ok(4));
    assert_eq!(code(ended("-1")), Ok(255));
}

#[test]
fn a_command_that_never_ran_has_no_exit_code() {
    let status = json!({"status": "Failure", "reason": "InternalError", "message": "no such container"});
    assert_eq!(code(status), Err("no such container".to_owned()));
}

#[tokio::test]
async fn all_that_is_written_is_passed_on() {
    let (mut near, far) = tokio::io::duplex(7);
    let text: Vec<u8> = (0..100_000_u32).map(|n| n as u8).collect();
    let expected = text.clone();
    let writer = tokio::spawn(async move { near.write_all(&text).await.unwrap() });
    let mut got = Vec::new();
    pass(Some(far), &mut got).await.unwrap();
    writer.await.unwrap();
    assert_eq!(got, expected);
}

#[tokio::test]
async fn without_the_right_to_exec_the_right_is_named() {
    let (client, server) =
        api(vec![refuse("GET /api/v1/namespaces/mq/pods/shop-g0-0/exec", 403, "Forbidden")]);
    let pods: Api<Pod> = Api::namespaced(client, "mq");
    let refused = capture(&pods, "shop-g0-0", &["status".to_owned()]).await.unwrap_err().to_string();
    assert!(refused.contains("get and create pods/exec"), "{refused}");
    drop(pods);
    let sent = server.await.unwrap();
    assert!(sent[0].contains("command=millpond&command=status"), "{sent:?}");
    assert!(sent[0].contains("container=broker") && !sent[0].contains("stdin=true"), "{sent:?}");
}

type Socket = WebSocketStream<TcpStream>;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STATUS: u8 = 3;
const CLOSE: u8 = 255;

/// An API server whose one pod does this.
async fn pod_that<F: Future<Output = ()> + Send + 'static>(
    act: impl FnOnce(Socket) -> F + Send + 'static,
) -> Api<Pod> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        #[expect(clippy::result_large_err, reason = "the callback's type is the crate's")]
        let agree = |_: &Request, mut answer: Response| -> Result<Response, ErrorResponse> {
            answer.headers_mut().insert("Sec-WebSocket-Protocol", "v5.channel.k8s.io".parse().unwrap());
            Ok(answer)
        };
        act(tokio_tungstenite::accept_hdr_async(stream, agree).await.unwrap()).await;
    });
    Api::namespaced(Client::try_from(Config::new(uri)).unwrap(), "mq")
}

async fn say(socket: &mut Socket, channel: u8, text: &str) {
    let frame = [&[channel], text.as_bytes()].concat();
    socket.send(Message::binary(frame)).await.unwrap();
}

async fn end(socket: &mut Socket, code: u8) {
    let status = match code {
        0 => json!({"status": "Success"}),
        code => json!({"status": "Failure", "reason": "NonZeroExitCode",
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]}}),
    };
    say(socket, STATUS, &status.to_string()).await;
}

/// The next bytes that come, with their channel.
async fn hear(socket: &mut Socket) -> Vec<u8> {
    socket.next().await.unwrap().unwrap().into_data().to_vec()
}

/// What came out, and how it ended.
async fn run(
    pods: &Api<Pod>,
    input: Input,
    typed: &[u8],
    interrupted: impl Future<Output = ()>,
) -> (String, Result<u8, Failure>) {
    let process = start(pods, "p", &["tail".to_owned()], input).await.unwrap();
    let mut out = Vec::new();
    let here = Here { input: typed, out: &mut out, err: tokio::io::sink() };
    let ended = relay(process, "p", input, here, interrupted).await;
    (String::from_utf8(out).unwrap(), ended)
}

#[tokio::test]
async fn both_outputs_and_the_exit_code_come_back() {
    let pods = pod_that(async |mut socket| {
        say(&mut socket, STDOUT, "one\n").await;
        say(&mut socket, STDERR, "careful\n").await;
        say(&mut socket, STDOUT, &"x".repeat(100_000)).await;
        end(&mut socket, 4).await;
    });
    let said = capture(&pods.await, "p", &["status".to_owned()]).await.unwrap();
    assert_eq!((said.out.len(), said.err.as_slice(), said.code), (100_004, b"careful\n".as_slice(), 4));
}

#[tokio::test]
async fn a_command_that_may_be_told_to_end_is_told_and_waited_for() {
    let pods = pod_that(async |mut socket| {
        say(&mut socket, STDOUT, "one\n").await;
        assert_eq!(hear(&mut socket).await, [CLOSE, STDIN]);
        say(&mut socket, STDOUT, "cleared away\n").await;
        end(&mut socket, 0).await;
    });
    let (out, ended) = run(&pods.await, Input::OpenUntilInterrupt, b"", async {}).await;
    assert_eq!((out.as_str(), ended.unwrap()), ("one\ncleared away\n", 0));
}

#[tokio::test]
async fn any_other_command_is_left_at_once() {
    let pods = pod_that(async |mut socket| {
        let next = socket.next().await;
        assert!(next.is_none_or(|next| !matches!(next, Ok(Message::Binary(_)))), "nothing is written to it");
    });
    let (_, ended) = run(&pods.await, Input::None, b"", async {}).await;
    assert_eq!(ended.unwrap(), INTERRUPTED);
}

#[tokio::test]
async fn standard_input_is_passed_on_to_its_end() {
    let pods = pod_that(async |mut socket| {
        assert_eq!(hear(&mut socket).await, [&[STDIN], b"hello".as_slice()].concat());
        assert_eq!(hear(&mut socket).await, [CLOSE, STDIN]);
        say(&mut socket, STDOUT, "sent\n").await;
        end(&mut socket, 0).await;
    });
    let (out, ended) = run(&pods.await, Input::Passed, b"hello", std::future::pending()).await;
    assert_eq!((out.as_str(), ended.unwrap()), ("sent\n", 0));
}

#[tokio::test]
async fn a_connection_that_breaks_is_no_success() {
    let pods = pod_that(async |mut socket| say(&mut socket, STDOUT, "one\n").await);
    let (_, ended) = run(&pods.await, Input::None, b"", std::future::pending()).await;
    assert!(matches!(ended, Err(Failure::Cut { .. })), "{ended:?}");
}
