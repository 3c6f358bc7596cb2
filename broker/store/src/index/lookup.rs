//! Finds entries in the run files, outside of all locks.
//!
//! ```text
//!   newest -> [b40] -> [b39] -> ... [b32] ....... [b16] ....... [b0]      previous: one step
//!                \____________________^  \__________^ \_________^       skip: to the landmark below
//! ```
//!
//! A path of blocks that were walked is kept per queue, so that reading forward never begins at the newest again.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::IndexError;
use super::run::{Block, Pointer, Run, corrupt};
use super::shard::SHARDS;

/// Queues per shard whose path is kept.
const PATHS_MAX: usize = 16;

/// The run files that are referenced, by number.
pub(crate) struct Runs {
    by_number: RwLock<BTreeMap<u32, Arc<Run>>>,
    paths: [Mutex<BTreeMap<u32, Vec<Block>>>; SHARDS as usize],
}

impl Default for Runs {
    fn default() -> Self {
        Self { by_number: RwLock::default(), paths: std::array::from_fn(|_| Mutex::default()) }
    }
}

impl Runs {
    pub(crate) fn all(&self) -> Vec<Arc<Run>> {
        self.by_number.read().values().cloned().collect()
    }

    pub(crate) fn insert(&self, run: Run) {
        self.by_number.write().insert(run.number, Arc::new(run));
    }

    pub(crate) fn remove(&self, number: u32) {
        self.by_number.write().remove(&number);
    }

    /// The block that holds `offset`, walking down from `newest`; `None` if files were trimmed meanwhile.
    pub(crate) fn find(
        &self,
        queue: u32,
        offset: u64,
        newest: Pointer,
    ) -> Result<Option<(Arc<Run>, Block)>, IndexError> {
        let mut path = self.take_path(queue);
        while path.last().is_some_and(|block| block.end() <= offset) {
            path.pop();
        }
        let found = self.walk(
            queue,
            newest,
            &mut path,
            |block| block.base_offset <= offset,
            |block| block.end() > offset,
        );
        self.keep_path(queue, path);
        found
    }

    /// The newest block that begins before `ms`, walking down from `newest`; `None` if none does.
    pub(crate) fn find_time(
        &self,
        queue: u32,
        ms: u64,
        newest: Pointer,
    ) -> Result<Option<(Arc<Run>, Block)>, IndexError> {
        self.walk(queue, newest, &mut Vec::new(), |block| block.base_ms < ms, |block| block.base_ms >= ms)
    }

    /// Walks down to the first block that `is_found`, jumping to landmarks that are `not_below` it.
    fn walk(
        &self,
        queue: u32,
        newest: Pointer,
        path: &mut Vec<Block>,
        is_found: impl Fn(&Block) -> bool,
        not_below: impl Fn(&Block) -> bool,
    ) -> Result<Option<(Arc<Run>, Block)>, IndexError> {
        let mut too_low = Pointer::NONE;
        loop {
            let next = match path.last() {
                Some(block) if is_found(block) => {
                    return Ok(self.run(block.place).map(|run| (run, *block)));
                }
                Some(block) => {
                    let landmark =
                        if block.skip == too_low { None } else { self.below(queue, block, block.skip)? };
                    match landmark {
                        Some(landmark) if not_below(&landmark) || block.skip == block.previous => {
                            Some(landmark)
                        }
                        Some(_) | None => {
                            too_low = block.skip;
                            self.below(queue, block, block.previous)?
                        }
                    }
                }
                None => match self.run(newest) {
                    Some(run) => Some(run.block(newest)?),
                    None => None,
                },
            };
            match next {
                Some(block) if block.queue == queue => path.push(block),
                Some(block) => return Err(corrupt(block.place.file, block.place.at())),
                None => return Ok(None),
            }
        }
    }

    /// The block at `place`, which must be one of the same queue and below `block`; `None` if it was trimmed.
    fn below(&self, queue: u32, block: &Block, place: Pointer) -> Result<Option<Block>, IndexError> {
        let Some(run) = self.run(place) else {
            return Ok(None);
        };
        let lower = run.block(place)?;
        if lower.queue != queue || lower.end() > block.base_offset {
            return Err(corrupt(block.place.file, block.place.at()));
        }
        Ok(Some(lower))
    }

    fn run(&self, place: Pointer) -> Option<Arc<Run>> {
        self.by_number.read().get(&place.file).cloned()
    }

    fn take_path(&self, queue: u32) -> Vec<Block> {
        self.paths[(queue % SHARDS) as usize].lock().remove(&queue).unwrap_or_default()
    }

    fn keep_path(&self, queue: u32, path: Vec<Block>) {
        let mut paths = self.paths[(queue % SHARDS) as usize].lock();
        if paths.len() >= PATHS_MAX {
            paths.clear();
        }
        paths.insert(queue, path);
    }
}
