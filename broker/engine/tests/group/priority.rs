//! Topics of type PRIORITY, and how consumer groups share their attention among the levels.

use engine::catalog::{
    ApplyOutcome, ConsumerGroupSpec, PRIORITY_LEVELS, PriorityPolicy, TopicSpec, TopicType,
};
use store::disk::sim::{Random, SimDisk};
use store::log::Draft;

use crate::harness::{Broker, INVISIBLE_MS, config, group_spec, message, texts, topic_spec};

const TOP: u32 = PRIORITY_LEVELS - 1;
const INTERVAL_MS: u64 = 1000;
const AGING: PriorityPolicy = PriorityPolicy::Aging { interval_ms: INTERVAL_MS };
const POLICIES: [PriorityPolicy; 3] = [PriorityPolicy::Strict, PriorityPolicy::Weighted, AGING];

fn spec(queues: u32) -> TopicSpec {
    TopicSpec { topic_type: TopicType::Priority, ..topic_spec("orders", queues) }
}

/// A broker whose topic `orders` is PRIORITY, and whose group `billing` has this policy.
fn broker(priority: PriorityPolicy) -> Broker {
    let mut broker = Broker::open(SimDisk::new(1), config());
    broker.apply_topic(&spec(1));
    broker.apply_group(&ConsumerGroupSpec { priority, ..group_spec("billing", 1000) });
    broker
}

/// Sends messages that say their priority.
fn send(broker: &mut Broker, priority: u32, count: usize) {
    let queue = broker.topic().queue_of_priority(priority);
    let draft = || Draft { queue, ..message(&priority.to_string(), 0) };
    broker.send_drafts((0..count).map(|_| draft()).collect()).unwrap();
}

/// The priority of the next message, which is done then; `None`: there is none.
fn pop(broker: &Broker) -> Option<u32> {
    let received = broker.receive(1);
    broker.ack_all(&received);
    texts(&received).first().map(|priority| priority.parse().unwrap())
}

fn pop_all(broker: &Broker) -> Vec<u32> {
    std::iter::from_fn(|| pop(broker)).collect()
}

fn counts(popped: &[u32]) -> Vec<usize> {
    (0..=TOP).map(|level| popped.iter().filter(|&&popped| popped == level).count()).collect()
}

#[test]
fn a_priority_topic_has_a_queue_per_level_whatever_is_asked_for() {
    let mut broker = Broker::open(SimDisk::new(1), config());
    assert_eq!(broker.apply_topic(&spec(4)), ApplyOutcome::Created);
    assert_eq!(broker.topic().queues.len(), 10);
    for asked in [0, 1, 4, 10, 1000] {
        assert_eq!(broker.apply_topic(&spec(asked)), ApplyOutcome::Unchanged, "{asked}");
    }
    let normal = broker.apply_topic(&topic_spec("orders", 4));
    let ApplyOutcome::InvalidChange(why) = normal else { panic!("{normal:?}") };
    assert!(why.contains("of type PRIORITY"), "{why}");
    let before = broker.summary();
    assert_eq!(broker.restart().summary(), before);
}

#[test]
fn an_aging_interval_has_limits() {
    let mut broker = Broker::open(SimDisk::new(1), config());
    for (interval_ms, is_fine) in [(0, false), (1, true), (86_400_000, true), (86_400_001, false)] {
        let priority = PriorityPolicy::Aging { interval_ms };
        let outcome = broker.apply_group(&ConsumerGroupSpec { priority, ..group_spec("billing", 3) });
        assert_eq!(!matches!(outcome, ApplyOutcome::Invalid(_)), is_fine, "{interval_ms}: {outcome:?}");
    }
}

#[test]
fn priorities_above_the_highest_level_belong_to_it() {
    let mut broker = broker(PriorityPolicy::Strict);
    for priority in [9, 10, u32::MAX] {
        send(&mut broker, priority, 1);
    }
    let received = broker.receive(8);
    assert!(received.deliveries.iter().all(|delivery| delivery.queue_index == TOP), "{received:?}");
    assert_eq!(received.deliveries.len(), 3);
}

