//! Starting a member and stopping it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::JoinHandle;

pub use arbiter::Whereabouts;
use arbiter::{Arbiter, Signpost, WallClock};
use crds::broker_config::{FlushMode, ReplicationConfig, ReplicationMode};
use crds::group_record::MemberId;
use parking_lot::RwLock;
use replica::detector::{Detector, Timing};
use replica::member::{Member, Rules, Settings};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle as JoinTask;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::codec::Greeting;
use crate::copy::{Copy, CopyError, Shelf};
use crate::driver::{Arbitration, Command, Driver, Inputs, Parts};
use crate::mesh::{Freight, Mesh};
use crate::standing::{Standing, Status};
use crate::vow::{MemberFile, VowError};

/// Bytes that a follower may lack and still be taken into the in-sync set.
const LAG_BYTES_MAX: u64 = 4 << 20;

/// What a member needs to start.
pub struct Setup {
    /// Cluster and group: `shop/g0`. Members of another one are refused.
    pub group: String,
    /// Number of this member.
    pub ordinal: u32,
    /// When a send is answered; none: by the number of copies.
    pub flush: Option<FlushMode>,
    /// Its part of the broker's configuration.
    pub replication: ReplicationConfig,
    /// Where clients are sent while it leads.
    pub whereabouts: Whereabouts,
    /// Its disk.
    pub shelf: Shelf,
    /// Which run of the machine this is; never 0.
    pub boot: u64,
    /// Two random numbers.
    pub entropy: [u64; 2],
}

/// Why a member cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its own file.
    #[error(transparent)]
    Vow(#[from] VowError),
    /// Its copy of the log.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// Where the record is kept.
    #[error("arbiter: {0}")]
    Arbiter(#[from] arbiter::OpenError),
    /// The address for the other members.
    #[error("replication.listen: cannot listen on {address}: {error}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        error: std::io::Error,
    },
    /// No thread or no runtime.
    #[error("starting a thread: {0}")]
    Thread(std::io::Error),
}

/// A member that runs on a thread of its own.
pub struct Peer {
    /// Where clients are served.
    pub standing: watch::Receiver<Standing>,
    /// How it is.
    pub status: Arc<RwLock<Status>>,
    commands: mpsc::Sender<Command>,
    thread: JoinHandle<()>,
}

/// Asks a running member for something.
#[derive(Clone, Debug)]
pub struct PeerHandle {
    commands: mpsc::Sender<Command>,
}

impl Peer {
    /// Starts a member; returns once it listens and has opened its log.
    pub fn start(setup: Setup) -> Result<Self, StartError> {
        let (standing_sender, standing) = watch::channel(Standing::Leaderless);
        let is_async = setup.replication.mode == ReplicationMode::Async;
        let status = Status { ordinal: setup.ordinal, is_async, ..Status::default() };
        let status = Arc::new(RwLock::new(status));
        let (commands, command_receiver) = mpsc::channel(8);
        let (started, has_started) = std::sync::mpsc::channel();
        let shared = Arc::clone(&status);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(StartError::Thread)?;
        let thread = std::thread::Builder::new().name("peer".to_owned()).spawn(move || {
            runtime.block_on(async {
                let stop = CancellationToken::new();
                match prepare(setup, standing_sender, shared, command_receiver, stop.clone()).await {
                    Ok((driver, inputs, signpost)) => {
                        // Whoever started it waits for this.
                        let _ = started.send(Ok(()));
                        run(driver, inputs).await;
                        stop.cancel();
                        finish(signpost).await;
                    }
                    Err(error) => drop(started.send(Err(error))),
                }
            });
        });
        let thread = thread.map_err(StartError::Thread)?;
        match has_started.recv() {
            Ok(Ok(())) => Ok(Self { standing, status, commands, thread }),
            Ok(Err(error)) => Err(error),
            Err(_) => Err(StartError::Thread(std::io::Error::other("the thread of the member ended"))),
        }
    }

    /// For whoever asks something of it.
    pub fn handle(&self) -> PeerHandle {
        PeerHandle { commands: self.commands.clone() }
    }

    /// Stops it and waits until the log is closed in order.
    pub fn stop(self) {
        // It may have stopped by itself.
        let _ = self.commands.blocking_send(Command::Stop);
        if self.thread.join().is_err() {
            error!("the thread of the member ended with a panic");
        }
    }
}

