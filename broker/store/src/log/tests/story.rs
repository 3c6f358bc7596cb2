//! A scripted life of a log, what it was promised, and whether a crash kept the promises.

use super::*;
use crate::disk::sim::Random;

/// A step of the script.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Append(Vec<Draft>),
    Sync,
    /// Syncs, and remembers that the folds have come so far.
    Checkpoint,
    /// Deletes all but the youngest part of what the last checkpoint covers.
    Retain,
    Prepare,
}

/// What the log's user knows.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    /// Drafts that were placed, batch by batch.
    batches: Vec<Vec<(Placed, Draft)>>,
    /// A batch whose append was not answered.
    pending: Vec<Draft>,
    /// What a sync has answered.
    durable: Position,
    /// The last checkpoint.
    replay: Replay,
    epoch: Epoch,
    now_ms: u64,
}

/// Steps that cross several segments, with batches of all sizes.
pub(super) fn script(seed: u64, steps: usize, flush: Flush) -> Vec<Step> {
    let mut random = Random::new(seed);
    let mut script = Vec::new();
    for number in 0..steps {
        script.push(match random.below(12) {
            0 => Step::Checkpoint,
            1 => Step::Retain,
            2 => Step::Prepare,
            3 => Step::Sync,
            _ => Step::Append(batch(&mut random, number)),
        });
        if flush == Flush::Sync && matches!(script.last(), Some(Step::Append(_))) {
            script.push(Step::Sync);
        }
    }
    script
}

fn batch(random: &mut Random, number: usize) -> Vec<Draft> {
    let count = 1 + random.below(4);
    let draft = |random: &mut Random| {
        let length = [0, 30, 500, 1_100, 2_700][random.below(5) as usize] + random.below(9);
        match random.below(6) {
            0 => Draft::control(Kind::Acks, vec![number as u8; length as usize / 8].into()),
            _ => message(1 + random.below(3) as u32, vec![number as u8; length as usize]),
        }
    };
    (0..count).map(|_| draft(random)).collect()
}

impl Known {
    /// Opens the log and goes through the steps until one fails; says whether all went well.
    pub(super) fn live(&mut self, disk: &SimDisk, flush: Flush, script: &[Step]) -> bool {
        let Ok((mut log, _)) = open_from(disk, config(flush), self.replay.clone()) else { return false };
        self.epoch = log.last_epoch();
        let preparer = log.preparer();
        for step in script {
            self.now_ms += 10;
            let done = match step {
                Step::Append(drafts) => self.append(&mut log, drafts),
                Step::Sync => log.sync().is_ok_and(|durable| self.synced(durable)),
                Step::Checkpoint => log.sync().is_ok_and(|durable| {
                    self.replay = Replay { covered: durable, tails: log.tails(), epochs: log.epochs() };
                    self.synced(durable)
                }),
                Step::Retain => {
                    let retention = Retention { max_age_ms: u64::MAX, max_bytes: Some(2 * SEGMENT_BYTES) };
                    log.retain(self.now_ms, retention, self.replay.covered).is_ok()
                }
                Step::Prepare => preparer.prepare(self.now_ms).is_ok(),
            };
            if !done {
                return false;
            }
        }
        true
    }

    /// Another life began an epoch, which must not be begun again.
    pub(super) fn began(&mut self, again: &Self) {
        self.epoch = again.epoch;
    }

    fn append(&mut self, log: &mut Log, drafts: &[Draft]) -> bool {
        self.pending = drafts.to_vec();
        let Ok(placed) = log.append(drafts, self.now_ms) else { return false };
        self.batches.push(placed.into_iter().zip(std::mem::take(&mut self.pending)).collect());
        true
    }

    fn synced(&mut self, durable: Position) -> bool {
        self.durable = durable;
        true
    }

    /// Opens the log after a crash, without and then with the checkpoint, and holds what it finds against what is
    /// known; then the log goes on. Panics if a promise is broken.
    pub(super) fn check(&mut self, disk: &SimDisk, flush: Flush, why: &str) {
        let seen = self.check_prefix(disk, flush, why);
        let (log, covered) = open_from(disk, config(flush), self.replay.clone())
            .unwrap_or_else(|error| panic!("{why}: with the checkpoint: {error}"));
        let above: Vec<_> = seen.iter().filter(|seen| seen.position >= self.replay.covered).collect();
        let covered: Vec<_> = covered.iter().filter(|seen| seen.kind != Kind::Epoch).collect();
        assert_eq!(covered, above, "{why}: the checkpoint changes what is replayed");
        assert!(log.durable() >= self.durable);
        drop(log);
        self.check_goes_on(disk, flush, why, &seen);
    }

