//! What is still in a group that leaves its cluster: it may go when nothing is.
//!
//! Promise: a message counts until every consumer group that reads its topic here has done it, and one that nobody reads here
//! counts for as long as it is kept. So dead letters count until somebody reads them, too.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use engine::group::Group;
use wire::admin;

use crate::endpoints::Standing;
use crate::gateway::GatewayConfig;

/// Parts that are told by name; all of them are in the sum.
const TOLD_MAX: usize = 16;

/// None: the group stays.
pub(super) fn of(config: &GatewayConfig, group: &Group) -> Option<admin::Remains> {
    let standing = config.standing();
    if standing == Standing::Open {
        return None;
    }
    // By topic and consumer group; none of the latter: nobody reads it.
    let mut parts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for reader in group.consumer_groups() {
        for progress in group.progress(&reader) {
            *parts.entry((progress.topic, reader.spec.name.clone())).or_default() += progress.lag;
        }
    }
    let topics = group.topics();
    for topic in &topics {
        let name = &topic.spec.name;
        let is_read =
            parts.range((name.clone(), String::new())..).next().is_some_and(|(key, _)| key.0 == *name);
        if !is_read {
            let kept = topic.queues.iter().map(|queue| group.queue_range(*queue));
            let messages = kept.map(|(head, tail)| tail.0.saturating_sub(head.0)).sum();
            parts.insert((name.clone(), String::new()), messages);
        }
    }
    let messages = parts.values().sum();
    let mut largest: Vec<_> = parts
        .into_iter()
        .filter(|(_, messages)| *messages > 0)
        .map(|((topic, consumer_group), messages)| admin::Remainder { topic, consumer_group, messages })
        .collect();
    largest.sort_by_key(|part| Reverse(part.messages));
    largest.truncate(TOLD_MAX);
    let placed = topics.iter().filter(|topic| !topic.spec.groups.is_empty() && topic.is_in(&config.group));
    Some(admin::Remains {
        standing: standing.word().to_owned(),
        messages,
        largest,
        pending_timers: group.pending_timers(),
        open_transactions: group.open_transactions(),
        placed_topics: placed.take(TOLD_MAX).map(|topic| topic.spec.name.clone()).collect(),
    })
}
