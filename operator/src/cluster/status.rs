//! What the operator tells about a cluster: status, conditions, and the events of a transition. Pure.

use crds::broker_cluster::{BrokerClusterStatus, ClusterState, GroupStatus, RetainedVolume};
use crds::conditions::{self, Kind, Wanted, whole_seconds};
use crds::{BrokerCluster, Reason, names};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;

use super::group::{self, Health};
use super::observe::Observed;
use super::plan::Plan;
use super::problem::Problem;
use super::roll;
use super::{leave, listener};
use crate::children::{CLIENT_PORT, cluster_selector, selector_text};

/// What to write and to say.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// The new status.
    pub status: BrokerClusterStatus,
    /// Whether every group serves with all of its copies.
    pub ready: bool,
    /// Whether work is under way.
    pub busy: bool,
}

/// Makes the status out of what there is and what is planned.
pub fn report(cluster: &BrokerCluster, observed: &Observed, plan: &Plan, now: Timestamp) -> Report {
    let facts = Facts::of(cluster, observed, plan, now);
    let old = cluster.status.clone().unwrap_or_default();
    let mut status = BrokerClusterStatus {
        observed_generation: cluster.metadata.generation,
        state: facts.state(),
        groups: count(observed.stateful_sets.range(..plan.groups).count()),
        groups_ready: count(facts.ready()),
        ready: format!("{}/{}", facts.ready(), plan.groups),
        in_sync: format!("{}/{}", facts.in_sync(), facts.copies),
        min_in_sync: i32::try_from(cluster.spec.min_in_sync()).ok(),
        flush: Some(cluster.spec.flush()),
        selector: selector_text(&cluster_selector(&cluster.name_any())),
        endpoint: Some(format!(
            "{}.{}.svc:{CLIENT_PORT}",
            cluster.name_any(),
            cluster.namespace().unwrap_or_default()
        )),
        listeners: cluster
            .spec
            .listeners
            .iter()
            .map(|listener| listener::status(cluster, observed, plan, listener))
            .collect(),
        image: Some(plan.image.clone()),
        proven_generation: if plan.is_rolled_out {
            cluster.metadata.generation
        } else {
            old.proven_generation
        },
        proven_image: if plan.is_rolled_out { Some(plan.image.clone()) } else { old.proven_image },
        group_status: (0..plan.groups)
            .map(|group| {
                let leaving =
                    plan.phases.get(&group).map(|phase| leave::next(cluster, observed, group, *phase, now));
                let joining = plan.joining.get(&group).map(|since| Time(whole_seconds(*since)));
                GroupStatus { leaving, joining, ..group::status(cluster, observed, group, now) }
            })
            .collect(),
        retained_volumes: plan.retained.iter().map(retained).collect(),
        conditions: old.conditions,
    };
    for wanted in facts.conditions() {
        conditions::set(&mut status.conditions, wanted, cluster.metadata.generation, now);
    }
    if !plan.paused {
        conditions::remove(&mut status.conditions, Kind::Paused);
    }
    Report { status, ready: facts.all_serve() && facts.is_safe(), busy: facts.busy().is_some() }
}

fn retained((claim, group): &(String, u32)) -> RetainedVolume {
    RetainedVolume { claim: claim.clone(), group: names::group_name(*group) }
}

/// Why a change of the spec has come to a halt.
fn halted(cluster: &BrokerCluster, observed: &Observed, plan: &Plan, now: Timestamp) -> Option<String> {
    let known = cluster.status.as_ref();
    let proven = known.and_then(|status| status.proven_generation);
    let is_proven = plan.paused || plan.is_rolled_out || proven == cluster.metadata.generation;
    let deadline_ms = cluster.spec.progress_deadline_ms();
    if let Some(pod) = roll::halted(plan, is_proven, observed, deadline_ms, now) {
        let why = pod.waiting.as_ref().map(|waiting| format!(" ({waiting})")).unwrap_or_default();
        let others = match plan.outdated.len() {
            0 => String::new(),
            number => format!("; the {number} with an older one are left as they are"),
        };
        return Some(format!(
            "pod {} got the newest template and does not serve with it{why}{others}: mend what keeps it from serving, or \
             set the spec back",
            pod.name
        ));
    }
    let safe = known.and_then(|status| conditions::find(&status.conditions, Kind::DataSafe));
    let since = safe.filter(|safe| safe.status == "False")?.last_transition_time.0;
    let is_late =
        u128::try_from(now.duration_since(since).as_millis()).is_ok_and(|ms| ms >= deadline_ms.into());
    let wanted = plan.replicas.iter().flat_map(|(group, pods)| (0..*pods).map(|ordinal| (*group, ordinal)));
    let missing: Vec<_> = wanted
        .filter(|member| !observed.pods.contains_key(member))
        .map(|(group, ordinal)| names::pod_name(&cluster.name_any(), group, ordinal))
        .collect();
    (!is_proven && is_late && !missing.is_empty()).then(|| {
        format!(
            "Kubernetes does not make {}, as the events of its StatefulSet say: mend what forbids it, or set the spec back",
            missing.join(", ")
        )
    })
}