impl PeerHandle {
    /// Somebody else shall lead: that member, or whoever is best. Nothing happens if this one does not lead.
    pub async fn hand_over(&self, to: Option<u32>) {
        // A member that has stopped does not lead.
        let _ = self.commands.send(Command::HandOver(to)).await;
    }

    /// Hands over if there is anybody, and never leads again.
    pub async fn retire(&self) {
        let (sender, receiver) = oneshot::channel();
        if self.commands.send(Command::Retire(sender)).await.is_ok() {
            // An error means that it has stopped already.
            let _ = receiver.await;
        }
    }
}

async fn prepare(
    setup: Setup,
    standing: watch::Sender<Standing>,
    status: Arc<RwLock<Status>>,
    commands: mpsc::Receiver<Command>,
    stop: CancellationToken,
) -> Result<(Driver, Inputs, Option<JoinTask<()>>), StartError> {
    let Setup { group, ordinal, flush, replication, whereabouts, shelf, boot, entropy } = setup;
    let flush_sync = flush == Some(FlushMode::Sync);
    let file = introduce(&shelf, boot, entropy[0], flush_sync)?;
    let copy = if shelf.holds_copy()? { Some(shelf.open()?) } else { None };
    let id = MemberId { ordinal, store: file.store };
    info!(%id, group, has_log = copy.is_some(), dirty = file.vow.is_dirty, "member");
    let address = replication.listen;
    let listener = TcpListener::bind(address).await.map_err(|error| StartError::Listen { address, error })?;
    let clock = Arc::clone(&shelf.clock);
    let wall: WallClock = {
        let clock = Arc::clone(&clock);
        Arc::new(move || clock.now_ms())
    };
    let (arbitration, rulings) = Arbitration::start(Arbiter::open(&replication, wall).await?);
    let (led, is_led) = watch::channel(None);
    let signpost = Signpost::open(&replication, whereabouts).await?;
    let signpost = signpost.map(|signpost| tokio::spawn(signpost.follow(is_led)));
    let settings = Settings {
        flush_sync,
        is_async: replication.mode == ReplicationMode::Async,
        lag_bytes_max: LAG_BYTES_MAX,
        rules: Rules::default(),
    };
    let member = Member::new(id, settings, file.vow.clone(), copy.as_ref().map(Copy::on_disk), entropy[1]);
    let timing =
        Timing { peer_timeout_ms: replication.peer_timeout_ms, ack_stall_ms: replication.ack_stall_ms };
    let detector = Detector::new(timing, clock.now_ms());
    let freight = Arc::new(Freight::default());
    let (mesh, inbound) = Mesh::new(Greeting { group, from: id }, replication.peer_timeout_ms, stop);
    let addresses: Vec<String> = replication.members.iter().map(|member| member.peer.clone()).collect();
    mesh.start(listener, &addresses, &freight);
    let parts =
        Parts { member, detector, flush, shelf, file, copy, freight, arbitration, led, standing, status };
    Ok((Driver::new(parts), Inputs { mesh: inbound, rulings, commands }, signpost))
}

/// Says who this copy is, and whether the end of its log may be lost.
fn introduce(shelf: &Shelf, boot: u64, store: u64, flush_sync: bool) -> Result<MemberFile, StartError> {
    let disk = &*shelf.disk;
    let mut file = MemberFile::load(disk)?.unwrap_or_else(|| MemberFile { store, ..MemberFile::default() });
    if file.boot != 0 && file.boot != boot && !flush_sync {
        warn!("the machine went down while the log was open: its end may be lost");
        file.vow.is_dirty = true;
    }
    file.boot = boot;
    file.save(disk)?;
    Ok(file)
}

async fn run(driver: Driver, inputs: Inputs) {
    let disk = Arc::clone(&driver.shelf.disk);
    let (copy, mut file) = driver.run(inputs).await;
    if let Some(copy) = copy {
        // Blocks this thread, which has nothing else to do any more.
        copy.stop();
    }
    file.boot = 0;
    if let Err(error) = file.save(&*disk) {
        error!(%error, "this copy will count as one that may have lost its end");
    }
}

/// The driver is gone, so it ends in a bounded time.
async fn finish(signpost: Option<JoinTask<()>>) {
    if let Some(signpost) = signpost
        && let Err(error) = signpost.await
    {
        error!(%error, "the address for clients may still be there");
    }
}
