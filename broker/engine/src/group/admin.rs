//! Creating, changing and deleting topics and consumer groups.

use std::sync::Arc;

use parking_lot::RwLock;

use super::Group;
use crate::catalog::{Adopt, ApplyOutcome, Catalog, ConsumerGroupSpec, Plan, TopicSpec, drafts};
use crate::inbox::{SubmitError, Ticket};
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
    ) -> Result<Applied, SubmitError> {
        self.change(mailbox, |catalog, waiting| {
            let mut plan = Plan::default();
            for some in specs.chunks(PLANNED_MAX) {
                plan.extend(catalog.write().plan_topics(some, adopt, waiting));
            }
            plan
        })
    }

    /// Deletes topics with their messages; with `owner`, only those of that owner.
    pub fn delete_topics(
        &self,
        names: &[String],
        owner: Option<&str>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Applied, SubmitError> {
        self.change(mailbox, |catalog, waiting| catalog.write().plan_topic_deletes(names, owner, waiting))
    }

    /// Creates or changes consumer groups, and moves those whose definition asks for it.
    pub fn apply_consumer_groups(
        &self,
        specs: &[ConsumerGroupSpec],
        adopt: Adopt,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Applied, SubmitError> {
        // Before anything is locked: times are found on the disk.
        let reset = |spec: &ConsumerGroupSpec| {
            self.reset_drafts(self.consumer_group(&spec.name).as_deref(), spec.reset.as_ref())
        };
        let mut resets: Vec<_> = specs.iter().map(reset).collect();
        self.change(mailbox, |catalog, waiting| {
            let mut plan = Plan::default();
            for some in specs.chunks(PLANNED_MAX) {
                let resets = resets.drain(..some.len()).collect();
                plan.extend(catalog.write().plan_consumer_groups(some, resets, adopt, waiting));
            }
            plan
        })
    }

    /// Deletes consumer groups with their progress; with `owner`, only those of that owner.
    pub fn delete_consumer_groups(
        &self,
        names: &[String],
        owner: Option<&str>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<Applied, SubmitError> {
        self.change(mailbox, |catalog, waiting| {
            catalog.write().plan_consumer_group_deletes(names, owner, waiting)
        })
    }

    /// Plans and submits in one turn: records lie in the log in the order in which they were planned.
    pub(super) fn change(
        &self,
        mailbox: &Arc<Mailbox>,
        plan: impl FnOnce(&RwLock<Catalog>, &Arc<()>) -> Plan,
    ) -> Result<Applied, SubmitError> {
        let _turn = self.planning.lock();
        // Before anything is planned: what does not lead does not know which ids are free.
        self.inbox.admit()?;
        self.state.catalog.write().forget_settled();
        let waiting = Arc::new(());
        let plan = plan(&self.state.catalog, &waiting);
        if plan.changes.is_empty() {
            return Ok((plan.outcomes, None));
        }
        let mut all = drafts(plan.changes);
        all.extend(plan.moves);
        let ticket = self.inbox.submit_watched(all, mailbox, Some(waiting))?;
        Ok((plan.outcomes, Some(ticket)))
    }
}
