//! A Kubernetes API for tests, which expects exact requests.

use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

/// A request that has to come next, and its answer.
pub(crate) struct Expected {
    request: String,
    status: u16,
    answer: String,
}

/// `METHOD path` of the next request, and a good answer.
pub(crate) fn expect(request: &str, answer: Value) -> Expected {
    // A log is text, and no JSON.
    let answer = if let Value::String(text) = answer { text } else { answer.to_string() };
    Expected { request: request.to_owned(), status: 200, answer }
}

/// The same with another status.
pub(crate) fn with(expected: Expected, status: u16) -> Expected {
    Expected { status, ..expected }
}

/// The next request is refused.
pub(crate) fn refuse(request: &str, code: u16, reason: &str) -> Expected {
    let answer = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "reason": reason, "code": code,
    });
    with(expect(request, answer), code)
}

/// An API that wants exactly these requests in this order. Ends, and gives back what was sent (`METHOD path?query`), when the
/// client is dropped.
pub(crate) fn api(expected: Vec<Expected>) -> (Client, JoinHandle<Vec<String>>) {
    let (service, mut handle) = tower_test::mock::pair::<Request<Body>, Response<Body>>();
    let server = tokio::spawn(async move {
        let mut sent = Vec::new();
        let mut expected = expected.into_iter();
        while let Some((request, respond)) = handle.next_request().await {
            let line = format!("{} {}", request.method(), request.uri());
            let next = expected.next().unwrap_or_else(|| panic!("nothing more was expected, got {line}"));
            let path = line.split('?').next().unwrap_or_default();
            assert_eq!(path, next.request, "the next request");
            let answer = Body::from(next.answer.into_bytes());
            respond.send_response(Response::builder().status(next.status).body(answer).unwrap());
            sent.push(line);
        }
        assert!(expected.next().is_none(), "more requests were expected");
        sent
    });
    (Client::new(service, "default"), server)
}
