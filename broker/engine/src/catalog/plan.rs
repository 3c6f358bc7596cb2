//! What a request would change: outcomes and the changes to be logged. Nothing is changed but the id counters.

use store::QueueId;

use super::change::{Change, GroupPut, TopicPut, What};
use super::rules::{check_consumer_group, check_topic};
use super::{Adopt, ApplyOutcome, Catalog, ConsumerGroupSpec, TopicSpec};

/// Outcomes in the order of the request, and the changes that bring them about.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) outcomes: Vec<ApplyOutcome>,
    pub(crate) changes: Vec<Change>,
}

impl Plan {
    pub(crate) fn extend(&mut self, other: Self) {
        self.outcomes.extend(other.outcomes);
        self.changes.extend(other.changes);
    }

    fn add(&mut self, outcome: ApplyOutcome, what: Option<What>) {
        self.outcomes.push(outcome);
        self.changes.extend(what.map(Change::from));
    }
}

impl Catalog {
    pub(crate) fn plan_topics(&mut self, specs: &[TopicSpec], adopt: Adopt) -> Plan {
        let mut plan = Plan::default();
        for spec in specs {
            match self.plan_topic(spec, adopt) {
                Ok((outcome, put)) => plan.add(outcome, put.map(What::TopicPut)),
                Err(refused) => plan.add(refused, None),
            }
        }
        plan
    }

    pub(crate) fn plan_consumer_groups(&mut self, specs: &[ConsumerGroupSpec], adopt: Adopt) -> Plan {
        let mut plan = Plan::default();
        for spec in specs {
            match self.plan_consumer_group(spec, adopt) {
                Ok((outcome, put)) => plan.add(outcome, put.map(What::GroupPut)),
                Err(refused) => plan.add(refused, None),
            }
        }
        plan
    }

    pub(crate) fn plan_topic_deletes(&self, names: &[String], owner: Option<&str>) -> Plan {
        let mut plan = Plan::default();
        for name in names {
            let found = self.topic(name).map(|topic| (topic.id, topic.spec.owner.as_str()));
            let (outcome, id) = plan_delete(name, found, owner);
            plan.add(outcome, id.map(What::TopicDelete));
        }
        plan
    }

    pub(crate) fn plan_consumer_group_deletes(&self, names: &[String], owner: Option<&str>) -> Plan {
        let mut plan = Plan::default();
        for name in names {
            let found = self.consumer_group(name).map(|group| (group.id, group.spec.owner.as_str()));
            let (outcome, id) = plan_delete(name, found, owner);
            plan.add(outcome, id.map(What::GroupDelete));
        }
        plan
    }

    /// The put that creates a topic, whoever asks first; the same ids as long as it is not folded.
    pub(crate) fn plan_new_topic(&mut self, spec: &TopicSpec) -> TopicPut {
        let (id, mut queues) = match self.planned_topics.get(&spec.name) {
            Some((id, queues)) => (*id, queues.clone()),
            None => (self.fresh_topic_id(), Vec::new()),
        };
        self.grow(&mut queues, spec.queues);
        self.planned_topics.insert(spec.name.clone(), (id, queues.clone()));
        TopicPut::new(id, spec, &queues[..spec.queues as usize])
    }

    fn plan_topic(
        &mut self,
        spec: &TopicSpec,
        adopt: Adopt,
    ) -> Result<(ApplyOutcome, Option<TopicPut>), ApplyOutcome> {
        check_topic(spec).map_err(ApplyOutcome::Invalid)?;
        let Some(old) = self.topic(&spec.name) else {
            return Ok((ApplyOutcome::Created, Some(self.plan_new_topic(spec))));
        };
        if old.spec == *spec {
            return Ok((ApplyOutcome::Unchanged, None));
        }
        let old = std::sync::Arc::clone(old);
        let is_equal = old.spec == TopicSpec { owner: old.spec.owner.clone(), ..spec.clone() };
        check_owner("topic", &spec.name, [&old.spec.owner, &spec.owner], is_equal, adopt)?;
        if spec.queues < old.spec.queues {
            let (asked, has) = (spec.queues, old.spec.queues);
            return Err(ApplyOutcome::InvalidChange(format!(
                "topic `{}` has {has} queues, they cannot become {asked}: queues are never removed",
                spec.name
            )));
        }
        let mut queues = old.queues.clone();
        self.grow(&mut queues, spec.queues);
        let put = TopicPut { is_change: true, ..TopicPut::new(old.id, spec, &queues) };
        Ok((ApplyOutcome::Changed, Some(put)))
    }

    fn plan_consumer_group(
        &mut self,
        spec: &ConsumerGroupSpec,
        adopt: Adopt,
    ) -> Result<(ApplyOutcome, Option<GroupPut>), ApplyOutcome> {
        check_consumer_group(spec).map_err(ApplyOutcome::Invalid)?;
        let Some(old) = self.consumer_group(&spec.name) else {
            let id = match self.planned_groups.get(&spec.name) {
                Some(id) => *id,
                None => self.fresh_group_id(),
            };
            self.planned_groups.insert(spec.name.clone(), id);
            return Ok((ApplyOutcome::Created, Some(GroupPut::new(id, spec))));
        };
        if old.spec == *spec {
            return Ok((ApplyOutcome::Unchanged, None));
        }
        let is_equal = old.spec == ConsumerGroupSpec { owner: old.spec.owner.clone(), ..spec.clone() };
        check_owner("consumer group", &spec.name, [&old.spec.owner, &spec.owner], is_equal, adopt)?;
        let mut put = GroupPut::new(old.id, spec);
        put.is_change = true;
        Ok((ApplyOutcome::Changed, Some(put)))
    }

    fn grow(&mut self, queues: &mut Vec<QueueId>, count: u32) {
        while queues.len() < count as usize {
            queues.push(self.fresh_queue_id());
        }
    }
}

fn check_owner(
    what: &str,
    name: &str,
    [old, new]: [&str; 2],
    is_equal: bool,
    adopt: Adopt,
) -> Result<(), ApplyOutcome> {
    let may = old == new
        || match adopt {
            Adopt::Always => true,
            Adopt::IfCompatible => old.is_empty() && is_equal,
            Adopt::Never => false,
        };
    if may {
        return Ok(());
    }
    let reason = if old.is_empty() {
        format!("{what} `{name}` exists, nobody owns it and its definition differs")
    } else {
        format!("{what} `{name}` belongs to `{old}`")
    };
    Err(ApplyOutcome::Conflict(reason))
}

fn plan_delete(name: &str, found: Option<(u32, &str)>, owner: Option<&str>) -> (ApplyOutcome, Option<u32>) {
    match (found, owner) {
        (None, _) => (ApplyOutcome::NotFound, None),
        (Some((_, has)), Some(asks)) if has != asks => {
            (ApplyOutcome::Conflict(format!("`{name}` belongs to `{has}`, not to `{asks}`")), None)
        }
        (Some((id, _)), _) => (ApplyOutcome::Deleted, Some(id)),
    }
}
