//! Finds the timers whose messages are about to be deleted.

use std::sync::Arc;

use crate::Position;

use super::run::first_ordinal;
use super::state::OnDisk;
use super::{Background, Timeline, TimelineError, Timer};

impl Timeline {
    pub(crate) fn below_in_turn(
        &self,
        _background: &mut Background,
        head: Position,
        mut seen: impl FnMut(Timer),
    ) -> Result<(), TimelineError> {
        self.survey(|timer| {
            if timer.position < head {
                seen(*timer);
            }
        });
        let runs: Vec<_> = {
            let state = self.state.lock();
            let may_have = |on_disk: &&OnDisk| on_disk.floor().is_some_and(|floor| floor < head);
            let runs = state.runs.iter().filter(may_have);
            runs.map(|on_disk| (Arc::clone(&on_disk.run), on_disk.next_block)).collect()
        };
        for (run, next_block) in runs {
            let mut has_some = false;
            for (block, mark) in run.marks.iter().enumerate().skip(next_block) {
                // The floor is that of all blocks from here on.
                if mark.floor >= head {
                    break;
                }
                let mut timers = run.block(block)?;
                let mut ordinal = first_ordinal(block);
                let state = self.state.lock();
                timers.retain(|timer| {
                    ordinal += 1;
                    timer.position < head && state.is_pending(run.number, ordinal - 1, timer.key())
                });
                drop(state);
                has_some |= !timers.is_empty();
                timers.into_iter().for_each(&mut seen);
            }
            if !has_some {
                self.state.lock().set_searched(run.number, head);
            }
        }
        Ok(())
    }

    /// Calls `seen` with every timer in memory, and learns what the lowest position is.
    pub(crate) fn survey(&self, mut seen: impl FnMut(&Timer)) {
        self.state.lock().memory.begin_survey();
        let mut lowest = Position(u64::MAX);
        self.walk(None, |timer| {
            lowest = lowest.min(timer.position);
            seen(timer);
            true
        });
        self.state.lock().memory.end_survey(lowest);
    }
}
