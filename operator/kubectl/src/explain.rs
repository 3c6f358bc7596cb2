//! `explain`: why an object is as it is, and what to do about it.
//!
//! ```text
//!   condition ── as it should be? ──► one line
//!                      └─ no ──► its message, and what the reason means and asks for (`crds::Reason`)
//! ```

use std::fmt::Write;

use crds::{BrokerCluster, ConsumerGroup, Reason, Topic};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use crate::cli::{self, Kind};
use crate::condition;
use crate::error::Failure;
use crate::kubernetes::Kubernetes;

/// What an object says about itself.
struct Told {
    /// Its kind and its name.
    name: String,
    /// Where it stands, in one word; none: it has no status.
    state: Option<String>,
    /// Whether that is about the last change of the spec.
    current: bool,
    /// Its conditions.
    conditions: Vec<Condition>,
}

/// Every condition of the object.
pub(crate) async fn report(kubernetes: &Kubernetes, args: &cli::Explain) -> Result<String, Failure> {
    let name = &*args.name;
    let told = match args.kind {
        Kind::BrokerCluster => of_cluster(kubernetes.get(name).await?),
        Kind::Topic => of_topic(kubernetes.get(name).await?),
        Kind::ConsumerGroup => of_group(kubernetes.get(name).await?),
    };
    Ok(text(Told { name: format!("{} {name}", word(args.kind)), ..told }))
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::BrokerCluster => "BrokerCluster",
        Kind::Topic => "Topic",
        Kind::ConsumerGroup => "ConsumerGroup",
    }
}

fn of_cluster(cluster: BrokerCluster) -> Told {
    let state = cluster.status.as_ref().map(|status| format!("{:?}", status.state));
    let status = cluster.status.unwrap_or_default();
    told(state, status.observed_generation == cluster.metadata.generation, status.conditions)
}

fn of_topic(topic: Topic) -> Told {
    let state = topic.status.as_ref().map(|status| status.state.word().to_owned());
    let status = topic.status.unwrap_or_default();
    told(state, status.observed_generation == topic.metadata.generation, status.conditions)
}

fn of_group(group: ConsumerGroup) -> Told {
    let state = group.status.as_ref().map(|status| status.state.word().to_owned());
    let status = group.status.unwrap_or_default();
    told(state, status.observed_generation == group.metadata.generation, status.conditions)
}

fn told(state: Option<String>, current: bool, conditions: Vec<Condition>) -> Told {
    Told { name: String::new(), state, current, conditions }
}

/// First what is not as it should be.
fn text(told: Told) -> String {
    let Some(state) = told.state.filter(|_| !told.conditions.is_empty()) else {
        return format!(
            "{}: the operator has said nothing about it yet\n\n  to do: see whether it runs and what it logs: kubectl \
             get pods -A -l app.kubernetes.io/name=millpond-operator\n",
            told.name
        );
    };
    let mut text = format!("{}: {state}\n", told.name);
    if !told.current {
        text.push_str("the operator has not come to the last change of the spec yet; what follows is about the one before\n");
    }
    let (good, bad): (Vec<_>, Vec<_>) = told.conditions.iter().partition(|known| condition::is_good(known));
    for condition in bad {
        text.push_str(&in_full(condition));
    }
    if !good.is_empty() {
        text.push('\n');
    }
    for condition in good {
        let Condition { type_, status, reason, message, last_transition_time, .. } = condition;
        let _ = writeln!(text, "{type_}: {status} since {}, {reason}: {message}", last_transition_time.0);
    }
    text
}

fn in_full(condition: &Condition) -> String {
    let Condition { type_, status, reason, message, last_transition_time, .. } = condition;
    let mut text = format!("\n{type_}: {status} since {}\n", last_transition_time.0);
    let known = Reason::parse(reason);
    let lines = [
        ("reason", reason.as_str()),
        ("message", message),
        (
            "means",
            known.map_or("a newer operator says this; see its docs/reference/reasons.md", Reason::meaning),
        ),
        ("to do", known.map_or("", Reason::remedy)),
    ];
    for (title, line) in lines.into_iter().filter(|(_, line)| !line.is_empty()) {
        let _ = writeln!(text, "  {:<9}{line}", format!("{title}:"));
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::condition::tests::condition;
    use crate::testing::{api, expect};

    fn about(conditions: Vec<Condition>) -> Told {
        Told { name: "Topic orders".to_owned(), ..told(Some("Conflict".to_owned()), true, conditions) }
    }

    #[test]
    fn what_is_wrong_comes_first_with_meaning_and_remedy() {
        let shown = text(about(vec![
            condition("Ready", "False", "NotAdopted", "the topic orders exists and is different"),
            condition("Stalled", "False", "Working", "nothing waits"),
        ]));
        let expected = "\
Topic orders: Conflict

Ready: False since 2026-11-22T12:00:00Z
  reason:  NotAdopted
  message: the topic orders exists and is different
  means:   It exists in the brokers and may not be taken over.
  to do:   The message says what is different; make the spec equal, or set `adoptionPolicy` to `Always`.

Stalled: False since 2026-11-22T12:00:00Z, Working: nothing waits
";
        assert_eq!(shown, expected);
    }

    #[test]
    fn every_reason_is_explained_and_one_that_is_not_known_is_still_shown() {
        for reason in Reason::ALL {
            let shown = in_full(&condition("Ready", "False", reason.word(), "m"));
            assert!(shown.contains(reason.meaning()) && shown.contains(reason.remedy()), "{shown}");
            assert_eq!(shown.contains("to do:"), !reason.remedy().is_empty(), "{shown}");
        }
        let unknown = in_full(&condition("Ready", "False", "Sunspots", "m"));
        assert!(unknown.contains("Sunspots") && unknown.contains("newer operator"), "{unknown}");
    }

    #[test]
    fn silence_of_the_operator_is_not_taken_for_health() {
        let silent = text(Told { name: "Topic orders".to_owned(), ..told(None, false, Vec::new()) });
        assert!(silent.contains("has said nothing"), "{silent}");
    }

    #[tokio::test]
    async fn a_consumer_group_is_asked_for_by_its_own_kind() {
        const BILLING: &str = "GET /apis/millpond.io/v1alpha1/namespaces/mq/consumergroups/billing";
        let billing = json!({
            "apiVersion": "millpond.io/v1alpha1", "kind": "ConsumerGroup",
            "metadata": {"name": "billing", "namespace": "mq", "generation": 2},
            "spec": {"clusterRef": {"name": "shop"}},
            "status": {"state": "Ready", "observedGeneration": 1, "conditions": [{"type": "Ready", "status": "True",
                "reason": "Applied", "message": "all groups hold it", "lastTransitionTime": "2026-11-22T12:00:00Z"}]},
        });
        let (client, server) = api(vec![expect(BILLING, billing)]);
        let kubernetes = Kubernetes { client, namespace: "mq".to_owned() };
        let args = cli::Explain { kind: Kind::ConsumerGroup, name: "billing".to_owned() };
        let expected = "ConsumerGroup billing: Ready\nthe operator has not come to the last change of the spec yet; what \
                        follows is about the one before\n\nReady: True since 2026-11-22T12:00:00Z, Applied: all groups hold it\n";
        assert_eq!(report(&kubernetes, &args).await.unwrap(), expected);
        drop(kubernetes);
        server.await.unwrap();
    }
}
