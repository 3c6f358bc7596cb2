//! Whatever is done in whatever order, the log holds what a plain list would hold.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Action {
    Append(Vec<(u32, usize, bool)>),
    Sync,
    Prepare,
    Retain { segments: u64 },
    Reopen { with_checkpoint: bool, segment_pages: u64 },
}

fn actions() -> impl Strategy<Value = Action> {
    let draft = (1..4u32, prop_oneof![0..64usize, 0..2_000usize, Just(40_000usize)], any::<bool>());
    prop_oneof![
        6 => prop::collection::vec(draft, 1..5).prop_map(Action::Append),
        1 => Just(Action::Sync),
        1 => Just(Action::Prepare),
        1 => (1..4u64).prop_map(|segments| Action::Retain { segments }),
        1 => (any::<bool>(), 4..40u64)
            .prop_map(|(with_checkpoint, segment_pages)| Action::Reopen { with_checkpoint, segment_pages }),
    ]
}

/// The log, and a list of what should be in it.
struct Pair {
    disk: SimDisk,
    log: Log,
    list: Vec<(Placed, Draft)>,
    replay: Replay,
}

impl Pair {
    fn new() -> Self {
        let disk = SimDisk::new(3);
        let (log, _) = open(&disk, Flush::Async).unwrap();
        Self { disk, log, list: Vec::new(), replay: Replay::default() }
    }

    fn act(&mut self, action: &Action) -> Result<(), TestCaseError> {
        match action {
            Action::Append(drafts) => self.append(drafts)?,
            Action::Sync => {
                let covered = self.log.sync().unwrap();
                prop_assert_eq!(covered, self.log.written());
                self.replay = Replay { covered, tails: self.log.tails(), epochs: self.log.epochs() };
            }
            Action::Prepare => {
                self.log.preparer().prepare(1_000).unwrap();
            }
            Action::Retain { segments } => {
                let retention = Retention { max_age_ms: u64::MAX, max_bytes: Some(segments * SEGMENT_BYTES) };
                let head = self.log.retain(1_000, retention, self.replay.covered).unwrap();
                prop_assert!(head <= self.replay.covered);
            }
            Action::Reopen { with_checkpoint, segment_pages } => {
                let replay = if *with_checkpoint { self.replay.clone() } else { Replay::default() };
                self.reopen(replay, segment_pages * 4096)?;
            }
        }
        self.check_reads()
    }

    fn append(&mut self, drafts: &[(u32, usize, bool)]) -> Result<(), TestCaseError> {
        let drafts: Vec<_> = drafts
            .iter()
            .map(|&(queue, length, is_control)| {
                let body = vec![queue as u8; length];
                if is_control { Draft::control(Kind::Attempts, body.into()) } else { message(queue, body) }
            })
            .collect();
        let before = self.log.written();
        match self.log.append(&drafts, 1_000) {
            Ok(placed) => self.list.extend(placed.into_iter().zip(drafts)),
            Err(AppendError::TooLarge { bytes, limit_bytes }) => {
                prop_assert!(bytes > limit_bytes);
                prop_assert_eq!(self.log.written(), before);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
        Ok(())
    }

    fn reopen(&mut self, replay: Replay, segment_bytes: u64) -> Result<(), TestCaseError> {
        self.disk.kill_process();
        let covered = replay.covered.max(self.log.head());
        let (head, tails) = (self.log.head(), self.log.tails());
        let config = LogConfig { segment_bytes, ..config(Flush::Async) };
        let with_checkpoint = replay.covered > Position(0);
        let (log, seen) = open_from(&self.disk, config, replay).unwrap();
        let seen: Vec<_> = seen.iter().filter(|seen| seen.kind != Kind::Epoch).collect();
        let listed: Vec<_> = self.list.iter().filter(|(placed, _)| placed.position >= covered).collect();
        prop_assert_eq!(seen.len(), listed.len());
        for (seen, (placed, draft)) in seen.iter().zip(listed) {
            prop_assert_eq!(
                (seen.position, seen.offset, seen.bytes),
                (placed.position, placed.offset, placed.bytes)
            );
            prop_assert_eq!((seen.kind, seen.queue), (draft.kind, draft.queue));
        }
        prop_assert_eq!(log.head(), head);
        if with_checkpoint || head == Position(0) {
            prop_assert_eq!(sorted(log.tails()), sorted(tails));
            self.log = log;
        } else {
            // Without a checkpoint a queue whose records are all gone starts anew; that is the checkpoint's to keep.
            let replay = Replay { tails, ..Replay::default() };
            drop(log);
            self.log = open_from(&self.disk, config_of(segment_bytes), replay).unwrap().0;
        }
        Ok(())
    }

    /// Every record that is kept reads as the list says, one by one and together; the others are known to be gone.
    fn check_reads(&self) -> Result<(), TestCaseError> {
        let reader = self.log.reader();
        let wanted: Vec<_> = self.list.iter().map(|(placed, _)| (placed.position, placed.bytes)).collect();
        for ((placed, draft), read) in self.list.iter().zip(reader.read_span_cached(&wanted)) {
            match read {
                Ok(Some(record)) => {
                    prop_assert_eq!(record.body(), &draft.body);
                    prop_assert_eq!(record.entry(), Entry::of(draft, placed, record.entry().epoch));
                }
                Err(ReadError::Trimmed { head }) => prop_assert!(placed.position < head),
                other => prop_assert!(false, "{:?}", other),
            }
        }
        let Some((placed, draft)) = self.list.last() else { return Ok(()) };
        prop_assert_eq!(reader.read(placed.position, placed.bytes).unwrap().body(), &draft.body);
        Ok(())
    }
}

fn config_of(segment_bytes: u64) -> LogConfig {
    LogConfig { segment_bytes, ..config(Flush::Async) }
}

fn sorted(mut tails: Vec<(QueueId, Offset)>) -> Vec<(QueueId, Offset)> {
    tails.sort_unstable();
    tails
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn the_log_holds_what_a_list_would_hold(actions in prop::collection::vec(actions(), 1..50)) {
        let mut pair = Pair::new();
        for action in &actions {
            pair.act(action)?;
        }
    }
}
