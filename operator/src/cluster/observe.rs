//! What there is of a cluster right now: read from Kubernetes and from its brokers, without deciding anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::admin::GetBrokerResponse;
use crds::group_record::{GroupRecord, GroupRequest, RECORD_ANNOTATION, REQUEST_ANNOTATION};
use crds::listener::Given;
use crds::{BrokerCluster, names};
use futures::future::join_all;
use futures::try_join;
use jiff::Timestamp;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{ConfigMap, PersistentVolumeClaim, Pod, Service, ServiceAccount};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::NetworkPolicy;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{Api, ListParams};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::record::{LeaseView, MemberReport};
use crate::admin::BrokerAdmin;
use crate::children::{
    APPLIED_ANNOTATION, FRESH_ANNOTATION, cluster_selector, given, group_of, listener_of, selector_text,
};
use crate::context::Context;
use crate::kubernetes::{CallError, within};
use crate::nodes::Emptied;

/// How long a pass waits for a broker to say how it is. A pod that has just gone does not even refuse, and nothing is decided
/// and told of the others meanwhile.
const LOOK_TIME_MAX: Duration = Duration::from_secs(2);

/// All there is of a cluster.
#[derive(Debug, Clone, Default)]
pub struct Observed {
    /// Metadata of the objects with the cluster's labels, by kind and name.
    pub children: BTreeMap<(&'static str, String), ChildMeta>,
    /// StatefulSets by group.
    pub stateful_sets: BTreeMap<u32, StatefulSet>,
    /// Families of the addresses that lead to leaders, by group: `IPv4` or `IPv6`.
    pub families: BTreeMap<u32, String>,
    /// What Kubernetes gave the Services of listeners, by name.
    pub given: BTreeMap<String, Given>,
    /// Groups whose address leads to the brokers of others.
    pub detours: BTreeSet<u32>,
    /// Leases by group.
    pub leases: BTreeMap<u32, LeaseView>,
    /// What members say about a record that is gone, by group; asked after it was seen to be gone.
    pub reports: BTreeMap<u32, Vec<MemberReport>>,
    /// Pods by member.
    pub pods: BTreeMap<Member, PodView>,
    /// Members whose node is being emptied; none: not known.
    pub leaving: Option<BTreeSet<Member>>,
    /// Volume claims by member.
    pub claims: BTreeMap<Member, ClaimView>,
    /// How many groups hold all topics and consumer groups, as the last pass over these found.
    pub holding: u32,
    /// What brokers say, by member; none for a member that has no pod.
    pub brokers: BTreeMap<Member, BrokerView>,
}

/// A group and a number of a pod in it.
pub type Member = (u32, u32);

/// Who made an object and what it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChildMeta {
    /// Identity of the object.
    pub uid: String,
    /// The group that it is for; none: for all.
    pub group: Option<u32>,
    /// The listener that it is for.
    pub listener: Option<String>,
    /// Version of the object.
    pub resource_version: String,
    /// Fingerprint of what was applied last.
    pub applied: Option<String>,
    /// Identity of the owner that controls it.
    pub owner_uid: Option<String>,
    /// Kind of that owner.
    pub owner_kind: Option<String>,
    /// Name of that owner.
    pub owner_name: Option<String>,
}

/// A pod as far as a plan needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PodView {
    /// Its name.
    pub name: String,
    /// Its identity, so that never another one is deleted in its place.
    pub uid: String,
    /// Revision of the StatefulSet it was made from.
    pub revision: String,
    /// Whether it serves.
    pub ready: bool,
    /// Since when it has been ready or not.
    pub since: Option<Timestamp>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What it is waiting for, as Kubernetes says.
    pub waiting: Option<String>,
    /// Fingerprint of the configuration that it was sent last.
    pub config: Option<String>,
}

/// A volume claim as far as a plan needs it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClaimView {
    /// Its name.
    pub name: String,
    /// Its identity, so that never another one is deleted in its place.
    pub uid: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// The size that was asked for.
    pub requested: String,
    /// The size it has; none: not bound yet.
    pub capacity: Option<String>,
}

/// What a broker says about itself.
#[derive(Debug, Clone, PartialEq)]
pub enum BrokerView {
    /// It answered.
    Answered(Box<GetBrokerResponse>),
    /// It did not; with the reason.
    Unreachable(String),
}