#[test]
fn a_policy_outlives_restarts_with_and_without_a_checkpoint() {
    for priority in POLICIES {
        for has_checkpoint in [false, true] {
            let broker = broker(priority);
            if has_checkpoint {
                broker.group.checkpoint().unwrap();
            }
            assert_eq!(broker.restart().billing().spec.priority, priority, "{has_checkpoint}");
        }
    }
}

#[test]
fn a_strict_backlog_never_goes_up() {
    let mut broker = broker(PriorityPolicy::Strict);
    for level in [3, 9, 0, 7, 1, 8, 2, 6, 4, 5] {
        send(&mut broker, level, 20);
    }
    let popped = pop_all(&broker);
    assert_eq!(popped.len(), 200);
    assert!(popped.is_sorted_by(|one, next| one >= next), "{popped:?}");
}

#[test]
fn what_is_more_urgent_comes_next_whatever_waits_already() {
    let mut broker = broker(PriorityPolicy::Strict);
    send(&mut broker, 2, 50);
    assert_eq!(pop(&broker), Some(2));
    send(&mut broker, 5, 1);
    assert_eq!([pop(&broker), pop(&broker)], [Some(5), Some(2)]);
}

#[test]
fn a_large_receive_takes_from_the_top_too() {
    for policy in POLICIES {
        let mut broker = broker(policy);
        for level in 0..=TOP {
            send(&mut broker, level, 10);
        }
        let popped: Vec<u32> = texts(&broker.receive(300)).iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(popped.len(), 100, "{policy:?}");
        assert!(popped.is_sorted_by(|one, next| one >= next), "{policy:?} {popped:?}");
    }
}

#[test]
fn a_message_that_comes_again_keeps_its_level() {
    for policy in POLICIES {
        let mut broker = broker(policy);
        for level in [3, 9] {
            send(&mut broker, level, 1);
        }
        assert_eq!(texts(&broker.receive(8)), ["9", "3"]);
        broker.now_ms += INVISIBLE_MS;
        send(&mut broker, 6, 1);
        let again = broker.receive(8);
        assert_eq!(texts(&again), ["9", "6", "3"], "the leases ended, {policy:?}");
        let attempts: Vec<_> = again.deliveries.iter().map(|delivery| delivery.attempt).collect();
        assert_eq!(attempts, [2, 1, 2]);
        for delivery in &again.deliveries {
            broker.group.extend(&delivery.receipt, 0, broker.now_ms).unwrap();
        }
        assert_eq!(texts(&broker.receive(8)), ["9", "6", "3"], "given back, {policy:?}");
        broker.step();
        let broker = broker.restart();
        assert_eq!(texts(&broker.receive(8)), ["9", "6", "3"], "after a restart, {policy:?}");
    }
}

#[test]
fn a_group_that_reads_in_order_reads_the_levels_by_priority_too() {
    let mut broker = broker(PriorityPolicy::Strict);
    broker.apply_group(&ConsumerGroupSpec { ordered: true, ..group_spec("billing", 1000) });
    for _ in 0..3 {
        for level in [4, 8, 0] {
            send(&mut broker, level, 1);
        }
    }
    assert_eq!(pop(&broker), Some(8));
    // Its level is known to the group by now, this one is not.
    send(&mut broker, 9, 1);
    assert_eq!(pop_all(&broker), [9, 8, 8, 4, 4, 4, 0, 0, 0]);
}

#[test]
fn each_level_gives_its_weight_however_many_are_asked_for() {
    for max in [1, 7, 32] {
        let mut broker = broker(PriorityPolicy::Weighted);
        for level in 0..=TOP {
            send(&mut broker, level, 120);
        }
        let mut popped = Vec::new();
        // 55 parts are one round, so this is 10 rounds.
        while popped.len() < 550 {
            let received = broker.receive(max.min(550 - popped.len()));
            popped.extend(texts(&received).iter().map(|text| text.parse::<u32>().unwrap()));
            broker.ack_all(&received);
        }
        let parts: Vec<usize> = (1..=10).map(|weight| weight * 10).collect();
        assert_eq!(counts(&popped), parts, "{max} at a time");
    }
}

