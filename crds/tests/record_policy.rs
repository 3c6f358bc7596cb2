//! What the API server lets pass of changes to the record of a group: the expressions of the chart's policy.
#![allow(clippy::unwrap_used, reason = "a test program: helpers fail as tests do")]

use std::collections::{BTreeMap, BTreeSet};

use crds::group_record::{
    GroupRecord, GroupRequest, MemberId, RECORD_ANNOTATION, REQUEST_ANNOTATION, UncleanToken,
};
use kube_cel::{AdmissionRequest, VapEvaluator, VapExpression};
use serde_json::{Value, json};

const OPERATOR: &str = "system:serviceaccount:mq:millpond-operator";
const BROKER: &str = "system:serviceaccount:prod:shop";

/// The expressions with their variables written out, and their messages.
fn policy() -> Vec<VapExpression> {
    // Tests run in the folder of their crate; where it was compiled may be another clone.
    let text = std::fs::read_to_string("../charts/millpond/templates/record-policy.yaml").unwrap();
    let operators = text.lines().find_map(|line| line.split_once(" in {{ ")).unwrap().1;
    let text = text.replace(&format!("{{{{ {operators}"), &format!("['{OPERATOR}']"));
    // The evaluator writes all keys as names of properties; the API server does so for properties only, and these are
    // keys of maps.
    let text = [RECORD_ANNOTATION, REQUEST_ANNOTATION, "app.kubernetes.io/instance"]
        .into_iter()
        .fold(text, |text, key| text.replace(key, &key.replace('.', "__dot__").replace('/', "__slash__")));
    let plain: Vec<_> = text.lines().filter(|line| !line.contains("{{")).collect();
    let document = plain.split(|line| *line == "---").next().unwrap().join("\n");
    let policy: serde_yaml::Value = serde_yaml::from_str(&document).unwrap();
    let text = |value: &serde_yaml::Value| value.as_str().unwrap().to_owned();
    let mut variables: BTreeMap<String, String> = BTreeMap::new();
    // Each variable uses those above it only, as Kubernetes wants.
    for variable in policy["spec"]["variables"].as_sequence().unwrap() {
        let expression = written_out(&text(&variable["expression"]), &variables);
        variables.insert(text(&variable["name"]), expression);
    }
    let validations = policy["spec"]["validations"].as_sequence().unwrap().iter();
    validations
        .map(|rule| VapExpression {
            expression: written_out(&text(&rule["expression"]), &variables),
            message: Some(text(&rule["message"])),
            message_expression: None,
        })
        .collect()
}

fn written_out(expression: &str, variables: &BTreeMap<String, String>) -> String {
    // Longer names first: one may begin with another.
    let mut names: Vec<_> = variables.iter().collect();
    names.sort_by_key(|(name, _)| std::cmp::Reverse(name.len()));
    names.into_iter().fold(expression.to_owned(), |text, (name, value)| {
        text.replace(&format!("variables.{name}"), &format!("({value})"))
    })
}

fn lease(record: Option<&str>, request: &GroupRequest) -> Value {
    let mut annotations = json!({ REQUEST_ANNOTATION: request.to_json() });
    if let Some(record) = record {
        annotations[RECORD_ANNOTATION] = json!(record);
    }
    json!({ "metadata": {
        "name": "shop-g0", "namespace": "prod", "annotations": annotations,
        "labels": { "app.kubernetes.io/instance": "shop", "app.kubernetes.io/managed-by": "millpond-operator" },
    } })
}

/// What is said against it; nothing: it passes.
fn refusals(user: &str, old: Option<Value>, new: Value) -> Vec<String> {
    let request = AdmissionRequest {
        operation: if old.is_some() { "UPDATE" } else { "CREATE" }.into(),
        username: user.into(),
        namespace: "prod".into(),
        ..AdmissionRequest::default()
    };
    let evaluator = VapEvaluator::builder().request(request).object(new);
    let evaluator = match old {
        Some(old) => evaluator.old_object(old),
        None => evaluator,
    };
    let results = evaluator.build().evaluate(&policy());
    results.into_iter().filter(|result| !result.passed).map(|result| result.message.unwrap()).collect()
}

fn member(ordinal: u32) -> MemberId {
    MemberId { ordinal, store: 0xabc0 + u64::from(ordinal) }
}

fn record(epoch: u32, revision: u64, in_sync: &[u32], members: &[u32]) -> GroupRecord {
    let ids = |ordinals: &[u32]| ordinals.iter().map(|ordinal| member(*ordinal)).collect::<BTreeSet<_>>();
    GroupRecord {
        epoch,
        revision,
        leader: in_sync.first().map(|ordinal| member(*ordinal)),
        in_sync: ids(in_sync),
        members: ids(members),
        nonce: u64::MAX,
        ..GroupRecord::created(1)
    }
}

fn change(old: &GroupRecord, new: &GroupRecord) -> Vec<String> {
    let request = GroupRequest::default();
    refusals(BROKER, Some(lease(Some(&old.to_json()), &request)), lease(Some(&new.to_json()), &request))
}