/// Reads everything.
pub(super) async fn observe<A: BrokerAdmin>(
    context: &Context<A>,
    cluster: &BrokerCluster,
) -> Result<Observed, CallError> {
    let name = cluster.name_any();
    let namespace = cluster.namespace().unwrap_or_default();
    let reader = Reader { context, namespace: &namespace, labels: selector_text(&cluster_selector(&name)) };
    // Records last: one that is older than the pods it is held against could let the wrong one go.
    let (sets, pods, claims) = try_join!(
        reader.list::<StatefulSet>(),
        reader.list::<Pod>(),
        reader.list::<PersistentVolumeClaim>()
    )?;
    let leases = reader.list::<Lease>().await?;
    let holding = context.holding.groups(&namespace, &name);
    let mut observed = Observed { holding, ..Observed::default() };
    let (accounts, roles, bindings, policies, budgets, configs, slices, services) = try_join!(
        reader.metadata::<ServiceAccount>("ServiceAccount"),
        reader.metadata::<Role>("Role"),
        reader.metadata::<RoleBinding>("RoleBinding"),
        reader.metadata::<NetworkPolicy>("NetworkPolicy"),
        reader.metadata::<PodDisruptionBudget>("PodDisruptionBudget"),
        reader.metadata::<ConfigMap>("ConfigMap"),
        reader.metadata::<EndpointSlice>("EndpointSlice"),
        reader.list::<Service>()
    )?;
    let lists = [accounts, roles, bindings, policies, budgets, configs, slices];
    observed.children.extend(lists.into_iter().flatten());
    for service in services {
        observed.children.insert(("Service", service.name_any()), child_meta(&service.metadata));
        observed.families.extend(leader_family(&name, &service));
        observed.detours.extend(detour(&name, &service));
        if listener_of(&service.metadata).is_some() {
            observed.given.insert(service.name_any(), given(&service));
        }
    }
    for set in sets {
        let key = ("StatefulSet", set.name_any());
        observed.children.insert(key, child_meta(&set.metadata));
        if let Some(group) = group_of(&set.metadata) {
            observed.stateful_sets.insert(group, set);
        }
    }
    for lease in leases {
        observed.children.insert(("Lease", lease.name_any()), child_meta(&lease.metadata));
        if let Some(group) = group_of(&lease.metadata) {
            observed.leases.insert(group, lease_view(&lease));
        }
    }
    observed.leaving = context.nodes.emptied().map(|emptied| leaving(&emptied, &pods));
    observed.pods = pods.iter().filter_map(|pod| Some((member_of(&pod.metadata)?, pod_view(pod)))).collect();
    observed.claims =
        claims.iter().filter_map(|claim| Some((member_of(&claim.metadata)?, claim_view(claim)))).collect();
    let asked = observed.pods.iter().map(|(member, pod)| ask(context, &namespace, &name, *member, pod));
    observed.brokers = join_all(asked).await.into_iter().collect();
    observed.reports = reports(&observed);
    Ok(observed)
}

/// The family of the address that Kubernetes gave a leader's Service.
fn leader_family(cluster: &str, service: &Service) -> Option<(u32, String)> {
    let group = group_of(&service.metadata)?;
    let is_leaders = service.name_any() == names::leader_object_name(cluster, group);
    let families = service.spec.as_ref()?.ip_families.as_ref()?;
    Some((group, families.first().filter(|_| is_leaders)?.clone()))
}

/// The group whose leader's Service selects brokers, as it does once the group has left.
fn detour(cluster: &str, service: &Service) -> Option<u32> {
    let group = group_of(&service.metadata)?;
    let is_leaders = service.name_any() == names::leader_object_name(cluster, group);
    let selects = service.spec.as_ref()?.selector.as_ref().is_some_and(|selector| !selector.is_empty());
    (is_leaders && selects).then_some(group)
}

/// What members say where there is no record. A pod that says nothing of use leaves nothing to go by: what it runs may have
/// become a member without the knowledge of the others.
pub(super) fn reports(observed: &Observed) -> BTreeMap<u32, Vec<MemberReport>> {
    let is_lost = |group: &u32| observed.leases.get(group).is_none_or(|lease| lease.record.is_none());
    let groups: BTreeSet<u32> = observed.pods.keys().map(|(group, _)| *group).filter(is_lost).collect();
    let all = |group: u32| {
        let pods = observed.pods.range((group, 0)..=(group, u32::MAX));
        pods.map(|(member, _)| report_of(observed.brokers.get(member)?)).collect::<Option<Vec<_>>>()
    };
    groups.into_iter().filter_map(|group| Some((group, all(group)?))).collect()
}

fn report_of(broker: &BrokerView) -> Option<MemberReport> {
    let BrokerView::Answered(answer) = broker else { return None };
    let said = answer.member.as_ref()?;
    Some(MemberReport {
        member: said.id.parse().ok()?,
        record: GroupRecord::from_json(&said.record).ok()?,
        is_decided: said.decided,
    })
}

fn leaving(emptied: &BTreeMap<String, Emptied>, pods: &[Pod]) -> BTreeSet<Member> {
    let has_to_go = |pod: &&Pod| {
        let spec = pod.spec.as_ref();
        let node = spec.and_then(|spec| emptied.get(spec.node_name.as_ref()?));
        let tolerations = spec.and_then(|spec| spec.tolerations.as_deref()).unwrap_or_default();
        node.is_some_and(|node| node.drives_away(tolerations))
    };
    pods.iter().filter(has_to_go).filter_map(|pod| member_of(&pod.metadata)).collect()
}

fn member_of(metadata: &ObjectMeta) -> Option<Member> {
    Some((group_of(metadata)?, names::ordinal_of(metadata.name.as_deref()?)?))
}

