//! Which levels of a PRIORITY topic a look hands out messages from, by the policy of the consumer group.
//!
//! ```text
//!   level 9  ▪▪            Strict     9 9 7 7 7 0      the highest that has one
//!   level 7  ▪▪▪           Weighted   9 7 9 7 7 0      10 parts of level 9, 8 of level 7, 1 of level 0
//!   level 0  ▪             Aging      9 9 0 7 7 7      level 0 got nothing for 8 intervals: it is as good as level 8
//! ```
//!
//! Promise: the choice is made message by message, so it does not depend on how many one receive asks for. Of levels that
//! always have messages, each gives its weight out of their sum; one that ages is at the latest the tenth to be chosen once
//! it was left out for 9 intervals. In memory only: after a change of leadership shares and ages begin anew.

use crate::catalog::{PRIORITY_LEVELS, PriorityPolicy};
use crate::lease::Wish;

const LEVELS: usize = PRIORITY_LEVELS as usize;

/// Messages by level.
pub(super) type PerLevel = [usize; LEVELS];

/// Whatever is wanted may come from one level.
pub(super) const NO_LIMIT: PerLevel = [usize::MAX; LEVELS];

/// What a consumer group has to remember from one look to the next.
#[derive(Debug, Default)]
pub(super) struct Levels {
    /// Weighted: what each level is behind its part; ahead is negative. Their sum is 0.
    behind: [i64; LEVELS],
    /// Aging: since when each level that has something gives nothing.
    waits_since_ms: [Option<u64>; LEVELS],
}

impl Levels {
    /// How many messages each level shall give at most; `has` counts what there is.
    pub(super) fn shares(
        &mut self,
        policy: PriorityPolicy,
        wish: &Wish,
        has: impl FnOnce() -> PerLevel,
    ) -> PerLevel {
        match policy {
            PriorityPolicy::Strict => NO_LIMIT,
            PriorityPolicy::Weighted => deal(has(), wish.count, |left| self.most_behind(left)),
            PriorityPolicy::Aging { interval_ms } => {
                let (has, now_ms) = (has(), wish.now_ms);
                self.note_waiting(&has, now_ms);
                deal(has, wish.count, |left| self.most_urgent(left, interval_ms, now_ms))
            }
        }
    }

    /// Smooth weighted round robin: each level that has something gets its part, the chosen one pays for all.
    fn most_behind(&mut self, left: &PerLevel) -> Option<usize> {
        let mut parts = 0;
        for level in nonempty(left) {
            self.behind[level] += weight(level);
            parts += weight(level);
        }
        let chosen = nonempty(left).max_by_key(|&level| (self.behind[level], level))?;
        self.behind[chosen] -= parts;
        Some(chosen)
    }

    /// The level that is highest with its age; of equals the one that is highest without.
    fn most_urgent(&mut self, left: &PerLevel, interval_ms: u64, now_ms: u64) -> Option<usize> {
        let aged = |level: usize| {
            let waits_ms = self.waits_since_ms[level].map_or(0, |since_ms| now_ms.saturating_sub(since_ms));
            (level as u64).saturating_mul(interval_ms).saturating_add(waits_ms)
        };
        let chosen = nonempty(left).max_by_key(|&level| (aged(level), level))?;
        // What comes to a level that this empties has not waited yet.
        self.waits_since_ms[chosen] = (left[chosen] > 1).then_some(now_ms);
        Some(chosen)
    }

    fn note_waiting(&mut self, has: &PerLevel, now_ms: u64) {
        for (since_ms, &has) in self.waits_since_ms.iter_mut().zip(has) {
            *since_ms = (has > 0).then(|| since_ms.unwrap_or(now_ms));
        }
    }
}

/// Chooses a level for one message after the other.
fn deal(mut left: PerLevel, count: usize, mut choose: impl FnMut(&PerLevel) -> Option<usize>) -> PerLevel {
    let mut shares = PerLevel::default();
    for _ in 0..count {
        let Some(level) = choose(&left) else { break };
        left[level] -= 1;
        shares[level] += 1;
    }
    shares
}

fn nonempty(left: &PerLevel) -> impl Iterator<Item = usize> + use<'_> {
    (0..LEVELS).filter(|&level| left[level] > 0)
}

fn weight(level: usize) -> i64 {
    (level as u64 + 1).cast_signed()
}
