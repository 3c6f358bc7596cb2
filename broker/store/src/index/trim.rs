//! Forgets what lies below the log's head, exactly: to the entry, not to the file.

use crate::Position;

use super::run::{FOLDER, corrupt, path_of, refused};
use super::shard::SHARDS;
use super::{Background, Index, IndexError};

impl Index {
    pub(crate) fn trim_in_turn(&self, background: &mut Background, head: Position) -> Result<(), IndexError> {
        if let Some((number, end_position)) = background.missing
            && end_position > head.0
        {
            return Err(IndexError::Missing { file: path_of(number) });
        }
        if head <= background.trimmed {
            return Ok(());
        }
        for shard in &self.shards {
            shard.lock().trim_memory(head);
        }
        // First every head, then the files: a reader that misses a file finds the reason in the head.
        let removed = self.trim_runs(head)?;
        for number in &removed {
            self.runs.remove(*number);
        }
        for number in &removed {
            self.disk.remove(&path_of(*number)).map_err(refused(*number))?;
        }
        if let Some(last) = removed.last() {
            self.disk.sync_dir(FOLDER).map_err(refused(*last))?;
        }
        background.trimmed = head;
        Ok(())
    }

    /// Raises the oldest offset of each queue with entries below `head` in a run; returns the runs wholly below.
    fn trim_runs(&self, head: Position) -> Result<Vec<u32>, IndexError> {
        let mut removed = Vec::new();
        let mut is_prefix = true;
        for run in self.runs.all() {
            let is_below = run.footer.end_position <= head.0;
            // Only the oldest files go, so that a missing file tells that those before it were trimmed too.
            is_prefix &= is_below;
            if run.footer.first_position >= head.0 {
                continue;
            }
            run.scan(|block| {
                let below = if is_below {
                    u64::from(block.messages)
                } else if block.base_position >= head.0 {
                    return Ok(());
                } else {
                    run.partition_point(block, |cell| cell.position < head.0)?
                };
                let mut shard = self.shards[(block.queue % SHARDS) as usize].lock();
                if !shard.may_have_run(block.queue, block.end()) {
                    return Err(corrupt(run.number, block.place.at()));
                }
                shard.raise_oldest(block.queue, block.base_offset + below);
                if is_prefix {
                    shard.forget_runs(block.queue, run.number);
                }
                Ok(())
            })?;
            if is_prefix {
                removed.push(run.number);
            }
        }
        Ok(removed)
    }
}