    /// Everything found was appended, in order and byte for byte; everything synced is found.
    fn check_prefix(&mut self, disk: &SimDisk, flush: Flush, why: &str) -> Vec<Seen> {
        let (log, seen) = open(disk, flush).unwrap_or_else(|error| panic!("{why}: {error}"));
        assert!(log.last_epoch() > self.epoch, "{why}: epoch fell");
        assert!(log.written() >= self.durable, "{why}: {} is not durable {}", log.written(), self.durable);
        let seen: Vec<_> = seen.into_iter().filter(|seen| seen.kind != Kind::Epoch).collect();
        let all: Vec<_> = self.batches.iter().filter(|batch| batch[0].0.position >= log.head()).collect();
        let mut found = 0;
        for batch in &all {
            if found == seen.len() {
                assert!(batch[0].0.position >= self.durable, "{why}: a synced batch is lost");
                break;
            }
            for (placed, draft) in *batch {
                let seen = seen.get(found).unwrap_or_else(|| panic!("{why}: half a batch"));
                let is = (seen.position, seen.offset, seen.bytes, seen.stored_ms, seen.kind);
                let was = (placed.position, placed.offset, placed.bytes, placed.stored_ms, draft.kind);
                assert_eq!(is, was, "{why}: not what was appended");
                check_content(&log, seen, draft, why);
                found += 1;
            }
        }
        if found < seen.len() {
            // The append that was never answered may have happened, as a whole.
            assert_eq!(seen.len() - found, self.pending.len(), "{why}: records from nowhere");
            for (seen, draft) in seen[found..].iter().zip(&self.pending) {
                check_content(&log, seen, draft, why);
            }
        }
        self.epoch = log.last_epoch();
        seen
    }

    /// The log takes records after what was found, and keeps all of it over another crash.
    fn check_goes_on(&self, disk: &SimDisk, flush: Flush, why: &str, before: &[Seen]) {
        let (mut log, _) = open_from(disk, config(flush), self.replay.clone()).unwrap();
        let drafts: Vec<_> = (0..9).map(|_| message(1, vec![0xEE; 2_500])).collect();
        let mut expected: Vec<_> = before.iter().map(|seen| (seen.queue, seen.offset, seen.bytes)).collect();
        for draft in &drafts {
            let placed = log.append(std::slice::from_ref(draft), self.now_ms).unwrap()[0];
            expected.push((draft.queue, placed.offset, placed.bytes));
        }
        log.sync().unwrap();
        drop(log);
        disk.power_cut(99);
        let (_, seen) = open(disk, flush).unwrap_or_else(|error| panic!("{why}: later: {error}"));
        let seen: Vec<_> = seen.iter().filter(|seen| seen.kind != Kind::Epoch).collect();
        let seen: Vec<_> = seen.iter().map(|seen| (seen.queue, seen.offset, seen.bytes)).collect();
        assert_eq!(seen, expected, "{why}: later");
        check_dense(&seen, why);
    }
}

fn check_content(log: &Log, seen: &Seen, draft: &Draft, why: &str) {
    let record =
        log.reader().read(seen.position, seen.bytes).unwrap_or_else(|error| panic!("{why}: {error}"));
    assert_eq!(
        (record.head(), record.body()),
        (draft.head.clone(), draft.body.clone()),
        "{why}: other bytes"
    );
}

fn check_dense(seen: &[(QueueId, Offset, u32)], why: &str) {
    let mut tails = std::collections::BTreeMap::new();
    for (queue, offset, _) in seen.iter().filter(|(queue, ..)| *queue != QueueId::NONE) {
        let tail = tails.entry(*queue).or_insert(*offset);
        assert_eq!(tail, offset, "{why}: offsets of queue {queue} have a gap");
        tail.0 += 1;
    }
}