#[test]
fn what_brokers_do_passes() {
    let none = Vec::<String>::new();
    let steps = [
        GroupRecord::created(2),
        record(1, 1, &[0], &[0]),
        record(1, 2, &[0], &[0, 1, 2]),
        record(1, 3, &[0, 1], &[0, 1, 2]),
        record(1, 4, &[0, 1, 2], &[0, 1, 2]),
        record(2, 5, &[2, 0, 1], &[0, 1, 2]),
        record(2, 6, &[2, 1], &[0, 1, 2]),
        record(7, 7, &[1, 2], &[1, 2]),
        record(7, 8, &[1], &[1]),
    ];
    for pair in steps.windows(2) {
        assert_eq!(change(&pair[0], &pair[1]), none, "{pair:?}");
    }
    // A renewal changes no record.
    assert_eq!(change(&steps[4], &steps[4]), none);
}

#[test]
fn what_would_lose_messages_is_refused() {
    let old = record(4, 9, &[0, 1], &[0, 1, 2]);
    for (new, text) in [
        (record(3, 10, &[0, 1], &[0, 1, 2]), "epoch of a record must not go down"),
        (record(4, 9, &[0], &[0, 1, 2]), "revision of a record must go up"),
        (record(4, 8, &[0], &[0, 1, 2]), "revision of a record must go up"),
        (record(4, 10, &[1, 0], &[0, 1, 2]), "another leader needs a later epoch"),
        (record(5, 10, &[2, 0, 1], &[0, 1, 2]), "the new leader was not in sync"),
        (record(5, 10, &[0, 1, 2], &[0, 1]), "who is in sync has to be a member"),
        (
            GroupRecord { leader: Some(member(1)), ..record(5, 10, &[0], &[0, 1]) },
            "the leader has to be in sync",
        ),
    ] {
        let found = change(&old, &new);
        assert!(found.len() == 1 && found[0].contains(text), "{new:?}: {found:?} should be only `{text}`");
    }
    // The same place with another volume is another member.
    let wiped = GroupRecord { leader: Some(MemberId { ordinal: 0, store: 1 }), ..old.clone() };
    let wiped = GroupRecord {
        in_sync: wiped.leader.into_iter().collect(),
        members: wiped.leader.into_iter().collect(),
        ..GroupRecord { epoch: 5, revision: 10, ..wiped }
    };
    assert!(change(&old, &wiped)[0].contains("the new leader was not in sync"));
}

#[test]
fn a_record_is_neither_removed_nor_written_in_another_form() {
    let (old, request) = (record(4, 9, &[0], &[0]).to_json(), GroupRequest::default());
    for new in [None, Some(""), Some("{}"), Some("{\"epoch\":99,\"v\":1,\"revision\":99}")] {
        let found = refusals(BROKER, Some(lease(Some(&old), &request)), lease(new, &request));
        assert!(!found.is_empty(), "{new:?}");
    }
}

#[test]
fn a_forced_election_needs_the_wish_of_the_operator_for_that_member() {
    let (old, new) = (record(4, 9, &[0, 1], &[0, 1, 2]), record(5, 10, &[2], &[0, 1, 2]));
    let unclean = |ordinal| GroupRequest {
        unclean: Some(UncleanToken { token: "t".into(), epoch: 4, ordinal }),
        ..GroupRequest::default()
    };
    let change = |request: &GroupRequest| {
        refusals(BROKER, Some(lease(Some(&old.to_json()), request)), lease(Some(&new.to_json()), request))
    };
    assert_eq!(change(&unclean(2)), Vec::<String>::new());
    assert_eq!(change(&unclean(1)).len(), 1, "it is for another member");
    assert_eq!(change(&GroupRequest::default()).len(), 1);
}

#[test]
fn records_are_for_brokers_and_wishes_for_the_operator() {
    let (old, new) = (record(4, 9, &[0], &[0]).to_json(), record(5, 10, &[0], &[0]).to_json());
    let (asked, other) = (GroupRequest::default(), GroupRequest { copies: 3, ..GroupRequest::default() });
    let before = || Some(lease(Some(&old), &asked));
    for user in ["system:serviceaccount:prod:other", "system:serviceaccount:mq:shop", "ada"] {
        assert!(
            refusals(user, before(), lease(Some(&new), &asked))[0].contains("only the brokers"),
            "{user}"
        );
        assert!(refusals(user, None, lease(Some(&old), &asked))[0].contains("only the brokers"), "{user}");
        assert!(
            refusals(user, before(), lease(Some(&old), &other))[0].contains("only the Millpond"),
            "{user}"
        );
        // Labels and renewals are no matter of the record.
        assert_eq!(refusals(user, before(), lease(Some(&old), &asked)), Vec::<String>::new());
    }
    assert!(refusals(BROKER, before(), lease(Some(&new), &other))[0].contains("only the Millpond"));
    // The operator makes records, asks, and brings a lost record back.
    let created = GroupRecord::created(1).to_json();
    for (before, after) in [
        (None, lease(Some(&created), &asked)),
        (before(), lease(Some(&old), &other)),
        (Some(lease(None, &asked)), lease(Some(&old), &asked)),
        (before(), lease(Some(&created), &asked)),
    ] {
        assert_eq!(refusals(OPERATOR, before, after), Vec::<String>::new());
    }
}
