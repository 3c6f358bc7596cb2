//! The record in an annotation of a Kubernetes Lease.
//!
//! ```text
//!   read     GET without a resource version: the API server asks a majority of its store
//!   propose  merge patch with `metadata.resourceVersion`: the API server compares and swaps
//!   watch    look, then events of this one object from there on; a quiet or broken watch begins with a look again
//! ```
//!
//! Promise: as the crate's. Only what the API server refuses is called not written: a lost connection, a late answer and
//! an error of the server mean perhaps. Fields of others are left as they are.
//! Limit: API servers number the versions of an object in order; a store that does not is refused by `Version`.

mod client;
mod patch;

use std::time::Duration;

use crds::group_record::{GroupRecord, GroupRequest, RECORD_ANNOTATION, REQUEST_ANNOTATION, Seen, Version};
use futures::{StreamExt, pin_mut};
use k8s_openapi::api::coordination::v1::Lease;
use kube::Client;
use kube::api::{Api, Patch, PatchParams, WatchEvent, WatchParams};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::debug;

use crate::sight::{Found, Sight};
use crate::{CALL_MAX, Changes, ProposeError, RETRY, ReadError, WallClock};
pub(crate) use client::client;
use patch::Holder;

/// Name under which the API server notes who changed a field.
pub(crate) const MANAGER: &str = "millpond-broker";
/// A watch that says nothing for this long is doubted: the connection may be dead.
const QUIET_MAX: Duration = Duration::from_secs(15);
/// The API server ends a watch after this many seconds.
const WATCH_SECONDS: u32 = 120;

/// The record in a Lease.
pub struct LeaseArbiter {
    api: Api<Lease>,
    name: String,
    clock: WallClock,
    sight: Sight,
    /// The liveness half of the latest version that was found.
    holder: Mutex<Holder>,
}

impl LeaseArbiter {
    /// The Lease of this name. The client must not repeat requests by itself, and is bounded in time by this.
    pub fn new(client: Client, namespace: &str, name: &str, clock: WallClock) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            clock,
            sight: Sight::new(),
            holder: Mutex::new(Holder::default()),
        }
    }

    pub(crate) async fn read(&self) -> Result<Seen, ReadError> {
        let before = self.sight.before();
        let lease = match timeout(CALL_MAX, self.api.get_opt(&self.name)).await {
            Ok(Ok(Some(lease))) => lease,
            Ok(Ok(None)) => return Err(ReadError::Missing(format!("there is no Lease `{}`", self.name))),
            Ok(Err(error)) => return Err(ReadError::Unreachable(error.to_string())),
            Err(_) => return Err(ReadError::Unreachable(late())),
        };
        self.sight.looked(&before, self.found(&lease)?)
    }

    pub(crate) async fn propose(&self, base: Version, record: &GroupRecord) -> Result<Seen, ProposeError> {
        let body = patch::proposal(base, record, &self.holder.lock(), (self.clock)());
        self.patch(&body, Some(record)).await
    }

    pub(crate) async fn renew(&self, holder: &str) -> Result<Seen, ProposeError> {
        let seen = match self.sight.latest() {
            Some(seen) => seen,
            None => self.read().await?,
        };
        if seen.record.leader.is_some_and(|leader| leader.to_string() != holder) {
            return Err(ProposeError::Conflict(Box::new(seen)));
        }
        let body = patch::renewal(holder, &self.holder.lock(), (self.clock)());
        self.patch(&body, None).await
    }

    pub(crate) fn changes(&self) -> Changes {
        self.sight.changes()
    }

    pub(crate) async fn watch(&self) {
        loop {
            let began = Instant::now();
            match self.read().await {
                Ok(seen) => self.follow(seen.version).await,
                Err(error) => self.sight.lost(error),
            }
            // A watch that ends at once, for whatever reason, must not become a storm of requests.
            sleep_until(began + RETRY).await;
        }
    }

    async fn patch(&self, body: &Value, record: Option<&GroupRecord>) -> Result<Seen, ProposeError> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(body);
        let call = self.api.patch(&self.name, &params, &patch);
        let error = match timeout(CALL_MAX, call).await {
            Ok(Ok(lease)) => {
                let found = self.found(&lease).map_err(|error| ProposeError::Unknown(error.to_string()))?;
                return Ok(self.sight.wrote(found));
            }
            Ok(Err(kube::Error::Api(status))) => status,
            Ok(Err(error)) => return Err(ProposeError::Unknown(error.to_string())),
            Err(_) => return Err(ProposeError::Unknown(late())),
        };
        match error.code {
            404 if error.is_not_found() => Err(ProposeError::Missing(error.message.clone())),
            409 => self.conflict(record).await,
            // The server gave up waiting, which says nothing about its store.
            408 => Err(ProposeError::Unknown(error.to_string())),
            400..=499 => Err(ProposeError::Refused(error.message.clone())),
            _ => Err(ProposeError::Unknown(error.to_string())),
        }
    }

    /// Another version came first. It may be the own one, when something on the way repeated the request.
    async fn conflict(&self, record: Option<&GroupRecord>) -> Result<Seen, ProposeError> {
        match self.read().await {
            Ok(seen) if record.is_some_and(|record| *record == seen.record) => Ok(seen),
            Ok(seen) => Err(ProposeError::Conflict(Box::new(seen))),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes in events until there is a reason to look again.
    async fn follow(&self, from: Version) {
        let only = format!("metadata.name={}", self.name);
        let params = WatchParams::default().fields(&only).timeout(WATCH_SECONDS);
        let version = from.0.to_string();
        let events = match timeout(CALL_MAX, self.api.watch(&params, &version)).await {
            Ok(Ok(events)) => events,
            Ok(Err(error)) => return debug!(%error, "watch refused"),
            Err(_) => return debug!("watch not answered"),
        };
        pin_mut!(events);
        while let Ok(Some(event)) = timeout(QUIET_MAX, events.next()).await {
            match event {
                Ok(WatchEvent::Added(lease) | WatchEvent::Modified(lease)) => {
                    // What cannot be read or cannot be right is for the look to report.
                    if !self.found(&lease).is_ok_and(|found| self.sight.heard(found)) {
                        return;
                    }
                }
                Ok(WatchEvent::Bookmark(_)) => {}
                Ok(WatchEvent::Deleted(_)) => return,
                Ok(WatchEvent::Error(error)) => return debug!(%error, "watch ended"),
                Err(error) => return debug!(%error, "watch broken"),
            }
        }
    }

    fn found(&self, lease: &Lease) -> Result<Found, ReadError> {
        let missing = |what| ReadError::Missing(format!("the Lease `{}` has no {what}", self.name));
        let text = lease.metadata.resource_version.as_deref().unwrap_or_default();
        let version = Version(text.parse().map_err(|_| ReadError::Version(text.to_owned()))?);
        let object = lease.metadata.uid.clone().ok_or_else(|| missing("uid"))?;
        self.holder.lock().take_in(version, lease.spec.as_ref());
        let annotation = |name| {
            let annotations = lease.metadata.annotations.as_ref();
            annotations.and_then(|annotations| annotations.get(name)).ok_or_else(|| missing(name))
        };
        let record = GroupRecord::from_json(annotation(RECORD_ANNOTATION)?)?;
        // Not a default: it would ask for one copy, and the others would be given up.
        let request = GroupRequest::from_json(annotation(REQUEST_ANNOTATION)?)?;
        Ok(Found { object, seen: Seen { version, record, request } })
    }
}

pub(crate) fn late() -> String {
    format!("no answer from the Kubernetes API in {} ms", CALL_MAX.as_millis())
}
