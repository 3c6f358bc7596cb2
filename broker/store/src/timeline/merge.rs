//! Keeps runs few and worth their space.
//!
//! ```text
//!   tier 0: up to 4 Ki pending   1: up to 16 Ki   2: up to 64 Ki   ...   four of a tier become one
//! ```
//!
//! A run that has lost half of what it had to give is written again without it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::bits::Bits;
use super::restore::Dropped;
use super::run::first_ordinal;
use super::state::OnDisk;
use super::{Background, Key, Limits, Timeline, TimelineError, Timer};

/// Runs of a tier that are merged.
const MERGED: usize = 4;

/// What decides whether a run is merged.
#[derive(Clone, Copy, Debug)]
struct Weight {
    number: u32,
    pending: u64,
    unread: u64,
}

impl Timeline {
    /// Merges once if it is worth while; whether it was.
    pub(crate) fn merge_in_turn(&self, background: &mut Background) -> Result<bool, TimelineError> {
        let weights: Vec<Weight> = {
            let state = self.state.lock();
            let weight = |on_disk: &OnDisk| Weight {
                number: on_disk.run.number,
                pending: on_disk.pending,
                unread: on_disk.unread(),
            };
            state.runs.iter().map(weight).collect()
        };
        let Some(numbers) = pick(&weights, &self.limits) else { return Ok(false) };
        let mut sources = Vec::with_capacity(numbers.len());
        for number in &numbers {
            let state = self.state.lock();
            let on_disk = state.runs.iter().find(|on_disk| on_disk.run.number == *number);
            sources.extend(on_disk.cloned());
        }
        let merged = self.write_run(background, Merge::of(&sources)?)?;
        let gone = self.state.lock().replace(&numbers, Some(merged));
        background.dropped.extend(gone.iter().map(|on_disk| Dropped::now(on_disk.run.number)));
        Ok(true)
    }

    /// Forgets the runs that have nothing pending any more; their files stay for the checkpoints that list them.
    pub(crate) fn drop_finished(&self, background: &mut Background) {
        let finished: Vec<u32> = {
            let state = self.state.lock();
            let finished = state.runs.iter().filter(|on_disk| on_disk.pending == 0);
            finished.map(|on_disk| on_disk.run.number).collect()
        };
        if finished.is_empty() {
            return;
        }
        let gone = self.state.lock().replace(&finished, None);
        background.dropped.extend(gone.iter().map(|on_disk| Dropped::now(on_disk.run.number)));
    }
}

/// The runs that are worth merging next.
fn pick(weights: &[Weight], limits: &Limits) -> Option<Vec<u32>> {
    let is_hollow = |weight: &&Weight| weight.unread > limits.small_run && weight.pending < weight.unread / 2;
    if let Some(hollow) = weights.iter().find(is_hollow) {
        return Some(vec![hollow.number]);
    }
    let tier = |weight: &Weight| (weight.pending / limits.small_run).checked_ilog(MERGED as u64);
    let of_tier = |one: &Weight| {
        let alike = weights.iter().filter(|weight| tier(weight) == tier(one));
        alike.map(|weight| weight.number).collect::<Vec<_>>()
    };
    weights.iter().map(of_tier).find(|numbers| numbers.len() >= MERGED)
}

/// What is pending in several runs, in order.
struct Merge<'a> {
    sources: Vec<Source<'a>>,
    /// The next timer of each source that has one.
    next: BinaryHeap<Reverse<(Key, usize)>>,
}

/// The way through one run.
struct Source<'a> {
    on_disk: &'a OnDisk,
    /// What is left of the block that was read last, the next at the end.
    timers: Vec<Timer>,
    next_block: usize,
}

impl<'a> Merge<'a> {
    fn of(runs: &'a [OnDisk]) -> Result<Self, TimelineError> {
        let mut sources = Vec::with_capacity(runs.len());
        let mut next = BinaryHeap::with_capacity(runs.len());
        for (place, on_disk) in runs.iter().enumerate() {
            let mut source = Source { on_disk, timers: Vec::new(), next_block: on_disk.next_block };
            next.extend(source.peek()?.map(|key| Reverse((key, place))));
            sources.push(source);
        }
        Ok(Self { sources, next })
    }

    fn advance(&mut self, place: usize) -> Result<Option<Timer>, TimelineError> {
        let source = &mut self.sources[place];
        let timer = source.timers.pop();
        self.next.extend(source.peek()?.map(|key| Reverse((key, place))));
        Ok(timer)
    }
}

impl Iterator for Merge<'_> {
    type Item = Result<Timer, TimelineError>;

    fn next(&mut self) -> Option<Self::Item> {
        let Reverse((_, place)) = self.next.pop()?;
        self.advance(place).transpose()
    }
}

impl Source<'_> {
    /// The next pending timer, which is then the last of `timers`.
    fn peek(&mut self) -> Result<Option<Key>, TimelineError> {
        let OnDisk { run, removed, .. } = self.on_disk;
        while self.timers.is_empty() && self.next_block < run.marks.len() {
            let timers = run.block(self.next_block)?;
            self.timers.extend(pending(&timers, first_ordinal(self.next_block), removed));
            self.timers.reverse();
            self.next_block += 1;
        }
        Ok(self.timers.last().map(Timer::key))
    }
}

fn pending<'a>(timers: &'a [Timer], first: usize, removed: &'a Bits) -> impl Iterator<Item = Timer> + 'a {
    (first..).zip(timers).filter(|(ordinal, _)| !removed.has(*ordinal)).map(|(_, timer)| *timer)
}
