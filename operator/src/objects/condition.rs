//! The conditions of an object, out of a verdict.

use crds::Reason;
use crds::conditions::{self, Kind, Wanted};
use crds::object::ObjectState;
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::decide::Verdict;

/// The conditions after a pass.
pub(super) fn conditions_after(
    before: &[Condition],
    verdict: &Verdict,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let ready = verdict.state == ObjectState::Ready;
    let (busy, stalled) = match verdict.state {
        ObjectState::Ready => (false, false),
        ObjectState::Pending | ObjectState::Waiting => (true, false),
        ObjectState::Conflict | ObjectState::InvalidChange | ObjectState::Invalid => (false, true),
    };
    let mut all = before.to_vec();
    let nothing = [(Kind::Reconciling, busy, Reason::Settled), (Kind::Stalled, stalled, Reason::Working)];
    for (kind, holds, otherwise) in [(Kind::Ready, ready, verdict.reason)].into_iter().chain(nothing) {
        // The sentence is said once where the thing is so; elsewhere the word is enough.
        let is_said = holds || kind == Kind::Ready;
        let message = if is_said { verdict.message.clone() } else { String::new() };
        let reason = if is_said { verdict.reason } else { otherwise };
        conditions::set(&mut all, Wanted { kind, holds, reason, message }, generation, now);
    }
    all
}
