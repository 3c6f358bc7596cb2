//! The timeline against a plain map, over random histories.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::{SMALL, all, small, timer};
use crate::Position;
use crate::disk::sim::{Call, Failure, Random, SimDisk};
use crate::timeline::{Key, Timeline, Timer};

/// What a record of the log says.
#[derive(Clone, Copy)]
enum Record {
    Timer(Timer),
    Gone(Key),
}

/// The log that a timeline is a fold of, and what it says is pending.
#[derive(Default)]
pub(crate) struct Model {
    log: Vec<Record>,
    pending: BTreeMap<Key, Timer>,
}

impl Model {
    pub(crate) fn end(&self) -> usize {
        self.log.len()
    }

    /// Everything that is pending, in order.
    pub(crate) fn timers(&self) -> Vec<Timer> {
        self.pending.values().copied().collect()
    }

    pub(crate) fn insert(&mut self, timeline: &Timeline, due_ms: u64) {
        let timer = timer(due_ms, self.log.len() as u64 * 8);
        self.log.push(Record::Timer(timer));
        self.pending.insert(timer.key(), timer);
        timeline.insert(timer);
    }

    pub(crate) fn remove(&mut self, timeline: &Timeline, key: Key) {
        self.log.push(Record::Gone(key));
        self.pending.remove(&key);
        timeline.remove(key.0, key.1);
    }

    /// Removes about one in `part` of what is pending.
    pub(crate) fn remove_some(&mut self, timeline: &Timeline, part: u64, random: &mut Random) {
        let keys: Vec<Key> = self.pending.keys().copied().filter(|_| random.one_in(part)).collect();
        for key in keys {
            self.remove(timeline, key);
        }
    }

    /// Tells about one in `part` of what is pending again, as a replay does; some were removed in between.
    pub(crate) fn repeat_some(&self, timeline: &Timeline, part: u64, random: &mut Random) {
        for timer in self.pending.values() {
            if random.one_in(part) {
                if random.one_in(2) {
                    timeline.remove(timer.due_ms, timer.position);
                }
                timeline.insert(*timer);
            }
        }
    }

    /// What a start does once the log is there.
    pub(crate) fn replay(&self, timeline: &Timeline, covered: usize) {
        for record in &self.log[covered..] {
            match record {
                Record::Timer(timer) => timeline.insert(*timer),
                Record::Gone((due_ms, position)) => timeline.remove(*due_ms, *position),
            }
        }
    }

    /// Fires what is due and in memory, in order, as long as nothing on disk comes before; then loads more.
    pub(crate) fn fire(&mut self, timeline: &Timeline, now_ms: u64, random: &mut Random) {
        loop {
            let mut due = Vec::new();
            let max = 1 + random.below(300) as usize;
            let on_disk = timeline.due(now_ms, None, max, &mut due);
            due.retain(|timer| on_disk.is_none_or(|on_disk| timer.key() < on_disk));
            for timer in &due {
                assert_eq!(self.pending.first_key_value(), Some((&timer.key(), timer)));
                self.remove(timeline, timer.key());
            }
            if on_disk.is_some() {
                timeline.load_ahead(now_ms).unwrap();
            } else if due.len() < max {
                break;
            }
        }
        assert!(self.pending.keys().all(|(due_ms, _)| *due_ms > now_ms));
    }

    pub(crate) fn check(&self, timeline: &Timeline, random: &mut Random) {
        assert_eq!(all(timeline), self.timers());
        let len = self.pending.len() as u64;
        assert!(timeline.len() <= len, "{} of {len}", timeline.len());
        let first = self.pending.keys().next().copied();
        match (timeline.next_due_ms(), first) {
            (Some(told), Some((first, _))) => assert!(told <= first),
            (told, first) => assert!(first.is_none(), "{told:?} {first:?}"),
        }
        self.check_below(timeline, random);
        self.check_due(timeline, random);
        self.check_find(timeline, random);
    }

