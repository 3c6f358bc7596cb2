//! Power cuts at every call of flushes, trims and checkpoints.

use std::sync::Arc;

use super::model::Model;
use crate::checkpoint::{self, Checkpoint};
use crate::disk::Disk;
use crate::disk::sim::{Random, SimDisk};
use crate::index::{Index, IndexError};
use crate::{Position, QueueId};

const SECTION: u32 = 1;

/// A story of which any call may be the last; the model plays the log, which is synced at once.
struct Story {
    disk: SimDisk,
    model: Model,
    keep_from: Position,
}

impl Story {
    fn new(seed: u64) -> Self {
        Self { disk: SimDisk::new(seed), model: Model::default(), keep_from: Position(0) }
    }

    fn open(&self) -> Index {
        let loaded = checkpoint::load(&self.disk).unwrap();
        let section = loaded.as_ref().and_then(|loaded| loaded.section(SECTION));
        let index = Index::open(Arc::new(self.disk.clone()), section).unwrap();
        self.model.replay(&index, loaded.map_or(Position(0), |loaded| loaded.covered));
        index
    }

    fn tell(&mut self, index: &Index) -> Result<(), Box<dyn std::error::Error>> {
        for round in 0..6 {
            for number in 0..50 {
                let count = 1 + number as u16 % 3;
                self.model.append(Some(index), QueueId(1 + number % (3 + round)), 64 + number, count);
            }
            index.flush()?;
            for _ in 0..10 {
                self.model.append(Some(index), QueueId(1), 64, 64);
            }
            let covered = self.model.end();
            let sections = vec![(SECTION, index.snapshot())];
            self.keep_from = checkpoint::write(&self.disk, &Checkpoint { covered, sections })?;
            self.model.cut_head(Position(self.keep_from.0.saturating_sub(500)));
            index.trim(Position(self.keep_from.0.saturating_sub(500)))?;
        }
        Ok(())
    }
}

#[test]
fn a_power_cut_at_any_call_loses_and_invents_nothing() {
    let mut whole = Story::new(1);
    let index = whole.open();
    let before = whole.disk.mutations();
    whole.tell(&index).unwrap();
    let calls = whole.disk.mutations() - before;
    assert!(calls > 50, "{calls}");
    for crash_at in 1..=calls {
        for seed in 0..6 {
            let mut story = Story::new(seed);
            let index = story.open();
            story.disk.crash_at(crash_at);
            story.tell(&index).unwrap_err();
            story.disk.reboot();
            let index = story.open();
            story.model.check(&index, &mut Random::new(seed));
            story.tell(&index).unwrap();
            story.model.check(&index, &mut Random::new(seed));
            story.disk.reboot();
            story.model.check(&story.open(), &mut Random::new(seed));
        }
    }
}

#[test]
fn a_damaged_newest_checkpoint_costs_only_replay() {
    let mut story = Story::new(1);
    let index = story.open();
    story.tell(&index).unwrap();
    story.disk.kill_process();
    let newest = format!("state/{}", story.disk.list("state").unwrap().last().unwrap());
    assert!(story.disk.flip_bit(&newest, 70, 0));
    story.model.check(&story.open(), &mut Random::new(1));
}

#[test]
fn a_run_that_vanished_is_told_unless_the_log_was_trimmed_too() {
    let mut story = Story::new(1);
    let index = story.open();
    for number in 0..50 {
        story.model.append(Some(&index), QueueId(1 + number % 3), 64, 1 + number as u16 % 3);
    }
    index.flush().unwrap();
    let section = index.snapshot();
    story.disk.kill_process();
    story.disk.remove("index/0000000001.run").unwrap();
    let open = || Index::open(Arc::new(story.disk.clone()), Some(&section)).unwrap();
    assert!(matches!(open().trim(Position(640)), Err(IndexError::Missing { .. })));
    open().trim(story.model.end()).unwrap();
}
