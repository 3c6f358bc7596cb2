//! The latest state that this process has seen. Everything that is handed out passes through here.
//!
//! Promise: what is handed out never goes back, neither in version nor in revision. Another object of the same name counts
//! only with a later record than everything that was seen: so a lost one can be made again by whoever knows all, and one
//! that was put there with an old or a first record is never believed.

use crds::group_record::Seen;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{Changes, Point, ReadError, Regressed};

/// What was found in one look, and in which object.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) object: String,
    pub(crate) seen: Seen,
}

impl Found {
    fn point(&self) -> Point {
        Point { object: self.object.clone(), version: self.seen.version, revision: self.seen.record.revision }
    }

    /// An earlier state than `other`, or another object without a later record.
    fn is_behind(&self, other: &Self) -> bool {
        let (own, others) = (self.seen.record.revision, other.seen.record.revision);
        self.seen.version < other.seen.version || own < others || self.object != other.object && own == others
    }
}

/// The latest that was found, and who wants to hear of it.
pub(crate) struct Sight {
    latest: Mutex<Option<Found>>,
    changes: watch::Sender<Option<Result<Seen, ReadError>>>,
}

/// What had been seen when a look began: only that can be too old in what it finds.
pub(crate) struct Before(Option<Found>);

impl Sight {
    pub(crate) fn new() -> Self {
        Self { latest: Mutex::new(None), changes: watch::Sender::new(None) }
    }

    pub(crate) fn changes(&self) -> Changes {
        self.changes.subscribe()
    }

    pub(crate) fn latest(&self) -> Option<Seen> {
        self.latest.lock().as_ref().map(|found| found.seen.clone())
    }

    pub(crate) fn before(&self) -> Before {
        Before(self.latest.lock().clone())
    }

    /// Takes in what a look at the object itself found: nothing older than `before` can be there.
    pub(crate) fn looked(&self, before: &Before, found: Found) -> Result<Seen, ReadError> {
        match &before.0 {
            Some(before) if found.is_behind(before) => {
                let (seen, found) = (before.point(), found.point());
                Err(ReadError::Regressed(Box::new(Regressed { seen, found })))
            }
            _ => Ok(self.advance(found)),
        }
    }

    /// Takes in what was just written, and gives that back: somebody else may already have written on top of it.
    pub(crate) fn wrote(&self, found: Found) -> Seen {
        let written = found.seen.clone();
        self.advance(found);
        written
    }

    /// Takes in what may be late, as an event is: what is older is dropped.
    /// False: it cannot be right, and only a look at the object itself tells what is.
    pub(crate) fn heard(&self, found: Found) -> bool {
        let before = self.before();
        match before.0 {
            Some(before) if before.object == found.object && found.seen.version <= before.seen.version => {
                true
            }
            Some(before) if found.is_behind(&before) => false,
            _ => {
                self.advance(found);
                true
            }
        }
    }

    /// Says that nothing is known at the moment. What was seen stays the least that will be seen.
    pub(crate) fn lost(&self, error: ReadError) {
        self.changes.send_if_modified(|held| {
            let said = matches!(held, Some(Err(held)) if *held == error);
            *held = Some(Err(error));
            !said
        });
    }

    /// The later of what is known and what was found, which everybody is told.
    fn advance(&self, found: Found) -> Seen {
        // The lock spans the telling: two who advance must be heard in this order.
        let mut latest = self.latest.lock();
        if latest.as_ref().is_none_or(|latest| latest.seen.version < found.seen.version) {
            *latest = Some(found.clone());
        }
        let seen = latest.as_ref().map_or(found.seen, |latest| latest.seen.clone());
        self.changes.send_if_modified(|held| {
            let said = matches!(held, Some(Ok(held)) if *held == seen);
            *held = Some(Ok(seen.clone()));
            !said
        });
        seen
    }
}

