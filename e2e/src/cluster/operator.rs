//! An operator of the test's own, outside of Kubernetes, that may be killed after each change that it makes.
//!
//! ```text
//!   operator ──HTTP──▶ this ──HTTP──▶ kubectl proxy ──TLS──▶ API server
//!      ▲                │ something was changed: the answer is kept back, and the operator is killed and started again
//!      └────────────────┘
//! ```
//!
//! Promise: an operator that dies after each change never learns that it made it.
//! Limit: only what goes through the API server counts; what brokers are told does not.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use crate::place;

/// Runs with a name server of its own.
const WITH_RESOLV_CONF: &str = r#"mount --bind "$1" /etc/resolv.conf && shift && exec "$@""#;
/// Only it may ask something of a group, and it has no other rights than the chart gives it.
const OPERATOR: &str = "system:serviceaccount:millpond-system:millpond-operator";
/// The name server that `e2e/k8s/cluster.sh` starts.
const NAME_SERVER: &str = "nameserver 10.89.0.1\nsearch svc.cluster.local cluster.local\noptions ndots:5\n";

/// What becomes of an operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It goes on.
    Lives,
    /// It is killed after each change.
    DiesAfterEachChange,
}

/// An operator for one namespace; it ends with this value.
#[derive(Debug)]
pub struct Operator {
    life: Arc<Life>,
    proxy: Child,
    serving: JoinHandle<()>,
    _folder: tempfile::TempDir,
}

/// What its lives have in common.
#[derive(Debug)]
struct Life {
    namespace: String,
    more: Vec<String>,
    kubeconfig: PathBuf,
    resolv_conf: PathBuf,
    fate: Fate,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    running: Option<Child>,
    /// Objects as answers showed them last, by identity.
    known: HashMap<String, Value>,
    changes: Vec<String>,
}

type Body = BoxBody<Bytes, hyper::Error>;

impl Operator {
    /// Starts one that needs no turn.
    pub async fn start(namespace: &str, fate: Fate) -> Self {
        Self::start_with(namespace, fate, &[]).await
    }

    /// The same, with more on its command line.
    pub async fn start_with(namespace: &str, fate: Fate, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (proxy, api) = kubectl_proxy();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (kubeconfig, resolv_conf) = (folder.path().join("kubeconfig"), folder.path().join("resolv.conf"));
        std::fs::write(&kubeconfig, kubeconfig_of(address)).expect("a file is written");
        std::fs::write(&resolv_conf, NAME_SERVER).expect("a file is written");
        let state = Mutex::default();
        let (namespace, more) = (namespace.to_owned(), more.iter().map(|word| (*word).to_owned()).collect());
        let life = Arc::new(Life { namespace, more, kubeconfig, resolv_conf, fate, state });
        let serving = tokio::spawn(serve(listener, api, Arc::clone(&life)));
        life.begin(&mut life.lock());
        Self { life, proxy, serving, _folder: folder }
    }

    /// Everything that it changed, in order.
    pub fn changes(&self) -> Vec<String> {
        self.life.lock().changes.clone()
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.serving.abort();
        self.life.lock().end();
        end(&mut self.proxy);
    }
}

impl Life {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, state: &mut State) {
        let child = Command::new("unshare")
            .args(["--mount", "bash", "-c", WITH_RESOLV_CONF, "-"])
            .arg(&self.resolv_conf)
            .arg(place::program("millpond-operator"))
            .args(["--broker-image", "localhost/millpond:dev", "--broker-image-pull-policy", "IfNotPresent"])
            .args(["--namespace", "millpond-system", "--identity", "test", "--no-leader-election"])
            .args(["--watch-namespaces", &self.namespace, "--resync", "5s", "--http-listen", "127.0.0.1:0"])
            .args(&self.more)
            .env("KUBECONFIG", &self.kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the operator starts");
        state.running = Some(child);
    }

    /// Notes what an answer shows. True: the operator that asked is no more.
    fn told(&self, method: &Method, path: &str, answer: &[u8]) -> bool {
        let Ok(object) = serde_json::from_slice::<Value>(answer) else { return false };
        let identity = object["metadata"]["uid"].as_str().unwrap_or(path).to_owned();
        let object = own_part(object);
        let mut state = self.lock();
        let known = state.known.insert(identity, object.clone());
        if known == Some(object) && *method != Method::DELETE {
            return false;
        }
        state.changes.push(format!("{method} {path}"));
        if self.fate == Fate::Lives {
            return false;
        }
        state.end();
        self.begin(&mut state);
        true
    }
}

impl State {
    fn end(&mut self) {
        if let Some(mut child) = self.running.take() {
            end(&mut child);
        }
    }
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

/// What an operator may change of an object: of the Lease of a group its brokers write the rest.
fn own_part(mut object: Value) -> Value {
    for field in ["resourceVersion", "managedFields"] {
        object["metadata"][field].take();
    }
    if object["kind"] == "Lease" {
        object["spec"].take();
        object["metadata"]["annotations"]["millpond.io/record"].take();
    }
    object
}

/// What an operator may do as often as it likes: it changes nothing that somebody waits for.
fn is_change(method: &Method, path: &str) -> bool {
    let writes = [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(method);
    writes && !path.contains("/events")
}

async fn serve(listener: TcpListener, api: SocketAddr, life: Arc<Life>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let life = Arc::clone(&life);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let life = Arc::clone(&life);
                async move { Ok::<_, Infallible>(pass_on(request, api, &life).await) }
            });
            let server = hyper::server::conn::http1::Builder::new();
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn pass_on(request: Request<Incoming>, api: SocketAddr, life: &Life) -> Response<Body> {
    match answered(request, api, life).await {
        Ok(response) => response,
        Err(error) => {
            let text = Full::new(Bytes::from(format!("{error:#}"))).map_err(|never| match never {});
            let mut response = Response::new(text.boxed());
            *response.status_mut() = StatusCode::BAD_GATEWAY;
            response
        }
    }
}

async fn answered(mut request: Request<Incoming>, api: SocketAddr, life: &Life) -> Result<Response<Body>> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    request.headers_mut().insert("host", api.to_string().parse()?);
    // Answers are looked at.
    request.headers_mut().remove("accept-encoding");
    let stream = TcpStream::connect(api).await.context("kubectl proxy")?;
    let (mut send, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let (head, body) = send.send_request(request).await?.into_parts();
    if !is_change(&method, &path) || !head.status.is_success() {
        return Ok(Response::from_parts(head, body.boxed()));
    }
    let bytes = body.collect().await?.to_bytes();
    if life.told(&method, &path, &bytes) {
        std::future::pending::<()>().await;
    }
    Ok(Response::from_parts(head, Full::new(bytes).map_err(|never| match never {}).boxed()))
}

/// Says the address that it chose.
fn kubectl_proxy() -> (Child, SocketAddr) {
    let mut child = Command::new("kubectl")
        .args(["proxy", "--port", "0", "--as", OPERATOR])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("kubectl runs: `make test` puts it on the path");
    let mut line = String::new();
    let said = child.stdout.take().expect("its output");
    BufReader::new(said).read_line(&mut line).expect("kubectl proxy says where it listens");
    let address = line.split_whitespace().find_map(|word| word.parse().ok());
    (child, address.unwrap_or_else(|| panic!("kubectl proxy: {line}")))
}

fn kubeconfig_of(address: SocketAddr) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: test\n\
         clusters: [{{name: test, cluster: {{server: 'http://{address}'}}}}]\n\
         contexts: [{{name: test, context: {{cluster: test, user: test}}}}]\nusers: [{{name: test, user: {{}}}}]\n"
    )
}
