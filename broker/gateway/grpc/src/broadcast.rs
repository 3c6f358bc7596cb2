//! Broadcasts: each consumer of the group gets all messages, by a member group of its own.
//!
//! Promise: a client's first receive, or update of its offset, makes its member; one that nobody uses for a day goes, and so
//! do those whose group is gone. A client cannot name a member: it names the group, and is its own member only.

use std::collections::HashMap;
use std::sync::Arc;

use engine::catalog::{Broadcast, ConsumerGroup};
use engine::group::{MEMBERS_MAX, Member};
use engine::mailbox::Mailbox;
use parking_lot::Mutex;
use tracing::info;
use wire::v2::Code;

use crate::call::Call;
use crate::gateway::Gateway;
use crate::refusal::{Failure, Refusal};
use crate::send::{not_taken, stored};

/// A member that nobody used for so long is forgotten, with its progress.
const UNUSED_MS_MAX: u64 = 24 * 3600 * 1000;
/// How often that is looked for.
const LOOK_EVERY_MS: u64 = 60_000;
/// The definition may change while a member is made; more often than this it does not.
const TRIES: usize = 3;

/// When members were used last.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    used_ms: Mutex<HashMap<u32, u64>>,
    looked_ms: Mutex<u64>,
}

impl Gateway {
    /// The group that reads for the client of this call.
    pub(crate) async fn reads_for(
        &self,
        call: &Call,
        group: Arc<ConsumerGroup>,
    ) -> Result<Arc<ConsumerGroup>, Failure> {
        if group.spec.broadcast == Broadcast::No {
            return Ok(group);
        }
        let name = &group.spec.name;
        for _ in 0..TRIES {
            let group = self.consumer_group(name)?;
            match self.group.reads_for(&group, call.client_id(), &call.mailbox).map_err(not_taken)? {
                Member::There(member) => {
                    self.broadcast_usage.used_ms.lock().insert(member.id, self.now_ms());
                    return Ok(member);
                }
                Member::Coming(ticket) => drop(stored(Ok(ticket)).await?),
                Member::TooMany => {
                    let text =
                        format!("consumer group `{name}` has {MEMBERS_MAX} members, which is the limit");
                    return Err(Refusal::new(Code::TooManyRequests, text).into());
                }
            }
        }
        Err(Refusal::new(Code::InternalServerError, format!("consumer group `{name}` changes all the time"))
            .into())
    }

    /// As `reads_for`, where there has to be a member already.
    pub(crate) fn reads_now(&self, call: &Call, group: &Arc<ConsumerGroup>) -> Option<Arc<ConsumerGroup>> {
        self.group.member_of(group, call.client_id())
    }

    /// Once a minute: forgets members that nobody uses.
    pub(crate) fn forget_members(&self, now_ms: u64) {
        {
            let mut looked_ms = self.broadcast_usage.looked_ms.lock();
            if looked_ms.saturating_add(LOOK_EVERY_MS) > now_ms {
                return;
            }
            *looked_ms = now_ms;
        }
        // Without the lock while groups are deleted: receives take it.
        let used_ms = self.broadcast_usage.used_ms.lock().clone();
        // Nobody knows when those were used that this leader has not heard of: their time begins now.
        let mut current = HashMap::new();
        let is_unused = |member: &ConsumerGroup| {
            let last_ms = used_ms.get(&member.id).copied().unwrap_or(now_ms);
            last_ms.saturating_add(UNUSED_MS_MAX) <= now_ms
        };
        let forgotten = self.group.forget_members(is_unused, &Mailbox::new());
        for group in self.group.consumer_groups() {
            if let Broadcast::Member(_) = group.spec.broadcast {
                current.insert(group.id, used_ms.get(&group.id).copied().unwrap_or(now_ms));
            }
        }
        {
            let mut used_ms = self.broadcast_usage.used_ms.lock();
            used_ms.retain(|member, last_ms| {
                current
                    .entry(*member)
                    .and_modify(|known: &mut u64| *known = (*known).max(*last_ms))
                    .or_insert(*last_ms);
                false
            });
            used_ms.extend(current);
        }
        if forgotten > 0 {
            info!(forgotten, "members of broadcasts that nobody uses are forgotten");
        }
    }
}
