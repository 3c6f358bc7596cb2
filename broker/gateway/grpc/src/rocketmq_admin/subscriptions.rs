//! Who reads what: `ListSubscription`, `DescribeSubscription`, `DeleteSubscription` and `ListConsumerConnection`.
//!
//! ```text
//!   sessions: client c of group g reads topic t, messages e  ─┬─▶ online; consistent when all clients of g say the same
//!   engine: group g stands somewhere in topic t              ─┴─▶ not online: nobody says which messages
//! ```
//!
//! Promise: a subscription that is deleted with OK is forgotten for good, on every copy; the group begins anew when it
//! reads the topic again. One that a client reads, or may read, is left alone.
//! Limit: between the look at the clients and the record a client may come; it begins anew then.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::catalog::Broadcast;
use wire::v2::describe_subscription_response::ClientSubscriptionInfo;
use wire::v2::{self, Code, FilterExpression, FilterType, MessageModel};

use super::{allow, named, no_lite_topics, resource, timestamp};
use crate::authorize::{Action, Resource};
use crate::call::Call;
use crate::gateway::{Gateway, name_of};
use crate::refusal::{Failure, Refusal, ok};
use crate::send::stored;
use crate::session::{Profile, Read, Session};

/// A client that is a member of a consumer group.
pub(super) struct Member {
    pub(super) session: Arc<Session>,
    pub(super) profile: Profile,
}

impl Gateway {
    pub(super) fn subscriptions(
        &self,
        asked: &v2::ListSubscriptionRequest,
    ) -> Result<v2::ListSubscriptionResponse, Refusal> {
        self.deployed(asked.deployment_name.as_ref())?;
        let (topic, group) = self.selected(asked.topic.as_ref(), asked.group.as_ref())?;
        let mut subscription_info = Vec::new();
        for (group, members) in self.groups_of(group) {
            let mut topics: BTreeSet<&str> = BTreeSet::new();
            let read = members.iter().flat_map(|member| &member.profile.reads);
            topics.extend(read.map(|read| read.topic.as_str()));
            let known = self.known_topics(&group, topic);
            topics.extend(known.iter().map(String::as_str));
            topics.retain(|name| topic.is_none_or(|topic| topic == *name));
            subscription_info.extend(topics.into_iter().map(|topic| subscription(&group, topic, &members)));
        }
        Ok(v2::ListSubscriptionResponse { status: Some(ok()), subscription_info })
    }

    pub(super) fn subscriptions_of_clients(
        &self,
        asked: &v2::DescribeSubscriptionRequest,
    ) -> Result<v2::DescribeSubscriptionResponse, Refusal> {
        self.deployed(asked.deployment_name.as_ref())?;
        let (topic, group) = self.selected(asked.topic.as_ref(), asked.group.as_ref())?;
        let mut client_subscription_info = Vec::new();
        for (group, members) in self.groups_of(group) {
            for member in &members {
                let reads = member.profile.reads.iter();
                for read in reads.filter(|read| topic.is_none_or(|topic| topic == read.topic)) {
                    let is_consistent = is_consistent(&read.topic, &members);
                    client_subscription_info.push(ClientSubscriptionInfo {
                        client_info: Some(client_info(member)),
                        subscription_info: Some(v2::SubscriptionInfo {
                            expression: Some(whole(read.expression.as_ref())),
                            last_update_timestamp: member.profile.settled_ms.map(timestamp),
                            ..info(&group, &read.topic, true, is_consistent)
                        }),
                    });
                }
            }
        }
        Ok(v2::DescribeSubscriptionResponse { status: Some(ok()), client_subscription_info })
    }

    /// A group has one subscription of a topic, whatever the expression.
    pub(super) async fn delete_subscription(
        &self,
        call: &Call,
        asked: &v2::DeleteSubscriptionRequest,
    ) -> Result<v2::DeleteSubscriptionResponse, Failure> {
        self.deployed(asked.deployment_name.as_ref())?;
        let (name, group_name) = (name_of(asked.topic.as_ref()), name_of(asked.group.as_ref()));
        allow(Action::Administer, Resource::ConsumerGroup(group_name))?;
        allow(Action::Administer, Resource::Topic(name))?;
        let (group, topic) = (self.consumer_group(group_name)?, self.topic(name)?);
        if let Some(reader) = self.members(group_name).iter().find(|member| may_read(&member.profile, name)) {
            let client = wire::validate::Shown::from(&*reader.session.client_id);
            let text =
                format!("client `{client}` of consumer group `{group_name}` is online for topic `{name}`");
            return Err(Refusal::new(Code::PreconditionFailed, text).into());
        }
        let Some(submitted) = self.group.forget(&topic, &group, &call.mailbox) else {
            let text = format!("consumer group `{group_name}` has no subscription of topic `{name}`");
            return Err(Refusal::new(Code::NotFound, text).into());
        };
        stored(submitted).await?;
        Ok(v2::DeleteSubscriptionResponse { status: Some(ok()) })
    }

    pub(super) fn consumers(
        &self,
        asked: &v2::ListConsumerConnectionRequest,
    ) -> Result<v2::ListConsumerConnectionResponse, Refusal> {
        self.deployed(asked.deployment_name.as_ref())?;
        if asked.lite_topic.as_ref().is_some_and(|name| !name.is_empty()) {
            return no_lite_topics();
        }
        let name = name_of(asked.group.as_ref());
        allow(Action::Describe, Resource::ConsumerGroup(name))?;
        self.consumer_group(name)?;
        let topic = named(asked.topic.as_ref());
        if let Some(topic) = topic {
            self.topic(topic)?;
        }
        let mut members = self.members(name);
        members.retain(|member| topic.is_none_or(|topic| reads(&member.profile, topic).is_some()));
        let client_info = members.iter().map(client_info).collect();
        Ok(v2::ListConsumerConnectionResponse { status: Some(ok()), client_info })
    }

