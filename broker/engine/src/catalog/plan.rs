//! What a request would change: outcomes and the changes to be logged. Nothing is changed but the id counters and what
//! is planned (`planned`).

use std::sync::Arc;

use store::QueueId;
use store::log::Draft;

use super::change::{Change, GroupPut, TopicPut, What};
use super::rules::{check_consumer_group, check_topic, settled};
use super::{Adopt, ApplyOutcome, Catalog, ConsumerGroupSpec, TopicSpec};

/// Outcomes in the order of the request, and the changes that bring them about.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) outcomes: Vec<ApplyOutcome>,
    pub(crate) changes: Vec<Change>,
    /// Records to be stored behind those of the changes.
    pub(crate) moves: Vec<Draft>,
}

impl Plan {
    pub(crate) fn extend(&mut self, other: Self) {
        self.outcomes.extend(other.outcomes);
        self.changes.extend(other.changes);
        self.moves.extend(other.moves);
    }

    fn add(&mut self, outcome: ApplyOutcome, what: Option<What>) {
        self.outcomes.push(outcome);
        self.changes.extend(what.map(Change::from));
    }
}

impl Catalog {
    /// `waiting` is let go once the changes are folded or will never be.
    pub(crate) fn plan_topics(&mut self, specs: &[TopicSpec], adopt: Adopt, waiting: &Arc<()>) -> Plan {
        let mut plan = Plan::default();
        for spec in specs {
            match self.plan_topic(spec, adopt, waiting) {
                Ok((outcome, put)) => plan.add(outcome, put.map(What::TopicPut)),
                Err(refused) => plan.add(refused, None),
            }
        }
        plan
    }

    /// As `plan_topics`. `resets` has for each group the records of the move that it asks for, or what is wrong with it.
    pub(crate) fn plan_consumer_groups(
        &mut self,
        specs: &[ConsumerGroupSpec],
        resets: Vec<Result<Vec<Draft>, String>>,
        adopt: Adopt,
        waiting: &Arc<()>,
    ) -> Plan {
        let mut plan = Plan::default();
        for (spec, reset) in specs.iter().zip(resets) {
            let planned = check_consumer_group(spec)
                .and(reset)
                .map_err(ApplyOutcome::Invalid)
                .and_then(|moves| self.plan_reset(spec, moves))
                .and_then(|moves| Ok((self.plan_consumer_group(spec, adopt, waiting)?, moves)));
            match planned {
                Ok(((outcome, put), moves)) => {
                    plan.moves.extend(moves.into_iter().filter(|_| put.is_some()));
                    plan.add(outcome, put.map(What::GroupPut));
                }
                Err(refused) => plan.add(refused, None),
            }
        }
        plan
    }

    /// As `plan_topics`.
    pub(crate) fn plan_topic_deletes(
        &mut self,
        names: &[String],
        owner: Option<&str>,
        waiting: &Arc<()>,
    ) -> Plan {
        let mut plan = Plan::default();
        for name in names {
            let found = self.latest_topic(name);
            let has = found.as_ref().map(|topic| topic.spec.owner.as_str());
            let outcome = delete_outcome(name, has, owner);
            let topic = found.filter(|_| outcome == ApplyOutcome::Deleted);
            plan.add(outcome, topic.as_ref().map(|topic| What::TopicDelete(topic.id)));
            if let Some(topic) = topic {
                self.note_topic_delete(topic, waiting);
            }
        }
        plan
    }

    /// As `plan_topics`.
    pub(crate) fn plan_consumer_group_deletes(
        &mut self,
        names: &[String],
        owner: Option<&str>,
        waiting: &Arc<()>,
    ) -> Plan {
        let mut plan = Plan::default();
        for name in names {
            let found = self.latest_group(name);
            let has = found.as_ref().map(|group| group.spec.owner.as_str());
            let outcome = delete_outcome(name, has, owner);
            let group = found.filter(|_| outcome == ApplyOutcome::Deleted);
            plan.add(outcome, group.as_ref().map(|group| What::GroupDelete(group.id)));
            if let Some(group) = group {
                self.note_group_delete(group, waiting);
            }
        }
        plan
    }

    /// The put that creates a topic, whoever asks first: as long as it is on its way it is the same one.
    pub(crate) fn plan_new_topic(&mut self, spec: &TopicSpec, waiting: &Arc<()>) -> TopicPut {
        if let Some(latest) = self.latest_topic(&spec.name).filter(|latest| !latest.is_delete) {
            self.note_topic(&latest.spec, latest.id, &latest.queues, waiting);
            return TopicPut::new(latest.id, &latest.spec, &latest.queues);
        }
        let (id, mut queues) = (self.fresh_topic_id(), Vec::new());
        self.grow(&mut queues, spec.queues);
        self.note_topic(spec, id, &queues, waiting);
        TopicPut::new(id, spec, &queues)
    }

