//! A timeline from any section over damaged run files opens or is refused; what it then gives out makes sense.
//!
//! Input: first byte modulo 3 is 0: the rest is the section. 1: changes of 3 bytes in a good section, `place` (2),
//! `mask`. 2: changes of 4 bytes in the run files, `file and flags`, `place` (2), `mask`; flag 0x80 gives the blocks
//! checksums that fit.
#![no_main]

use std::io::IoSlice;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use store::disk::Disk;
use store::disk::sim::SimDisk;
use store::timeline::{Timeline, Timer, fuzz};
use store::{Position, QueueId};

static BASE: LazyLock<(SimDisk, Vec<u8>)> = LazyLock::new(base);

/// Timers per run: two blocks, the second of 48.
const TIMERS: u64 = 150;

fuzz_target!(|bytes: &[u8]| {
    let Some((mode, rest)) = bytes.split_first() else { return };
    let (disk, section) = &*BASE;
    let disk = disk.fork();
    match mode % 3 {
        0 => use_timeline(&disk, rest),
        1 => {
            let mut section = section.clone();
            for change in rest.chunks_exact(3) {
                let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % section.len();
                section[place] ^= change[2];
            }
            use_timeline(&disk, &section);
        }
        _ => {
            rest.chunks_exact(4).for_each(|change| damage(&disk, change));
            use_timeline(&disk, section);
        }
    }
});

fn use_timeline(disk: &SimDisk, section: &[u8]) {
    let Ok(timeline) = Timeline::open(Arc::new(disk.clone()), Some(section)) else { return };
    let _ = timeline.below(Position(u64::MAX), |_| ());
    for number in (0..3 * TIMERS).step_by(17) {
        let Timer { due_ms, position, .. } = timer(number);
        if let Ok(Some(found)) = timeline.find(due_ms, position) {
            assert_eq!((found.due_ms, found.position), (due_ms, position));
        }
        timeline.remove(due_ms, position);
    }
    let _ = timeline.flush(500);
    let _ = timeline.load_ahead(700);
    let mut due = Vec::new();
    timeline.due(600, None, 1000, &mut due);
    assert!(due.is_sorted_by_key(|timer| (timer.due_ms, timer.position)));
    // What a timeline says of itself, it understands.
    let again = Timeline::open(Arc::new(disk.clone()), Some(&timeline.snapshot())).expect("its own section");
    assert_eq!((again.len(), again.next_due_ms()), (timeline.len(), timeline.next_due_ms()));
}

fn timer(number: u64) -> Timer {
    Timer {
        due_ms: 100 + number * 37 % 1000,
        position: Position(number * 8),
        bytes: 8,
        queue: QueueId(1),
        tag_hash: 1,
        lane: 0,
        stored_ms: number,
    }
}

/// Three run files, with some timers removed, and some in memory.
fn base() -> (SimDisk, Vec<u8>) {
    let disk = SimDisk::new(1);
    let timeline = Timeline::open(Arc::new(disk.clone()), None).expect("an empty disk opens");
    for run in 0..3 {
        (run * TIMERS..(run + 1) * TIMERS).for_each(|number| timeline.insert(timer(number)));
        timeline.flush(0).expect("the disk is well");
    }
    for number in (0..3 * TIMERS).step_by(5) {
        timeline.remove(timer(number).due_ms, timer(number).position);
    }
    timeline.flush(0).expect("the disk is well");
    (0..40).for_each(|number| timeline.insert(timer(3 * TIMERS + number)));
    timeline.remove(timer(1).due_ms, timer(1).position);
    let section = timeline.snapshot();
    (disk, section)
}

fn damage(disk: &SimDisk, change: &[u8]) {
    let number = 1 + u32::from(change[0] % 3);
    let path = fuzz::path(number);
    let (Some(mut bytes), Ok(file)) = (disk.contents(&path), disk.open(&path)) else { return };
    let place = usize::from(u16::from_le_bytes([change[1], change[2]])) % bytes.len();
    bytes[place] ^= change[3];
    if change[0] & 0x80 != 0 {
        fuzz::reseal_block(&mut bytes, number, 0, 4096);
        fuzz::reseal_block(&mut bytes, number, 1, 16 + 48 * 40);
    }
    file.write_at(&[IoSlice::new(&bytes)], 0).expect("the disk is well");
}
