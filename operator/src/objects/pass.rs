//! One pass over the objects of a kind in a cluster: list, decide, apply in bulk, report.

use std::collections::BTreeMap;
use std::sync::Arc;

use client::Endpoint;
use client::admin::{Change, Outcome, Refusal};
use crds::Reason;
use crds::object::{DeletionPolicy, Management, ObjectState};
use futures::StreamExt;
use futures::future::join_all;
use kube::{Resource, ResourceExt};
use tracing::warn;

use super::condition::conditions_after;
use super::decide::{Decision, FINALIZER, Scene, Verdict, Why, decide};
use super::index::ClusterKey;
use super::kind::{Findings, Kind, Progress};
use super::view::ClusterView;
use super::write;
use crate::admin::{BrokerAdmin, BrokerError};
use crate::context::Context;
use crate::metrics::Counter;

/// What a pass came to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pass {
    /// What did not work and is to be tried again; none: all is as it should be, or waits for a person.
    pub failed: Option<String>,
    /// How many objects stand where.
    pub states: BTreeMap<&'static str, i64>,
}

/// An object on its way through a pass.
struct Item<K: Kind> {
    object: Arc<K::Object>,
    decision: Decision<K::Wire>,
    why: Option<Why>,
    verdict: Option<Verdict>,
}

/// One pass. `with_progress`: whether brokers are also asked how far consumer groups have come.
pub async fn pass<K: Kind, A: BrokerAdmin>(
    context: &Context<A>,
    cluster: &ClusterKey,
    view: &ClusterView,
    objects: Vec<Arc<K::Object>>,
    with_progress: bool,
) -> Pass {
    let mut pass = Pass::default();
    if objects.is_empty() {
        return pass;
    }
    let endpoints = endpoints(context, cluster, view);
    let held = match list::<K, A>(context, &endpoints).await {
        Ok(held) => held,
        Err(error) => {
            unreachable::<K, A>(context, &objects, &error, &mut pass).await;
            pass.failed = Some(error.message);
            return pass;
        }
    };
    let scene = Scene::<K>::new(cluster, view, held, &objects);
    let mut items: Vec<Item<K>> = objects
        .into_iter()
        .map(|object| Item { decision: decide::<K>(&scene, &object), object, why: None, verdict: None })
        .collect();
    let mut held = scene.held;
    settle_finalizers(context, &mut items, &mut pass).await;
    apply(context, &endpoints, &mut items, &mut held, &mut pass).await;
    part(context, &endpoints, &mut items, &mut pass).await;
    let progress =
        if with_progress { progress::<K, A>(context, &endpoints, &items).await } else { BTreeMap::new() };
    report(context, items, &held, &progress, &mut pass).await;
    pass
}

fn endpoints<A>(context: &Context<A>, cluster: &ClusterKey, view: &ClusterView) -> Vec<Endpoint> {
    let ClusterView::Present { leaders, .. } = view else { return Vec::new() };
    let template = &context.settings.admin_endpoint;
    // The template was checked at the start: with the name of a cluster in it, it is an endpoint still.
    let at = |(group, leader): (u32, &u32)| {
        template.endpoint(&cluster.namespace, &cluster.name, group, *leader).ok()
    };
    (0..).zip(leaders).filter_map(at).collect()
}

/// What every group holds. All or nothing: half a picture would make half of the decisions wrong.
async fn list<K: Kind, A: BrokerAdmin>(
    context: &Context<A>,
    endpoints: &[Endpoint],
) -> Result<Vec<BTreeMap<String, K::Wire>>, BrokerError> {
    context.metrics.count_many(Counter::BrokerCalls, endpoints.len() as u64);
    let lists = join_all(endpoints.iter().map(|at| K::list(&context.admin, at))).await;
    let by_name =
        |list: Vec<K::Wire>| list.into_iter().map(|wire| (K::name(&wire).to_owned(), wire)).collect();
    lists.into_iter().map(|list| list.map(by_name)).collect()
}

