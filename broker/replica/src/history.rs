//! Which epoch wrote which part of a log, and how far two logs are the same.

pub use store::log::EpochStart;
use store::{Epoch, Position};

/// The epochs of a log in its order, and its end.
///
/// Logs are made by one leader per epoch, in one order: two of them that have an epoch in common are the same up to
/// where the first of them leaves it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct History {
    /// Rising in both fields.
    pub epochs: Vec<EpochStart>,
    /// End of the log.
    pub written: Position,
}

/// The end of a log: who wrote it and where it is; all 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tip {
    /// The epoch that wrote last.
    pub epoch: Epoch,
    /// End of the log.
    pub written: Position,
}

impl History {
    /// Its end.
    pub fn tip(&self) -> Tip {
        Tip { epoch: self.last_epoch(), written: self.written }
    }

    /// The epoch that wrote last; 0 before the first.
    pub fn last_epoch(&self) -> Epoch {
        self.epochs.last().map_or(Epoch(0), |last| last.epoch)
    }

    /// An epoch begins at `start`.
    pub fn begin(&mut self, began: EpochStart) {
        assert!(began.epoch > self.last_epoch(), "epoch {} begins after {}", began.epoch, self.last_epoch());
        self.epochs.push(began);
    }

    /// Forgets everything from `to` on.
    pub fn truncate(&mut self, to: Position) {
        self.written = self.written.min(to);
        self.epochs.retain(|began| began.start < to);
    }

    /// End of what both logs hold; `None` if they are not known to share anything.
    pub fn common(&self, other: &Self) -> Option<Position> {
        let ends = |history: &Self, at: usize| {
            history.epochs.get(at + 1).map_or(history.written, |next| next.start.min(history.written))
        };
        self.epochs.iter().enumerate().rev().find_map(|(at, began)| {
            let there = other.epochs.iter().position(|other| other == began)?;
            Some(ends(self, at).min(ends(other, there)))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn history(epochs: &[(u32, u64)], written: u64) -> History {
        let epochs =
            epochs.iter().map(|&(epoch, start)| EpochStart { epoch: Epoch(epoch), start: Position(start) });
        History { epochs: epochs.collect(), written: Position(written) }
    }

    #[test]
    fn logs_part_where_the_first_leaves_the_last_epoch_in_common() {
        let leader = history(&[(1, 0), (2, 10), (4, 20)], 30);
        for (other, common) in [
            (history(&[(1, 0), (2, 10), (4, 20)], 30), Some(30)),
            (history(&[(1, 0), (2, 10), (4, 20)], 25), Some(25)),
            (history(&[(1, 0), (2, 10)], 27), Some(20)),
            (history(&[(1, 0), (2, 10), (3, 15)], 40), Some(15)),
            (history(&[(1, 0), (3, 12)], 40), Some(10)),
            (history(&[(5, 0)], 40), None),
            (history(&[], 0), None),
        ] {
            assert_eq!(leader.common(&other), common.map(Position), "{other:?}");
            assert_eq!(other.common(&leader), common.map(Position), "{other:?}");
        }
    }

    proptest! {
        /// The model: a log is the list of the epochs that wrote its bytes.
        #[test]
        fn the_common_part_is_the_longest_equal_prefix(
            shared in prop::collection::vec(1u32..4, 1..20), left in 0usize..6, right in 0usize..6,
        ) {
            let mut shared = shared;
            shared.sort_unstable();
            let last = shared[shared.len() - 1];
            let mut logs = [shared.clone(), shared.clone()];
            logs[0].extend(std::iter::repeat_n(last + 1, left));
            logs[1].extend(std::iter::repeat_n(last + 2, right));
            let [one, other] = logs.map(|log| {
                let mut history = History { written: Position(log.len() as u64), ..History::default() };
                for (at, &epoch) in log.iter().enumerate() {
                    if Epoch(epoch) > history.last_epoch() {
                        history.begin(EpochStart { epoch: Epoch(epoch), start: Position(at as u64) });
                    }
                }
                history
            });
            prop_assert_eq!(one.common(&other), Some(Position(shared.len() as u64)));
        }
    }
}
