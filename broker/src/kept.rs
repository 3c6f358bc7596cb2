//! The copy of the log that this broker keeps: the only one, or one of several.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use crds::broker_config::{BrokerConfig, FlushMode, MemberAddress, ReplicationConfig};
use engine::group::GroupConfig;
use gateway_grpc::admin::Membership;
use gateway_grpc::leader::{Absence, LeaderAddress, Leadership, Place};
use gateway_grpc::members::Members;
use parking_lot::RwLock;
use peer::clock::Clock;
use peer::copy::{Copy, PenSlot, Shelf};
use peer::running::{Peer, Setup, Whereabouts};
use peer::standing::{Standing, Status};
use store::disk::real::RealDisk;
use store::log::{Flush, LogConfig};
use tokio::sync::watch;

use crate::member::{members, membership};
use crate::reload::Live;

const HOST_NAME_FILE: &str = "/proc/sys/kernel/hostname";
/// Another one after every start of the machine.
const BOOT_ID_FILE: &str = "/proc/sys/kernel/random/boot_id";

/// A copy is opened while the same member leads: so soon what is told about this broker is read from it.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A copy that is open, with whatever keeps it.
pub(crate) enum Kept {
    Alone(Copy),
    Replicated(Peer),
}

impl Kept {
    /// Opens the copy, and finds the others. `pod_ips`: where clients are sent while it leads.
    pub(crate) fn open(
        config: &BrokerConfig,
        live: &Live,
        pod_ips: &[IpAddr],
        clock: &Arc<Clock>,
        slot: &PenSlot,
    ) -> Result<Self> {
        let data = config.data.display();
        let disk = RealDisk::open(&config.data).with_context(|| format!("data folder {data}"))?;
        let shelf = Shelf {
            disk: Arc::new(disk),
            config: group_config(config, live),
            clock: Arc::clone(clock),
            slot: slot.clone(),
        };
        if let Some(replication) = &config.replication {
            let setup = setup(config, replication, pod_ips, shelf)?;
            return Ok(Self::Replicated(Peer::start(setup).with_context(|| format!("member in {data}"))?));
        }
        let copy = shelf.open().with_context(|| format!("opening the log in {data}"))?;
        copy.pen().lead_alone(clock.now_ms()).context("beginning a new epoch of the log")?;
        Ok(Self::Alone(copy))
    }

    /// How the member is, if there are others.
    pub(crate) fn status(&self) -> Option<Arc<RwLock<Status>>> {
        match self {
            Self::Alone(_) => None,
            Self::Replicated(peer) => Some(Arc::clone(&peer.status)),
        }
    }

    /// How the admin API reaches the member, if there are others.
    pub(crate) fn membership(&self, config: &BrokerConfig) -> Option<Membership> {
        match (self, &config.replication) {
            (Self::Replicated(peer), Some(replication)) => Some(membership(peer, &replication.members)),
            (Self::Alone(_) | Self::Replicated(_), _) => None,
        }
    }

    /// Where clients reach each member, if there are others.
    pub(crate) fn members(&self, config: &BrokerConfig) -> Option<Members> {
        match (self, &config.replication) {
            (Self::Replicated(peer), Some(replication)) => {
                Some(members(&peer.status, replication, &config.cluster))
            }
            (Self::Alone(_) | Self::Replicated(_), _) => None,
        }
    }

    /// Tells the gateway where clients are served, from now on.
    pub(crate) fn announce(&self, config: &BrokerConfig, leadership: &Arc<Leadership>) {
        match (self, &config.replication) {
            (Self::Replicated(peer), Some(replication)) => {
                let (members, status) = (replication.members.clone(), Arc::clone(&peer.status));
                let standing = peer.standing.clone();
                tokio::spawn(announce(standing, status, members, Arc::clone(leadership)));
            }
            (Self::Alone(copy), _) => leadership.set(Place::Here(Arc::clone(copy.group()))),
            (Self::Replicated(_), None) => {}
        }
    }

    /// Whether another member can serve clients.
    pub(crate) fn has_others(&self) -> bool {
        match self {
            Self::Alone(_) => false,
            Self::Replicated(peer) => peer.status.read().record.in_sync.len() > 1,
        }
    }

    /// Lets another member lead, if there is one.
    pub(crate) async fn retire(&self) {
        match self {
            Self::Alone(_) => {}
            Self::Replicated(peer) => peer.handle().retire().await,
        }
    }

    /// Closes the log in order.
    pub(crate) fn stop(self) {
        match self {
            Self::Alone(copy) => copy.stop(),
            Self::Replicated(peer) => peer.stop(),
        }
    }
}

async fn announce(
    mut standing: watch::Receiver<Standing>,
    status: Arc<RwLock<Status>>,
    members: Vec<MemberAddress>,
    leadership: Arc<Leadership>,
) {
    loop {
        let place = match &*standing.borrow_and_update() {
            Standing::Leading(group) => Place::Here(Arc::clone(group)),
            Standing::Following(ordinal) => match members.get(*ordinal as usize) {
                Some(MemberAddress { client, admin, .. }) => {
                    let (client, admin) = (client.clone(), admin.clone());
                    Place::There(Arc::new(LeaderAddress { member: *ordinal, client, admin }))
                }
                None => Place::Nowhere(Absence::Electing),
            },
            Standing::Leaderless => Place::Nowhere(Absence::Electing),
        };
        leadership.set(place);
        let log = status.read().log.as_ref().and_then(std::sync::Weak::upgrade);
        if let Some(log) = log {
            leadership.keep(&log);
        }
        if let Ok(Err(_)) = tokio::time::timeout(LOOK_EVERY, standing.changed()).await {
            return leadership.set(Place::Nowhere(Absence::Electing));
        }
    }
}

fn setup(
    config: &BrokerConfig,
    replication: &ReplicationConfig,
    pod_ips: &[IpAddr],
    shelf: Shelf,
) -> Result<Setup> {
    let pod = host_name()?;
    let ordinal = replication.ordinal_on(&pod)?;
    let boot_id = read(BOOT_ID_FILE)?;
    let digits: String = boot_id.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    let boot = u64::from_str_radix(&digits, 16).with_context(|| format!("boot id {boot_id}"))?.max(1);
    Ok(Setup {
        group: format!("{}/{}", config.cluster, config.group),
        ordinal,
        flush: config.log.flush,
        replication: replication.clone(),
        whereabouts: Whereabouts { pod, ips: pod_ips.to_vec(), port: config.listen.port() },
        shelf,
        boot,
        entropy: [draw(), draw()],
    })
}

/// The name of the machine; in Kubernetes, of the pod.
pub(crate) fn host_name() -> Result<String> {
    Ok(read(HOST_NAME_FILE)?.trim().to_owned())
}

fn read(file: &str) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| file.to_owned())
}

fn group_config(config: &BrokerConfig, live: &Live) -> GroupConfig {
    // With several copies and nothing said, the member finds out how many there are.
    let flush = match config.log.flush.unwrap_or_default() {
        FlushMode::Sync => Flush::Sync,
        FlushMode::Async => Flush::Async,
    };
    let mut new_id = [0; 16];
    new_id[..8].copy_from_slice(&draw().to_le_bytes());
    new_id[8..].copy_from_slice(&draw().to_le_bytes());
    GroupConfig {
        log: LogConfig { segment_bytes: config.log.segment_bytes, flush, new_id: Some(new_id) },
        retention: live.retention.clone(),
        checks: live.checks.clone(),
        ..GroupConfig::default()
    }
}

/// A random number; the standard library's hasher keys are the entropy.
pub(crate) fn draw() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