#[test]
fn weights_are_shared_among_the_levels_that_have_something() {
    let mut broker = broker(PriorityPolicy::Weighted);
    send(&mut broker, 9, 100);
    send(&mut broker, 4, 100);
    let popped: Vec<u32> = (0..30).map(|_| pop(&broker).unwrap()).collect();
    let counts = counts(&popped);
    assert_eq!((counts[9], counts[4]), (20, 10));
    assert!(popped.chunks(3).all(|round| round.contains(&4)), "it comes in between: {popped:?}");
}

/// A level that has messages gives one within as many turns as there are parts, whatever the others get.
#[test]
fn no_level_starves_by_weights() {
    let mut random = Random::new(3);
    let mut broker = broker(PriorityPolicy::Weighted);
    let (mut left, mut passed) = ([0_usize; 10], [0_usize; 10]);
    for _ in 0..3000 {
        // Urgent ones come in as fast as they go out.
        let level = if random.one_in(3) { random.below(10) as u32 } else { TOP };
        send(&mut broker, level, 1);
        left[level as usize] += 1;
        let popped = pop(&broker).unwrap() as usize;
        left[popped] -= 1;
        for level in 0..10 {
            let is_passed = left[level] > 0 && level != popped;
            passed[level] = if is_passed { passed[level] + 1 } else { 0 };
            assert!(passed[level] <= 2 * 55, "level {level} was passed over {} times", passed[level]);
        }
    }
}

#[test]
fn an_aging_level_rises_by_one_per_interval() {
    let mut broker = broker(AGING);
    send(&mut broker, 6, 100);
    send(&mut broker, 9, 100);
    assert_eq!(pop(&broker), Some(9));
    broker.now_ms += 3 * INTERVAL_MS;
    assert_eq!([pop(&broker), pop(&broker)], [Some(9), Some(9)], "of equals the higher one");
    broker.now_ms += 1;
    assert_eq!(pop(&broker), Some(9), "level 9 ages too while nobody asks");
    assert_eq!([pop(&broker), pop(&broker)], [Some(6), Some(9)], "one message, and it is level 6 again");
    broker.now_ms += 4 * INTERVAL_MS;
    let received = texts(&broker.receive(10));
    assert_eq!(
        received.iter().filter(|text| *text == "6").count(),
        1,
        "of a larger receive too: {received:?}"
    );
}

/// Once a level with messages was left out for 9 intervals, each of the others is chosen at most once before it.
#[test]
fn no_level_waits_longer_than_its_age_allows() {
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut broker = broker(AGING);
        let mut left = [0_usize; 10];
        let mut since_ms = [None::<u64>; 10];
        let mut chosen_since = [0_usize; 10];
        for _ in 0..400 {
            broker.now_ms += random.below(INTERVAL_MS * 2 / 3);
            for level in [TOP, random.below(10) as u32] {
                send(&mut broker, level, 1);
                left[level as usize] += 1;
            }
            let now_ms = broker.now_ms;
            for level in 0..10 {
                // A level waits from the look on that finds it not empty.
                since_ms[level] = (left[level] > 0).then(|| since_ms[level].unwrap_or(now_ms));
            }
            let popped = pop(&broker).unwrap() as usize;
            left[popped] -= 1;
            (since_ms[popped], chosen_since[popped]) = ((left[popped] > 0).then_some(now_ms), 0);
            for level in (0..10).filter(|&level| level != popped) {
                let allowed_ms = (9 - level as u64) * INTERVAL_MS;
                let is_late = since_ms[level].is_some_and(|since_ms| now_ms > since_ms + allowed_ms);
                chosen_since[level] = if is_late { chosen_since[level] + 1 } else { 0 };
                assert!(
                    chosen_since[level] <= 9,
                    "seed {seed}: level {level} waits since {since_ms:?} at {now_ms}"
                );
            }
        }
    }
}