async fn ask<A: BrokerAdmin>(
    context: &Context<A>,
    namespace: &str,
    cluster: &str,
    (group, ordinal): Member,
    pod: &PodView,
) -> (Member, BrokerView) {
    let unreachable = |why: &dyn std::fmt::Display| BrokerView::Unreachable(why.to_string());
    let view = match context.settings.admin_endpoint.endpoint(namespace, cluster, group, ordinal) {
        _ if pod.deleting => unreachable(&"its pod is being deleted"),
        Ok(endpoint) => match timeout(LOOK_TIME_MAX, context.admin.broker(&endpoint)).await {
            Ok(Ok(answer)) => BrokerView::Answered(Box::new(answer)),
            Ok(Err(error)) => unreachable(&error),
            Err(_) => unreachable(&format!("no answer within {LOOK_TIME_MAX:?}")),
        },
        Err(error) => unreachable(&error),
    };
    ((group, ordinal), view)
}

struct Reader<'a, A> {
    context: &'a Context<A>,
    namespace: &'a str,
    labels: String,
}

impl<A> Reader<'_, A> {
    async fn list<K>(&self) -> Result<Vec<K>, CallError>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.context.client.clone(), self.namespace);
        let params = ListParams::default().labels(&self.labels);
        Ok(within(api.list(&params)).await?.items)
    }

    async fn metadata<K>(
        &self,
        kind: &'static str,
    ) -> Result<Vec<((&'static str, String), ChildMeta)>, CallError>
    where
        K: Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug,
    {
        let api: Api<K> = Api::namespaced(self.context.client.clone(), self.namespace);
        let params = ListParams::default().labels(&self.labels);
        let found = within(api.list_metadata(&params)).await?;
        Ok(found
            .items
            .iter()
            .map(|object| ((kind, object.name_any()), child_meta(&object.metadata)))
            .collect())
    }
}

pub(super) fn child_meta(metadata: &ObjectMeta) -> ChildMeta {
    let owner = metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true));
    ChildMeta {
        uid: metadata.uid.clone().unwrap_or_default(),
        group: group_of(metadata),
        listener: listener_of(metadata).cloned(),
        resource_version: metadata.resource_version.clone().unwrap_or_default(),
        applied: metadata.annotations.as_ref().and_then(|map| map.get(APPLIED_ANNOTATION).cloned()),
        owner_uid: owner.map(|owner| owner.uid.clone()),
        owner_kind: owner.map(|owner| owner.kind.clone()),
        owner_name: owner.map(|owner| owner.name.clone()),
    }
}

fn lease_view(lease: &Lease) -> LeaseView {
    let text = |annotation: &str| lease.annotations().get(annotation);
    LeaseView {
        uid: lease.uid().unwrap_or_default(),
        resource_version: lease.resource_version().unwrap_or_default(),
        record: text(RECORD_ANNOTATION).map(|text| GroupRecord::from_json(text)),
        request: text(REQUEST_ANNOTATION).and_then(|text| GroupRequest::from_json(text).ok()),
        is_deleted: lease.metadata.deletion_timestamp.is_some(),
    }
}

fn pod_view(pod: &Pod) -> PodView {
    let status = pod.status.as_ref();
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let containers = status.and_then(|status| status.container_statuses.as_deref()).unwrap_or_default();
    let waiting = containers.iter().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        Some(
            waiting
                .message
                .as_ref()
                .map_or_else(|| reason.to_owned(), |message| format!("{reason}: {message}")),
        )
    });
    let readiness = conditions.iter().find(|condition| condition.type_ == "Ready");
    let flipped = readiness.and_then(|condition| condition.last_transition_time.clone());
    let unscheduled = || {
        let condition = conditions.iter().find(|c| c.type_ == "PodScheduled" && c.status == "False")?;
        condition.message.clone()
    };
    PodView {
        name: pod.name_any(),
        uid: pod.uid().unwrap_or_default(),
        revision: pod.labels().get("controller-revision-hash").cloned().unwrap_or_default(),
        ready: readiness.is_some_and(|condition| condition.status == "True"),
        since: flipped.or_else(|| pod.creation_timestamp()).map(|time| time.0),
        deleting: pod.metadata.deletion_timestamp.is_some(),
        waiting: waiting.or_else(unscheduled),
        config: pod.annotations().get(FRESH_ANNOTATION).cloned(),
    }
}

fn claim_view(claim: &PersistentVolumeClaim) -> ClaimView {
    let requests = claim.spec.as_ref().and_then(|spec| spec.resources.as_ref()?.requests.as_ref());
    let capacity = claim.status.as_ref().and_then(|status| status.capacity.as_ref());
    ClaimView {
        name: claim.name_any(),
        uid: claim.uid().unwrap_or_default(),
        deleting: claim.metadata.deletion_timestamp.is_some(),
        requested: requests.and_then(|map| map.get("storage")).map(|q| q.0.clone()).unwrap_or_default(),
        capacity: capacity.and_then(|map| map.get("storage")).map(|q| q.0.clone()),
    }
}
