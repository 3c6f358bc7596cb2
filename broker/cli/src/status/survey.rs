//! What the members of a group say, or that they say nothing.

use std::collections::{BTreeMap, BTreeSet};

use client::admin::{AdminClient, AdminError, GetBrokerResponse, Member};
use serde_json::Value;
use tokio::task::JoinSet;

use crate::connect::Connect;

/// All members that somebody named, by ordinal.
#[derive(Debug, Default)]
pub(super) struct Survey {
    pub(super) cluster: String,
    pub(super) group: String,
    pub(super) answers: BTreeMap<u32, Answer>,
}

/// One member's answer.
#[derive(Debug)]
pub(super) enum Answer {
    Told(Box<GetBrokerResponse>),
    /// Why there is none.
    Silent(String),
}

/// The latest record that anybody knows.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) epoch: u64,
    pub(super) revision: u64,
    pub(super) leader: Option<u32>,
    pub(super) in_sync: BTreeSet<u32>,
    pub(super) min_in_sync: u32,
    /// Copies that shall be kept.
    pub(super) copies: u32,
    pub(super) is_async: bool,
    /// Epochs of elections that were forced.
    pub(super) unclean: Vec<u64>,
    pub(super) json: Value,
}

impl Survey {
    /// Asks every member that the first answer names.
    pub(super) async fn take(asked: GetBrokerResponse, connect: &Connect) -> Self {
        let member = asked.member.clone().unwrap_or_default();
        let mut asking = JoinSet::new();
        for address in member.addresses.iter().filter(|address| address.ordinal != member.ordinal) {
            let (ordinal, client) = (address.ordinal, connect.admin_at(&address.admin));
            asking.spawn(async move { (ordinal, ask(client).await) });
        }
        let (cluster, group) = (asked.cluster.clone(), asked.group.clone());
        let mut answers = BTreeMap::from([(member.ordinal, Answer::Told(Box::new(asked)))]);
        while let Some(joined) = asking.join_next().await {
            answers.extend(joined);
        }
        Self { cluster, group, answers }
    }

    /// Members that answered.
    pub(super) fn told(&self) -> impl Iterator<Item = (u32, &GetBrokerResponse, &Member)> {
        self.answers.iter().filter_map(|(&ordinal, answer)| match answer {
            Answer::Told(broker) => broker.member.as_ref().map(|member| (ordinal, &**broker, member)),
            Answer::Silent(_) => None,
        })
    }

    /// What one member says.
    pub(super) fn of(&self, ordinal: u32) -> Option<(&GetBrokerResponse, &Member)> {
        self.told().find(|told| told.0 == ordinal).map(|(_, broker, member)| (broker, member))
    }

    /// The latest record; none if nobody knows one.
    pub(super) fn record(&self) -> Option<Record> {
        let records = self.told().filter_map(|(_, _, member)| Record::of(member));
        records.max_by_key(|record| (record.epoch, record.revision))
    }

    /// The member that serves clients, by what it says itself.
    pub(super) fn leader(&self) -> Option<(u32, &GetBrokerResponse, &Member)> {
        let epoch = self.record().map_or(0, |record| record.epoch);
        let serves = |told: &(u32, &GetBrokerResponse, &Member)| {
            // One that was replaced and has not heard of it leads an earlier epoch.
            let leads = told.2.role == "leader" && u64::from(told.2.epoch) >= epoch;
            leads && matches!(&*told.1.state, "serving" | "disk-full")
        };
        self.told().filter(serves).max_by_key(|told| told.2.epoch)
    }

    /// The leader that others follow, although it does not answer here.
    pub(super) fn leader_elsewhere(&self) -> Option<(u32, u32)> {
        let follows = |(_, broker, member): (u32, &GetBrokerResponse, &Member)| {
            let leader = ordinal_of(&member.leader)?;
            (broker.state == "following" && self.of(leader).is_none()).then_some((member.epoch, leader))
        };
        self.told().filter_map(follows).max().map(|(epoch, leader)| (leader, epoch))
    }
}

impl Record {
    fn of(member: &Member) -> Option<Self> {
        let json: Value = serde_json::from_str(&member.record).ok()?;
        let number = |key: &str| json.get(key).and_then(Value::as_u64).unwrap_or_default();
        let unclean = json.get("unclean").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            epoch: number("epoch"),
            revision: number("revision"),
            leader: ordinal_of(&member.leader),
            in_sync: member.in_sync_members.iter().filter_map(|id| ordinal_of(id)).collect(),
            min_in_sync: member.min_in_sync,
            copies: member.copies,
            is_async: member.asynchronous,
            unclean: unclean.filter_map(|forced| forced.get("epoch").and_then(Value::as_u64)).collect(),
            json,
        })
    }
}

/// The number in `1-00000000000000ab`.
fn ordinal_of(id: &str) -> Option<u32> {
    id.split_once('-')?.0.parse().ok()
}

async fn ask(client: Result<AdminClient, String>) -> Answer {
    match client {
        Ok(client) => match client.broker().await {
            Ok(broker) => Answer::Told(Box::new(broker)),
            Err(AdminError::Timeout { .. }) => Answer::Silent("no answer in time".to_owned()),
            Err(error) => Answer::Silent(error.to_string()),
        },
        Err(error) => Answer::Silent(error),
    }
}
