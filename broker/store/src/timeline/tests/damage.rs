//! Run files and sections that no timeline has written.

use super::{SMALL, all, small, timer};
use crate::Position;
use crate::disk::Disk;
use crate::disk::sim::{Random, SimDisk};
use crate::timeline::{Timeline, TimelineError};

const RUN: &str = "timeline/0000000001.timers";

/// A run of three blocks, and the section that lists it.
fn one_run() -> (SimDisk, Vec<u8>) {
    let disk = SimDisk::new(1);
    let timeline = small(&disk, None).unwrap();
    (0..250).for_each(|number| timeline.insert(timer(1000 + number * 7 % 250, number * 8)));
    timeline.flush(0).unwrap();
    let section = timeline.snapshot();
    (disk, section)
}

/// Everything that may read a block.
fn use_all(disk: &SimDisk, section: &[u8]) -> Result<(), TimelineError> {
    let timeline = small(disk, Some(section))?;
    timeline.below(Position(u64::MAX), |told| assert_eq!(told, timer(told.due_ms, told.position.0)))?;
    timeline.load_ahead(u64::MAX)
}

#[test]
fn a_flipped_bit_anywhere_in_a_run_is_told() {
    let (disk, section) = one_run();
    use_all(&disk, &section).unwrap();
    let mut random = Random::new(3);
    let len_bytes = disk.contents(RUN).unwrap().len() as u64;
    for at in 0..len_bytes {
        let damaged = disk.fork();
        assert!(damaged.flip_bit(RUN, at, random.below(8) as u8));
        let told = use_all(&damaged, &section);
        assert!(matches!(&told, Err(TimelineError::Corrupt { file, .. }) if file == RUN), "{at}: {told:?}");
    }
}

#[test]
fn a_damaged_block_is_told_with_its_place_by_whoever_reads_it_and_only_then() {
    let (disk, section) = one_run();
    assert!(disk.flip_bit(RUN, 64 + 4096 + 100, 0));
    let timeline = small(&disk, Some(&section)).unwrap();
    // The first block has 102 timers of one each ms.
    timeline.load_ahead(1101).unwrap();
    let error = timeline.load_ahead(1102).unwrap_err();
    assert_eq!(error.to_string(), format!("{RUN} is corrupt at byte 4160"));
    let known = |timeline: &Timeline, due_ms| timeline.find(due_ms, timer_at(due_ms).position);
    assert_eq!(known(&timeline, 1101).unwrap(), Some(timer_at(1101)));
    assert!(known(&timeline, 1102).is_err());
    assert_eq!(known(&timeline, 1249).unwrap(), Some(timer_at(1249)));
    // What was loaded is still there, and due.
    let mut due = Vec::new();
    assert_eq!(timeline.due(u64::MAX, None, 1000, &mut due), Some((1102, timer_at(1102).position)));
    assert_eq!(due.len(), 102);
}

/// The one timer of `one_run` that is due then.
fn timer_at(due_ms: u64) -> crate::timeline::Timer {
    let number = (0..250).find(|number| 1000 + number * 7 % 250 == due_ms).unwrap();
    timer(due_ms, number * 8)
}

#[test]
fn a_missing_run_is_told() {
    let (disk, section) = one_run();
    disk.remove(RUN).unwrap();
    let told = small(&disk, Some(&section)).map(|_| ());
    assert!(matches!(told, Err(TimelineError::Missing { file }) if file == RUN));
}

#[test]
fn another_run_with_the_same_number_is_not_taken_for_the_listed_one() {
    let (disk, section) = one_run();
    let timeline = small(&disk, None).unwrap();
    (0..250).for_each(|number| timeline.insert(timer(1000 + number * 7 % 250, 8 + number * 8)));
    drop(timeline);
    disk.kill_process();
    let timeline = small(&disk, None).unwrap();
    (0..250).for_each(|number| timeline.insert(timer(1000 + number * 7 % 250, 8 + number * 8)));
    timeline.flush(0).unwrap();
    assert_eq!(disk.list("timeline").unwrap(), ["0000000001.timers"]);
    let told = small(&disk, Some(&section)).map(|_| ());
    assert!(matches!(told, Err(TimelineError::Corrupt { .. })));
}

#[test]
fn a_cut_or_changed_section_is_refused_or_makes_sense() {
    let (disk, _) = one_run();
    let timeline = small(&disk, None).unwrap();
    (0..250).for_each(|number| timeline.insert(timer(1000 + number * 7 % 250, number * 8)));
    timeline.flush(1050).unwrap();
    timeline.remove(1200, timer_at(1200).position);
    timeline.flush(1050).unwrap();
    timeline.remove(1201, timer_at(1201).position);
    let section = timeline.snapshot();
    for end in 0..section.len() {
        let told = small(&disk, Some(&section[..end])).map(|_| ());
        assert!(matches!(told, Err(TimelineError::Section { .. })), "{end}");
    }
    let mut random = Random::new(1);
    for at in 0..section.len() {
        let mut section = section.clone();
        section[at] ^= 1 << random.below(8);
        let Ok(timeline) = small(&disk.fork(), Some(&section)) else { continue };
        let len = all(&timeline).len();
        let _ = timeline.flush(0);
        assert_eq!(all(&timeline).len(), len);
        timeline.load_ahead(u64::MAX).unwrap();
    }
    assert_eq!(SMALL.run, 250);
}
