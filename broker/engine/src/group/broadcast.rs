//! The members of a broadcast: consumer groups that the broker makes, one for each consumer.
//!
//! ```text
//!   group 7 `prices`, ByHost    a receive of client `web-0@12@1@x` --> group `%MEMBER%7%web-0`, which reads all of it
//! ```
//!
//! Promise: a member reads as its group's definition says, and follows it when it changes; its progress is kept like any
//! group's, over restarts and changes of the leader. Members of a group that is gone, or no longer a broadcast, go.
//! Limit: 1000 members of a group. Not here: when a member that nobody uses goes (the gateway knows who uses it).

use std::sync::Arc;

use store::log::crc32;

use super::Group;
use crate::catalog::{Adopt, Broadcast, ConsumerGroup, ConsumerGroupSpec, Plan};
use crate::inbox::{SubmitError, Ticket};
use crate::mailbox::Mailbox;

/// Members of one group.
pub const MEMBERS_MAX: usize = 1000;
/// Names of members begin so.
pub const MEMBER_PREFIX: &str = "%MEMBER%";
/// What is kept of a client's name; the rest is in a checksum.
const NAME_BYTES_MAX: usize = 100;

/// The group that reads for a client.
#[derive(Debug)]
pub enum Member {
    /// It is there, as its group's definition says.
    There(Arc<ConsumerGroup>),
    /// It is being made, or made anew: there once the ticket tells that this is stored.
    Coming(Ticket),
    /// There are too many already.
    TooMany,
}

impl Group {
    /// The group that reads for a client of `group`: itself, or the client's member of a broadcast.
    pub fn reads_for(
        &self,
        group: &Arc<ConsumerGroup>,
        client_id: &str,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Member, SubmitError> {
        let Some(who) = who(group, client_id) else { return Ok(Member::There(Arc::clone(group))) };
        let spec = member_spec(group, who);
        let known = self.consumer_group(&spec.name);
        if let Some(member) = known.filter(|member| member.spec == spec) {
            return Ok(Member::There(member));
        }
        let mut is_one_too_many = false;
        let (_, ticket) = self.change(mailbox, |catalog, waiting| {
            let mut catalog = catalog.write();
            is_one_too_many =
                catalog.is_new_group(&spec.name) && catalog.members_to_be(group.id) >= MEMBERS_MAX;
            if is_one_too_many {
                return Plan::default();
            }
            catalog.plan_consumer_groups(&[spec], vec![Ok(Vec::new())], Adopt::Always, waiting)
        })?;
        if is_one_too_many {
            return Ok(Member::TooMany);
        }
        Ok(Member::Coming(ticket.unwrap_or_else(|| Ticket::stored(mailbox))))
    }

    /// As `reads_for`; `None`: the client has no member yet.
    pub fn member_of(&self, group: &Arc<ConsumerGroup>, client_id: &str) -> Option<Arc<ConsumerGroup>> {
        let Some(who) = who(group, client_id) else { return Some(Arc::clone(group)) };
        self.consumer_group(&member_spec(group, who).name)
    }

    /// The members of a group, by name.
    pub fn members_of(&self, group: u32) -> Vec<Arc<ConsumerGroup>> {
        let mut members = self.consumer_groups();
        members.retain(|member| member.spec.broadcast == Broadcast::Member(group));
        members
    }

    /// The ids under which a group reads: its own, and those of its members.
    pub(super) fn reader_ids(&self, group: &ConsumerGroup) -> Vec<u32> {
        let members = match group.spec.broadcast {
            Broadcast::No | Broadcast::Member(_) => Vec::new(),
            Broadcast::ByHost | Broadcast::ByClient => self.members_of(group.id),
        };
        std::iter::once(group.id).chain(members.iter().map(|member| member.id)).collect()
    }

    /// Deletes members that `is_unused` says so of, and those whose group is gone or shares its messages now; returns
    /// how many. What cannot be written now is tried again by the next call.
    pub fn forget_members(
        &self,
        is_unused: impl Fn(&ConsumerGroup) -> bool,
        mailbox: &Arc<Mailbox>,
    ) -> usize {
        let is_left_over = |of: u32| {
            let group = self.consumer_group_by_id(of);
            group.is_none_or(|group| group.spec.broadcast == Broadcast::No)
        };
        let goes = |member: &Arc<ConsumerGroup>| match member.spec.broadcast {
            Broadcast::Member(of) => is_left_over(of) || is_unused(member),
            Broadcast::No | Broadcast::ByHost | Broadcast::ByClient => false,
        };
        let gone = self.consumer_groups().into_iter().filter(goes);
        let names: Vec<String> = gone.map(|member| member.spec.name.clone()).collect();
        if names.is_empty() || self.delete_consumer_groups(&names, None, mailbox).is_err() {
            return 0;
        }
        names.len()
    }
}

/// Which member of a broadcast a client is; `None`: it is no broadcast.
fn who<'a>(group: &ConsumerGroup, client_id: &'a str) -> Option<&'a str> {
    match group.spec.broadcast {
        Broadcast::No | Broadcast::Member(_) => None,
        Broadcast::ByHost => Some(client_id.split_once('@').map_or(client_id, |(host, _)| host)),
        Broadcast::ByClient => Some(client_id),
    }
}

/// What a member is to be.
fn member_spec(group: &ConsumerGroup, who: &str) -> ConsumerGroupSpec {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let mut name: String = who.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    if name != who || name.len() > NAME_BYTES_MAX || name.is_empty() {
        name.truncate(NAME_BYTES_MAX);
        name = format!("{name}-{:08x}", crc32(who.as_bytes()));
    }
    ConsumerGroupSpec {
        name: format!("{MEMBER_PREFIX}{}%{name}", group.id),
        broadcast: Broadcast::Member(group.id),
        // It is moved together with its group, and is nobody's.
        reset: None,
        owner: String::new(),
        ..group.spec.clone()
    }
}
