//! Where the members of a group agree: one record, changed by compare-and-swap.
//!
//! ```text
//!   member 0 ─┐                              ┌─ a Kubernetes Lease
//!   member 1 ─┼─► read, propose, changes ──► ┼─ a file that all members see
//!   member 2 ─┘                              └─ memory, for tests (feature `sim`)
//! ```
//!
//! Promise: of several proposals on one version at most one is ever written. A proposal is called not written only when
//! it never will be. What is handed out by one [`Arbiter`] never goes back, in version or in revision.
//! Limits: a call takes two seconds at most. One arbiter serves one group.
//! Beside it: where clients find the leader ([`Signpost`]), in Kubernetes only.
//! Not here: what to propose and when (`replica`); what a record is (`crds::group_record`).
#![forbid(unsafe_code)]

#[cfg(test)]
mod conformance;
mod errors;
mod file;
mod lease;
#[cfg(any(test, feature = "sim"))]
pub mod memory;
mod sight;
mod signpost;

use std::sync::Arc;
use std::time::Duration;

use crds::broker_config::{ArbiterConfig, ReplicationConfig};
use crds::group_record::{GroupRecord, Seen, Version};
use tokio::sync::watch;

pub use errors::{OpenError, Point, ProposeError, ReadError, Regressed};
pub use lease::LeaseArbiter;
pub use signpost::{Signpost, SignpostError, Whereabouts};

/// Longest time of one call.
pub const CALL_MAX: Duration = Duration::from_secs(2);
/// Time after which a look that failed is repeated.
const RETRY: Duration = Duration::from_millis(500);

/// Unix time in milliseconds. Only shown to people, never compared.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What is known about the record at the moment; none before the first look. Fed by [`Arbiter::watch`], and by
/// everything that the same arbiter reads or writes.
pub type Changes = watch::Receiver<Option<Result<Seen, ReadError>>>;

/// The place where the record of one group is kept. Clones share what they have seen.
#[derive(Clone)]
pub struct Arbiter(Kind);

#[derive(Clone)]
enum Kind {
    File(Arc<file::FileArbiter>),
    Lease(Arc<LeaseArbiter>),
    #[cfg(any(test, feature = "sim"))]
    Memory(Arc<memory::MemoryArbiter>),
}

impl Arbiter {
    /// The arbiter that a configuration names. A missing file is made, and the wishes in it are set to the configured
    /// ones. A Lease is made by the operator, so it may still be missing.
    pub async fn open(config: &ReplicationConfig, clock: WallClock) -> Result<Self, OpenError> {
        match &config.arbiter {
            ArbiterConfig::File { path } => {
                let arbiter =
                    file::FileArbiter::open(path.clone(), config.copies(), config.min_in_sync()).await?;
                Ok(Self(Kind::File(Arc::new(arbiter))))
            }
            ArbiterConfig::Lease { namespace, name, .. } => {
                let client = lease::client().await?;
                Ok(Self::lease(LeaseArbiter::new(client, namespace, name, clock)))
            }
        }
    }

    /// An arbiter on a Lease that is reached by a client of the caller's.
    pub fn lease(arbiter: LeaseArbiter) -> Self {
        Self(Kind::Lease(Arc::new(arbiter)))
    }

    /// What is there now: every change that was accepted before the call is in it.
    pub async fn read(&self) -> Result<Seen, ReadError> {
        match &self.0 {
            Kind::File(file) => file.read().await,
            Kind::Lease(lease) => lease.read().await,
            #[cfg(any(test, feature = "sim"))]
            Kind::Memory(memory) => memory.read().await,
        }
    }

    /// Replaces the record if the object still has version `base`. Gives what is there then.
    ///
    /// A call that is dropped before it ends may still be carried out.
    pub async fn propose(&self, base: Version, record: &GroupRecord) -> Result<Seen, ProposeError> {
        match &self.0 {
            Kind::File(file) => file.propose(base, record).await,
            Kind::Lease(lease) => lease.propose(base, record).await,
            #[cfg(any(test, feature = "sim"))]
            Kind::Memory(memory) => memory.propose(base, record).await,
        }
    }

    /// Shows people that `holder` is alive: the leader's `MemberId`, as a proposal writes it. A conflict when another one
    /// is known to lead. Nothing depends on it, so every error may be ignored. In a file and in memory it is a read.
    pub async fn renew(&self, holder: &str) -> Result<Seen, ProposeError> {
        match &self.0 {
            Kind::File(file) => Ok(file.read().await?),
            Kind::Lease(lease) => lease.renew(holder).await,
            #[cfg(any(test, feature = "sim"))]
            Kind::Memory(memory) => Ok(memory.read().await?),
        }
    }

    /// What is known now, and every later state in the end; states in between may be skipped.
    pub fn changes(&self) -> Changes {
        match &self.0 {
            Kind::File(file) => file.changes(),
            Kind::Lease(lease) => lease.changes(),
            #[cfg(any(test, feature = "sim"))]
            Kind::Memory(memory) => memory.changes(),
        }
    }

    /// Feeds [`Arbiter::changes`] for as long as it is polled; never ends.
    pub async fn watch(self) {
        match self.0 {
            Kind::File(file) => file.watch().await,
            Kind::Lease(lease) => lease.watch().await,
            #[cfg(any(test, feature = "sim"))]
            Kind::Memory(memory) => memory.watch().await,
        }
    }
}
