//! Conditions: what is true about an object, since when and why.
//!
//! Promise: [`set`] changes `lastTransitionTime` only when the status flips, keeps the list sorted by type and one of
//! each type, and an equal condition changes nothing at all. So an unchanged status compares equal and is not written.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::reason::Reason;

/// Types of conditions. The first three are the ones that generic tools understand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// What the spec asks for is there and works.
    Ready,
    /// Work is under way.
    Reconciling,
    /// Nothing more happens until a person changes something.
    Stalled,
    /// Every group has all the copies that were asked for, and all of them hold every acknowledged message.
    DataSafe,
    /// Every group has room on its disk and accepts sends.
    StorageHealthy,
    /// The operator was asked to leave the object alone.
    Paused,
}

impl Kind {
    /// The word in the list.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Reconciling => "Reconciling",
            Self::Stalled => "Stalled",
            Self::DataSafe => "DataSafe",
            Self::StorageHealthy => "StorageHealthy",
            Self::Paused => "Paused",
        }
    }
}

/// A condition as it should be, before it meets what is already in the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Which one.
    pub kind: Kind,
    /// Whether it holds.
    pub holds: bool,
    /// One word, for programs.
    pub reason: Reason,
    /// A sentence, for people.
    pub message: String,
}

/// Puts a condition into the list.
pub fn set(list: &mut Vec<Condition>, wanted: Wanted, generation: Option<i64>, now: Timestamp) {
    let status = if wanted.holds { "True" } else { "False" };
    let known = list.iter().find(|known| known.type_ == wanted.kind.word());
    let since = known.filter(|known| known.status == status).map(|known| known.last_transition_time.clone());
    let condition = Condition {
        type_: wanted.kind.word().to_owned(),
        status: status.to_owned(),
        reason: wanted.reason.word().to_owned(),
        message: wanted.message,
        observed_generation: generation,
        // Kubernetes keeps whole seconds: more would compare unequal to what comes back.
        last_transition_time: since.unwrap_or_else(|| Time(whole_seconds(now))),
    };
    list.retain(|known| known.type_ != condition.type_);
    let at = list.partition_point(|known| known.type_ < condition.type_);
    list.insert(at, condition);
}

/// Removes a condition that no longer applies.
pub fn remove(list: &mut Vec<Condition>, kind: Kind) {
    list.retain(|known| known.type_ != kind.word());
}

/// The condition of a type.
pub fn find(list: &[Condition], kind: Kind) -> Option<&Condition> {
    list.iter().find(|known| known.type_ == kind.word())
}

/// True when a condition is there and holds.
pub fn holds(list: &[Condition], kind: Kind) -> bool {
    find(list, kind).is_some_and(|known| known.status == "True")
}

/// As much of a time as Kubernetes keeps.
pub fn whole_seconds(now: Timestamp) -> Timestamp {
    Timestamp::from_second(now.as_second()).unwrap_or(now)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [Kind; 6] =
        [Kind::Ready, Kind::Reconciling, Kind::Stalled, Kind::DataSafe, Kind::StorageHealthy, Kind::Paused];

    fn step() -> impl Strategy<Value = (usize, bool, usize)> {
        (0..KINDS.len(), any::<bool>(), 0..3usize)
    }

    fn apply(list: &mut Vec<Condition>, (kind, holds, reason): (usize, bool, usize), second: i64) {
        let reason = [Reason::Serving, Reason::Settled, Reason::Working][reason];
        let wanted = Wanted { kind: KINDS[kind], holds, reason, message: reason.word().to_lowercase() };
        set(list, wanted, Some(second), Timestamp::from_second(second).unwrap());
    }

    proptest! {
        #[test]
        fn the_list_is_sorted_and_has_one_of_each_type(steps in prop::collection::vec(step(), 0..40)) {
            let mut list = Vec::new();
            for (second, step) in (0i64..).zip(steps) {
                apply(&mut list, step, second);
                prop_assert!(list.windows(2).all(|pair| pair[0].type_ < pair[1].type_));
            }
        }

        #[test]
        fn the_time_moves_exactly_when_the_status_flips(steps in prop::collection::vec(step(), 1..40)) {
            let mut list = Vec::new();
            for (second, step) in (0i64..).zip(steps) {
                let before = find(&list, KINDS[step.0]).cloned();
                apply(&mut list, step, second);
                let after = find(&list, KINDS[step.0]).unwrap();
                let flipped = before.as_ref().is_none_or(|before| before.status != after.status);
                let moved = before.is_none_or(|before| before.last_transition_time != after.last_transition_time);
                prop_assert_eq!(flipped, moved);
            }
        }

        #[test]
        fn setting_the_same_again_changes_nothing(steps in prop::collection::vec(step(), 1..40)) {
            let mut list = Vec::new();
            for step in &steps {
                apply(&mut list, *step, 7);
            }
            let once = list.clone();
            apply(&mut list, *steps.last().unwrap(), 7);
            prop_assert_eq!(list, once);
        }
    }
}
