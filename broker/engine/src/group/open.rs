//! Recovery: the newest checkpoint, then everything in the log that came after it. As long as the log has its beginning,
//! it can do without.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use parking_lot::RwLock;
use store::checkpoint::{self, Checkpoint, CheckpointError};
use store::disk::Disk;
use store::index::{Index, IndexError};
use store::log::{Entry, EpochStart, Log, Replay};
use store::{Epoch, Position};

use super::checkpoint::{ENGINE_SECTION, EPOCHS_SECTION, INDEX_SECTION};
use super::{Alarms, Group, GroupConfig, OpenError};
use crate::catalog::{Catalog, Snapshot};
use crate::inbox::Inbox;
use crate::pending::Pending;
use crate::state::{State, Unknown};
use crate::writer::Writer;

impl Group {
    /// Recovers what `disk` holds and begins a new epoch. The writer belongs to one thread.
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
        let (state, covered) = restore(&disk, checkpoint.as_ref())?;
        let epochs = epochs(checkpoint.as_ref())?;
        let mut log = replay(&disk, &config, &state, (covered, epochs), now_ms)?;
        if checkpoint.is_none() && log.head() > Position(0) {
            return Err(OpenError::NoCheckpoint { head: log.head() });
        }
        if is_damaged {
            checkpoint::forget(&*disk)?;
        }
        let epoch = begin_epoch(&mut log, &state, now_ms)?;
        state.index.trim(log.head())?;
        state.publish_all();
        let group = Arc::new(Self {
            inbox: Inbox::new(config.inbox_bytes_max),
            config,
            state,
            pending: Pending::default(),
            alarms: Alarms::default(),
            published: AtomicU64::new(log.written().0),
            now_ms: AtomicU64::new(now_ms),
            covered: AtomicU64::new(covered.0),
            keep_from: AtomicU64::new(0),
            needed_bytes: AtomicU64::new(0),
            disk,
            reader: log.reader(),
            preparer: log.preparer(),
            log_id: log.id(),
            epoch,
        });
        let writer = Writer::new(Arc::clone(&group), log);
        Ok((group, writer))
    }
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
    let catalog = match section(ENGINE_SECTION) {
        Some(section) => Catalog::restore(
            Snapshot::decode_section(section)
                .map_err(|why| OpenError::Format { what: "checkpoint section", why })?,
        ),
        None => Catalog::default(),
    };
    Ok((State { catalog: RwLock::new(catalog), index }, covered))
}

/// The epochs that the checkpoint knows of.
fn epochs(checkpoint: Option<&Checkpoint>) -> Result<Vec<EpochStart>, OpenError> {
    let Some(section) = checkpoint.and_then(|checkpoint| checkpoint.section(EPOCHS_SECTION)) else {
        return Ok(Vec::new());
    };
    EpochStart::decode(section)
        .map_err(|why| OpenError::Format { what: "checkpoint's list of epochs", why: why.to_string() })
}

fn replay(
    disk: &Arc<dyn Disk>,
    config: &GroupConfig,
    state: &State,
    (covered, epochs): (Position, Vec<EpochStart>),
    now_ms: u64,
) -> Result<Log, OpenError> {
    let mut unknown = None;
    let mut arrivals = Vec::new();
    let from = Replay { covered, tails: state.index.tails(), epochs };
    let log = Log::open(Arc::clone(disk), config.log, from, now_ms)?;
    // Without a checkpoint all that is left; whether that is enough is for the caller to say.
    log.reader().replay(covered.max(log.head()), log.written(), &mut |entry| {
        arrivals.clear();
        if unknown.is_none() {
            unknown = state.fold(entry, &mut arrivals).err();
        }
    })?;
    match unknown {
        Some(Unknown { what, why }) => Err(OpenError::Format { what, why }),
        None => Ok(log),
    }
}

fn begin_epoch(log: &mut Log, state: &State, now_ms: u64) -> Result<Epoch, OpenError> {
    let epoch = Epoch(log.last_epoch().0 + 1);
    let (draft, placed) = log.begin_epoch(epoch, now_ms).map_err(store::log::OpenError::from)?;
    // Before anything of this epoch is told to anyone: another start must not begin the same one.
    log.sync().map_err(store::log::OpenError::from)?;
    let folded = state.fold(&Entry::of(&draft, &placed, epoch), &mut Vec::new());
    folded.map(|()| epoch).map_err(|Unknown { what, why }| OpenError::Format { what, why })
}
