//! Creating, changing and deleting topics and consumer groups.

use std::sync::Arc;

use super::Group;
use crate::catalog::{Adopt, ApplyOutcome, ConsumerGroupSpec, Plan, TopicSpec, drafts};
use crate::inbox::{Busy, Ticket};
use crate::mailbox::Mailbox;

/// One outcome per item, and a ticket if something has to be written.
type Applied = (Vec<ApplyOutcome>, Option<Ticket>);

/// Items planned under one lock, so that a large request does not hold up sends.
const PLANNED_MAX: usize = 256;

impl Group {
    /// Creates or changes topics. The outcomes hold once the ticket tells that they are stored.
    pub fn apply_topics(
        &self,
        specs: &[TopicSpec],
        adopt: Adopt,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Applied, Busy> {
        let mut plan = Plan::default();
        for some in specs.chunks(PLANNED_MAX) {
            plan.extend(self.state.catalog.write().plan_topics(some, adopt));
        }
        self.carry_out(plan, mailbox)
    }

    /// Deletes topics with their messages; with `owner`, only those of that owner.
    pub fn delete_topics(
        &self,
        names: &[String],
        owner: Option<&str>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Applied, Busy> {
        let plan = self.state.catalog.read().plan_topic_deletes(names, owner);
        self.carry_out(plan, mailbox)
    }

    /// Creates or changes consumer groups.
    pub fn apply_consumer_groups(
        &self,
        specs: &[ConsumerGroupSpec],
        adopt: Adopt,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Applied, Busy> {
        let mut plan = Plan::default();
        for some in specs.chunks(PLANNED_MAX) {
            plan.extend(self.state.catalog.write().plan_consumer_groups(some, adopt));
        }
        self.carry_out(plan, mailbox)
    }

    /// Deletes consumer groups with their progress; with `owner`, only those of that owner.
    pub fn delete_consumer_groups(
        &self,
        names: &[String],
        owner: Option<&str>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Applied, Busy> {
        let plan = self.state.catalog.read().plan_consumer_group_deletes(names, owner);
        self.carry_out(plan, mailbox)
    }

    fn carry_out(&self, plan: Plan, mailbox: &Arc<Mailbox>) -> Result<Applied, Busy> {
        if plan.changes.is_empty() {
            return Ok((plan.outcomes, None));
        }
        let ticket = self.inbox.submit(drafts(plan.changes), mailbox)?;
        Ok((plan.outcomes, Some(ticket)))
    }
}
