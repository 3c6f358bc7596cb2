//! Conditions as people read them: which ones are as they should be.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

/// Types whose status is `False` when all is well; `True` is good for all others, and for those that a newer operator adds.
const GOOD_WHEN_FALSE: [&str; 3] = ["Reconciling", "Stalled", "Paused"];

/// Whether a condition is as it should be.
pub(crate) fn is_good(condition: &Condition) -> bool {
    let good = if GOOD_WHEN_FALSE.contains(&&*condition.type_) { "False" } else { "True" };
    condition.status == good
}

/// The status of the condition of a type; none: the operator has not said.
pub(crate) fn status<'a>(conditions: &'a [Condition], kind: &str) -> Option<&'a Condition> {
    conditions.iter().find(|condition| condition.type_ == kind)
}

#[cfg(test)]
pub(crate) mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    /// A condition since noon.
    pub(crate) fn condition(kind: &str, status: &str, reason: &str, message: &str) -> Condition {
        Condition {
            type_: kind.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: Some(1),
            last_transition_time: Time("2026-11-22T12:00:00Z".parse().unwrap()),
        }
    }

    #[test]
    fn true_is_good_except_for_trouble() {
        for (kind, status, good) in [
            ("Ready", "True", true),
            ("Ready", "Unknown", false),
            ("DataSafe", "False", false),
            ("Stalled", "False", true),
            ("Stalled", "True", false),
            ("Reconciling", "True", false),
            ("Paused", "False", true),
        ] {
            assert_eq!(is_good(&condition(kind, status, "Serving", "")), good, "{kind} {status}");
        }
    }
}
