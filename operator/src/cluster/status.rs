//! What the operator tells about a cluster: status, conditions, and the events of a transition. Pure.

use crds::broker_cluster::{BrokerClusterStatus, ClusterState, GroupStatus, Reconciliation};
use crds::conditions::{self, Kind, Wanted};
use crds::{BrokerCluster, names};
use jiff::Timestamp;
use kube::ResourceExt;

use super::observe::{BrokerView, Observed};
use super::plan::{Plan, Problem};
use crate::children::{CLIENT_PORT, cluster_selector, selector_text};

/// What to write and to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The new status.
    pub status: BrokerClusterStatus,
    /// Whether every group serves.
    pub ready: bool,
    /// Whether work is under way.
    pub busy: bool,
}

/// Makes the status out of what there is and what is planned.
pub fn report(cluster: &BrokerCluster, observed: &Observed, plan: &Plan, now: Timestamp) -> Report {
    let facts = Facts::of(cluster, observed, plan);
    let old = cluster.status.clone().unwrap_or_default();
    let mut status = BrokerClusterStatus {
        observed_generation: cluster.metadata.generation,
        state: facts.state(),
        groups: count(observed.stateful_sets.len()),
        groups_ready: count(facts.ready),
        ready: format!("{}/{}", facts.ready, plan.groups),
        selector: selector_text(&cluster_selector(&cluster.name_any())),
        endpoint: Some(format!(
            "{}.{}.svc:{CLIENT_PORT}",
            cluster.name_any(),
            cluster.namespace().unwrap_or_default()
        )),
        image: Some(plan.image.clone()),
        group_status: (0..plan.groups).map(|group| group_status(cluster, observed, group)).collect(),
        conditions: old.conditions,
    };
    for wanted in facts.conditions() {
        conditions::set(&mut status.conditions, wanted, cluster.metadata.generation, now);
    }
    if !facts.paused {
        conditions::remove(&mut status.conditions, Kind::Paused);
    }
    Report { status, ready: facts.all_ready(), busy: facts.busy().is_some() }
}

struct Facts<'a> {
    plan: &'a Plan,
    paused: bool,
    /// Whether it has ever served: one that has not is starting, however long that takes.
    started: bool,
    ready: usize,
    missing: usize,
    disk_full: Vec<String>,
    waiting: Vec<String>,
}

impl<'a> Facts<'a> {
    fn of(cluster: &BrokerCluster, observed: &Observed, plan: &'a Plan) -> Self {
        let mut facts = Self {
            plan,
            paused: cluster.spec.reconciliation == Reconciliation::Paused,
            started: cluster.status.as_ref().is_some_and(|status| status.state != ClusterState::Starting),
            ready: 0,
            missing: 0,
            disk_full: Vec::new(),
            waiting: Vec::new(),
        };
        for group in 0..plan.groups {
            let name = names::group_name(group);
            let broker = observed.brokers.get(&group);
            let full = matches!(broker, Some(BrokerView::Answered(answer)) if answer.state == "disk-full");
            match observed.pods.get(&group) {
                Some(pod) if pod.ready => facts.ready += 1,
                Some(pod) if full => {
                    facts.waiting.push(format!("{name} has no room on its disk ({})", pod.name));
                }
                Some(pod) => facts.waiting.push(match &pod.waiting {
                    Some(reason) => format!("{name} waits: {reason}"),
                    None => format!("{name} is starting ({})", pod.name),
                }),
                None => {
                    facts.missing += 1;
                    facts.waiting.push(format!("{name} has no pod yet"));
                }
            }
            if full {
                facts.disk_full.push(name);
            }
        }
        facts
    }

    fn all_ready(&self) -> bool {
        self.ready == self.plan.groups as usize
    }

    fn invalid(&self) -> Option<&Problem> {
        self.plan.problem.as_ref()
    }

