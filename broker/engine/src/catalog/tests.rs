//! Folding again what is folded already, as every start from a checkpoint does.

use std::collections::HashSet;

use proptest::prelude::*;
use store::Epoch;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    PutTopic { name: u8, queues: u32 },
    DeleteTopic { name: u8 },
    PutGroup { name: u8, max_attempts: u32 },
    DeleteGroup { name: u8 },
    Start { group: u32, topic: u32, offset: u64 },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => (0..3_u8, 1..5_u32).prop_map(|(name, queues)| Op::PutTopic { name, queues }),
        2 => (0..3_u8).prop_map(|name| Op::DeleteTopic { name }),
        2 => (0..2_u8, 1..5_u32).prop_map(|(name, max_attempts)| Op::PutGroup { name, max_attempts }),
        1 => (0..2_u8).prop_map(|name| Op::DeleteGroup { name }),
        2 => (1..5_u32, 1..5_u32, 0..9_u64)
            .prop_map(|(group, topic, offset)| Op::Start { group, topic, offset }),
    ]
}

fn plan(catalog: &mut Catalog, op: &Op, waiting: &Arc<()>) -> Vec<Change> {
    let name = |name: u8| format!("name-{name}");
    match *op {
        Op::PutTopic { name: n, queues } => {
            let spec = TopicSpec {
                name: name(n),
                topic_type: TopicType::Normal,
                queues,
                retention_ms: 0,
                groups: Vec::new(),
                owner: String::new(),
            };
            catalog.plan_topics(&[spec], Adopt::Always, waiting).changes
        }
        Op::DeleteTopic { name: n } => catalog.plan_topic_deletes(&[name(n)], None, waiting).changes,
        Op::PutGroup { name: n, max_attempts } => {
            let retry = RetryPolicy { max_attempts, backoff: Backoff::Custom(vec![1]) };
            let (consume_from, owner) = (ConsumeFrom::Earliest, String::new());
            let all =
                [PriorityPolicy::Strict, PriorityPolicy::Weighted, PriorityPolicy::Aging { interval_ms: 5 }];
            let (ordered, priority) = (n % 2 == 0, all[max_attempts as usize % 3]);
            let (name, trace) = (name(n), n % 3 == 0);
            let spec = ConsumerGroupSpec {
                name,
                ordered,
                priority,
                retry,
                trace,
                consume_from,
                reset: None,
                broadcast: Broadcast::No,
                owner,
            };
            catalog.plan_consumer_groups(&[spec], vec![Ok(Vec::new())], Adopt::Always, waiting).changes
        }
        Op::DeleteGroup { name: n } => catalog.plan_consumer_group_deletes(&[name(n)], None, waiting).changes,
        // A group that receives, and the topic that it receives from, are there.
        Op::Start { group, topic, .. }
            if catalog.consumer_group_by_id(group).is_none() || catalog.topic_by_id(topic).is_none() =>
        {
            Vec::new()
        }
        Op::Start { group, topic, offset } => {
            vec![Change::from(What::Start(Start { group, topic, offsets: vec![offset] }))]
        }
    }
}

fn fold(catalog: &mut Catalog, records: &[Vec<Change>]) {
    for change in records.iter().flatten() {
        catalog.fold(change.what.clone().unwrap(), Epoch(1));
    }
}

fn snapshot(catalog: &Catalog) -> Snapshot {
    let mut snapshot = catalog.snapshot();
    for topic in catalog.topics() {
        snapshot.subscriptions.extend(subscribed(topic.id, &topic.state.lock().states()));
    }
    snapshot
}