    fn plan_topic(
        &mut self,
        spec: &TopicSpec,
        adopt: Adopt,
        waiting: &Arc<()>,
    ) -> Result<(ApplyOutcome, Option<TopicPut>), ApplyOutcome> {
        let spec = &*settled(spec);
        check_topic(spec).map_err(ApplyOutcome::Invalid)?;
        let Some(old) = self.latest_topic(&spec.name).filter(|latest| !latest.is_delete) else {
            return Ok((ApplyOutcome::Created, Some(self.plan_new_topic(spec, waiting))));
        };
        if old.spec == *spec && !old.is_in_flight {
            return Ok((ApplyOutcome::Unchanged, None));
        }
        let is_equal = old.spec == TopicSpec { owner: old.spec.owner.clone(), ..spec.clone() };
        check_owner("topic", &spec.name, [&old.spec.owner, &spec.owner], is_equal, adopt)?;
        if spec.topic_type != old.spec.topic_type {
            let (asked, has) = (spec.topic_type.word(), old.spec.topic_type.word());
            return Err(ApplyOutcome::InvalidChange(format!(
                "topic `{}` is of type {has}, which cannot become {asked}",
                spec.name
            )));
        }
        if spec.queues < old.spec.queues {
            let (asked, has) = (spec.queues, old.spec.queues);
            return Err(ApplyOutcome::InvalidChange(format!(
                "topic `{}` has {has} queues, they cannot become {asked}: queues are never removed",
                spec.name
            )));
        }
        let mut queues = old.queues;
        self.grow(&mut queues, spec.queues);
        self.note_topic(spec, old.id, &queues, waiting);
        // Of what is in flight nobody knows whether it arrives: this one says it all again.
        let put = TopicPut::new(old.id, spec, &queues[..spec.queues as usize]);
        Ok((put_outcome(old.is_folded), Some(TopicPut { is_change: old.is_folded, ..put })))
    }

    fn plan_consumer_group(
        &mut self,
        spec: &ConsumerGroupSpec,
        adopt: Adopt,
        waiting: &Arc<()>,
    ) -> Result<(ApplyOutcome, Option<GroupPut>), ApplyOutcome> {
        let Some(old) = self.latest_group(&spec.name).filter(|latest| !latest.is_delete) else {
            let id = self.fresh_group_id();
            self.note_group(spec, id, waiting);
            return Ok((ApplyOutcome::Created, Some(GroupPut::new(id, spec))));
        };
        if old.spec == *spec && !old.is_in_flight {
            return Ok((ApplyOutcome::Unchanged, None));
        }
        let is_equal = old.spec == ConsumerGroupSpec { owner: old.spec.owner.clone(), ..spec.clone() };
        check_owner("consumer group", &spec.name, [&old.spec.owner, &spec.owner], is_equal, adopt)?;
        self.note_group(spec, old.id, waiting);
        let mut put = GroupPut::new(old.id, spec);
        put.is_change = old.is_folded;
        Ok((put_outcome(old.is_folded), Some(put)))
    }

    /// The records of a move, unless it has been made since they were drawn up. Of one that is on its way nobody knows
    /// whether it arrives: who asks again moves what has gone on since, and who does not may lose the move.
    fn plan_reset(&self, spec: &ConsumerGroupSpec, moves: Vec<Draft>) -> Result<Vec<Draft>, ApplyOutcome> {
        let Some(reset) = spec.reset.as_ref().filter(|_| !moves.is_empty()) else { return Ok(moves) };
        let is_same = |spec: &ConsumerGroupSpec| spec.reset.as_ref().is_some_and(|of| of.id == reset.id);
        if self.consumer_group(&spec.name).is_some_and(|group| is_same(&group.spec)) {
            return Ok(Vec::new());
        }
        if self.latest_group(&spec.name).is_some_and(|latest| !latest.is_delete && is_same(&latest.spec)) {
            return Err(ApplyOutcome::Pending(format!(
                "reset `{}` of consumer group `{}` is being stored, apply it again in a moment",
                reset.id, spec.name
            )));
        }
        Ok(moves)
    }

    fn grow(&mut self, queues: &mut Vec<QueueId>, count: u32) {
        while queues.len() < count as usize {
            queues.push(self.fresh_queue_id());
        }
    }
}

fn put_outcome(was_there: bool) -> ApplyOutcome {
    if was_there { ApplyOutcome::Changed } else { ApplyOutcome::Created }
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

fn delete_outcome(name: &str, has: Option<&str>, owner: Option<&str>) -> ApplyOutcome {
    match (has, owner) {
        (None, _) => ApplyOutcome::NotFound,
        (Some(has), Some(asks)) if has != asks => {
            ApplyOutcome::Conflict(format!("`{name}` belongs to `{has}`, not to `{asks}`"))
        }
        (Some(_), _) => ApplyOutcome::Deleted,
    }
}
