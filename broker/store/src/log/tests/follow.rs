//! A copy that takes what its leader wrote is the same log.

use proptest::prelude::*;

use super::copies::{Pair, assert_same, filled, follow, ship, sorted};
use super::*;
use crate::disk::sim::{Call, Failure};

#[derive(Clone, Debug)]
enum Action {
    Append(Vec<(u32, usize)>),
    Epoch(u32),
    Sync,
    Prepare {
        follower: bool,
    },
    Ship {
        bytes_max: usize,
    },
    /// The follower is restarted; with a seed, after the power was cut.
    Restart {
        power: Option<u64>,
        with_checkpoint: bool,
    },
    SyncFollower,
    /// The leader says what the follower has synced, not what it has synced itself.
    Stamp,
}

fn actions() -> impl Strategy<Value = Action> {
    let draft = (0..4u32, prop_oneof![0..64usize, 0..2_000usize, Just(9_000usize)]);
    prop_oneof![
        8 => prop::collection::vec(draft, 1..5).prop_map(Action::Append),
        1 => (1..4u32).prop_map(Action::Epoch),
        2 => Just(Action::Sync),
        1 => any::<bool>().prop_map(|follower| Action::Prepare { follower }),
        4 => prop_oneof![0..600usize, 0..40_000usize].prop_map(|bytes_max| Action::Ship { bytes_max }),
        1 => (prop::option::of(any::<u64>()), any::<bool>())
            .prop_map(|(power, with_checkpoint)| Action::Restart { power, with_checkpoint }),
        1 => Just(Action::SyncFollower),
        1 => Just(Action::Stamp),
    ]
}

impl Pair {
    fn act(&mut self, action: &Action) {
        match action {
            Action::Append(drafts) => {
                let drafts = drafts.iter().map(|&(queue, length)| match queue {
                    0 => Draft::control(Kind::Acks, vec![1; length / 4].into()),
                    _ => message(queue, vec![queue as u8; length]),
                });
                let drafts: Vec<_> = drafts.collect();
                match self.leader.append(&drafts, 1_000) {
                    Ok(_) | Err(AppendError::TooLarge { .. }) => {}
                    Err(other) => panic!("{other}"),
                }
            }
            Action::Epoch(more) => {
                let epoch = Epoch(self.leader.last_epoch().0 + more);
                self.leader.begin_epoch(epoch, 1_000).unwrap();
            }
            Action::Sync => {
                self.leader.sync().unwrap();
            }
            Action::Prepare { follower } => {
                let log = if *follower { &self.follower } else { &self.leader };
                log.preparer().prepare(1_000).unwrap();
            }
            Action::Ship { bytes_max } => {
                ship(&self.leader.reader(), &mut self.follower, *bytes_max).unwrap();
            }
            Action::Restart { power, with_checkpoint } => self.restart(*power, *with_checkpoint),
            Action::SyncFollower => {
                self.replay = checkpoint(&mut self.follower);
                self.synced = self.replay.covered;
            }
            Action::Stamp => {
                let agreed = Some(self.synced);
                self.leader.stamp(Stamps { durable: agreed, committed: agreed });
            }
        }
        assert!(self.follower.known_committed() <= self.follower.written());
    }