/// Whether an id of a topic or group comes again after its deletion.
fn is_raised(records: &[Vec<Change>]) -> bool {
    let (mut topics, mut groups) = (HashSet::new(), HashSet::new());
    records.iter().flatten().any(|change| match change.what.as_ref().unwrap() {
        What::TopicPut(put) => topics.contains(&put.id),
        What::GroupPut(put) => groups.contains(&put.id),
        What::TopicDelete(id) => {
            topics.insert(*id);
            false
        }
        What::GroupDelete(id) => {
            groups.insert(*id);
            false
        }
        What::Start(_) | What::Stop(_) => false,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_replay_from_anywhere_on_top_of_the_end_changes_nothing(
        ops in prop::collection::vec((op(), any::<bool>(), prop::bool::weighted(0.1)), 1..40),
        from in any::<prop::sample::Index>(),
    ) {
        let mut catalog = Catalog::default();
        let (mut log, mut folded) = (Vec::new(), 0);
        let mut waiting = Arc::new(());
        for (op, is_folded, is_refused) in &ops {
            if *is_refused {
                drop(plan(&mut catalog, op, &Arc::new(())));
                continue;
            }
            log.push(plan(&mut catalog, op, &waiting));
            // Requests are planned while others are on their way.
            if *is_folded {
                fold(&mut catalog, &log[folded..]);
                folded = log.len();
                waiting = Arc::new(());
                catalog.forget_settled();
            }
        }
        prop_assume!(!log.is_empty());
        prop_assert!(!is_raised(&log));
        fold(&mut catalog, &log[folded..]);
        let end = snapshot(&catalog);
        let mut again = Catalog::restore(end.clone());
        prop_assert_eq!(&snapshot(&again), &end);
        fold(&mut again, &log[from.index(log.len())..]);
        prop_assert_eq!(&snapshot(&again), &end);
        let mut replayed = Catalog::default();
        fold(&mut replayed, &log);
        if ops.iter().any(|(.., is_refused)| *is_refused) {
            // Ids of what was refused are nowhere in the log: they are free again.
            replayed.last_topic_id = catalog.last_topic_id;
            replayed.last_group_id = catalog.last_group_id;
            replayed.last_queue_id = catalog.last_queue_id;
        }
        prop_assert_eq!(&snapshot(&replayed), &end);
    }
}

#[test]
fn a_move_that_was_made_while_it_was_drawn_up_is_not_made_again() {
    let mut catalog = Catalog::default();
    let waiting = Arc::new(());
    let group = |trace| ConsumerGroupSpec {
        name: "g".to_owned(),
        ordered: false,
        priority: PriorityPolicy::Strict,
        retry: RetryPolicy { max_attempts: 1, backoff: Backoff::Custom(vec![1]) },
        trace,
        consume_from: ConsumeFrom::Earliest,
        reset: Some(Reset { id: "1".to_owned(), topics: Vec::new(), to: ConsumeFrom::Latest }),
        broadcast: Broadcast::No,
        owner: String::new(),
    };
    let mut apply = |trace, moves| {
        let plan = catalog.plan_consumer_groups(&[group(trace)], vec![Ok(moves)], Adopt::Always, &waiting);
        fold(&mut catalog, std::slice::from_ref(&plan.changes));
        plan
    };
    apply(false, Vec::new());
    let moves = change::drafts(vec![Change::from(What::GroupDelete(7))]);
    let plan = apply(true, moves);
    assert_eq!((plan.outcomes, plan.moves.len()), (vec![ApplyOutcome::Changed], 0));
}

#[test]
fn a_priority_policy_of_a_later_version_is_refused_and_none_is_strict() {
    let retry = RetryPolicy { max_attempts: 1, backoff: Backoff::Custom(vec![1]) };
    let record = |priority| {
        let (consume_from, owner) = (ConsumeFrom::Earliest, String::new());
        let spec = ConsumerGroupSpec {
            name: "g".into(),
            ordered: false,
            priority,
            retry: retry.clone(),
            trace: false,
            consume_from,
            reset: None,
            broadcast: Broadcast::No,
            owner,
        };
        let put = What::GroupPut(change::GroupPut::new(1, &spec));
        change::drafts(vec![Change::from(put)]).remove(0).body.to_vec()
    };
    let [weighted, strict] = [record(PriorityPolicy::Weighted), record(PriorityPolicy::Strict)];
    let policy_at = weighted.windows(2).position(|bytes| bytes == [12 << 3, 1]).expect("field 12");
    let mut later = weighted;
    later[policy_at + 1] = 9;
    assert_eq!(decode(&later).unwrap_err(), "priority policy 9 is not known");
    assert!(!strict.windows(1).any(|bytes| bytes == [12 << 3]), "as records before there were policies");
    let What::GroupPut(put) = decode(&strict).unwrap().remove(0) else { panic!("another change") };
    assert_eq!(put.into_spec().priority, PriorityPolicy::Strict);
}
