//! Recovery: the newest checkpoint, then everything in the log that came after it and is known to be agreed. As long as the log has its beginning,
//! it can do without.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

use parking_lot::{Mutex, RwLock};
use store::Position;
use store::checkpoint::{self, Checkpoint, CheckpointError};
use store::disk::Disk;
use store::index::{Index, IndexError};
use store::log::{EpochStart, EpochsError, Flush, Log, Replay};
use store::timeline::{Timeline, TimelineError};

use super::checkpoint::{
    COMMITTED_SECTION, ENGINE_SECTION, EPOCHS_SECTION, HALVES_SECTION, INDEX_SECTION, TIMELINE_SECTION,
};
use super::{Alarms, Group, GroupConfig, OpenError};
use crate::catalog::{Catalog, Snapshot};
use crate::halves::Halves;
use crate::inbox::Inbox;
use crate::mailbox::Mailbox;
use crate::pending::Pending;
use crate::state::State;
use crate::timers::Timers;
use crate::writer::Writer;

impl Group {
    /// Recovers what `disk` holds, as a follower: what is known to be agreed is folded, nothing more; then `Writer` leads
    /// or follows. The writer belongs to one thread.
    pub fn open(
        disk: Arc<dyn Disk>,
        config: GroupConfig,
        now_ms: u64,
    ) -> Result<(Arc<Self>, Writer), OpenError> {
        let (checkpoint, is_damaged) = match checkpoint::load(&*disk) {
            // The log may still hold all that it said.
            Err(CheckpointError::Damaged { .. }) => (None, true),
            loaded => (loaded?, false),
        };
        if let Some(Checkpoint { covered, .. }) = checkpoint
            && !Log::exists(&*disk)?
        {
            return Err(OpenError::NoLog { covered });
        }
        let (state, covered) = restore(&disk, checkpoint.as_ref())?;
        let (epochs, committed) = agreed(checkpoint.as_ref())?;
        let from = Replay { covered, tails: state.index.tails(), epochs };
        let log = Log::open(Arc::clone(&disk), config.log, from, now_ms)?;
        if checkpoint.is_none() && log.head() > Position(0) {
            return Err(OpenError::NoCheckpoint { head: log.head() });
        }
        if is_damaged {
            checkpoint::forget(&*disk)?;
        }
        let committed = committed.max(covered).max(log.known_committed()).min(log.written());
        let group = Arc::new(Self {
            inbox: Inbox::new(config.inbox_bytes_max),
            syncs: AtomicBool::new(config.log.flush == Flush::Sync),
            config,
            state,
            pending: Pending::default(),
            alarms: Alarms::default(),
            own_mailbox: Mailbox::new(),
            published: AtomicU64::new(covered.0),
            now_ms: AtomicU64::new(now_ms),
            covered: AtomicU64::new(covered.0),
            keep_from: AtomicU64::new(0),
            needed_bytes: AtomicU64::new(0),
            disk,
            reader: log.reader(),
            preparer: log.preparer(),
            log_id: log.id(),
            epoch: AtomicU32::new(log.last_epoch().0),
            is_leading: AtomicBool::new(false),
            holds_pending: AtomicBool::new(false),
            planning: Mutex::default(),
            house: Mutex::default(),
        });
        group.inbox.shut();
        let head = log.head();
        let mut writer = Writer::new(Arc::clone(&group), log);
        if covered < committed {
            writer.replay(covered, committed)?;
        }
        group.state.index.trim(head)?;
        group.state.publish_all();
        Ok((group, writer))
    }
}

/// Where the epochs began, and up to where everything was agreed, as far as the checkpoint knows.
fn agreed(checkpoint: Option<&Checkpoint>) -> Result<(Vec<EpochStart>, Position), OpenError> {
    let section = |tag| checkpoint.and_then(|checkpoint| checkpoint.section(tag));
    let unknown = |why: EpochsError| OpenError::Format { what: "list of epochs", why: why.to_string() };
    let epochs = section(EPOCHS_SECTION).map_or(Ok(Vec::new()), EpochStart::decode).map_err(unknown)?;
    let committed =
        section(COMMITTED_SECTION).and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
    let covered = checkpoint.map_or(Position(0), |checkpoint| checkpoint.covered);
    Ok((epochs, covered.max(Position(committed.unwrap_or(0)))))
}

/// The folds as the checkpoint has them, and from where on the log has to be replayed.
fn restore(disk: &Arc<dyn Disk>, checkpoint: Option<&Checkpoint>) -> Result<(State, Position), OpenError> {
    let section = |tag| checkpoint.and_then(|checkpoint| checkpoint.section(tag));
    let covered = checkpoint.map_or(Position(0), |checkpoint| checkpoint.covered);
    let (index, covered) = match Index::open(Arc::clone(disk), section(INDEX_SECTION)) {
        Ok(index) => (index, covered),
        Err(IndexError::Corrupt { .. } | IndexError::Missing { .. } | IndexError::Section { .. }) => {
            // The log knows where everything lies; the other folds pass over what they know.
            (Index::open(Arc::clone(disk), None)?, Position(0))
        }
        Err(error @ (IndexError::Io { .. } | IndexError::Trimmed { .. })) => return Err(error.into()),
    };
    let unknown = |why| OpenError::Format { what: "checkpoint section", why };
    let catalog = match section(ENGINE_SECTION) {
        Some(section) => Catalog::restore(Snapshot::decode_section(section).map_err(unknown)?),
        None => Catalog::default(),
    };
    let halves = section(HALVES_SECTION).map_or(Ok(Halves::default()), Halves::restore).map_err(unknown)?;
    let (line, covered) = match Timeline::open(Arc::clone(disk), section(TIMELINE_SECTION)) {
        Ok(line) => (line, covered),
        Err(
            TimelineError::Corrupt { .. } | TimelineError::Missing { .. } | TimelineError::Section { .. },
        ) => (Timeline::open(Arc::clone(disk), None)?, Position(0)),
        Err(error @ TimelineError::Io { .. }) => return Err(error.into()),
    };
    Ok((State { catalog: RwLock::new(catalog), index, timers: Timers::new(line), halves }, covered))
}
