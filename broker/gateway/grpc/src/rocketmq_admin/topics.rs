//! `DescribeTopicStatus` and `GetTopicRoute`: what a topic is and where it lies.

use std::collections::HashMap;
use std::fmt::Write;

use engine::catalog::{Topic, TopicType};
use wire::v2::{self, MessageType, Permission};

use super::allow;
use crate::authorize::{Action, Resource};
use crate::call::Call;
use crate::gateway::{Gateway, name_of};
use crate::refusal::{Refusal, ok};
use crate::route::{Way, Ways};

/// What the remoting protocol calls read and write.
const PERM_READ: u32 = 4;
const PERM_READ_WRITE: u32 = 6;

impl Gateway {
    pub(super) fn topic_status(
        &self,
        asked: &v2::DescribeTopicStatusRequest,
    ) -> Result<v2::DescribeTopicStatusResponse, Refusal> {
        self.deployed(asked.deployment_name.as_ref())?;
        let name = name_of(asked.topic.as_ref());
        allow(Action::Describe, Resource::Topic(name))?;
        let topic = self.topic(name)?;
        let spec = &topic.spec;
        let word = spec.topic_type.word();
        let tags = [
            ("type", word.to_owned()),
            ("queues", spec.queues.to_string()),
            ("retention_ms", spec.retention_ms.to_string()),
            ("owner", spec.owner.clone()),
        ];
        Ok(v2::DescribeTopicStatusResponse {
            status: Some(ok()),
            topic_message_type: message_type(spec.topic_type).into(),
            description: Some(format!(
                "{word} topic with {} queues in broker group `{}`",
                spec.queues, self.config.group
            )),
            // Nobody writes down when a topic was made.
            create_timestamp: None,
            tags: tags.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<HashMap<_, _>>(),
        })
    }

    /// Whatever network the caller names: the address is the one that it dialled, or what the broker groups advertise.
    pub(super) fn topic_route(
        &self,
        call: &Call,
        asked: &v2::GetTopicRouteRequest,
    ) -> Result<v2::GetTopicRouteResponse, Refusal> {
        self.deployed(asked.deployment_name.as_ref())?;
        let name = name_of(asked.topic.as_ref());
        allow(Action::Locate, Resource::Topic(name))?;
        let topic = self.topic(name)?;
        let topic_route_data = self.route_data(call, &topic);
        Ok(v2::GetTopicRouteResponse { status: Some(ok()), topic_route_data })
    }

    /// A broker for each group; the ways to a group with several members are its addresses, number 0 the first.
    fn route_data(&self, call: &Call, topic: &Topic) -> String {
        let Ways { brokers, are_groups } = self.ways(call, None, topic);
        let of_groups: Vec<(&str, &[Way])> = if are_groups {
            brokers.iter().map(|way| (way.broker.name.as_str(), std::slice::from_ref(way))).collect()
        } else {
            vec![(self.config.group.as_str(), brokers.as_slice())]
        };
        let cluster = json(&self.config.cluster);
        let (mut queues, mut found) = (Vec::new(), Vec::new());
        for (group, ways) in of_groups {
            let (group, count) = (json(group), topic.queues.len());
            let perm = match ways[0].permission {
                Permission::Read => PERM_READ,
                Permission::Unspecified | Permission::None | Permission::Write | Permission::ReadWrite => {
                    PERM_READ_WRITE
                }
            };
            queues.push(format!(
                r#"{{"brokerName":{group},"perm":{perm},"readQueueNums":{count},"topicSysFlag":0,"writeQueueNums":{count}}}"#
            ));
            let addresses: Vec<_> = ways
                .iter()
                .enumerate()
                .map(|(id, way)| format!(r#""{id}":{}"#, json(&address(&way.broker))))
                .collect();
            let addresses = addresses.join(",");
            found.push(format!(
                r#"{{"brokerAddrs":{{{addresses}}},"brokerName":{group},"cluster":{cluster}}}"#
            ));
        }
        let (queues, brokers) = (queues.join(","), found.join(","));
        format!(r#"{{"brokerDatas":[{brokers}],"filterServerTable":{{}},"queueDatas":[{queues}]}}"#)
    }
}

/// A topic that takes several types has none that could be named.
fn message_type(topic_type: TopicType) -> MessageType {
    match topic_type {
        TopicType::Normal => MessageType::Normal,
        TopicType::Fifo => MessageType::Fifo,
        TopicType::Delay => MessageType::Delay,
        TopicType::Transaction => MessageType::Transaction,
        TopicType::Priority => MessageType::Priority,
        TopicType::Mixed => MessageType::Unspecified,
    }
}

/// `host:port`, several with `;` between them.
fn address(broker: &v2::Broker) -> String {
    let addresses = broker.endpoints.iter().flat_map(|endpoints| &endpoints.addresses);
    addresses.map(|address| format!("{}:{}", address.host, address.port)).collect::<Vec<_>>().join(";")
}

/// The text as JSON has it.
fn json(text: &str) -> String {
    let mut quoted = String::from("\"");
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control < ' ' => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(control));
            }
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::json;

    #[test]
    fn quotes_backslashes_and_controls_are_escaped() {
        assert_eq!(json("a\"b\\c\nd"), r#""a\"b\\c\u000ad""#);
    }
}
