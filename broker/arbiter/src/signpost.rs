//! The way of clients to the leader: an EndpointSlice that whoever leads points at itself.
//!
//! ```text
//!   client ──► Service shop-g0-leader ──► EndpointSlice shop-g0-leader ──► 10.244.1.7:8081
//!              made by the operator       made by the operator, filled in by the leader: address, epoch
//! ```
//!
//! Promise: the address of a later epoch is never replaced by one of an earlier epoch: each write is a merge patch of the very
//! version that was looked at. A leader tries until its address is there or it leads no more, and looks again every
//! now and then, so that what somebody changed is put back. Who stops takes its own address away.
//! Limits: beside the record and without a word in it. Nothing waits for this: a member that does not lead passes calls
//! on, so an old address is a detour as long as somebody lives there.

mod body;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::time::Duration;

use crds::broker_config::{ArbiterConfig, ReplicationConfig};
use crds::group_record::EPOCH_ANNOTATION;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{debug, info, warn};

use crate::lease::{self, MANAGER};
use crate::{CALL_MAX, OpenError};

/// What was written is looked at this often.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// The first wait after a try that failed; each further one is twice as long.
const RETRY_MIN: Duration = Duration::from_millis(100);
/// The longest of these waits.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Where clients reach a member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts {
    /// Its pod.
    pub pod: String,
    /// The pod's addresses, one of each family at most; none: it is in no pod.
    pub ips: Vec<IpAddr>,
    /// Its port for clients.
    pub port: u16,
}

/// The EndpointSlice of one group, as one of its members sees it.
pub struct Signpost {
    api: Api<EndpointSlice>,
    namespace: String,
    name: String,
    own: Whereabouts,
}

/// Why the address is not there.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignpostError {
    /// The operator has not made it yet.
    #[error("there is no EndpointSlice `{0}` yet")]
    Missing(String),
    /// It was written in a later epoch.
    #[error(
        "the EndpointSlice `{name}` has epoch {found}; if nobody leads in that epoch, remove its annotation \
         {EPOCH_ANNOTATION}"
    )]
    Overtaken {
        /// The slice.
        name: String,
        /// Its epoch.
        found: u32,
    },
    /// The slice is for addresses of another family.
    #[error("the EndpointSlice is for {0} and this pod has no such address")]
    Family(String),
    /// No answer, or a refusal; with the reason.
    #[error("{0}")]
    Call(String),
}

impl Signpost {
    /// The one that a configuration names; none if it names none, or this member is in no pod.
    pub async fn open(config: &ReplicationConfig, own: Whereabouts) -> Result<Option<Self>, OpenError> {
        let ArbiterConfig::Lease { namespace, endpoint_slice: Some(name), .. } = &config.arbiter else {
            return Ok(None);
        };
        if own.ips.is_empty() {
            warn!("no address to send clients to: give the addresses of the pod with --pod-ips");
            return Ok(None);
        }
        Ok(Some(Self::new(lease::client().await?, namespace, name, own)))
    }

    /// The one of this name, by a client of the caller's.
    pub fn new(client: Client, namespace: &str, name: &str, own: Whereabouts) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, namespace: namespace.to_owned(), name: name.to_owned(), own }
    }

    /// Points it here in every epoch that this member leads, until nobody says any more whether it does; then takes the
    /// own address away, if it is still there. `led`: the epoch, none while it does not lead.
    pub async fn follow(self, mut led: watch::Receiver<Option<u32>>) {
        let mut last = None;
        loop {
            let epoch = *led.borrow_and_update();
            last = epoch.or(last);
            // A write that is cut short here carries its epoch and the version that it replaces, so it may still arrive.
            tokio::select! {
                () = self.keep(epoch) => {}
                changed = led.changed() => if changed.is_err() { break },
            }
        }
        let Some(epoch) = last else { return };
        match timeout(CALL_MAX, self.withdraw(epoch)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, "the address for clients may still be there"),
            Err(_) => debug!("the address for clients may still be there"),
        }
    }

    /// Keeps the address there; never ends.
    async fn keep(&self, epoch: Option<u32>) {
        let Some(epoch) = epoch else { return std::future::pending().await };
        let (mut wait, mut known) = (RETRY_MIN, None);
        loop {
            match self.point(epoch).await {
                Ok(is_new) => {
                    if is_new {
                        info!(epoch, slice = self.name, ips = ?self.own.ips, "clients are sent here");
                    }
                    (wait, known) = (RETRY_MIN, None);
                    sleep(LOOK_EVERY).await;
                }
                Err(error) => {
                    if known.as_ref() != Some(&error) {
                        warn!(epoch, %error, "clients are not sent here yet: other members pass their calls on");
                        known = Some(error);
                    }
                    sleep(wait).await;
                    wait = (wait * 2).min(RETRY_MAX);
                }
            }
        }
    }

    /// Points it here if it does not already, unless somebody of a later epoch did. True: it was changed.
    pub async fn point(&self, epoch: u32) -> Result<bool, SignpostError> {
        let slice = self.look().await?;
        let found = body::epoch(&slice);
        if let Some(found) = found.filter(|found| *found > epoch) {
            return Err(SignpostError::Overtaken { name: self.name.clone(), found });
        }
        let is_own = |ip: &&IpAddr| body::family(ip) == slice.address_type;
        let ip = self.own.ips.iter().find(is_own);
        let ip = *ip.ok_or_else(|| SignpostError::Family(slice.address_type.clone()))?;
        if found == Some(epoch) && body::leads_to(&slice, ip, self.own.port) {
            return Ok(false);
        }
        let body = body::pointing(&version(&slice)?, epoch, &self.namespace, &self.own, ip);
        self.replace(&body).await.map(|()| true)
    }

    /// Takes the own address away: whoever gets it next is somebody else. Nothing is done once another one is there.
    async fn withdraw(&self, epoch: u32) -> Result<(), SignpostError> {
        let slice = self.look().await?;
        let is_here = self.own.ips.iter().any(|ip| body::leads_to(&slice, *ip, self.own.port));
        if body::epoch(&slice) != Some(epoch) || !is_here {
            return Ok(());
        }
        self.replace(&body::empty(&version(&slice)?)).await
    }

    async fn look(&self) -> Result<EndpointSlice, SignpostError> {
        match timeout(CALL_MAX, self.api.get_opt(&self.name)).await {
            Ok(Ok(Some(slice))) => Ok(slice),
            Ok(Ok(None)) => Err(SignpostError::Missing(self.name.clone())),
            Ok(Err(error)) => Err(SignpostError::Call(error.to_string())),
            Err(_) => Err(SignpostError::Call(lease::late())),
        }
    }

    /// Only the version that was looked at: a conflict is a failure like others, and the next try looks again.
    async fn replace(&self, body: &Value) -> Result<(), SignpostError> {
        let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
        let patch = Patch::Merge(body);
        match timeout(CALL_MAX, self.api.patch(&self.name, &params, &patch)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(SignpostError::Call(error.to_string())),
            Err(_) => Err(SignpostError::Call(lease::late())),
        }
    }
}

/// Without it a patch would not be a compare-and-swap.
fn version(slice: &EndpointSlice) -> Result<String, SignpostError> {
    slice
        .resource_version()
        .ok_or_else(|| SignpostError::Call("an EndpointSlice without a version".to_owned()))
}
