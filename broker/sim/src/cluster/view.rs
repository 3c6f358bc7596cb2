//! What lies in every copy of the log, and what all of it is agreed: the truth that copies are compared with.

use std::collections::{BTreeMap, BTreeSet};

use engine::group::Group;
use store::log::LogReader;
use store::{Epoch, Offset, Position, QueueId};

use crate::invariant::copies_agree_by_epoch_and_position::Written;

/// A batch, as anybody finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Batch {
    pub(crate) start: Position,
    pub(crate) end: Position,
    pub(crate) epoch: Epoch,
    pub(crate) hash: u64,
}

/// One copy.
#[derive(Default)]
pub(crate) struct View {
    opening: u64,
    /// It began there when it was opened.
    head: Position,
    pub(crate) batches: Vec<Batch>,
    /// Batches of the truth that were compared, and with how many of the copy.
    compared: (usize, usize),
    /// The copy differs from the truth there.
    pub(crate) differs_at: Option<Position>,
    pub(crate) written: Position,
    pub(crate) published: Position,
    pub(crate) durable: Position,
}

/// All copies and the truth.
pub(crate) struct Views {
    pub(crate) copies: Vec<View>,
    pub(crate) truth: Vec<Batch>,
    /// Position of every message's record, by queue and offset.
    pub(crate) queues: BTreeMap<QueueId, Vec<Position>>,
    by_epoch: Written,
    /// What was agreed until every copy of it was lost.
    pub(crate) lost: BTreeSet<(Position, Epoch)>,
}

impl View {
    /// Whether it holds all of the truth.
    pub(crate) fn is_whole(&self, truth: &[Batch]) -> bool {
        self.differs_at.is_none() && self.compared.0 == truth.len()
    }

    /// How much of the truth it holds.
    pub(crate) fn reach(&self, truth: &[Batch]) -> Position {
        let last = self.compared.0.checked_sub(1).map(|last| truth[last].end);
        last.unwrap_or_default()
    }

    fn shorten(&mut self, to: Position) {
        while self.batches.last().is_some_and(|last| last.end > to) {
            self.batches.pop();
        }
        let gone = self.compared.1.saturating_sub(self.batches.len());
        self.compared = (self.compared.0 - gone, self.compared.1 - gone);
        self.differs_at = self.differs_at.filter(|at| *at < to);
    }
}

impl Views {
    pub(crate) fn new(machines: usize) -> Self {
        Self {
            copies: (0..machines).map(|_| View::default()).collect(),
            truth: Vec::new(),
            queues: BTreeMap::new(),
            by_epoch: Written::default(),
            lost: BTreeSet::new(),
        }
    }

    /// End of what is agreed.
    pub(crate) fn agreed(&self) -> Position {
        self.truth.last().map_or(Position(0), |last| last.end)
    }

    pub(crate) fn wiped(&mut self, at: usize) {
        self.copies[at] = View::default();
    }

    /// The copy is about to be cut.
    pub(crate) fn forget(&mut self, at: usize, from: Position) {
        self.copies[at].shorten(from);
        self.copies[at].written = from.min(self.copies[at].written);
    }

    /// Looks at a copy; whether more is agreed than before, and an error if copies disagree.
    pub(crate) fn look(
        &mut self,
        at: usize,
        opening: u64,
        group: &Group,
        is_sync: bool,
    ) -> Result<bool, String> {
        let (written, shown, durable) = (group.written(), group.published(), group.durable());
        // Who leads alone shows acks before they are synced; nobody was promised those.
        let published = if is_sync { shown.min(durable) } else { shown };
        let view = &mut self.copies[at];
        view.durable = durable;
        if view.opening == opening && view.written == written && view.published == published {
            self.compare(at);
            return Ok(false);
        }
        if view.opening != opening {
            *view = View { opening, head: group.head(), durable, ..View::default() };
        }
        view.shorten(written);
        (view.written, view.published) = (written, published);
        self.scan(at, group)?;
        self.compare(at);
        let is_more = published > self.agreed() && !self.holds_lost(at);
        if is_more {
            if !self.copies[at].is_whole(&self.truth) {
                let reach = self.copies[at].reach(&self.truth);
                return Err(format!("copy {at} shows {published} and lacks what is agreed from {reach} on"));
            }
            self.agree(at, published, &group.log_reader())?;
            self.compare(at);
        }
        Ok(is_more)
    }

