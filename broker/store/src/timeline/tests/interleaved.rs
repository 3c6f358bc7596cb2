//! What happens between the calls of a flush, a merge or a load: before each of them the log goes on and readers read.
//!
//! All on one thread: a call of the disk under the lock that the log thread takes would hang the test.

use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;
use proptest::prelude::*;

use super::SMALL;
use super::model::Model;
use crate::disk::sim::{Random, SimDisk};
use crate::disk::{Disk, File};
use crate::timeline::Timeline;

const END_MS: u64 = 1000;

/// What happens before every call.
type Meanwhile = Arc<dyn Fn() + Send + Sync>;

#[derive(Clone)]
struct Busy<T> {
    inner: T,
    meanwhile: Meanwhile,
}

impl<T> Busy<T> {
    fn after(&self) -> &T {
        (self.meanwhile)();
        &self.inner
    }

    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(Busy { inner: file, meanwhile: Arc::clone(&self.meanwhile) })
    }
}

impl Disk for Busy<SimDisk> {
    fn open(&self, path: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.after().open(path)?))
    }
    fn create(&self, path: &str) -> io::Result<Arc<dyn File>> {
        Ok(self.file(self.after().create(path)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.after().rename(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.after().remove(path)
    }
    fn create_dir(&self, dir: &str) -> io::Result<()> {
        self.after().create_dir(dir)
    }
    fn list(&self, dir: &str) -> io::Result<Vec<String>> {
        self.after().list(dir)
    }
    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        self.after().sync_dir(dir)
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.after().free_bytes()
    }
}

impl File for Busy<Arc<dyn File>> {
    fn len_bytes(&self) -> io::Result<u64> {
        self.after().len_bytes()
    }
    fn read_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.after().read_at(buffer, at)
    }
    fn read_cached_at(&self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        self.after().read_cached_at(buffer, at)
    }
    fn write_at(&self, slices: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        self.after().write_at(slices, at)
    }
    fn sync(&self) -> io::Result<()> {
        self.after().sync()
    }
    fn release_cached(&self, at: u64, bytes: u64) {
        self.after().release_cached(at, bytes);
    }
    fn allocate(&self, len_bytes: u64) -> io::Result<()> {
        self.after().allocate(len_bytes)
    }
    fn truncate(&self, len_bytes: u64) -> io::Result<()> {
        self.after().truncate(len_bytes)
    }
}

/// A timeline and what it should say.
struct World {
    timeline: OnceLock<Timeline>,
    truth: Mutex<(Model, Random)>,
    /// Somebody only reads: then the background works meanwhile.
    is_reading: AtomicBool,
}

impl World {
    fn new(seed: u64) -> Arc<Self> {
        let truth = Mutex::new((Model::default(), Random::new(seed)));
        let is_reading = AtomicBool::new(false);
        let world = Arc::new(Self { timeline: OnceLock::new(), truth, is_reading });
        let meanwhile = {
            let world = Arc::downgrade(&world);
            Arc::new(move || {
                if let Some(world) = world.upgrade() {
                    world.go_on();
                }
            })
        };
        let disk = Arc::new(Busy { inner: SimDisk::new(seed), meanwhile });
        let timeline = Timeline::restored(disk, None, SMALL).unwrap();
        assert!(world.timeline.set(timeline).is_ok());
        world
    }

    fn timeline(&self) -> &Timeline {
        self.timeline.get().unwrap()
    }

    fn go_on(&self) {
        // Whoever checks or goes on already reads too, in peace.
        let (Some(timeline), Some(mut truth)) = (self.timeline.get(), self.truth.try_lock()) else { return };
        let (model, random) = &mut *truth;
        if self.is_reading.load(Ordering::Relaxed) {
            timeline.load_ahead(random.below(END_MS)).unwrap();
            timeline.flush(random.below(END_MS)).unwrap();
        }
        for _ in 0..random.below(6) {
            model.insert(timeline, random.below(END_MS));
        }
        model.remove_some(timeline, 40, random);
        model.repeat_some(timeline, 20, random);
        model.check_due(timeline, random);
        model.check_find(timeline, random);
    }

    /// A timer is found wherever it moves meanwhile, if it is not removed.
    fn find(&self) {
        let (key, timer) = {
            let (model, random) = &mut *self.truth.lock();
            let timers = model.timers();
            let Some(timer) = timers.get(random.below(timers.len() as u64 + 1) as usize) else { return };
            (timer.key(), *timer)
        };
        self.is_reading.store(true, Ordering::Relaxed);
        let found = self.timeline().find(key.0, key.1).unwrap();
        self.is_reading.store(false, Ordering::Relaxed);
        assert!(found.is_none_or(|found| found == timer));
        assert!(found.is_some() || !self.truth.lock().0.timers().contains(&timer));
    }

    fn check(&self) {
        let (model, random) = &mut *self.truth.lock();
        model.check(self.timeline(), random);
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Insert { count: usize },
    Flush { keep_until_ms: u64 },
    Load { until_ms: u64 },
    Find,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        2 => (1..250_usize).prop_map(|count| Step::Insert { count }),
        3 => (0..END_MS).prop_map(|keep_until_ms| Step::Flush { keep_until_ms }),
        2 => (0..END_MS).prop_map(|until_ms| Step::Load { until_ms }),
        3 => Just(Step::Find),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(96) })]
    #[test]
    fn what_happens_between_two_calls_is_never_lost(steps in prop::collection::vec(step(), 1..25), seed: u64) {
        let world = World::new(seed);
        for step in steps {
            match step {
                Step::Insert { count } => {
                    let (model, random) = &mut *world.truth.lock();
                    for _ in 0..count {
                        model.insert(world.timeline(), random.below(END_MS));
                    }
                }
                Step::Flush { keep_until_ms } => world.timeline().flush(keep_until_ms).unwrap(),
                Step::Load { until_ms } => world.timeline().load_ahead(until_ms).unwrap(),
                Step::Find => world.find(),
            }
            world.check();
        }
    }
}