/// Objects that a broker already holds stay as they are: a broker that restarts must not make a thousand of them flap.
async fn unreachable<K: Kind, A: BrokerAdmin>(
    context: &Context<A>,
    objects: &[Arc<K::Object>],
    error: &BrokerError,
    pass: &mut Pass,
) {
    context.metrics.count_error("broker", "unreachable");
    let mut items = Vec::new();
    for object in objects {
        let known = K::known(object);
        if known.generation == object.meta().generation && known.state == Some(ObjectState::Ready) {
            *pass.states.entry(ObjectState::Ready.word()).or_insert(0) += 1;
            continue;
        }
        // Never reached so far is waiting for a start; lost since is something else.
        let state = match known.state {
            None | Some(ObjectState::Waiting) => ObjectState::Waiting,
            Some(_) => ObjectState::Pending,
        };
        let verdict = Verdict::new(state, Reason::BrokerUnreachable, error.message.clone());
        items.push(Item::<K> {
            object: object.clone(),
            decision: Decision::Refuse(verdict.clone()),
            why: None,
            verdict: Some(verdict),
        });
    }
    report(context, items, &[], &BTreeMap::new(), pass).await;
}

/// Finalizers come before data and go with the wish to delete it.
async fn settle_finalizers<K: Kind, A: BrokerAdmin>(
    context: &Context<A>,
    items: &mut [Item<K>],
    pass: &mut Pass,
) {
    let changes = items.iter().enumerate().filter_map(|(at, item)| {
        let common = K::common(&item.object);
        let goes = common.deletion == DeletionPolicy::Delete && common.management == Management::Managed;
        let has = item.object.finalizers().iter().any(|known| known == FINALIZER);
        let wanted = match item.decision {
            Decision::Ignore | Decision::Delete | Decision::Release => has,
            Decision::Fits | Decision::Apply { .. } => goes,
            // Nothing of it is at a broker by this object's doing; what is there already stays guarded.
            Decision::Refuse(_) => has && goes,
            Decision::Observed(_) => false,
        };
        (wanted != has).then_some((at, item.object.clone(), wanted))
    });
    let changes: Vec<_> = changes.collect();
    let writes = changes.into_iter().map(|(at, object, wanted)| async move {
        (at, write::set_finalizer(context, &*object, wanted).await)
    });
    let outcomes: Vec<_> =
        futures::stream::iter(writes).buffer_unordered(context.settings.writes_max).collect().await;
    for (at, outcome) in outcomes {
        let Err(error) = outcome else { continue };
        context.metrics.count_error("object", error.class());
        // Without its finalizer on it nothing may be created: its deletion could not be seen through.
        let verdict = Verdict::new(ObjectState::Pending, Reason::KubernetesUnreachable, error.to_string());
        pass.failed = Some(verdict.message.clone());
        items[at].decision = Decision::Refuse(verdict);
    }
}

/// Applies in bulk: one call per group, whatever the number of objects.
async fn apply<K: Kind, A: BrokerAdmin>(
    context: &Context<A>,
    endpoints: &[Endpoint],
    items: &mut [Item<K>],
    held: &mut [BTreeMap<String, K::Wire>],
    pass: &mut Pass,
) {
    for (group, at) in endpoints.iter().enumerate() {
        let mut places = Vec::new();
        let mut bulk = Vec::new();
        for (place, item) in items.iter().enumerate() {
            if let Decision::Apply { wanted, groups, .. } = &item.decision
                && groups.contains(&(group as u32))
                && item.verdict.is_none()
            {
                places.push(place);
                bulk.push(wanted.clone());
            }
        }
        if bulk.is_empty() {
            continue;
        }
        context.metrics.count(Counter::BrokerCalls);
        match K::apply(&context.admin, at, bulk.clone()).await {
            Ok(outcomes) => {
                for ((place, wanted), outcome) in places.into_iter().zip(bulk).zip(outcomes) {
                    take_outcome(context, &mut items[place], outcome, pass);
                    if items[place].verdict.is_none() {
                        held[group].insert(K::name(&wanted).to_owned(), wanted);
                    }
                }
            }
            Err(error) => {
                pass.failed = Some(error.message.clone());
                for place in places {
                    items[place].verdict = Some(Verdict::new(
                        ObjectState::Pending,
                        Reason::BrokerUnreachable,
                        error.message.clone(),
                    ));
                }
            }
        }
    }
}

