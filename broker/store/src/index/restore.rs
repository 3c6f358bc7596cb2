//! Opens the index as a checkpoint left it.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use parking_lot::Mutex;

use crate::Position;
use crate::disk::Disk;

use super::lookup::Runs;
use super::run::{FOLDER, Run, corrupt, path_of, refused};
use super::shard::{SHARDS, Shard};
use super::snapshot::{self, Listed, RUNS_MAX, Section};
use super::{Background, Index, IndexError};

impl Index {
    pub(crate) fn restored(disk: Arc<dyn Disk>, section: Option<&[u8]>) -> Result<Self, IndexError> {
        let index = Self {
            disk,
            shards: std::array::from_fn(|_| Mutex::new(Shard::default())),
            runs: Runs::default(),
            gathered: AtomicUsize::new(0),
            background: Mutex::new(Background { next_number: 1, trimmed: Position(0), missing: None }),
            may_begin_late: section.is_none(),
        };
        let restored = match section {
            Some(section) => {
                let restore_head = |queue, head| index.shard_of(queue).lock().restore(queue, head);
                snapshot::restore(section, |queue, entry| index.append(queue, entry), restore_head)
                    .map_err(|at| IndexError::Section { at })?
            }
            None => Section { next_number: 1, runs: Vec::new() },
        };
        let missing = index.open_runs(&restored.runs)?;
        let next_number = index.remove_leftovers(restored.next_number)?;
        *index.background.lock() = Background { next_number, trimmed: Position(0), missing };
        Ok(index)
    }

    /// Opens the listed runs; if files are missing, takes what is listed up to the last of them as trimmed.
    fn open_runs(&self, listed: &[Listed]) -> Result<Option<(u32, u64)>, IndexError> {
        let mut missing: Option<(u32, u64)> = None;
        let mut opened = Vec::new();
        for listed in listed {
            match Run::open(&*self.disk, listed.number)? {
                Some(run) if Listed::of(run.number, &run.footer) == *listed => opened.push(run),
                Some(run) => return Err(corrupt(run.number, 0)),
                None => {
                    let end = opened.iter().map(|run| run.footer.end_position).max().unwrap_or(0);
                    let before = missing.map_or(0, |(_, end)| end);
                    missing = Some((listed.number, before.max(end).max(listed.end_position)));
                    opened.clear();
                }
            }
        }
        if let Some((number, _)) = missing {
            self.forget_missing(number, &opened)?;
        }
        for run in opened {
            self.runs.insert(run);
        }
        Ok(missing)
    }

    /// Finds out what the oldest offset of each queue is when the runs up to `number` are gone.
    fn forget_missing(&self, number: u32, kept: &[Run]) -> Result<(), IndexError> {
        for (place, shard) in (0..SHARDS).zip(&self.shards) {
            let mut shard = shard.lock();
            let (heads, _) = shard.heads(place, 0, usize::MAX);
            for (queue, head, begins) in heads {
                if head.newest.file <= number {
                    shard.raise_oldest(queue, begins);
                }
                shard.forget_runs(queue, number);
            }
        }
        for run in kept {
            run.scan(|block| {
                let mut shard = self.shard_of(block.queue).lock();
                if !shard.may_have_run(block.queue, block.end()) {
                    return Err(corrupt(run.number, block.place.at()));
                }
                if block.previous.file <= number {
                    shard.raise_oldest(block.queue, block.base_offset);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Removes run files that no checkpoint knows; returns a number above all that were ever used.
    fn remove_leftovers(&self, next_number: u32) -> Result<u32, IndexError> {
        let listing = |source| IndexError::Io { file: FOLDER.to_owned(), source };
        let known: Vec<u32> = self.runs.all().iter().map(|run| run.number).collect();
        let mut next_number = next_number;
        for name in self.disk.list(FOLDER).map_err(listing)? {
            let number = name.strip_suffix(".run").and_then(|stem| stem.parse().ok());
            let is_ours = |number: &u32| *number < RUNS_MAX && path_of(*number) == format!("{FOLDER}/{name}");
            let Some(number) = number.filter(is_ours) else {
                continue;
            };
            next_number = next_number.max(number + 1);
            if !known.contains(&number) {
                self.disk.remove(&path_of(number)).map_err(refused(number))?;
            }
        }
        Ok(next_number)
    }
}