#[cfg(test)]
mod tests {
    use crds::group_record::{GroupRecord, Version};
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// Version 2n and 2n + 1 hold the same record: every other change is somebody's renewal.
    fn at(version: u64) -> Found {
        let record = GroupRecord { revision: version / 2, ..GroupRecord::created(1) };
        Found {
            object: "one".to_owned(),
            seen: Seen { version: Version(version), record, ..Seen::default() },
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// The object changes.
        Change,
        /// A look begins, and its answer of that moment is on the way.
        Begin,
        /// One of the looks on the way ends.
        End(usize),
        /// An event arrives, this many versions late.
        Hear(u64),
        Lose,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => Just(Step::Change),
            3 => Just(Step::Begin),
            3 => (0_usize..8).prop_map(Step::End),
            3 => (0_u64..6).prop_map(Step::Hear),
            1 => Just(Step::Lose),
        ]
    }

    proptest! {
        #[test]
        fn answers_and_events_in_any_order_never_lead_back(steps in vec(step(), 0..60)) {
            let (sight, mut there, mut on_the_way) = (Sight::new(), 1_u64, Vec::new());
            let mut changes = sight.changes();
            let mut heard_last = Version(0);
            for step in steps {
                match step {
                    Step::Change => there += 1,
                    Step::Begin => on_the_way.push((sight.before(), at(there))),
                    Step::End(which) if which < on_the_way.len() => {
                        let (before, found) = on_the_way.remove(which);
                        let version = found.seen.version;
                        let seen = sight.looked(&before, found).expect("nothing went back");
                        prop_assert!(seen.version >= version.max(heard_last));
                        prop_assert_eq!(Some(seen), sight.latest());
                    }
                    Step::End(_) => {}
                    Step::Hear(late) => prop_assert!(sight.heard(at(there.saturating_sub(late)))),
                    Step::Lose => sight.lost(ReadError::Unreachable(String::new())),
                }
                if let Some(Ok(seen)) = changes.borrow_and_update().as_ref() {
                    prop_assert!(seen.version >= heard_last, "from {:?} to {:?}", heard_last, seen.version);
                    heard_last = seen.version;
                }
            }
        }

        #[test]
        fn a_look_that_finds_less_than_was_seen_before_it_says_so(seen in 2_u64..50, back in 1_u64..50) {
            let sight = Sight::new();
            let known = sight.looked(&sight.before(), at(seen)).expect("the first look");
            let found = at(seen.saturating_sub(back));
            let error = sight.looked(&sight.before(), found).expect_err("it went back");
            prop_assert!(matches!(error, ReadError::Regressed(_)));
            prop_assert_eq!(sight.latest(), Some(known));
        }
    }

    #[test]
    fn another_object_counts_with_a_later_record_only() {
        let another = |version: u64, revision: u64| {
            let mut found = at(version);
            found.object = "another".to_owned();
            found.seen.record.revision = revision;
            found
        };
        for (version, revision, is_taken) in [(11, 5, false), (11, 4, false), (9, 6, false), (11, 6, true)] {
            let sight = Sight::new();
            sight.looked(&sight.before(), at(10)).unwrap();
            let found = another(version, revision);
            assert_eq!(sight.heard(found.clone()), is_taken, "{version} {revision}");
            assert_eq!(sight.latest() == Some(found.seen.clone()), is_taken, "{version} {revision}");
            let looked = sight.looked(&sight.before(), found);
            assert_eq!(looked.is_ok(), is_taken, "{version} {revision}");
        }
    }

    #[test]
    fn an_event_that_cannot_be_right_is_not_taken_in() {
        let sight = Sight::new();
        sight.looked(&sight.before(), at(10)).unwrap();
        let mut other = at(11);
        other.object = "another".to_owned();
        let mut undone = at(12);
        undone.seen.record.revision = 1;
        assert!(!sight.heard(other) && !sight.heard(undone));
        assert_eq!(sight.latest(), Some(at(10).seen));
    }
}