    /// Reads what is new in a copy.
    fn scan(&mut self, at: usize, group: &Group) -> Result<(), String> {
        let (view, reader) = (&mut self.copies[at], group.log_reader());
        let mut from = view.batches.last().map_or_else(|| group.head(), |last| last.end).max(group.head());
        if from >= view.written {
            return Ok(());
        }
        let epochs = group.epochs();
        let mut bytes = Vec::new();
        while from < view.written {
            let read = reader.read_raw(from, view.written, 1, &mut bytes);
            let Some(head) = read.map_err(|error| format!("copy {at} cannot be read: {error}"))? else {
                break;
            };
            from = head.end;
            if bytes.is_empty() {
                continue;
            }
            let last = epochs.iter().rev().find(|began| began.start <= head.start);
            let epoch = last.map_or(Epoch(0), |last| last.epoch);
            let batch = Batch { start: head.start, end: head.end, epoch, hash: hash(&bytes) };
            view.batches.push(batch);
            self.by_epoch.found(at, batch)?;
        }
        Ok(())
    }

    /// Takes what a copy shows to clients for the truth.
    fn agree(&mut self, at: usize, to: Position, reader: &LogReader) -> Result<(), String> {
        let from = self.agreed();
        let batches = &self.copies[at].batches;
        let first = batches.partition_point(|batch| batch.start < from);
        let new: Vec<Batch> = batches[first..].iter().copied().take_while(|batch| batch.end <= to).collect();
        let begin = new.first().map_or(to, |first| first.start);
        self.truth.extend(new);
        let mut wrong = None;
        let queues = &mut self.queues;
        let replayed = reader.replay(begin, to, &mut |entry| {
            if entry.kind.takes_offset() {
                let queue = queues.entry(entry.queue).or_default();
                if entry.offset != Offset(queue.len() as u64) {
                    wrong.get_or_insert((entry.queue, entry.offset, queue.len(), entry.position));
                }
                queue.extend(std::iter::repeat_n(entry.position, entry.count.into()));
            }
        });
        replayed.map_err(|error| format!("what copy {at} shows cannot be read: {error}"))?;
        match wrong {
            None => Ok(()),
            Some((queue, offset, tail, position)) => {
                Err(format!("queue {queue} has {tail} messages, {offset} follows at {position} of copy {at}"))
            }
        }
    }

    fn compare(&mut self, at: usize) {
        let view = &mut self.copies[at];
        while let Some(truth) = self.truth.get(view.compared.0) {
            if truth.start < view.head && view.compared.1 == 0 {
                view.compared.0 += 1; // a seed knows what it said
                continue;
            }
            let Some(batch) = view.batches.get(view.compared.1) else { return };
            if batch != truth {
                view.differs_at = Some(batch.start.min(truth.start));
                return;
            }
            view.compared = (view.compared.0 + 1, view.compared.1 + 1);
        }
    }

    /// All copies are compared with what is agreed by now.
    pub(crate) fn compare_all(&mut self) {
        for at in 0..self.copies.len() {
            self.compare(at);
        }
    }

    /// Whether a copy still has something that the others lost by right.
    pub(crate) fn holds_lost(&self, at: usize) -> bool {
        !self.lost.is_empty()
            && self.copies[at].batches.iter().any(|batch| self.lost.contains(&(batch.start, batch.epoch)))
    }

    /// What lies beyond is lost by right.
    pub(crate) fn cut_truth(&mut self, to: Position) {
        self.lost
            .extend(self.truth.iter().filter(|batch| batch.end > to).map(|batch| (batch.start, batch.epoch)));
        self.truth.retain(|batch| batch.end <= to);
        for positions in self.queues.values_mut() {
            positions.retain(|position| *position < to);
        }
        for view in &mut self.copies {
            let gone = view.compared.0.saturating_sub(self.truth.len());
            view.compared = (view.compared.0 - gone, view.compared.1.saturating_sub(gone));
            view.differs_at = None;
        }
    }

    /// The queue of the record that lies there.
    pub(crate) fn find(&self, position: Position) -> Option<QueueId> {
        let holds = |positions: &Vec<Position>| positions.binary_search(&position).is_ok();
        self.queues.iter().find_map(|(&queue, positions)| holds(positions).then_some(queue))
    }

    /// The next offset of a queue, of what lies below a position.
    pub(crate) fn tail(&self, queue: QueueId, below: Position) -> Offset {
        let positions = self.queues.get(&queue).map_or(&[][..], Vec::as_slice);
        Offset(positions.partition_point(|position| *position < below) as u64)
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ bytes.len() as u64;
    let mut chunks = bytes.chunks_exact(8);
    for chunk in &mut chunks {
        let word = u64::from_le_bytes(chunk.try_into().expect("eight bytes"));
        hash = (hash ^ word).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(29);
    }
    chunks
        .remainder()
        .iter()
        .fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3))
}
