//! What there is and how far it has come.

use std::sync::Arc;

use engine::catalog::Broadcast;
use engine::group::MEMBER_PREFIX;
use wire::admin::{self, Code};

use super::{AdminService, convert, remains};
use crate::gateway::Gateway;
use crate::leader::Place;

impl AdminService {
    /// About this very broker, whether it leads or not.
    pub(super) fn broker(&self) -> admin::GetBrokerResponse {
        let (config, place) = (self.leadership.config(), self.leadership.get());
        let member = self.membership.as_ref().map(|membership| (membership.view)());
        // Without a setting a member goes by the number of copies.
        let flush = member.as_ref().map(|member| if member.flush_sync { "Sync" } else { "Async" });
        let about = admin::GetBrokerResponse {
            cluster: config.cluster.clone(),
            group: config.group.clone(),
            version: config.version.clone(),
            state: state(&place, false),
            connections: (self.connections)(),
            uptime_ms: self.leadership.now_ms().saturating_sub(self.started_ms),
            flush: flush.map_or_else(|| config.flush.clone(), str::to_owned),
            member,
            ..Default::default()
        };
        let Some(group) = self.leadership.local() else { return about };
        let log = group.log_state();
        admin::GetBrokerResponse {
            log_id: format!("{:032x}", u128::from_be_bytes(log.log_id)),
            epoch: log.epoch.0,
            state: state(&place, log.disk_full),
            log_head: log.head.0,
            log_written: log.written.0,
            log_durable: log.durable.0,
            disk_free_bytes: log.free_bytes,
            topics: group.topics().len() as u64,
            consumer_groups: group.consumer_groups().len() as u64,
            remains: matches!(place, Place::Here(_)).then(|| remains::of(config, &group)).flatten(),
            ..about
        }
    }
}

fn state(place: &Place, disk_full: bool) -> String {
    match place {
        Place::Here(_) if disk_full => "disk-full".to_owned(),
        Place::Here(_) => "serving".to_owned(),
        Place::There(_) => "following".to_owned(),
        Place::Nowhere(why) => why.to_string(),
    }
}

pub(super) fn topics(gateway: &Gateway, request: &admin::ListRequest) -> admin::ListTopicsResponse {
    let topics = gateway.group.topics();
    let topics = topics.iter().filter(|topic| selects(request, &topic.spec.name));
    admin::ListTopicsResponse { topics: topics.map(|topic| convert::topic(topic)).collect() }
}

pub(super) fn topic(gateway: &Gateway, name: String) -> admin::DescribeTopicResponse {
    let group = &gateway.group;
    let Some(topic) = group.topic(&name) else {
        let result = Some(not_found("topic", name));
        return admin::DescribeTopicResponse { result, ..Default::default() };
    };
    let status = |(number, queue): (usize, &store::QueueId)| {
        let (head, tail) = group.queue_range(*queue);
        admin::QueueStatus { queue: number as u32, head: head.0, tail: tail.0 }
    };
    admin::DescribeTopicResponse {
        result: Some(found(name)),
        topic: Some(convert::topic(&topic)),
        queues: topic.queues.iter().enumerate().map(status).collect(),
    }
}

pub(super) fn consumer_groups(
    gateway: &Gateway,
    request: &admin::ListRequest,
) -> admin::ListConsumerGroupsResponse {
    let groups = gateway.group.consumer_groups();
    // Members of broadcasts are shown with their group.
    let groups = groups.iter().filter(|group| {
        selects(request, &group.spec.name) && !matches!(group.spec.broadcast, Broadcast::Member(_))
    });
    admin::ListConsumerGroupsResponse { groups: groups.map(|group| convert::consumer_group(group)).collect() }
}

pub(super) fn consumer_group(gateway: &Gateway, name: String) -> admin::DescribeConsumerGroupResponse {
    let group = &gateway.group;
    let Some(consumer_group) = group.consumer_group(&name) else {
        let result = Some(not_found("consumer group", name));
        return admin::DescribeConsumerGroupResponse { result, ..Default::default() };
    };
    let progress = |member: &str, progress: engine::group::Progress| admin::GroupProgress {
        member: member.to_owned(),
        topic: progress.topic,
        queue: progress.queue,
        tail: progress.tail.0,
        floor: progress.floor.0,
        next: progress.next.0,
        in_flight: progress.in_flight,
        lag: progress.lag,
    };
    let mut readers = vec![(String::new(), Arc::clone(&consumer_group))];
    let prefix = format!("{MEMBER_PREFIX}{}%", consumer_group.id);
    readers.extend(group.members_of(consumer_group.id).into_iter().map(|member| {
        let name = &member.spec.name;
        (name.strip_prefix(&prefix).unwrap_or(name).to_owned(), member)
    }));
    admin::DescribeConsumerGroupResponse {
        group: Some(convert::consumer_group(&consumer_group)),
        progress: readers
            .iter()
            .flat_map(|(name, reader)| group.progress(reader).into_iter().map(|found| progress(name, found)))
            .collect(),
        clients: clients(gateway, &name),
        result: Some(found(name)),
    }
}

fn clients(gateway: &Gateway, group: &str) -> Vec<admin::GroupClient> {
    let sessions = gateway.clients();
    let members = sessions.iter().filter_map(|session| {
        let profile = session.profile();
        (profile.group.as_deref() == Some(group)).then(|| admin::GroupClient {
            client_id: session.client_id.clone(),
            language: profile.language,
            version: profile.version,
            remote: profile.remote.to_string(),
        })
    });
    members.collect()
}

/// Both ways of narrowing a list hold; one that is not used lets everything through.
fn selects(request: &admin::ListRequest, name: &str) -> bool {
    name.starts_with(&request.prefix)
        && (request.names.is_empty() || request.names.iter().any(|wanted| wanted == name))
}

pub(super) fn found(name: String) -> admin::Result {
    admin::Result { name, code: Code::Unchanged.into(), message: String::new() }
}

fn not_found(what: &str, name: String) -> admin::Result {
    let message = format!("{what} `{name}` does not exist");
    admin::Result { name, code: Code::NotFound.into(), message }
}
