//! In which groups a topic is.

use super::*;

const OWNER: &str = "default/orders";

fn fifo(groups: &[&str]) -> Wire {
    let groups = groups.iter().map(|group| (*group).to_owned()).collect();
    Wire { r#type: TopicType::Fifo.into(), groups, ..held("orders", 4, OWNER) }
}

/// What is decided about a topic where each group holds this of it, and some of them stay.
fn placed(spec: &Value, held: &[Option<Wire>], staying: &[u32]) -> Decision<Wire> {
    let (key, objects) = (cluster(), [orders(spec)]);
    let leaders = vec![0; held.len()];
    let view = ClusterView::Present { leaders, staying: staying.to_vec(), allowed: Vec::new() };
    let all = held.iter().map(|wire| wire.iter().map(|wire| (wire.name.clone(), wire.clone())).collect());
    let scene = Scene::<Topics>::new(&key, &view, all.collect(), &objects);
    decide::<Topics>(&scene, &objects[0])
}

fn applied_to(decision: Decision<Wire>) -> (Vec<String>, Vec<u32>) {
    match decision {
        Decision::Apply { wanted, groups, .. } => (wanted.groups, groups),
        other => panic!("not applied: {other:?}"),
    }
}

#[test]
fn an_ordered_topic_is_placed_in_the_groups_that_stay_and_known_to_all() {
    for kind in ["FIFO", "MIXED"] {
        let (homes, to) = applied_to(placed(&json!({ "type": kind }), &[None, None, None], &[0, 1]));
        assert_eq!((homes, to), (vec!["g0".to_owned(), "g1".to_owned()], vec![0, 1, 2]), "{kind}");
    }
    let (homes, _) = applied_to(placed(&json!({}), &[None, None, None], &[0, 1]));
    assert_eq!(homes, [""; 0], "other types are in all groups");
}

#[test]
fn a_new_group_gets_the_definition_of_an_ordered_topic_and_no_share_of_it() {
    let spec = json!({ "type": "FIFO" });
    let before = [Some(fifo(&["g0"])), None];
    assert_eq!(applied_to(placed(&spec, &before, &[0, 1])), (vec!["g0".to_owned()], vec![1]));
    let after = [Some(fifo(&["g0"])), Some(fifo(&["g0"]))];
    assert_eq!(placed(&spec, &after, &[0, 1]), Decision::Fits);
}

#[test]
fn an_ordered_topic_from_before_placements_stays_where_it_is() {
    let spec = json!({ "type": "FIFO" });
    let held = [Some(fifo(&[])), Some(fifo(&[])), None];
    let (homes, to) = applied_to(placed(&spec, &held, &[0, 1, 2]));
    assert_eq!((homes, to), (vec!["g0".to_owned(), "g1".to_owned()], vec![0, 1, 2]));
}

#[test]
fn a_placement_that_reached_some_groups_only_is_brought_to_the_others() {
    let held = [Some(fifo(&[])), Some(fifo(&["g0"]))];
    assert_eq!(
        applied_to(placed(&json!({ "type": "FIFO" }), &held, &[0, 1])),
        (vec!["g0".to_owned()], vec![0])
    );
}

#[test]
fn who_asks_for_it_gets_an_ordered_topic_in_every_group() {
    let spec = json!({ "type": "FIFO", "queues": { "placement": "Spread" } });
    let held = [Some(fifo(&["g0"])), Some(fifo(&["g0"]))];
    assert_eq!(applied_to(placed(&spec, &held, &[0, 1])), (Vec::new(), vec![0, 1]));
}

#[test]
fn the_status_counts_the_queues_of_the_groups_that_have_some() {
    let verdict = Verdict::new(ObjectState::Ready, Reason::Observed, "");
    for (groups, queues, count) in [(vec![], 12, 3), (vec!["g0"], 4, 1)] {
        let held = vec![fifo(&groups); 3];
        let findings = Findings { verdict: &verdict, conditions: Vec::new(), held, progress: None };
        let status = Topics::status(&orders(&json!({ "type": "FIFO" })), findings).unwrap();
        assert_eq!((&status["queues"], &status["groups"]), (&json!(queues), &json!(count)));
    }
}

#[test]
fn a_topic_that_nobody_owns_is_taken_over_although_it_has_no_place_yet() {
    let unowned = Wire { owner: String::new(), ..fifo(&[]) };
    let (homes, to) = applied_to(placed(&json!({ "type": "FIFO" }), &[Some(unowned), None], &[0, 1]));
    assert_eq!((homes, to), (vec!["g0".to_owned()], vec![0, 1]), "its place is the operator's to decide");
}
