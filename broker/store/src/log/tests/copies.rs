//! A leader and a copy of its log, for the tests.

use super::*;

/// A leader and a follower, each on its disk.
pub(super) struct Pair {
    pub(super) leader_disk: SimDisk,
    pub(super) leader: Log,
    pub(super) disk: SimDisk,
    pub(super) follower: Log,
    pub(super) replay: Replay,
    pub(super) synced: Position,
}

/// Another size than the leader's: the follower makes its segments as the leader's are.
fn follower_config() -> LogConfig {
    LogConfig { segment_bytes: 5 * 4096, ..config(Flush::Sync) }
}

pub(super) fn follow(disk: &SimDisk, from: Replay) -> Result<Log, OpenError> {
    Log::open(Arc::new(disk.clone()), follower_config(), from, 1_000)
}

/// Ships one span; false if there was none.
pub(super) fn ship(leader: &LogReader, follower: &mut Log, bytes_max: usize) -> Result<bool, RawError> {
    let mut bytes = Vec::new();
    let read = leader.read_raw(follower.written(), leader.written(), bytes_max, &mut bytes);
    let Some(head) = read.unwrap() else { return Ok(false) };
    follower.append_raw(head.of(&bytes)).map(|()| true)
}

pub(super) fn sorted(mut tails: Vec<(QueueId, Offset)>) -> Vec<(QueueId, Offset)> {
    tails.sort_unstable();
    tails
}

/// The files of a log without their pages, which tell when they were made; an empty one is as good as none.
fn files(disk: &SimDisk) -> Vec<(String, Vec<u8>)> {
    let names = disk.list("log").unwrap().into_iter();
    let files = names.map(|name| (disk.contents(&format!("log/{name}")).unwrap(), name));
    files
        .filter(|(bytes, _)| bytes.len() > 4096)
        .map(|(bytes, name)| (name, bytes[4096..].to_vec()))
        .collect()
}

pub(super) fn assert_same(leader_disk: &SimDisk, leader: &Log, disk: &SimDisk, follower: &Log) {
    assert_eq!(follower.written(), leader.written());
    assert_eq!(sorted(follower.tails()), sorted(leader.tails()));
    assert_eq!((follower.epochs(), follower.last_epoch()), (leader.epochs(), leader.last_epoch()));
    assert!(files(leader_disk) == files(disk), "other bytes");
    let replayed = |log: &Log| {
        let mut seen = Vec::new();
        log.reader().replay(log.head(), log.written(), &mut |entry| seen.push(Seen::from(entry))).unwrap();
        seen
    };
    assert_eq!(replayed(leader), replayed(follower));
}

impl Pair {
    pub(super) fn new() -> Self {
        let (leader_disk, disk) = (SimDisk::new(5), SimDisk::new(6));
        let (leader, _) = open(&leader_disk, Flush::Async).unwrap();
        Log::create(&disk, leader.id(), leader.head(), SEGMENT_BYTES, 77).unwrap();
        let follower = follow(&disk, Replay::default()).unwrap();
        Self { leader_disk, leader, disk, follower, replay: Replay::default(), synced: Position(0) }
    }
}

/// A pair whose leader has `batches` and whose follower has nothing.
pub(super) fn filled(batches: u32) -> Pair {
    let mut pair = Pair::new();
    for number in 0..batches {
        let acks = Draft::control(Kind::Acks, vec![number as u8; 9].into());
        let length = number as usize * 331 % 1_500;
        pair.leader
            .append(&[message(1 + number % 3, vec![7; length]), acks], 1_000 + u64::from(number))
            .unwrap();
        if number % 3 == 0 {
            pair.leader.sync().unwrap();
        }
        if number == batches / 2 {
            pair.leader.begin_epoch(Epoch(9), 2_000).unwrap();
        }
    }
    pair
}
