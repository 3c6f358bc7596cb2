//! The edges: of numbers, of memory, of what is there.

use std::sync::Arc;

use super::{SMALL, all, small, timer};
use crate::Position;
use crate::disk::sim::SimDisk;
use crate::timeline::Timeline;

#[test]
fn an_empty_timeline_has_nothing() {
    let timeline = small(&SimDisk::new(1), None).unwrap();
    timeline.flush(0).unwrap();
    timeline.load_ahead(u64::MAX).unwrap();
    timeline.remove(1, Position(8));
    assert!(timeline.is_empty() && !timeline.wants_flush());
    assert_eq!((timeline.next_due_ms(), timeline.oldest_position()), (None, None));
    assert_eq!(timeline.due(u64::MAX, None, 10, &mut Vec::new()), None);
    assert_eq!(timeline.find(0, Position(0)).unwrap(), None);
    assert_eq!(timeline.memory_bytes(), 0);
    assert!(all(&timeline).is_empty());
}

#[test]
fn the_lowest_and_the_highest_numbers_come_back() {
    let disk = SimDisk::new(1);
    let timeline = small(&disk, None).unwrap();
    let edges = [0, 1, u64::MAX - 1, u64::MAX];
    let timers: Vec<_> = edges.iter().flat_map(|due| edges.map(|position| timer(*due, position))).collect();
    for timer in &timers {
        timeline.insert(*timer);
    }
    let section = timeline.snapshot();
    let find_all = |timeline: &Timeline| {
        assert!(timers.iter().all(|one| timeline.find(one.due_ms, one.position).unwrap() == Some(*one)));
        assert_eq!(timeline.len(), 16);
    };
    find_all(&small(&disk, Some(&section)).unwrap());
    timeline.flush(u64::MAX).unwrap();
    assert_eq!(timeline.due(u64::MAX, None, 100, &mut Vec::new()), None, "nothing was moved");
    timeline.flush(0).unwrap();
    find_all(&timeline);
    let mut due = Vec::new();
    assert_eq!(timeline.due(u64::MAX, None, 100, &mut due), Some((1, Position(0))));
    assert_eq!(due, timers[..4]);
    timeline.load_ahead(u64::MAX).unwrap();
    assert_eq!(timeline.due(u64::MAX, Some((0, Position(u64::MAX))), 100, &mut due), None);
    assert_eq!(due, timers);
    assert_eq!(timeline.due(u64::MAX, Some((u64::MAX, Position(u64::MAX))), 1, &mut due), None);
}

#[test]
fn what_a_replay_repeats_counts_once() {
    let timeline = small(&SimDisk::new(1), None).unwrap();
    let timers: Vec<_> = (0..150).map(|number| timer(1000 + number, number * 8)).collect();
    let insert = || timers.iter().for_each(|timer| timeline.insert(*timer));
    insert();
    insert();
    timeline.flush(1020).unwrap();
    insert();
    assert_eq!((timeline.len(), all(&timeline)), (150, timers.clone()));
    timeline.flush(1020).unwrap();
    insert();
    timeline.load_ahead(1120).unwrap();
    insert();
    assert_eq!((timeline.len(), all(&timeline)), (150, timers.clone()));
    for timer in &timers[10..] {
        timeline.remove(timer.due_ms, timer.position);
    }
    assert_eq!(all(&timeline), timers[..10]);
    timeline.flush(0).unwrap();
    assert_eq!((timeline.len(), all(&timeline)), (10, timers[..10].to_vec()));
}

#[test]
fn memory_stays_bounded_when_everything_is_near() {
    let timeline = small(&SimDisk::new(1), None).unwrap();
    let in_memory = || timeline.state.lock().memory.len();
    for number in 0..5000 {
        timeline.insert(timer(1000 + number % 7, number * 8));
        if timeline.wants_flush() {
            timeline.flush(u64::MAX).unwrap();
        }
        assert!(in_memory() <= SMALL.memory + SMALL.gathered);
    }
    for _ in 0..20 {
        timeline.load_ahead(u64::MAX).unwrap();
        assert!(in_memory() <= SMALL.memory + SMALL.gathered, "what is there has to be fired first");
    }
    assert_eq!(timeline.len(), 5000);
}

#[test]
fn overdue_timers_on_disk_are_loaded_although_memory_is_full_of_later_ones() {
    let timeline = small(&SimDisk::new(1), None).unwrap();
    timeline.insert(timer(10, 8));
    timeline.flush(0).unwrap();
    (2..1000).for_each(|number| timeline.insert(timer(1000, number * 8)));
    let mut due = Vec::new();
    assert_eq!(timeline.due(500, None, 10, &mut due), Some((10, Position(8))));
    timeline.load_ahead(500).unwrap();
    assert_eq!(timeline.due(500, None, 10, &mut due), None);
    assert_eq!(due, [timer(10, 8)]);
}

#[test]
fn what_comes_while_the_lowest_position_is_searched_counts() {
    let timeline = small(&SimDisk::new(1), None).unwrap();
    timeline.insert(timer(20, 800));
    // Due earlier, so that the search has passed its place.
    timeline.below(Position(u64::MAX), |_| timeline.insert(timer(10, 400))).unwrap();
    assert_eq!(timeline.oldest_position(), Some(Position(400)));
    timeline.remove(10, Position(400));
    timeline.below(Position(0), |_| ()).unwrap();
    assert_eq!(timeline.oldest_position(), Some(Position(800)));
}

#[test]
fn a_million_timers_of_one_ms_are_flushed_loaded_and_fired_in_order() {
    const COUNT: u64 = 1_000_000;
    let timeline = Timeline::open(Arc::new(SimDisk::new(1)), None).unwrap();
    for number in 0..COUNT {
        timeline.insert(timer(77, number * 8));
        if timeline.wants_flush() {
            timeline.flush(0).unwrap();
        }
    }
    timeline.flush(0).unwrap();
    assert_eq!((timeline.len(), timeline.next_due_ms()), (COUNT, Some(77)));
    let mut next = 0;
    let mut due = Vec::new();
    while next < COUNT {
        timeline.load_ahead(77).unwrap();
        due.clear();
        let on_disk = timeline.due(77, None, usize::MAX >> 1, &mut due);
        assert!(due.len() < 300_000, "memory is bounded");
        assert!(on_disk.is_none_or(|on_disk| due.last().unwrap().key() < on_disk));
        for timer in &due {
            assert_eq!(timer.position, Position(next * 8));
            timeline.remove(timer.due_ms, timer.position);
            next += 1;
        }
    }
    assert!(timeline.is_empty());
}