    pub(crate) fn check_find(&self, timeline: &Timeline, random: &mut Random) {
        for _ in 0..4 {
            if let Some(record) = self.log.get(random.below(self.log.len() as u64 + 1) as usize) {
                let (Record::Timer(Timer { due_ms, position, .. }) | Record::Gone((due_ms, position))) =
                    *record;
                let known = self.pending.get(&(due_ms, position)).copied();
                assert_eq!(timeline.find(due_ms, position).unwrap(), known);
                assert_eq!(timeline.find(due_ms + 1, position).unwrap(), None);
            }
        }
    }

    fn check_below(&self, timeline: &Timeline, random: &mut Random) {
        let lowest = self.pending.values().map(|timer| timer.position).min();
        let told = timeline.oldest_position();
        assert!(lowest.is_none_or(|lowest| told.unwrap() <= lowest), "{told:?} {lowest:?}");
        let head = Position(random.below(self.log.len() as u64 * 8 + 1));
        let mut below = Vec::new();
        timeline.below(head, |timer| below.push(timer)).unwrap();
        below.sort_unstable_by_key(Timer::key);
        let mut known = self.timers();
        known.retain(|timer| timer.position < head);
        assert_eq!(below, known);
        if below.is_empty() {
            assert!(timeline.oldest_position().is_none_or(|oldest| oldest >= head));
        }
    }

    /// What is due is told, but for what comes after the place that is told instead; from any place on.
    pub(crate) fn check_due(&self, timeline: &Timeline, random: &mut Random) {
        let last = self.pending.keys().next_back().map_or(0, |(due_ms, _)| *due_ms);
        let now_ms = random.below(last.saturating_add(2));
        let mut due = Vec::new();
        let mut end = None;
        loop {
            let after = due.last().map(Timer::key);
            let before = due.len();
            let on_disk = timeline.due(now_ms, after, 1 + random.below(400) as usize, &mut due);
            end = end.into_iter().chain(on_disk).min();
            if due.len() == before {
                break;
            }
        }
        assert!(due.is_sorted_by(|one, next| one.key() < next.key()));
        assert!(
            due.iter().all(|timer| timer.due_ms <= now_ms && self.pending.get(&timer.key()) == Some(timer))
        );
        let is_told = |timer: &&Timer| timer.due_ms <= now_ms && end.is_none_or(|end| timer.key() < end);
        let known: Vec<_> = self.pending.values().filter(is_told).copied().collect();
        due.retain(|timer| end.is_none_or(|end| timer.key() < end));
        assert_eq!(due, known);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Timers whose dues are spread over so much from `due_ms` on.
    Insert {
        count: usize,
        due_ms: u64,
        spread_ms: u64,
    },
    /// One in so many.
    Remove {
        part: u64,
    },
    RemoveUnknown {
        due_ms: u64,
    },
    Flush {
        keep_until_ms: u64,
    },
    Fail {
        call: usize,
        nth: u64,
    },
    Load {
        until_ms: u64,
    },
    Fire {
        now_ms: u64,
    },
    /// A checkpoint during which the log goes on.
    Save {
        meanwhile: usize,
        flushes: bool,
    },
    Reopen {
        from_older: bool,
    },
}

const END_MS: u64 = 1000;

fn step() -> impl Strategy<Value = Step> {
    let spread = prop_oneof![Just(1), Just(20), Just(END_MS)];
    prop_oneof![
        6 => (1..250_usize, 0..END_MS, spread)
            .prop_map(|(count, due_ms, spread_ms)| Step::Insert { count, due_ms, spread_ms }),
        3 => (1..8_u64).prop_map(|part| Step::Remove { part }),
        1 => (0..2 * END_MS).prop_map(|due_ms| Step::RemoveUnknown { due_ms }),
        4 => (0..END_MS).prop_map(|keep_until_ms| Step::Flush { keep_until_ms }),
        1 => (0..5_usize, 1..6_u64).prop_map(|(call, nth)| Step::Fail { call, nth }),
        2 => (0..END_MS).prop_map(|until_ms| Step::Load { until_ms }),
        1 => (0..END_MS / 2).prop_map(|now_ms| Step::Fire { now_ms }),
        3 => (0..60_usize, any::<bool>()).prop_map(|(meanwhile, flushes)| Step::Save { meanwhile, flushes }),
        2 => any::<bool>().prop_map(|from_older| Step::Reopen { from_older }),
    ]
}

/// A timeline, its log and its two checkpoints, the newer last.
struct Story {
    disk: SimDisk,
    timeline: Timeline,
    model: Model,
    saved: Vec<(usize, Vec<u8>)>,
    random: Random,
}

impl Story {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let timeline = small(&disk, None).unwrap();
        Self { disk, timeline, model: Model::default(), saved: Vec::new(), random: Random::new(seed) }
    }

