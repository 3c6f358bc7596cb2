//! Reads near timers back into memory, block by block.

use std::sync::Arc;

use super::{Background, Key, Timeline, TimelineError};

impl Timeline {
    pub(crate) fn load_in_turn(
        &self,
        background: &mut Background,
        until_ms: u64,
    ) -> Result<(), TimelineError> {
        let mut room = None;
        loop {
            let next = {
                let state = self.state.lock();
                state
                    .first_on_disk()
                    .map(|(key, on_disk)| (key, Arc::clone(&on_disk.run), on_disk.next_block))
            };
            let Some((key, run, block)) = next.filter(|(key, ..)| key.0 <= until_ms) else { break };
            let left = room.unwrap_or_else(|| self.limits.loaded - self.count_before(key));
            if left == 0 {
                break;
            }
            let timers = run.block(block)?;
            self.state.lock().take_block(run.number, &timers);
            room = Some(left.saturating_sub(timers.len()));
        }
        self.drop_finished(background);
        Ok(())
    }

    /// Timers in memory before `key`, up to as many as may be loaded.
    fn count_before(&self, key: Key) -> usize {
        if self.state.lock().memory.len() == 0 {
            return 0;
        }
        let mut count = 0;
        self.walk(None, |timer| {
            let is_before = timer.key() < key && count < self.limits.loaded;
            count += usize::from(is_before);
            is_before
        });
        count
    }
}
