//! Moves far timers into runs: write, sync, then take them out of memory; and finds out what removals mean.

use std::sync::Arc;

use crate::Position;

use super::run::{Run, RunWriter, first_ordinal, path_of};
use super::{Background, Key, LOCKED, Timeline, TimelineError, Timer};

impl Timeline {
    pub(crate) fn flush_in_turn(
        &self,
        background: &mut Background,
        keep_until_ms: u64,
    ) -> Result<(), TimelineError> {
        let gathered = self.state.lock().gathered;
        // First: what came again moves only once it is pending in no run.
        self.look_up_removals()?;
        let mut after = self.last_near(keep_until_ms);
        loop {
            let far = self.copy_far(after);
            let Some(last) = far.last() else { break };
            after = last.key();
            let run = self.write_run(background, far.iter().map(|timer| Ok(*timer)))?;
            self.state.lock().add_unpublished(run);
            for timers in far.chunks(LOCKED) {
                self.state.lock().publish(timers);
            }
        }
        self.state.lock().gathered -= gathered;
        self.drop_finished(background);
        Ok(())
    }

    /// Writes a run; the timers must come in order, and there must be some.
    pub(crate) fn write_run(
        &self,
        background: &mut Background,
        timers: impl Iterator<Item = Result<Timer, TimelineError>>,
    ) -> Result<Arc<Run>, TimelineError> {
        // A number is never used twice, so that a torn file of a failed flush is never taken for a good one.
        let number = background.next_number;
        background.next_number += 1;
        let written = RunWriter::create(&*self.disk, number).and_then(|mut writer| {
            for timer in timers {
                writer.put(timer?)?;
            }
            writer.finish(&*self.disk)
        });
        if written.is_err() {
            // Frees the space at once if the disk lets it; else the next start removes the file.
            let _ = self.disk.remove(&path_of(number));
        }
        written.map(Arc::new)
    }

    /// The last timer, or a place behind it, that stays in memory.
    fn last_near(&self, keep_until_ms: u64) -> Key {
        let mut last = (keep_until_ms, Position(u64::MAX));
        if self.state.lock().memory.len() > self.limits.memory {
            let mut count = 0;
            self.walk(None, |timer| {
                count += 1;
                let goes_on = count < self.limits.loaded && timer.key() < last;
                if !goes_on {
                    last = last.min(timer.key());
                }
                goes_on
            });
        }
        last
    }

    fn copy_far(&self, after: Key) -> Vec<Timer> {
        let mut far = Vec::new();
        self.walk(Some(after), |timer| {
            far.push(*timer);
            far.len() < self.limits.run
        });
        far
    }

    /// Finds out which timers on disk the removals are of, as many as there are now.
    fn look_up_removals(&self) -> Result<(), TimelineError> {
        let (count, runs) = {
            let state = self.state.lock();
            let runs = state.runs.iter().map(|on_disk| (Arc::clone(&on_disk.run), on_disk.next_block));
            (state.removals.len(), runs.collect::<Vec<_>>())
        };
        for _ in 0..count.div_ceil(LOCKED) {
            let keys: Vec<Key> = self.state.lock().removals.iter().take(LOCKED).copied().collect();
            let mut found = Vec::new();
            for (run, next_block) in &runs {
                look_up(run, *next_block, &keys, &mut found)?;
            }
            self.state.lock().resolve(&keys, &found);
        }
        Ok(())
    }
}

/// Puts the places of those of the keys, which are sorted, that the run has into `found`.
fn look_up(
    run: &Run,
    next_block: usize,
    keys: &[Key],
    found: &mut Vec<(u32, usize)>,
) -> Result<(), TimelineError> {
    let mut last: Option<(usize, Vec<Timer>)> = None;
    for key in keys.iter().filter(|key| run.may_hold(**key)) {
        let block = run.block_of(*key);
        if block < next_block {
            continue;
        }
        let timers = match last {
            Some((known, timers)) if known == block => timers,
            Some(_) | None => run.block(block)?,
        };
        if let Ok(place) = timers.binary_search_by_key(key, Timer::key) {
            found.push((run.number, first_ordinal(block) + place));
        }
        last = Some((block, timers));
    }
    Ok(())
}