fn take_outcome<K: Kind, A>(context: &Context<A>, item: &mut Item<K>, outcome: Outcome, pass: &mut Pass) {
    match outcome.result {
        Ok(Change::Created | Change::Changed | Change::Deleted) => {
            let Decision::Apply { why, .. } = &item.decision else { return };
            if *why == Why::Drift && item.why.is_none() {
                context.metrics.count(Counter::DriftCorrectedBroker);
            }
            item.why = Some(*why);
        }
        // The broker sees no difference where we saw one: then there is none.
        Ok(Change::Unchanged) => {}
        Err(refusal) => {
            let verdict = refused(&refusal);
            if verdict.state == ObjectState::Pending {
                pass.failed = Some(verdict.message.clone());
            }
            item.verdict = Some(verdict);
        }
    }
}

fn refused(refusal: &Refusal) -> Verdict {
    let message = refusal.to_string();
    match refusal {
        Refusal::Invalid(_) => Verdict::new(ObjectState::Invalid, Reason::RefusedByBroker, message),
        Refusal::InvalidChange(_) => Verdict::new(ObjectState::InvalidChange, Reason::InvalidChange, message),
        Refusal::Conflict(_) => Verdict::new(ObjectState::Conflict, Reason::NotAdopted, message),
        Refusal::NotFound(_) | Refusal::Unavailable(_) | Refusal::Unknown(..) => {
            Verdict::new(ObjectState::Pending, Reason::BrokerBusy, message)
        }
    }
}

/// Sees objects off: deletes what is theirs in all groups, then lets them go.
async fn part<K: Kind, A: BrokerAdmin>(
    context: &Context<A>,
    endpoints: &[Endpoint],
    items: &mut [Item<K>],
    pass: &mut Pass,
) {
    let leaving = items.iter().enumerate().filter_map(|(at, item)| match item.decision {
        Decision::Delete => Some((at, item.object.clone(), true)),
        Decision::Release => Some((at, item.object.clone(), false)),
        Decision::Fits
        | Decision::Observed(_)
        | Decision::Apply { .. }
        | Decision::Refuse(_)
        | Decision::Ignore => None,
    });
    let leaving: Vec<_> = leaving.collect();
    let writes = leaving.into_iter().map(|(at, object, delete)| async move {
        if delete && let Err(text) = delete_everywhere::<K, A>(context, endpoints, &object).await {
            return (at, Err(text));
        }
        (at, write::set_finalizer(context, &*object, false).await.map_err(|error| error.to_string()))
    });
    let outcomes: Vec<_> =
        futures::stream::iter(writes).buffer_unordered(context.settings.writes_max).collect().await;
    for (at, outcome) in outcomes {
        if let Err(text) = outcome {
            pass.failed = Some(text.clone());
            items[at].verdict = Some(Verdict::new(ObjectState::Pending, Reason::DeletionWaits, text));
        }
    }
}

async fn delete_everywhere<K: Kind, A: BrokerAdmin>(
    context: &Context<A>,
    endpoints: &[Endpoint],
    object: &K::Object,
) -> Result<(), String> {
    let (name, owner) = (K::client_name(object), super::ObjectKey::of(object).to_string());
    for at in endpoints {
        context.metrics.count(Counter::BrokerCalls);
        let outcomes = K::delete(&context.admin, at, &name, &owner).await.map_err(|error| error.message)?;
        for outcome in outcomes {
            match outcome.result {
                // Another's by now: not ours to delete.
                Ok(_) | Err(Refusal::NotFound(_) | Refusal::Conflict(_)) => {}
                Err(refusal) => return Err(refusal.to_string()),
            }
        }
    }
    Ok(())
}