struct Facts<'a> {
    plan: &'a Plan,
    /// Whether it has ever served: one that has not is starting, however long that takes.
    started: bool,
    /// When a pause ends.
    until: Option<Time>,
    copies: u32,
    groups: Vec<Health>,
    /// Leases that somebody deleted and that their finalizer keeps.
    deleted: Vec<String>,
    /// Why nobody else is restarted.
    halted: Option<String>,
}

impl<'a> Facts<'a> {
    fn of(cluster: &BrokerCluster, observed: &Observed, plan: &'a Plan, now: Timestamp) -> Self {
        let copies = cluster.spec.copies();
        let pods = |group: u32| plan.replicas.get(&group).copied().unwrap_or(copies);
        Self {
            halted: halted(cluster, observed, plan, now),
            plan,
            until: cluster.spec.paused_until.clone(),
            started: cluster.status.as_ref().is_some_and(|status| status.state != ClusterState::Starting),
            copies,
            deleted: observed
                .leases
                .iter()
                .filter(|(_, lease)| lease.is_deleted)
                .map(|(group, _)| names::group_object_name(&cluster.name_any(), *group))
                .collect(),
            groups: (0..plan.groups).map(|group| Health::of(cluster, observed, group, pods(group))).collect(),
        }
    }

    fn ready(&self) -> usize {
        self.groups.iter().filter(|group| group.serves).count()
    }

    fn all_serve(&self) -> bool {
        self.groups.iter().all(|group| group.serves)
    }

    /// Copies in sync of the group that has the fewest.
    fn in_sync(&self) -> u32 {
        self.groups.iter().map(|group| group.in_sync).min().unwrap_or(0)
    }

    fn is_safe(&self) -> bool {
        self.in_sync() >= self.copies
    }

    fn invalid(&self) -> Option<&Problem> {
        self.plan.problem.as_ref()
    }

    /// What is being worked on: a reason and a sentence.
    fn busy(&self) -> Option<(Reason, String)> {
        if self.plan.paused || self.halted.is_some() {
            return None;
        }
        if let Some(problem @ Problem::Leftover(text)) = self.invalid() {
            return Some((problem.reason(), text.clone()));
        }
        let empty = self.groups.iter().filter(|group| group.empty).count();
        if empty > 0 && self.invalid().is_none() {
            return Some((
                Reason::Creating,
                format!("{empty} of {} groups have no pod yet", self.plan.groups),
            ));
        }
        if self.plan.is_unseen {
            let text = "Kubernetes is being told of a newer template, or of more or fewer pods".to_owned();
            return Some((Reason::Updating, text));
        }
        if !self.plan.waits_for.is_empty() {
            let text = format!(
                "brokers with an older template are restarted after those of {}",
                self.plan.waits_for.join(", ")
            );
            return Some((Reason::WaitsForTurn, text));
        }
        if !self.plan.outdated.is_empty() {
            let number = self.plan.outdated.len();
            let text = format!("{number} brokers run an older template and are restarted in turn");
            return Some((Reason::Updating, text));
        }
        let changing: Vec<_> =
            self.groups.iter().filter(|group| group.changing).map(|group| group.name.as_str()).collect();
        if !changing.is_empty() {
            let text = format!("copies of {} are being added or removed", changing.join(", "));
            return Some((Reason::ChangingCopies, text));
        }
        if !self.plan.joining.is_empty() {
            let joining: Vec<_> = self.plan.joining.keys().copied().map(names::group_name).collect();
            let text =
                format!("joining: {}; clients are sent there when they can answer", joining.join(", "));
            return Some((Reason::ScalingOut, text));
        }
        if !self.plan.phases.is_empty() || self.plan.running > self.plan.groups {
            let gone = self.plan.groups..self.plan.running;
            let leaving = self.plan.phases.keys().copied().chain(gone).map(names::group_name);
            let text = format!(
                "leaving: {}; see status.groupStatus[].leaving",
                leaving.collect::<Vec<_>>().join(", ")
            );
            return Some((Reason::ScalingIn, text));
        }
        if !self.plan.growing.is_empty() {
            let text = format!("Kubernetes enlarges {}", self.plan.growing.join(", "));
            return Some((Reason::Growing, text));
        }
        if !self.plan.growths.is_empty() {
            return Some((
                Reason::Growing,
                format!("{} volume claims are being enlarged", self.plan.growths.len()),
            ));
        }
        None
    }

