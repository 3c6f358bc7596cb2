//! What the broker's background thread does, and trouble with the disk.

use store::disk::Disk;
use store::disk::sim::{Call, Failure};

use crate::world::World;

impl World {
    /// Some background work; its failures must be harmless.
    pub(crate) fn work(&mut self) -> Result<(), String> {
        match self.pick(0, 8) {
            0 | 1 => return self.checkpoint(),
            5 => {
                let done = self.broker.group.flush_index().map_err(|error| error.to_string());
                self.trace.note(format_args!("flush index: {done:?}"));
            }
            6 => {
                let done = self.broker.group.flush_timers(self.now_ms).map_err(|error| error.to_string());
                self.trace.note(format_args!("flush timers: {done:?}"));
            }
            7 => {
                let done = self.broker.group.work_timers(self.now_ms).map_err(|error| error.to_string());
                self.trace.note(format_args!("work timers: {done:?}"));
            }
            2 => {
                let done = self.broker.group.sync().map_err(|error| error.to_string());
                self.trace.note(format_args!("sync: {done:?}"));
                if done.is_err() {
                    return self.restart();
                }
            }
            3 => {
                let done = self.broker.group.prepare_segment().map_err(|error| error.to_string());
                self.trace.note(format_args!("prepare: {done:?}"));
            }
            _ => {
                let done = self.broker.writer.retain(self.now_ms).map_err(|error| error.to_string());
                self.trace
                    .note(format_args!("retain: {done:?}, head {}", self.broker.group.log_state().head));
                if self.random.one_in(2) {
                    let done = self.broker.group.trim_index().map_err(|error| error.to_string());
                    self.trace.note(format_args!("trim index: {done:?}"));
                }
            }
        }
        Ok(())
    }

    /// Most checkpoints are taken when all is recorded; others may know acks that the log never gets to know.
    fn checkpoint(&mut self) -> Result<(), String> {
        if !self.random.one_in(8) {
            self.step()?;
        }
        self.checkpoint_knows_more |= self.has_unrecorded;
        let done = self.broker.group.checkpoint().map_err(|error| error.to_string());
        self.trace.note(format_args!("checkpoint: {done:?}"));
        Ok(())
    }

    /// Something happens to the disk or is going to.
    pub(crate) fn trouble(&mut self) -> Result<(), String> {
        match self.pick(0, 8) {
            0 | 1 => {
                let nth = self.pick(1, 60);
                self.trace.note(format_args!("the power will go at call {nth}"));
                self.disk.crash_at(nth);
            }
            2 | 3 => return self.restart(),
            4 => {
                let call =
                    [Call::Write, Call::Sync, Call::Create, Call::Rename, Call::Allocate, Call::SyncDir]
                        [self.pick(0, 6) as usize];
                let failure = if self.random.one_in(2) { Failure::Io } else { Failure::Full };
                let nth = self.pick(1, 10);
                self.trace.note(format_args!("{call:?} {nth} will fail: {failure:?}"));
                self.disk.fail(call, nth, failure);
            }
            5 => self.fill_disk(),
            _ => self.free_disk(),
        }
        Ok(())
    }

    fn fill_disk(&mut self) {
        self.disk.set_capacity_bytes(None);
        let Ok(free) = self.disk.free_bytes() else { return };
        let used = (1 << 50) - free;
        let room = self.pick(0, 200_000);
        self.trace.note(format_args!("room for {room} B"));
        self.disk.set_capacity_bytes(Some(used + room));
    }

    pub(crate) fn free_disk(&mut self) {
        self.disk.set_capacity_bytes(None);
    }
}
