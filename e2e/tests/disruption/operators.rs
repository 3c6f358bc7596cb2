//! Operators that die after everything they do, and two at once: the end is the same as with one that lives.
//!
//! Slow, so `make convergence` runs it and `make test` does not.

use std::time::Duration;

use e2e::cluster::Place;
use e2e::cluster::nodes::Disturbance;
use e2e::cluster::operator::{Fate, Operator};
use e2e::cluster::snapshot::{Snapshot, differences, snapshot};
use e2e::{matrix, wait};
use serde_json::Value;

/// Each change costs an operator that dies the time of a start.
const SETTLED_MAX: Duration = Duration::from_mins(6);
/// Nothing was changed for this long: longer than the operator looks again.
const QUIET: Duration = Duration::from_secs(8);

/// One step in the life of a cluster.
struct Step {
    name: &'static str,
    manifests: String,
    /// `kind/name` of what is deleted.
    deleted: &'static [&'static str],
}

fn cluster(groups: u32, copies: u32, rest: &str) -> String {
    format!(
        "apiVersion: millpond.io/v1alpha1\nkind: BrokerCluster\nmetadata: {{name: shop}}\n\
         spec: {{groups: {groups}, copies: {copies}, storage: {{size: 1Gi}}, flush: Async{rest}}}\n"
    )
}

fn objects(queues: u32) -> String {
    let mut yaml = String::new();
    matrix::object(&mut yaml, "Topic", "orders", "shop", &format!("queues: {{perGroup: {queues}}}"));
    matrix::object(&mut yaml, "Topic", "ledger", "shop", "type: FIFO\n  deletionPolicy: Delete");
    matrix::object(&mut yaml, "ConsumerGroup", "billing", "shop", "retry: {backoff: {custom: [1s]}}");
    yaml
}

/// Made, grown, changed with a restart, made smaller, and deleted.
fn life() -> Vec<Step> {
    let changed = ", retention: {maxAge: 24h}, podTemplate: {labels: {team: orders}}";
    vec![
        Step { name: "made", manifests: cluster(1, 1, "") + &objects(4), deleted: &[] },
        Step { name: "grown", manifests: cluster(2, 2, "") + &objects(8), deleted: &[] },
        Step { name: "changed", manifests: cluster(2, 2, changed) + &objects(8), deleted: &[] },
        Step { name: "made smaller", manifests: cluster(2, 1, changed), deleted: &["topic/ledger"] },
        Step {
            name: "deleted",
            manifests: String::new(),
            deleted: &["topic/orders", "consumergroup/billing", "brokercluster/shop"],
        },
    ]
}

impl Step {
    fn take(&self, here: &Place) {
        if !self.manifests.is_empty() {
            here.apply(&self.manifests);
        }
        for object in self.deleted {
            let said = here.kubectl(&["delete", object, "--wait=false"]);
            assert!(said.ok, "{}", said.text);
        }
    }
}

/// What of the objects in the namespace is not as their specs say.
pub(crate) fn unsettled(here: &Place) -> Vec<String> {
    let said = here.kubectl(&["get", "brokerclusters,topics,consumergroups", "-o", "json"]);
    let list: Value = serde_json::from_str(&said.text).unwrap_or_default();
    let is_settled = |object: &Value| {
        let conditions = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let has = |kind: &str, status: &str| {
            conditions.iter().any(|one| {
                one["type"] == kind
                    && one["status"] == status
                    && one["observedGeneration"] == object["metadata"]["generation"]
            })
        };
        object["metadata"]["deletionTimestamp"].is_null()
            && has("Ready", "True")
            && has("Reconciling", "False")
    };
    let open = list["items"].as_array().into_iter().flatten().filter(|object| !is_settled(object));
    open.map(|object| format!("{} {}", object["metadata"]["name"], object["status"]["conditions"])).collect()
}

/// Waits until everything is as the specs say and nobody changes anything any more.
async fn settle(what: &str, here: &Place, operators: &[&Operator]) -> Snapshot {
    let mut quiet_since = wait::Stopwatch::start();
    let mut seen = 0;
    wait::eventually(what, SETTLED_MAX, async || {
        let changes: usize = operators.iter().map(|operator| operator.changes().len()).sum();
        let open = unsettled(here);
        if changes != seen || !open.is_empty() {
            seen = changes;
            quiet_since = wait::Stopwatch::start();
        }
        if quiet_since.elapsed() > QUIET { Ok(()) } else { Err(format!("{changes} changes, open: {open:?}")) }
    })
    .await;
    snapshot(here)
}

/// What there is after each step with an operator that nothing happens to.
async fn undisturbed(place: &str) -> Vec<Snapshot> {
    let here = Place::new(place).await;
    let operator = Operator::start(&here.namespace, Fate::Lives).await;
    let mut ends = Vec::new();
    for step in life() {
        step.take(&here);
        ends.push(settle(&format!("{}, undisturbed", step.name), &here, &[&operator]).await);
    }
    println!("undisturbed: {} changes", operator.changes().len());
    here.remove().await;
    ends
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: `make convergence`"]
async fn an_operator_that_dies_after_each_change_comes_to_the_same_end() {
    let _away = Disturbance::without_operator();
    let wanted = undisturbed("one").await;
    let here = Place::new("dying").await;
    let operator = Operator::start(&here.namespace, Fate::DiesAfterEachChange).await;
    let mut died = 0;
    for (step, wanted) in life().iter().zip(wanted) {
        step.take(&here);
        let found = settle(&format!("{}, dying", step.name), &here, &[&operator]).await;
        let changes = operator.changes();
        println!("{}: died {} times", step.name, changes.len() - died);
        died = changes.len();
        let different = differences(&wanted, &found);
        assert!(different.is_empty(), "{}: {}\nafter {changes:#?}", step.name, different.join("\n"));
    }
    assert!(died > 30, "it died {died} times only");
    here.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "slow: `make convergence`"]
async fn two_operators_at_once_come_to_the_same_end_and_to_rest() {
    let _away = Disturbance::without_operator();
    let wanted = undisturbed("alone").await;
    let here = Place::new("both").await;
    let one = Operator::start(&here.namespace, Fate::Lives).await;
    let other = Operator::start(&here.namespace, Fate::Lives).await;
    for (step, wanted) in life().iter().zip(wanted) {
        step.take(&here);
        let found = settle(&format!("{}, two operators", step.name), &here, &[&one, &other]).await;
        let different = differences(&wanted, &found);
        assert!(different.is_empty(), "{}: {}", step.name, different.join("\n"));
    }
    println!("two operators: {} and {} changes", one.changes().len(), other.changes().len());
    here.remove().await;
}
