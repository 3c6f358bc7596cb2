//! Between two locks of a flush, step by step.

use std::collections::BTreeSet;

use super::{all, small, timer};
use crate::disk::sim::SimDisk;
use crate::timeline::{Timeline, Timer};

struct Story {
    timeline: Timeline,
    timers: Vec<Timer>,
    pending: BTreeSet<usize>,
}

impl Story {
    fn remove(&mut self, nth: usize) {
        self.pending.remove(&nth);
        self.timeline.remove(self.timers[nth].due_ms, self.timers[nth].position);
    }

    fn insert(&mut self, nth: usize) {
        self.pending.insert(nth);
        self.timeline.insert(self.timers[nth]);
    }

    fn publish(&self, range: std::ops::Range<usize>) {
        self.timeline.state.lock().publish(&self.timers[range]);
    }

    fn check(&self) {
        for (nth, timer) in self.timers.iter().enumerate() {
            let known = self.pending.contains(&nth).then_some(*timer);
            assert_eq!(self.timeline.find(timer.due_ms, timer.position).unwrap(), known, "{nth}");
        }
    }
}

#[test]
fn halfway_through_a_flush_every_timer_is_in_one_place() {
    let timeline = small(&SimDisk::new(1), None).unwrap();
    let timers: Vec<_> = (0..10).map(|number| timer(1000 + number, number * 8)).collect();
    let mut story = Story { timeline, timers, pending: BTreeSet::new() };
    (0..10).for_each(|nth| story.insert(nth));
    // What a flush has copied, before anything else happens.
    let far = story.timers.clone();
    story.remove(3);
    story.remove(4);
    story.insert(4);
    let mut background = story.timeline.background.lock();
    let run = story.timeline.write_run(&mut background, far.iter().map(|timer| Ok(*timer))).unwrap();
    drop(background);
    story.timeline.state.lock().add_unpublished(run);
    story.check();
    story.remove(5);
    story.remove(6);
    story.insert(6);
    story.check();
    story.publish(0..6);
    story.check();
    story.remove(0);
    story.remove(7);
    story.insert(5);
    story.remove(8);
    story.insert(8);
    story.check();
    story.publish(6..10);
    story.check();
    story.timeline.flush(0).unwrap();
    story.check();
    assert_eq!(story.timeline.len(), 7);
    assert_eq!(all(&story.timeline).len(), 7);
}