    /// The clients of a consumer group.
    pub(super) fn members(&self, group: &str) -> Vec<Member> {
        self.groups_of(Some(group)).remove(group).unwrap_or_default()
    }

    /// The clients by consumer group; of all groups, or of one, which is there even if it has none.
    fn groups_of(&self, only: Option<&str>) -> BTreeMap<String, Vec<Member>> {
        let mut groups: BTreeMap<String, Vec<Member>> = BTreeMap::new();
        if let Some(group) = only {
            groups.insert(group.to_owned(), Vec::new());
        } else {
            let mut all = self.group.consumer_groups();
            // Members of broadcasts go by their group.
            all.retain(|group| !matches!(group.spec.broadcast, Broadcast::Member(_)));
            groups.extend(all.iter().map(|group| (group.spec.name.clone(), Vec::new())));
        }
        for session in self.sessions.all() {
            let profile = session.profile();
            if let Some(members) = profile.group.as_ref().and_then(|group| groups.get_mut(group)) {
                members.push(Member { session, profile });
            }
        }
        groups
    }

    /// The topics that the engine knows the group on.
    fn known_topics(&self, group: &str, only: Option<&str>) -> Vec<String> {
        let Some(group) = self.group.consumer_group(group) else { return Vec::new() };
        let topics = match only {
            Some(name) => self.group.topic(name).into_iter().collect(),
            None => self.group.topics(),
        };
        let known = topics.iter().filter(|topic| self.group.reads(topic, &group));
        known.map(|topic| topic.spec.name.clone()).collect()
    }

    /// The topic and the group that a list is about; at least one of them, and they exist.
    fn selected<'a>(
        &self,
        topic: Option<&'a v2::Resource>,
        group: Option<&'a v2::Resource>,
    ) -> Result<(Option<&'a str>, Option<&'a str>), Refusal> {
        let (topic, group) = (named(topic), named(group));
        if topic.is_none() && group.is_none() {
            return Err(Refusal::new(Code::BadRequest, "name a topic, a consumer group, or both"));
        }
        if let Some(name) = topic {
            allow(Action::Describe, Resource::Topic(name))?;
            self.topic(name)?;
        }
        if let Some(name) = group {
            allow(Action::Describe, Resource::ConsumerGroup(name))?;
            self.consumer_group(name)?;
        }
        Ok((topic, group))
    }
}

pub(super) fn client_info(member: &Member) -> v2::ClientInfo {
    let Member { session, profile } = member;
    v2::ClientInfo {
        client_id: session.client_id.clone(),
        version: profile.version.clone(),
        language: profile.language.clone(),
        hostname: profile.hostname.clone(),
        egress_ip: profile.remote.ip().to_string(),
        message_model: MessageModel::Clustering.into(),
    }
}

/// The expression that means the same as what a client said, which may be nothing.
pub(super) fn whole(expression: Option<&FilterExpression>) -> FilterExpression {
    let all = || FilterExpression { r#type: FilterType::Tag.into(), expression: "*".to_owned() };
    expression.filter(|said| !said.expression.trim().is_empty()).cloned().unwrap_or_else(all)
}

/// What the clients of a group say about a topic.
fn subscription(group: &str, topic: &str, members: &[Member]) -> v2::SubscriptionInfo {
    let said: Vec<_> = members
        .iter()
        .filter_map(|member| Some((member.profile.settled_ms?, reads(&member.profile, topic)?)))
        .collect();
    let latest = said.iter().max_by_key(|(settled_ms, _)| *settled_ms);
    let is_online = members.iter().any(|member| may_read(&member.profile, topic));
    v2::SubscriptionInfo {
        expression: latest.map(|(_, read)| whole(read.expression.as_ref())),
        last_update_timestamp: latest.map(|(settled_ms, _)| timestamp(*settled_ms)),
        ..info(group, topic, is_online, is_consistent(topic, members))
    }
}

fn info(group: &str, topic: &str, online: bool, consistent: bool) -> v2::SubscriptionInfo {
    v2::SubscriptionInfo {
        group: Some(resource(group)),
        topic: Some(resource(topic)),
        online,
        message_model: MessageModel::Clustering.into(),
        subscription_consistency: consistent,
        ..Default::default()
    }
}

/// Whether all clients that told what they read say the same about this topic.
fn is_consistent(topic: &str, members: &[Member]) -> bool {
    let settled = members.iter().filter(|member| member.profile.settled_ms.is_some());
    let said =
        settled.map(|member| reads(&member.profile, topic).map(|read| meaning(read.expression.as_ref())));
    let said: Vec<_> = said.collect();
    said.windows(2).all(|pair| pair[0] == pair[1])
}

/// The expression in a form that is the same for the same messages: tags in order, each once.
fn meaning(expression: Option<&FilterExpression>) -> (bool, Vec<String>) {
    let whole = whole(expression);
    if whole.r#type == i32::from(FilterType::Sql) {
        return (true, vec![whole.expression]);
    }
    let tags = whole.expression.split("||").map(|tag| tag.trim().to_owned());
    (false, tags.filter(|tag| !tag.is_empty()).collect::<BTreeSet<_>>().into_iter().collect())
}

/// What a client says about a topic; `None`: it does not say that it reads it.
fn reads<'a>(profile: &'a Profile, topic: &str) -> Option<&'a Read> {
    profile.reads.iter().find(|read| read.topic == topic)
}

/// It says so, or said nothing yet.
fn may_read(profile: &Profile, topic: &str) -> bool {
    profile.settled_ms.is_none() || reads(profile, topic).is_some()
}