/// How far consumer groups have come, by place in the list. A broker that does not answer leaves the old figure.
async fn progress<K: Kind, A: BrokerAdmin>(
    context: &Context<A>,
    endpoints: &[Endpoint],
    items: &[Item<K>],
) -> BTreeMap<usize, Progress> {
    let asked: Vec<_> = items
        .iter()
        .enumerate()
        .filter(|(_, item)| {
            matches!(item.decision, Decision::Fits | Decision::Observed(_) | Decision::Apply { .. })
        })
        .map(|(at, item)| (at, K::client_name(&item.object)))
        .collect();
    let questions = asked.into_iter().map(|(at, name)| async move {
        let mut total = Progress::default();
        for endpoint in endpoints {
            let part = K::progress(&context.admin, endpoint, &name).await.ok()??;
            total.messages += part.messages;
            total.in_flight += part.in_flight;
            total.topics = total.topics.max(part.topics);
            total.clients = total.clients.max(part.clients);
        }
        Some((at, total))
    });
    let answers: Vec<_> =
        futures::stream::iter(questions).buffer_unordered(context.settings.writes_max).collect().await;
    answers.into_iter().flatten().collect()
}

/// Writes the statuses that changed.
async fn report<K: Kind, A: BrokerAdmin>(
    context: &Context<A>,
    items: Vec<Item<K>>,
    held: &[BTreeMap<String, K::Wire>],
    progress: &BTreeMap<usize, Progress>,
    pass: &mut Pass,
) {
    let mut writes = Vec::new();
    for (at, item) in items.into_iter().enumerate() {
        let Some(verdict) = verdict(&item) else { continue };
        *pass.states.entry(verdict.state.word()).or_insert(0) += 1;
        let known = K::known(&item.object);
        let generation = item.object.meta().generation;
        let conditions = conditions_after(known.conditions, &verdict, generation, context.now());
        let name = K::client_name(&item.object);
        let held: Vec<_> = held.iter().filter_map(|group| group.get(&name).cloned()).collect();
        let findings = Findings { verdict: &verdict, conditions, held, progress: progress.get(&at).copied() };
        let status = K::status(&item.object, findings);
        if status.is_some() || item.why.is_some() {
            writes.push(async move {
                if let Some(status) = status {
                    write::write_status(context, &*item.object, &status).await?;
                }
                write::say::<A, K>(context, &item.object, &verdict, item.why).await;
                Ok(())
            });
        }
    }
    let outcomes: Vec<Result<(), crate::kubernetes::CallError>> =
        futures::stream::iter(writes).buffer_unordered(context.settings.writes_max).collect().await;
    for error in outcomes.into_iter().filter_map(Result::err) {
        context.metrics.count_error("object", error.class());
        warn!(kind = K::NOUN, %error, "status was not written");
        pass.failed = Some(error.to_string());
    }
}

/// Where an object stands after all. None: it is leaving, and what becomes of it shows by its being gone.
fn verdict<K: Kind>(item: &Item<K>) -> Option<Verdict> {
    if let Some(verdict) = &item.verdict {
        return Some(verdict.clone());
    }
    match &item.decision {
        Decision::Fits | Decision::Apply { .. } => {
            let message = format!("brokers hold the {} as the spec says", K::NOUN);
            Some(Verdict::new(ObjectState::Ready, Reason::Applied, message))
        }
        Decision::Observed(verdict) | Decision::Refuse(verdict) => Some(verdict.clone()),
        Decision::Delete | Decision::Release | Decision::Ignore => None,
    }
}
