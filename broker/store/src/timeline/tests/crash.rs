//! Power cuts at every call of flushes, merges, loads and checkpoints.

use super::model::Model;
use super::small;
use crate::Position;
use crate::checkpoint::{self, Checkpoint};
use crate::disk::Disk;
use crate::disk::sim::{Random, SimDisk};
use crate::timeline::Timeline;

const SECTION: u32 = 1;

/// A story of which any call may be the last; the model plays the log, which is synced at once.
struct Story {
    disk: SimDisk,
    model: Model,
    random: Random,
    now_ms: u64,
}

impl Story {
    fn new(seed: u64) -> Self {
        Self { disk: SimDisk::new(seed), model: Model::default(), random: Random::new(1), now_ms: 0 }
    }

    fn open(&self) -> Timeline {
        let loaded = checkpoint::load(&self.disk).unwrap();
        let section = loaded.as_ref().and_then(|loaded| loaded.section(SECTION));
        let timeline = small(&self.disk, section).unwrap();
        self.model.replay(&timeline, loaded.map_or(0, |loaded| loaded.covered.0 as usize));
        timeline
    }

    fn tell(&mut self, timeline: &Timeline) -> Result<(), Box<dyn std::error::Error>> {
        for _ in 0..10 {
            for _ in 0..120 {
                self.model.insert(timeline, self.now_ms + self.random.below(1000));
            }
            self.model.remove_some(timeline, 5, &mut self.random);
            timeline.flush(self.now_ms + 100)?;
            self.now_ms += 80;
            timeline.load_ahead(self.now_ms)?;
            self.model.fire(timeline, self.now_ms, &mut self.random);
            let covered = Position(self.model.end() as u64);
            for _ in 0..10 {
                self.model.insert(timeline, self.now_ms + self.random.below(1000));
            }
            let sections = vec![(SECTION, timeline.snapshot())];
            let checkpoint = Checkpoint { covered, sections };
            checkpoint::write(&self.disk, &checkpoint)?;
            timeline.checkpointed(&checkpoint.sections[0].1)?;
        }
        Ok(())
    }
}

#[test]
fn a_power_cut_at_any_call_loses_and_invents_nothing() {
    let mut whole = Story::new(1);
    let timeline = whole.open();
    let before = whole.disk.mutations();
    whole.tell(&timeline).unwrap();
    let calls = whole.disk.mutations() - before;
    assert!(calls > 80, "{calls}");
    for crash_at in 1..=calls {
        for seed in 0..4 {
            let mut story = Story::new(seed);
            let timeline = story.open();
            story.disk.crash_at(crash_at);
            story.tell(&timeline).unwrap_err();
            story.disk.reboot();
            let timeline = story.open();
            story.model.check(&timeline, &mut Random::new(seed));
            story.tell(&timeline).unwrap();
            story.model.check(&timeline, &mut Random::new(seed));
            story.disk.reboot();
            story.model.check(&story.open(), &mut Random::new(seed));
        }
    }
}

#[test]
fn a_damaged_newest_checkpoint_costs_only_replay() {
    // Also when the damage comes after a start from the newest.
    for starts in 0..3 {
        let mut story = Story::new(1);
        let timeline = story.open();
        story.tell(&timeline).unwrap();
        for _ in 0..starts {
            story.disk.kill_process();
            story.open();
        }
        story.disk.kill_process();
        let newest = format!("state/{}", story.disk.list("state").unwrap().last().unwrap());
        assert!(story.disk.flip_bit(&newest, 70, 0));
        story.model.check(&story.open(), &mut Random::new(1));
    }
}