    fn restart(&mut self, power: Option<u64>, with_checkpoint: bool) {
        match power {
            Some(seed) => self.disk.power_cut(seed),
            None => self.disk.kill_process(),
        }
        let before = self.follower.written();
        let replay = if with_checkpoint { self.replay.clone() } else { Replay::default() };
        self.follower = follow(&self.disk, replay).unwrap();
        assert!(self.follower.written() >= self.synced, "what was synced is there");
        if power.is_none() {
            assert!(self.follower.written() >= before, "what was written is there");
        }
        self.synced = self.follower.durable();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn a_follower_has_the_bytes_the_tails_and_the_epochs_of_its_leader(
        actions in prop::collection::vec(actions(), 1..80), bytes_max in 0..50_000usize,
    ) {
        let mut pair = Pair::new();
        for action in &actions {
            pair.act(action);
        }
        while ship(&pair.leader.reader(), &mut pair.follower, bytes_max).unwrap() {}
        assert_same(&pair.leader_disk, &pair.leader, &pair.disk, &pair.follower);
        // And so it is after another start of both.
        pair.leader.sync().unwrap();
        pair.follower.sync().unwrap();
        pair.leader_disk.power_cut(1);
        pair.disk.power_cut(2);
        let leader = Log::open(Arc::new(pair.leader_disk.clone()), config(Flush::Sync), Replay::default(), 0);
        let follower = follow(&pair.disk, Replay::default()).unwrap();
        assert_same(&pair.leader_disk, &leader.unwrap(), &pair.disk, &follower);
    }
}

#[test]
fn a_span_with_any_bit_flipped_is_refused_and_changes_nothing() {
    let mut pair = filled(5);
    ship(&pair.leader.reader(), &mut pair.follower, 0).unwrap();
    let mut bytes = Vec::new();
    let (from, to) = (pair.follower.written(), pair.leader.written());
    let head = pair.leader.reader().read_raw(from, to, 1 << 20, &mut bytes).unwrap().unwrap();
    let before = (from, sorted(pair.follower.tails()), pair.follower.epochs(), pair.disk.mutations());
    for bit in 0..bytes.len() * 8 {
        bytes[bit / 8] ^= 1 << (bit % 8);
        let refused = pair.follower.append_raw(head.of(&bytes));
        let is_seen = matches!(refused, Err(RawError::Corrupt { .. } | RawError::Unsupported { .. }));
        assert!(is_seen, "bit {bit}: {refused:?}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
    for length in 0..bytes.len() {
        let refused = pair.follower.append_raw(head.of(&bytes[..length]));
        assert!(matches!(refused, Err(RawError::Corrupt { .. })), "{length} B: {refused:?}");
    }
    let follower = &pair.follower;
    let after = (follower.written(), sorted(follower.tails()), follower.epochs(), pair.disk.mutations());
    assert_eq!(after, before);
    pair.follower.append_raw(head.of(&bytes)).unwrap();
    assert_same(&pair.leader_disk, &pair.leader, &pair.disk, &pair.follower);
}

#[test]
fn a_span_that_does_not_follow_is_refused_with_the_reason() {
    let mut pair = filled(40);
    let reader = pair.leader.reader();
    let read = |from| {
        let mut bytes = Vec::new();
        let head = reader.read_raw(from, reader.written(), 0, &mut bytes).unwrap().unwrap();
        (head, bytes)
    };
    let (first, first_bytes) = read(Position(0));
    let (second, second_bytes) = read(first.end);
    let expected = pair.follower.written();
    let refused = pair.follower.append_raw(second.of(&second_bytes));
    assert_eq!(refused, Err(RawError::Gap { expected, found: second.start }));
    pair.follower.append_raw(first.of(&first_bytes)).unwrap();
    let refused = pair.follower.append_raw(first.of(&first_bytes));
    assert_eq!(refused, Err(RawError::Gap { expected: first.end, found: first.start }));
}

#[test]
fn a_log_that_leads_takes_nothing_and_keeps_what_it_has() {
    let mut pair = filled(5);
    let mut bytes = Vec::new();
    let head = pair.leader.reader().read_raw(Position(0), pair.leader.written(), 0, &mut bytes);
    let head = head.unwrap().unwrap();
    pair.follower.begin_epoch(Epoch(3), 1_000).unwrap();
    assert_eq!(pair.follower.append_raw(head.of(&bytes)), Err(RawError::Leading));
    let refused = pair.follower.truncate(pair.follower.head(), Vec::new());
    assert!(matches!(refused, Err(TruncateError::Leading)), "{refused:?}");
}

#[test]
#[should_panic(expected = "before an epoch was begun")]
fn a_log_that_follows_takes_no_drafts() {
    let mut pair = Pair::new();
    let _ = pair.follower.append(&[message(1, "a")], 1_000);
}

#[test]
#[should_panic(expected = "begins after")]
fn an_epoch_is_not_begun_twice() {
    let mut pair = filled(5);
    pair.leader.begin_epoch(Epoch(9), 1_000).unwrap();
}

#[test]
fn a_follower_on_a_full_disk_goes_on_once_there_is_room() {
    for room in 0..60 {
        let mut pair = filled(60);
        pair.disk.set_capacity_bytes(Some(4096 + 64 + room * 700));
        let reader = pair.leader.reader();
        let full = loop {
            match ship(&reader, &mut pair.follower, 3_000) {
                Ok(more) => assert!(more, "{room}: the disk never filled up"),
                Err(error) => break error,
            }
        };
        assert!(matches!(full, RawError::Full { .. }), "{full}");
        if room % 2 == 0 {
            pair.follower.sync().unwrap();
            pair.disk.power_cut(room);
            pair.disk.set_capacity_bytes(None);
            pair.follower = follow(&pair.disk, Replay::default()).unwrap();
        }
        pair.disk.set_capacity_bytes(None);
        while ship(&reader, &mut pair.follower, 3_000).unwrap() {}
        assert_same(&pair.leader_disk, &pair.leader, &pair.disk, &pair.follower);
    }
}

#[test]
fn a_failed_write_of_a_span_ends_the_log() {
    let mut pair = filled(5);
    pair.disk.fail(Call::Write, 1, Failure::Io);
    let reader = pair.leader.reader();
    let failed = ship(&reader, &mut pair.follower, 1 << 20);
    assert!(matches!(failed, Err(RawError::Poisoned(_))), "{failed:?}");
    let again = ship(&reader, &mut pair.follower, 1 << 20);
    assert!(matches!(again, Err(RawError::Poisoned(_))), "{again:?}");
}

#[test]
fn replaying_in_pieces_shows_what_replaying_at_once_shows() {
    let pair = filled(60);
    let reader = pair.leader.reader();
    let mut whole = Vec::new();
    reader.replay(Position(0), reader.written(), &mut |entry| whole.push(Seen::from(entry))).unwrap();
    let (mut pieces, mut at, mut bytes) = (Vec::new(), Position(0), Vec::new());
    while let Some(head) = reader.read_raw(at, reader.written(), 0, &mut bytes).unwrap() {
        reader.replay(at, head.end, &mut |entry| pieces.push(Seen::from(entry))).unwrap();
        at = head.end;
    }
    assert_eq!(pieces, whole);
    assert!(whole.len() > 120);
    let beyond = reader.replay(at, Position(at.0 + 8), &mut |_| {});
    assert!(matches!(beyond, Err(OpenError::Missing { .. })), "{beyond:?}");
}

#[test]
fn a_follower_that_starts_again_at_the_end_of_a_full_segment_is_not_ahead_of_its_leader() {
    let mut pair = Pair::new();
    // Behind the record that begins the epoch, a batch that leaves a rest in which no other fits.
    let body = SEGMENT_BYTES - pair.leader.written().0 - 2 * 64 - 4 - 100;
    pair.leader.append(&[message(1, vec![1; body as usize])], 1_000).unwrap();
    assert!(ship(&pair.leader.reader(), &mut pair.follower, 1 << 20).unwrap());
    pair.follower.sync().unwrap();
    pair.disk.power_cut(1);
    let mut follower = follow(&pair.disk, Replay::default()).unwrap();
    assert_eq!(follower.written(), pair.leader.written());
    follower.preparer().prepare(1_000).unwrap();
    pair.disk.kill_process();
    follower = follow(&pair.disk, Replay::default()).unwrap();
    assert_eq!(follower.written(), pair.leader.written());
    assert!(!ship(&pair.leader.reader(), &mut follower, 1 << 20).unwrap());
    pair.leader.append(&[message(1, "next")], 1_000).unwrap();
    assert!(ship(&pair.leader.reader(), &mut follower, 1 << 20).unwrap());
    assert_same(&pair.leader_disk, &pair.leader, &pair.disk, &follower);
}
