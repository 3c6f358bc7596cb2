//! Opens the timeline as a checkpoint left it, and removes run files that no checkpoint needs.
//!
//! Two checkpoints are kept. A run that is merged or has nothing pending is no longer listed, but its file stays until
//! two checkpoints without it are on disk; sections name such files, so that a start does not remove them early.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::Position;
use crate::disk::Disk;

use super::bits::Bits;
use super::run::{FOLDER, NUMBER_MAX, Run, SUFFIX, corrupt, path_of, refused};
use super::snapshot::{self, Listed, Section};
use super::state::{OnDisk, State};
use super::{Background, Limits, Timeline, TimelineError};

/// Checkpoints that are kept.
const CHECKPOINTS: u32 = 2;

/// A file whose run is not used any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) number: u32,
    /// Checkpoints on disk that do not list it, and are newer than all that do.
    without: u32,
}

impl Dropped {
    pub(crate) fn now(number: u32) -> Self {
        Self { number, without: 0 }
    }
}

impl Timeline {
    pub(crate) fn restored(
        disk: Arc<dyn Disk>,
        section: Option<&[u8]>,
        limits: Limits,
    ) -> Result<Self, TimelineError> {
        let folder = |source| TimelineError::Io { file: FOLDER.to_owned(), source };
        disk.create_dir(FOLDER).map_err(folder)?;
        disk.sync_dir("").map_err(folder)?;
        let mut state = State::default();
        let section = match section {
            Some(section) => {
                let State { memory, removals, .. } = &mut state;
                let insert = |timer| _ = memory.insert(timer);
                snapshot::restore(section, insert, |key| _ = removals.insert(key))
                    .map_err(|at| TimelineError::Section { at })?
            }
            None => Section { next_number: 1, runs: Vec::new(), dropped: Vec::new() },
        };
        for listed in &section.runs {
            state.runs.push(open_run(&*disk, listed)?);
        }
        let next_number = remove_leftovers(&*disk, &section)?;
        let dropped = section.dropped.iter().map(|number| Dropped { number: *number, without: 1 }).collect();
        let background = Mutex::new(Background { next_number, dropped });
        Ok(Self { disk, limits, state: Mutex::new(state), background })
    }

    pub(crate) fn remove_dropped(
        &self,
        background: &mut Background,
        section: &[u8],
    ) -> Result<(), TimelineError> {
        let listed = snapshot::runs_of(section).map_err(|at| TimelineError::Section { at })?;
        for dropped in &mut background.dropped {
            dropped.without += u32::from(listed.iter().all(|listed| listed.number != dropped.number));
        }
        while let Some(place) = background.dropped.iter().position(|dropped| dropped.without >= CHECKPOINTS) {
            let number = background.dropped[place].number;
            match self.disk.remove(&path_of(number)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refused(number)(error)),
                // If a power cut brings it back, the next start removes it.
                Ok(()) | Err(_) => background.dropped.swap_remove(place),
            };
        }
        Ok(())
    }
}

fn open_run(disk: &dyn Disk, listed: &Listed) -> Result<OnDisk, TimelineError> {
    let run = Run::open(disk, listed.number)?;
    let Listed { number, timers, digest, next_block, ref words } = *listed;
    // After a start without a checkpoint a file may have got the number of another.
    let is_same = run.footer.timers == timers && run.footer.digest == digest;
    let mut removed = Bits::none_of(run.count());
    let fits = is_same
        && next_block < run.footer.blocks()
        && words.iter().all(|(place, word)| removed.put_word(*place, *word))
        && removed.count_from(run.count()) == 0;
    if !fits {
        return Err(corrupt(number, 0));
    }
    let mut on_disk = OnDisk { next_block: next_block as usize, removed, ..OnDisk::whole(Arc::new(run)) };
    let removed = on_disk.removed.count_from(on_disk.next_ordinal()) as u64;
    on_disk.pending = on_disk.unread() - removed;
    on_disk.searched = Position(0);
    Ok(on_disk)
}

/// Removes run files that the checkpoint does not know; returns a number above all that were ever used.
fn remove_leftovers(disk: &dyn Disk, section: &Section) -> Result<u32, TimelineError> {
    let listing = |source| TimelineError::Io { file: FOLDER.to_owned(), source };
    let mut next_number = section.next_number;
    for name in disk.list(FOLDER).map_err(listing)? {
        let number = name.strip_suffix(SUFFIX).and_then(|stem| stem.parse().ok());
        let is_ours = |number: &u32| *number < NUMBER_MAX && path_of(*number) == format!("{FOLDER}/{name}");
        let Some(number) = number.filter(is_ours) else {
            continue;
        };
        next_number = next_number.max(number + 1);
        let is_listed = section.runs.iter().any(|listed| listed.number == number);
        if !is_listed && !section.dropped.contains(&number) {
            disk.remove(&path_of(number)).map_err(refused(number))?;
        }
    }
    Ok(next_number)
}
