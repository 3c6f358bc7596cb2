//! A Kubernetes API that holds one object, a Lease or an EndpointSlice: it compares and swaps, numbers versions, and
//! streams events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use crds::group_record::{GroupRecord, GroupRequest, RECORD_ANNOTATION, REQUEST_ANNOTATION};
use futures::StreamExt;
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::memory::Fault;

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

#[derive(Clone)]
pub(crate) struct FakeApi {
    state: Arc<Mutex<State>>,
    bell: watch::Sender<u64>,
    path: &'static str,
}

const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/mq/leases/shop-g0";
const SLICE: &str = "/apis/discovery.k8s.io/v1/namespaces/mq/endpointslices/shop-g0-leader";

#[derive(Default)]
struct State {
    object: Option<Value>,
    version: u64,
    objects: u64,
    events: Vec<Value>,
    /// Bodies of the patches that arrived.
    patches: Vec<Value>,
}

/// The way of one client. Clones are the same way.
#[derive(Clone, Default)]
pub(crate) struct Way(Arc<Mutex<Trouble>>);

#[derive(Default)]
struct Trouble {
    fault: Fault,
    late: Vec<Value>,
    /// Answers to the next patches, instead of carrying them out.
    refusals: VecDeque<u16>,
}

impl FakeApi {
    pub(crate) fn new(wish: &GroupRequest) -> Self {
        let api = Self { state: Arc::default(), bell: watch::Sender::new(0), path: LEASE };
        api.make(wish);
        api
    }

    /// One without the EndpointSlice that clients ask of it.
    pub(crate) fn without_slice() -> Self {
        Self { state: Arc::default(), bell: watch::Sender::new(0), path: SLICE }
    }

    /// Makes the EndpointSlice as the operator does: with nobody in it.
    pub(crate) fn make_slice(&self, family: &str) {
        self.change("ADDED", |state| {
            state.object = Some(json!({
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {
                    "name": "shop-g0-leader", "namespace": "mq", "annotations": { "example.org/theirs": "kept" },
                },
                "addressType": family,
                "endpoints": null,
                "ports": null,
            }));
        });
    }

    pub(crate) fn make(&self, wish: &GroupRequest) {
        self.change("ADDED", |state| {
            state.objects += 1;
            state.object = Some(json!({
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {
                    "name": "shop-g0",
                    "namespace": "mq",
                    "uid": format!("uid-{}", state.objects),
                    "annotations": {
                        RECORD_ANNOTATION: GroupRecord::created(1).to_json(),
                        REQUEST_ANNOTATION: wish.to_json(),
                        "example.org/theirs": "kept",
                    },
                },
                "spec": {},
            }));
        });
    }

    pub(crate) fn object(&self) -> Option<Value> {
        self.state.lock().object.clone()
    }

    pub(crate) fn patches(&self) -> Vec<Value> {
        self.state.lock().patches.clone()
    }

    pub(crate) fn annotate(&self, name: &str, text: &str) {
        self.edit(|object| object["metadata"]["annotations"][name] = json!(text));
    }

    /// Somebody else changes the object.
    pub(crate) fn edit(&self, edit: impl FnOnce(&mut Value)) {
        self.change("MODIFIED", |state| edit(state.object.as_mut().unwrap()));
    }

    pub(crate) fn delete(&self) {
        let mut state = self.state.lock();
        state.version += 1;
        let version = state.version.to_string();
        let mut object = state.object.take().unwrap();
        object["metadata"]["resourceVersion"] = json!(version);
        state.events.push(json!({"type": "DELETED", "object": object}));
        drop(state);
        self.bell.send_modify(|count| *count += 1);
    }

    /// The store is put back to this, its counter with it. Watches end, as the server was started again.
    pub(crate) fn restore(&self, object: Value) {
        let mut state = self.state.lock();
        state.version = version_of(&object);
        state.events.clear();
        state.object = Some(object);
    }

    /// A store that numbers in another way.
    pub(crate) fn break_version(&self, version: &str) {
        self.state.lock().object.as_mut().unwrap()["metadata"]["resourceVersion"] = json!(version);
    }

    /// An event that a server far behind would send.
    pub(crate) fn send_event(&self, event: Value) {
        self.state.lock().events.push(event);
        self.bell.send_modify(|count| *count += 1);
    }

    pub(crate) fn deliver(&self, way: &Way) {
        let late = std::mem::take(&mut way.0.lock().late);
        for body in late {
            self.patch(body);
        }
    }