    fn state(&self) -> ClusterState {
        if self.plan.paused {
            return ClusterState::Paused;
        }
        if matches!(self.invalid(), Some(Problem::InvalidSpec(_) | Problem::NameTaken(_))) {
            return ClusterState::Invalid;
        }
        if !self.plan.outdated.is_empty() {
            return ClusterState::Updating;
        }
        match self.ready() {
            _ if self.all_serve() && self.is_safe() => ClusterState::Serving,
            // Not degraded: its copies are joining for the first time.
            _ if self.all_serve() && !self.started => ClusterState::Starting,
            0 if self.started => ClusterState::Unavailable,
            0 => ClusterState::Starting,
            _ => ClusterState::Degraded,
        }
    }

    fn conditions(&self) -> Vec<Wanted> {
        let mut all = vec![
            self.ready_condition(),
            self.reconciling(),
            self.stalled(),
            self.data_safe(),
            self.storage(),
        ];
        if self.plan.paused {
            let until =
                self.until.as_ref().map_or_else(|| "it is Active".to_owned(), |until| until.0.to_string());
            let message = format!("spec.reconciliation is Paused: nothing is changed until {until}");
            all.push(Wanted { kind: Kind::Paused, holds: true, reason: Reason::Paused, message });
        }
        all
    }

    fn ready_condition(&self) -> Wanted {
        let kind = Kind::Ready;
        if let Some(problem @ (Problem::InvalidSpec(_) | Problem::NameTaken(_))) = self.invalid() {
            let message = problem.message().to_owned();
            return Wanted { kind, holds: false, reason: problem.reason(), message };
        }
        if self.all_serve() {
            let message = match self.plan.groups {
                1 => "the group serves".to_owned(),
                groups => format!("all {groups} groups serve"),
            };
            return Wanted { kind, holds: true, reason: Reason::Serving, message };
        }
        let waiting = self.troubles(|group| !group.serves);
        let message = format!("{} of {} groups serve: {waiting}", self.ready(), self.plan.groups);
        Wanted { kind, holds: false, reason: Reason::GroupsNotReady, message }
    }

    /// What is wrong with some groups.
    fn troubles(&self, which: impl Fn(&Health) -> bool) -> String {
        let say = |group: &Health| match group.troubles.as_slice() {
            [] => format!("{}: nobody leads", group.name),
            troubles => format!("{}: {}", group.name, troubles.join(", ")),
        };
        let all: Vec<_> = self.groups.iter().filter(|group| which(group)).map(say).collect();
        all.join("; ")
    }

    /// Is my data safe?
    fn data_safe(&self) -> Wanted {
        let kind = Kind::DataSafe;
        if let Some(problem @ Problem::RecordLost(text)) = self.invalid() {
            return Wanted { kind, holds: false, reason: problem.reason(), message: text.clone() };
        }
        if self.is_safe() {
            let message = match self.copies {
                1 => "every acknowledged message is on the only copy, and lost with its disk; set copies to 2 or 3 to \
                      survive that"
                    .to_owned(),
                copies => format!("every acknowledged message is on {copies} copies"),
            };
            if self.deleted.is_empty() {
                return Wanted { kind, holds: true, reason: Reason::InSync, message };
            }
            let message = format!(
                "{message}; somebody deleted Lease {}, which goes on as before and must keep its finalizer: without it \
                 nobody new can lead",
                self.deleted.join(", ")
            );
            return Wanted { kind, holds: true, reason: Reason::LeaseDeleted, message };
        }
        let reason = if self.in_sync() == 0 { Reason::NoCopyInSync } else { Reason::CopiesMissing };
        let message = format!(
            "{} of {} copies are in sync: {}",
            self.in_sync(),
            self.copies,
            self.troubles(|group| group.in_sync < self.copies)
        );
        Wanted { kind, holds: false, reason, message }
    }

    fn reconciling(&self) -> Wanted {
        let (holds, reason, message) = match self.busy() {
            Some((reason, message)) => (true, reason, message),
            None => (false, Reason::Settled, String::new()),
        };
        Wanted { kind: Kind::Reconciling, holds, reason, message }
    }

    fn stalled(&self) -> Wanted {
        let (holds, reason, message) = match (self.invalid(), &self.halted) {
            (None | Some(Problem::Leftover(_)), None) => (false, Reason::Working, String::new()),
            (None | Some(Problem::Leftover(_)), Some(why)) => (true, Reason::RolloutHalted, why.clone()),
            (Some(problem), _) => (true, problem.reason(), problem.message().to_owned()),
        };
        Wanted { kind: Kind::Stalled, holds, reason, message }
    }

    fn storage(&self) -> Wanted {
        let kind = Kind::StorageHealthy;
        let full: Vec<_> =
            self.groups.iter().flat_map(|group| &group.disk_full).map(String::as_str).collect();
        if full.is_empty() {
            return Wanted { kind, holds: true, reason: Reason::Room, message: String::new() };
        }
        let message = format!(
            "no room on the disk of {}: sends are refused until retention frees some; raise storage.size or lower \
             retention.maxSize",
            full.join(", ")
        );
        Wanted { kind, holds: false, reason: Reason::DiskFull, message }
    }
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