    fn insert(&mut self, count: usize, due_ms: u64, spread_ms: u64) {
        for _ in 0..count {
            let due_ms = due_ms + self.random.below(spread_ms);
            self.model.insert(&self.timeline, due_ms);
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Insert { count, due_ms, spread_ms } => self.insert(count, due_ms, spread_ms),
            Step::Remove { part } => self.model.remove_some(&self.timeline, part, &mut self.random),
            Step::RemoveUnknown { due_ms } => {
                let position = Position(self.random.below(self.model.end() as u64 + 1) * 8 + 4);
                self.model.remove(&self.timeline, (due_ms, position));
            }
            Step::Flush { keep_until_ms } => {
                self.timeline.flush(keep_until_ms).unwrap();
                assert!(!self.timeline.wants_flush());
                assert_eq!(self.timeline.len(), self.model.pending.len() as u64, "removals were looked up");
                assert!(self.timeline.state.lock().memory.len() <= SMALL.memory);
            }
            Step::Fail { call, nth } => {
                let call = [Call::Create, Call::Write, Call::Sync, Call::SyncDir, Call::Read][call];
                self.disk.fail(call, nth, Failure::Full);
                let _ = self.timeline.flush(END_MS / 2);
                let _ = self.timeline.load_ahead(END_MS / 2);
                self.disk.forget_faults();
            }
            Step::Load { until_ms } => self.timeline.load_ahead(until_ms).unwrap(),
            Step::Fire { now_ms } => self.model.fire(&self.timeline, now_ms, &mut self.random),
            Step::Save { meanwhile, flushes } => self.save(meanwhile, flushes),
            Step::Reopen { from_older } => self.reopen(from_older),
        }
    }

    fn save(&mut self, meanwhile: usize, flushes: bool) {
        let covered = self.model.end();
        self.insert(meanwhile, 0, END_MS);
        self.model.remove_some(&self.timeline, 9, &mut self.random);
        if flushes {
            self.timeline.flush(END_MS / 4).unwrap();
        }
        let section = self.timeline.snapshot();
        // What comes between the section and the file.
        self.insert(meanwhile / 2, 0, END_MS);
        self.timeline.load_ahead(END_MS / 8).unwrap();
        self.timeline.checkpointed(&section).unwrap();
        self.saved.push((covered, section));
        if self.saved.len() > 2 {
            self.saved.remove(0);
        }
    }

    fn reopen(&mut self, from_older: bool) {
        if from_older && self.saved.len() == 2 {
            self.saved.pop();
        }
        self.disk.kill_process();
        let saved = self.saved.last();
        self.timeline = small(&self.disk, saved.map(|(_, section)| &**section)).unwrap();
        self.model.replay(&self.timeline, saved.map_or(0, |(covered, _)| *covered));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]
    #[test]
    fn it_answers_as_a_map_would(steps in prop::collection::vec(step(), 1..40), seed: u64) {
        let mut story = Story::new(seed);
        for step in steps {
            story.take(step);
            story.model.check(&story.timeline, &mut story.random);
        }
        story.model.fire(&story.timeline, 3 * END_MS, &mut story.random);
        prop_assert!(story.timeline.memory_bytes() < 64 << 10);
    }
}
