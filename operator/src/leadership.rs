//! Which replica of the operator works: the one that holds a Lease.
//!
//! ```text
//!   wait: look every RETRY ── free, or unchanged for a whole DURATION ──► take ──► renew every RETRY
//!                                                                                  │ not renewed for DEADLINE
//!                                                                                  ▼
//!                                                                                 lost: the process ends
//! ```
//!
//! Promise: clocks of machines are never compared; a holder is given up on only after this process itself has watched
//! the record stay the same for its whole duration. Every write names the version it is based on.
//! Limit: it keeps replicas from working against each other most of the time. It is no fence: two may overlap for
//! moments, which is why everything they do may be done twice.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::Client;
use kube::api::{Api, PostParams};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use crate::kubernetes::{CallError, MANAGER, within};

/// How long a record has to stay the same before its holder is given up on.
const DURATION: Duration = Duration::from_secs(15);
/// After this long without a renewal the holder gives up itself: before anybody else may take over.
const DEADLINE: Duration = Duration::from_secs(10);
/// Time between looks and between renewals.
const RETRY: Duration = Duration::from_secs(2);

/// A replica that wants to lead.
pub struct Candidate {
    api: Api<Lease>,
    name: String,
    identity: String,
    clock: fn() -> Timestamp,
}

/// What to do with the record, after a look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Create,
    Take,
    Wait,
}

/// The record as it was last seen, and since when it is like that.
struct Seen {
    record: Option<LeaseSpec>,
    since: Instant,
}

impl Candidate {
    /// A replica by its name.
    pub fn new(
        client: Client,
        namespace: &str,
        name: &str,
        identity: &str,
        clock: fn() -> Timestamp,
    ) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            name: name.to_owned(),
            identity: identity.to_owned(),
            clock,
        }
    }

    /// Waits until this replica leads. None: told to stop before.
    pub async fn acquire(&self, stop: &CancellationToken) -> Option<Lease> {
        let mut seen = Seen { record: None, since: Instant::now() };
        loop {
            match self.try_once(&mut seen).await {
                Ok(Some(lease)) => {
                    info!(identity = self.identity, "leading");
                    return Some(lease);
                }
                Ok(None) => {}
                Err(error) => debug!(%error, "lease was not taken"),
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(RETRY) => {}
            }
        }
    }

    async fn try_once(&self, seen: &mut Seen) -> Result<Option<Lease>, CallError> {
        let found = within(self.api.get_opt(&self.name)).await?;
        let record = found.as_ref().and_then(|lease| lease.spec.clone());
        if record != seen.record {
            *seen = Seen { record: record.clone(), since: Instant::now() };
        }
        match step(found.is_some(), record.as_ref(), &self.identity, seen.since.elapsed()) {
            Step::Wait => Ok(None),
            Step::Create => {
                let lease =
                    self.lease(ObjectMeta { name: Some(self.name.clone()), ..ObjectMeta::default() }, 0);
                within(self.api.create(&params(), &lease)).await.map(Some)
            }
            Step::Take => {
                let found = found.unwrap_or_default();
                let transitions = record.and_then(|record| record.lease_transitions).unwrap_or(0) + 1;
                let lease = self.lease(found.metadata, transitions);
                within(self.api.replace(&self.name, &params(), &lease)).await.map(Some)
            }
        }
    }

    /// Renews until that fails for too long, or until told to stop. Then it lets go of the lease if it still can.
    pub async fn hold(&self, mut lease: Lease, stop: &CancellationToken) {
        let mut renewed = Instant::now();
        while renewed.elapsed() < DEADLINE {
            tokio::select! {
                () = stop.cancelled() => return self.release(lease).await,
                () = tokio::time::sleep(RETRY) => {}
            }
            let mut next = lease.clone();
            if let Some(spec) = next.spec.as_mut() {
                spec.renew_time = Some(MicroTime((self.clock)()));
            }
            let asked = Instant::now();
            match tokio::time::timeout(RETRY, self.api.replace(&self.name, &params(), &next)).await {
                Ok(Ok(written)) => {
                    lease = written;
                    renewed = asked;
                }
                Ok(Err(kube::Error::Api(status))) if status.is_conflict() => {
                    // The answer to an earlier renewal may have been lost; or somebody else leads now.
                    match self.mine().await {
                        Some(current) => lease = current,
                        None => return,
                    }
                }
                Ok(Err(error)) => debug!(%error, "lease was not renewed"),
                Err(_) => debug!("lease was not renewed in time"),
            }
        }
    }

    async fn mine(&self) -> Option<Lease> {
        let lease = within(self.api.get(&self.name)).await.ok()?;
        (holder(lease.spec.as_ref()) == Some(self.identity.as_str())).then_some(lease)
    }

    /// An empty holder is taken over at once, where a dead one is waited for.
    async fn release(&self, mut lease: Lease) {
        if let Some(spec) = lease.spec.as_mut() {
            spec.holder_identity = Some(String::new());
            spec.lease_duration_seconds = Some(1);
        }
        if let Err(error) = within(self.api.replace(&self.name, &params(), &lease)).await {
            debug!(%error, "lease was not released");
        }
    }

    fn lease(&self, mut metadata: ObjectMeta, transitions: i32) -> Lease {
        metadata.managed_fields = None;
        let now = MicroTime((self.clock)());
        Lease {
            metadata,
            spec: Some(LeaseSpec {
                holder_identity: Some(self.identity.clone()),
                lease_duration_seconds: Some(DURATION.as_secs() as i32),
                acquire_time: Some(now.clone()),
                renew_time: Some(now),
                lease_transitions: Some(transitions),
                ..LeaseSpec::default()
            }),
        }
    }
}

fn params() -> PostParams {
    PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() }
}

fn holder(record: Option<&LeaseSpec>) -> Option<&str> {
    record?.holder_identity.as_deref().filter(|holder| !holder.is_empty())
}

fn step(exists: bool, record: Option<&LeaseSpec>, me: &str, unchanged: Duration) -> Step {
    match holder(record) {
        _ if !exists => Step::Create,
        None => Step::Take,
        // This replica before its container was restarted.
        Some(name) if name == me => Step::Take,
        Some(_) if unchanged >= DURATION => Step::Take,
        Some(_) => Step::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held_by(name: &str) -> LeaseSpec {
        LeaseSpec { holder_identity: Some(name.to_owned()), ..LeaseSpec::default() }
    }

    #[test]
    fn a_holder_is_given_up_on_only_after_watching_it_do_nothing_for_the_whole_duration() {
        let other = held_by("other");
        assert_eq!(step(true, Some(&other), "me", Duration::ZERO), Step::Wait);
        assert_eq!(step(true, Some(&other), "me", Duration::from_millis(14_999)), Step::Wait);
        assert_eq!(step(true, Some(&other), "me", DURATION), Step::Take);
    }

    #[test]
    fn a_free_lease_is_taken_at_once() {
        assert_eq!(step(false, None, "me", Duration::ZERO), Step::Create);
        assert_eq!(step(true, None, "me", Duration::ZERO), Step::Take);
        assert_eq!(step(true, Some(&held_by("")), "me", Duration::ZERO), Step::Take);
        assert_eq!(step(true, Some(&held_by("me")), "me", Duration::ZERO), Step::Take);
    }

    #[test]
    fn the_holder_gives_up_before_anybody_may_take_over() {
        assert!(DEADLINE + RETRY < DURATION);
    }
}