    /// What is being worked on: a reason and a sentence.
    fn busy(&self) -> Option<(&'static str, String)> {
        if self.paused {
            return None;
        }
        if let Some(problem @ Problem::Leftover(text)) = self.invalid() {
            return Some((problem.reason(), text.clone()));
        }
        if self.missing > 0 && self.invalid().is_none() {
            return Some((
                "Creating",
                format!("{} of {} groups have no pod yet", self.missing, self.plan.groups),
            ));
        }
        if !self.plan.outdated.is_empty() {
            let groups: Vec<_> = self.plan.outdated.iter().map(|group| names::group_name(*group)).collect();
            return Some((
                "Updating",
                format!("{} run an older template and are restarted in turn", groups.join(", ")),
            ));
        }
        if !self.plan.growths.is_empty() {
            return Some((
                "Growing",
                format!("{} volume claims are being enlarged", self.plan.growths.len()),
            ));
        }
        None
    }

    fn state(&self) -> ClusterState {
        if self.paused {
            return ClusterState::Paused;
        }
        if matches!(self.invalid(), Some(Problem::InvalidSpec(_) | Problem::NameTaken(_))) {
            return ClusterState::Invalid;
        }
        if !self.plan.outdated.is_empty() {
            return ClusterState::Updating;
        }
        match (self.ready, self.missing) {
            _ if self.all_ready() => ClusterState::Serving,
            (0, _) if self.started => ClusterState::Unavailable,
            (0, _) => ClusterState::Starting,
            _ => ClusterState::Degraded,
        }
    }

    fn conditions(&self) -> Vec<Wanted> {
        let mut all = vec![self.ready_condition(), self.reconciling(), self.stalled(), self.storage()];
        if self.paused {
            let message = "spec.reconciliation is Paused: nothing is changed until it is Active".to_owned();
            all.push(Wanted { kind: Kind::Paused, holds: true, reason: "Paused", message });
        }
        all
    }

    fn ready_condition(&self) -> Wanted {
        let kind = Kind::Ready;
        if let Some(problem @ (Problem::InvalidSpec(_) | Problem::NameTaken(_))) = self.invalid() {
            let message = problem.message().to_owned();
            return Wanted { kind, holds: false, reason: problem.reason(), message };
        }
        if self.all_ready() {
            let message = match self.plan.groups {
                1 => "the group serves".to_owned(),
                groups => format!("all {groups} groups serve"),
            };
            return Wanted { kind, holds: true, reason: "Serving", message };
        }
        let message =
            format!("{} of {} groups serve: {}", self.ready, self.plan.groups, self.waiting.join("; "));
        Wanted { kind, holds: false, reason: "GroupsNotReady", message }
    }

    fn reconciling(&self) -> Wanted {
        let (holds, reason, message) = match self.busy() {
            Some((reason, message)) => (true, reason, message),
            None => (false, "Settled", String::new()),
        };
        Wanted { kind: Kind::Reconciling, holds, reason, message }
    }

    fn stalled(&self) -> Wanted {
        let (holds, reason, message) = match self.invalid() {
            None | Some(Problem::Leftover(_)) => (false, "Working", String::new()),
            Some(problem) => (true, problem.reason(), problem.message().to_owned()),
        };
        Wanted { kind: Kind::Stalled, holds, reason, message }
    }

    fn storage(&self) -> Wanted {
        let kind = Kind::StorageHealthy;
        if self.disk_full.is_empty() {
            return Wanted { kind, holds: true, reason: "Room", message: String::new() };
        }
        let message = format!(
            "no room on the disk of {}: sends are refused until retention frees some; raise storage.size or lower \
             retention.maxSize",
            self.disk_full.join(", ")
        );
        Wanted { kind, holds: false, reason: "DiskFull", message }
    }
}

fn group_status(cluster: &BrokerCluster, observed: &Observed, group: u32) -> GroupStatus {
    let name = names::group_object_name(&cluster.name_any(), group);
    let endpoint = format!("{name}.{}.svc:{CLIENT_PORT}", cluster.namespace().unwrap_or_default());
    let (state, epoch, version) = match observed.brokers.get(&group) {
        Some(BrokerView::Answered(answer)) => {
            (answer.state.clone(), Some(i64::from(answer.epoch)), Some(answer.version.clone()))
        }
        Some(BrokerView::Unreachable(_)) => ("unreachable".to_owned(), None, None),
        None => ("starting".to_owned(), None, None),
    };
    GroupStatus { name: names::group_name(group), state, epoch, version, endpoint }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