    pub(crate) fn client(&self) -> (Client, Way) {
        let (way, api) = (Way::default(), self.clone());
        let theirs = way.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let (api, way) = (api.clone(), theirs.clone());
            async move { api.serve(&way, request).await }
        });
        (Client::new(service, "mq"), way)
    }

    async fn serve(&self, way: &Way, request: Request<Body>) -> Result<Answer, tower::BoxError> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let query = head.uri.query().unwrap_or_default().to_owned();
        let fault = way.0.lock().fault;
        if fault == Fault::Unreachable {
            return Err("connection refused".into());
        }
        let answer = match head.method {
            Method::GET if query.contains("watch=true") => {
                assert!(query.contains("fieldSelector=metadata.name%3Dshop-g0"), "{query}");
                self.watch(&query)
            }
            Method::GET => {
                assert!(!query.contains("resourceVersion"), "a read from a cache: {query}");
                assert_eq!(head.uri.path(), self.path);
                self.object().map_or_else(|| status(404), |object| answer(200, &object))
            }
            Method::PATCH => {
                assert_eq!(head.uri.path(), self.path);
                assert_eq!(head.headers["content-type"], "application/merge-patch+json");
                let body: Value = serde_json::from_slice(&body)?;
                if fault == Fault::Late {
                    way.0.lock().late.push(body);
                    return std::future::pending().await;
                }
                let refusal = way.0.lock().refusals.pop_front();
                refusal.map_or_else(|| self.patch(body), status)
            }
            other => panic!("{other} is not asked for"),
        };
        if fault == Fault::ReplyLost { Err("connection reset".into()) } else { Ok(answer) }
    }

    fn patch(&self, body: Value) -> Answer {
        let mut changed = None;
        let after = self.change("MODIFIED", |state| {
            state.patches.push(body.clone());
            let Some(object) = &mut state.object else { return };
            let is_latest = body["metadata"]["resourceVersion"] == object["metadata"]["resourceVersion"];
            if is_latest {
                merge(object, body);
            }
            changed = Some(is_latest);
        });
        match changed {
            None => status(404),
            Some(false) => status(409),
            Some(true) => answer(200, &after.unwrap()),
        }
    }

    /// Changes the object; if that made it another one, numbers it and tells those who watch.
    fn change(&self, kind: &str, change: impl FnOnce(&mut State)) -> Option<Value> {
        let mut state = self.state.lock();
        let before = state.object.clone();
        change(&mut state);
        if state.object != before {
            state.version += 1;
            let version = state.version.to_string();
            let object = state.object.as_mut().unwrap();
            object["metadata"]["resourceVersion"] = json!(version);
            let event = json!({"type": kind, "object": object});
            state.events.push(event);
        }
        let after = state.object.clone();
        drop(state);
        self.bell.send_modify(|count| *count += 1);
        after
    }

    fn watch(&self, query: &str) -> Answer {
        let from = query.split('&').find_map(|pair| pair.strip_prefix("resourceVersion=")).unwrap();
        let from: u64 = from.parse().unwrap();
        let state = self.state.lock();
        let next = state.events.iter().position(|event| version_of(&event["object"]) > from);
        let next = next.unwrap_or(state.events.len());
        drop(state);
        let bell = self.bell.subscribe();
        let events =
            futures::stream::unfold((self.clone(), bell, next), |(api, mut bell, next)| async move {
                loop {
                    bell.borrow_and_update();
                    let event = api.state.lock().events.get(next).cloned();
                    if let Some(event) = event {
                        let line = Bytes::from(format!("{event}\n"));
                        return Some((Ok(Frame::data(line)), (api, bell, next + 1)));
                    }
                    bell.changed().await.ok()?;
                }
            });
        Response::builder().status(200).body(StreamBody::new(events.boxed()).boxed_unsync()).unwrap()
    }
}

impl Way {
    pub(crate) fn set(&self, fault: Fault) {
        self.0.lock().fault = fault;
    }

    /// The next patch is answered like this and not carried out.
    pub(crate) fn refuse(&self, code: u16) {
        self.0.lock().refusals.push_back(code);
    }
}

fn version_of(object: &Value) -> u64 {
    object["metadata"]["resourceVersion"].as_str().unwrap().parse().unwrap()
}

fn merge(into: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *into = patch;
        return;
    };
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(&key);
        } else {
            merge(&mut into[key], value);
        }
    }
}

fn answer(code: u16, json: &Value) -> Answer {
    let body = Full::new(Bytes::from(json.to_string()));
    Response::builder().status(code).body(body.boxed_unsync()).unwrap()
}

fn status(code: u16) -> Answer {
    let reason = match code {
        404 => "NotFound",
        409 => "Conflict",
        _ => "",
    };
    let message = format!("answered {code}");
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "reason": reason, "code": code,
    });
    answer(code, &status)
}
