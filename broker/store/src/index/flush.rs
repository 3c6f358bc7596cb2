//! Moves the frozen generation into a run file: write, sync, then publish.
//!
//! Readers find every entry in memory until its queue's head points to the synced file.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::memtable::{Cell, Slot};
use super::run::{Links, Run, RunWriter, path_of, refused};
use super::shard::Start;
use super::{Background, Index, IndexError};

/// Queues handled per lock.
const LOCKED_QUEUES: usize = 256;

/// The frozen slots of a shard, and where each queue's newest block lies once the run is there.
struct Frozen {
    shard: usize,
    slots: Arc<Vec<Slot>>,
    links: Vec<Links>,
}

impl Index {
    pub(crate) fn flush_in_turn(&self, background: &mut Background) -> Result<(), IndexError> {
        let mut frozen = self.freeze();
        if frozen.is_empty() {
            return Ok(());
        }
        // A number is never used twice, so that a torn file of a failed flush is never taken for a good one.
        let number = background.next_number;
        background.next_number += 1;
        match self.write_run(number, &mut frozen) {
            Ok(run) => {
                self.runs.insert(run);
                self.publish(frozen);
                Ok(())
            }
            Err(error) => {
                // Frees the space at once if the disk lets it; else the next start removes the file.
                let _ = self.disk.remove(&path_of(number));
                Err(error)
            }
        }
    }

    fn freeze(&self) -> Vec<Frozen> {
        let mut all = Vec::new();
        for (place, shard) in self.shards.iter().enumerate() {
            let mut shard = shard.lock();
            self.gathered.fetch_sub(shard.freeze(), Ordering::Relaxed);
            let slots = shard.frozen();
            if !slots.is_empty() {
                all.push(Frozen { shard: place, links: Vec::with_capacity(slots.len()), slots });
            }
        }
        all
    }

    fn write_run(&self, number: u32, frozen: &mut [Frozen]) -> Result<Run, IndexError> {
        let mut writer = RunWriter::create(&*self.disk, number).map_err(refused(number))?;
        let mut cells: Vec<Cell> = Vec::new();
        for Frozen { shard, slots, links } in frozen {
            for chunk in slots.chunks(LOCKED_QUEUES) {
                let starts = self.shards[*shard].lock().starts(chunk);
                for (slot, start) in chunk.iter().zip(starts) {
                    let Start { offset, mut index, links: mut linked } = start;
                    cells.clear();
                    while index < slot.count() {
                        let side_by_side = slot.cells_from(index);
                        cells.extend_from_slice(side_by_side);
                        index += side_by_side.len();
                    }
                    writer.put(slot.queue, offset, &cells, &mut linked).map_err(refused(number))?;
                    links.push(linked);
                }
            }
        }
        let (file, footer) = writer.finish(&*self.disk).map_err(refused(number))?;
        Run::finished(number, file, footer)
    }

    fn publish(&self, frozen: Vec<Frozen>) {
        for Frozen { shard, slots, links } in frozen {
            for (slots, links) in slots.chunks(LOCKED_QUEUES).zip(links.chunks(LOCKED_QUEUES)) {
                let mut shard = self.shards[shard].lock();
                for (slot, links) in slots.iter().zip(links) {
                    shard.publish(slot.queue, *links);
                }
            }
            let thawed = self.shards[shard].lock().thaw();
            // Freed here, outside the lock.
            drop((thawed, slots));
        }
    }
}
