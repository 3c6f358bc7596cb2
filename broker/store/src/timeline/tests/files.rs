//! Which run files there are, and when they go.

use super::{SMALL, all, small, timer};
use crate::disk::Disk;
use crate::disk::sim::SimDisk;
use crate::timeline::state::OnDisk;
use crate::timeline::{Timeline, Timer};

fn runs(timeline: &Timeline) -> usize {
    timeline.state.lock().runs.len()
}

fn insert(timeline: &Timeline, range: std::ops::Range<u64>) {
    range.for_each(|number| timeline.insert(timer(1000 + number, number * 8)));
}

fn files(disk: &SimDisk) -> usize {
    disk.list("timeline").unwrap().len()
}

#[test]
fn a_file_stays_until_two_checkpoints_do_without_it() {
    let disk = SimDisk::new(1);
    let timeline = small(&disk, None).unwrap();
    insert(&timeline, 0..10);
    timeline.flush(0).unwrap();
    let first = timeline.snapshot();
    timeline.checkpointed(&first).unwrap();
    timeline.load_ahead(u64::MAX).unwrap();
    assert_eq!((runs(&timeline), files(&disk)), (0, 1), "read to its end");
    let second = timeline.snapshot();
    timeline.checkpointed(&second).unwrap();
    assert_eq!(files(&disk), 1, "the first checkpoint lists it");
    // A start from the second leaves what the first needs.
    let timeline = small(&disk, Some(&second)).unwrap();
    assert_eq!((all(&timeline).len(), files(&disk)), (10, 1));
    assert_eq!(all(&small(&disk, Some(&first)).unwrap()).len(), 10);
    timeline.checkpointed(&timeline.snapshot()).unwrap();
    assert_eq!(files(&disk), 0);
}

#[test]
fn a_checkpoint_taken_before_the_merge_does_not_count() {
    let disk = SimDisk::new(1);
    let timeline = small(&disk, None).unwrap();
    for round in 0..3 {
        insert(&timeline, round * 10..round * 10 + 10);
        timeline.flush(0).unwrap();
    }
    let early = timeline.snapshot();
    insert(&timeline, 30..40);
    timeline.flush(0).unwrap();
    assert_eq!((runs(&timeline), files(&disk)), (1, 5));
    timeline.checkpointed(&early).unwrap();
    timeline.checkpointed(&timeline.snapshot()).unwrap();
    // The fourth is in none of the two; the first three are in the older one.
    assert_eq!(files(&disk), 4);
    timeline.checkpointed(&timeline.snapshot()).unwrap();
    assert_eq!(files(&disk), 1);
}

#[test]
fn leftovers_are_removed_and_their_numbers_not_used_again() {
    let disk = SimDisk::new(1);
    let timeline = small(&disk, None).unwrap();
    let section = timeline.snapshot();
    insert(&timeline, 0..10);
    timeline.flush(0).unwrap();
    disk.create_dir("timeline").unwrap();
    disk.create("timeline/notes.txt").unwrap();
    let timeline = small(&disk, Some(&section)).unwrap();
    assert_eq!(disk.list("timeline").unwrap(), ["notes.txt"]);
    insert(&timeline, 0..10);
    timeline.flush(0).unwrap();
    assert_eq!(disk.list("timeline").unwrap(), ["0000000002.timers", "notes.txt"]);
}

#[test]
fn many_small_flushes_leave_few_runs() {
    let disk = SimDisk::new(1);
    let timeline = small(&disk, None).unwrap();
    for number in 0..600 {
        insert(&timeline, number * 3..number * 3 + 3);
        timeline.flush(0).unwrap();
        timeline.checkpointed(&timeline.snapshot()).unwrap();
        // Three per tier: below 64, 256, 1024, 4096.
        assert!(runs(&timeline) <= 12, "{}", runs(&timeline));
    }
    assert!(files(&disk) <= 20, "{}", files(&disk));
    assert_eq!(all(&timeline).len(), 1800);
}

#[test]
fn a_run_that_lost_half_is_written_again_and_removals_take_no_memory() {
    let disk = SimDisk::new(1);
    let timeline = small(&disk, None).unwrap();
    insert(&timeline, 0..200);
    timeline.flush(0).unwrap();
    let known: Vec<Timer> = all(&timeline);
    let mut removed = 0;
    for timer in known.iter().filter(|timer| timer.due_ms % 3 > 0) {
        timeline.remove(timer.due_ms, timer.position);
        removed += 1;
        if removed % SMALL.removals == 0 {
            assert!(timeline.wants_flush());
            timeline.flush(0).unwrap();
            assert!(timeline.state.lock().removals.is_empty());
        }
    }
    timeline.flush(0).unwrap();
    let left: Vec<_> = known.into_iter().filter(|timer| timer.due_ms % 3 == 0).collect();
    assert_eq!((timeline.len(), all(&timeline)), (left.len() as u64, left));
    let unread: u64 = timeline.state.lock().runs.iter().map(OnDisk::unread).sum();
    assert!(unread < 100, "{unread}");
}
