//! The two threads behind the log: one writes, the other keeps house.
//!
//! ```text
//!   log thread:        what the runtimes do not write themselves (`Pen`) ; alarms ; retention once a second
//!   background thread: sync (flush: Async), checkpoint, the next segment
//! ```
//!
//! A log that cannot be written or synced ends the process: recovery at the next start is the tested path.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use engine::group::Group;
use engine::pen::Pen;
use engine::writer::{Step, Writer};
use parking_lot::{Condvar, Mutex};
use tracing::{error, info};

use crate::clock::Clock;

/// The log thread looks at retention and the stop flag at least this often.
const PARK_MS: u64 = 500;
const RETAIN_EVERY_MS: u64 = 1000;
/// Bytes that the operating system alone has are synced this often (`flush: Async`) ...
const SYNC_EVERY: Duration = Duration::from_millis(200);
/// ... and more often when there were so many: a sync of much at once holds up who writes meanwhile for milliseconds.
const SYNC_MUCH_EVERY: Duration = Duration::from_millis(20);
const MUCH_BYTES: u64 = 1 << 20;
const CHORES_EVERY_MS: u64 = 200;
/// Replay after a crash reads at most about this much time of log.
const CHECKPOINT_EVERY_MS: u64 = 30_000;
/// Exit code of a broker whose log has ended.
const EXIT_POISONED: i32 = 70;

/// The threads, running.
pub struct LogThreads {
    group: Arc<Group>,
    pen: Arc<Pen>,
    stopping: Arc<Stopping>,
    writer: JoinHandle<()>,
    housekeeper: JoinHandle<()>,
}

#[derive(Default)]
struct Stopping {
    flag: AtomicBool,
    told: Mutex<bool>,
    tell: Condvar,
}

impl Stopping {
    /// Waits; true if it is time to stop.
    fn wait(&self, wait: Duration) -> bool {
        let mut told = self.told.lock();
        if !*told {
            self.tell.wait_for(&mut told, wait);
        }
        *told
    }
}

impl LogThreads {
    /// Starts both for an open group.
    pub fn start(group: Arc<Group>, writer: Writer, clock: Arc<Clock>) -> io::Result<Self> {
        let stopping = Arc::new(Stopping::default());
        let pen = Arc::new(Pen::new(Arc::clone(&group), writer));
        let write = {
            let (group, pen, stopping) = (Arc::clone(&group), Arc::clone(&pen), Arc::clone(&stopping));
            let clock = Arc::clone(&clock);
            move || write(&group, &pen, &clock, &stopping)
        };
        let keep_house = {
            let (group, stopping) = (Arc::clone(&group), Arc::clone(&stopping));
            move || keep_house(&group, &clock, &stopping)
        };
        let writer = std::thread::Builder::new().name("log".to_owned()).spawn(write)?;
        let housekeeper = std::thread::Builder::new().name("house".to_owned()).spawn(keep_house)?;
        Ok(Self { group, pen, stopping, writer, housekeeper })
    }

    /// Who writes to the log.
    pub fn pen(&self) -> &Arc<Pen> {
        &self.pen
    }

    /// The group that they work for.
    pub fn group(&self) -> &Arc<Group> {
        &self.group
    }

    /// Ends them without a last word, after `Pen::close`: the group will be opened again.
    pub fn abandon(self) {
        self.join();
    }

    /// Writes what still waits, syncs, leaves a checkpoint; call it after the last client has gone.
    pub fn stop(self) {
        let group = Arc::clone(&self.group);
        if self.join() {
            finish(&group);
        }
    }

    /// True if both ended in order.
    fn join(self) -> bool {
        self.stopping.flag.store(true, Ordering::Release);
        self.group.nudge();
        *self.stopping.told.lock() = true;
        self.stopping.tell.notify_all();
        let ended = (self.writer.join(), self.housekeeper.join());
        matches!(ended, (Ok(()), Ok(())))
    }
}

fn write(group: &Group, pen: &Pen, clock: &Clock, stopping: &Stopping) {
    let mut retain_at_ms = clock.now_ms() + RETAIN_EVERY_MS;
    loop {
        let now_ms = clock.now_ms();
        let step = match pen.step(now_ms) {
            Ok(step) => step,
            Err(poisoned) => end(&poisoned),
        };
        if now_ms >= retain_at_ms {
            retain_at_ms = now_ms + RETAIN_EVERY_MS;
            if let Err(problem) = pen.retain(now_ms) {
                error!(%problem, "old segments stay");
            }
        }
        match step {
            Step::Wrote => {}
            Step::Idle if stopping.flag.load(Ordering::Acquire) => return,
            Step::Idle => group.park(PARK_MS),
        }
    }
}

fn keep_house(group: &Group, clock: &Clock, stopping: &Stopping) {
    let mut chores_at_ms = 0;
    let mut checkpoint_at_ms = clock.now_ms() + CHECKPOINT_EVERY_MS;
    let mut covered = None;
    let mut wait = SYNC_EVERY;
    while !stopping.wait(wait) {
        let state = group.log_state();
        // Read one after the other: a sync in between may have gone further than what was written before.
        let unsynced_bytes = state.written.0.saturating_sub(state.durable.0);
        wait = if unsynced_bytes < MUCH_BYTES { SYNC_EVERY } else { SYNC_MUCH_EVERY };
        if let Err(poisoned) = group.sync() {
            end(&poisoned);
        }
        let now_ms = clock.now_ms();
        if now_ms >= chores_at_ms {
            chores_at_ms = now_ms + CHORES_EVERY_MS;
            do_chores(group, now_ms);
        }
        if now_ms >= checkpoint_at_ms || group.wants_checkpoint() {
            checkpoint_at_ms = now_ms + CHECKPOINT_EVERY_MS;
            let committed = Some(group.log_state().committed);
            if committed == covered {
                continue;
            }
            match group.checkpoint() {
                Ok(()) => covered = committed,
                Err(problem) => error!(%problem, "no checkpoint was written, the next start replays more"),
            }
        }
    }
}

fn do_chores(group: &Group, now_ms: u64) {
    group.release_cache();
    if let Err(problem) = group.trim_index() {
        error!(%problem, "the index still knows messages that are gone");
    }
    if let Err(problem) = group.prepare_segment() {
        error!(%problem, "the next segment is not prepared");
    }
    if let Err(problem) = group.work_timers(now_ms) {
        error!(%problem, "timers are not moved between memory and disk");
    }
}

fn finish(group: &Group) {
    if let Err(poisoned) = group.sync() {
        end(&poisoned);
    }
    match group.checkpoint() {
        Ok(()) => info!("log closed"),
        Err(problem) => error!(%problem, "log closed without a checkpoint, the next start replays more"),
    }
}

/// Ends the process: nobody knows what is on the disk.
pub(crate) fn end(poisoned: &dyn std::error::Error) -> ! {
    error!(reason = %poisoned, "this broker cannot go on; it stops, and looks at its disk when it is started again");
    std::process::exit(EXIT_POISONED)
}
