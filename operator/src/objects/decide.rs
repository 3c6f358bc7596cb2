//! What to do about one object. Pure: the object, its cluster and what the brokers hold in, a decision out.

use std::collections::BTreeMap;

use crds::Reason;
use crds::object::{AdoptionPolicy, DeletionPolicy, Management, ObjectState};
use jiff::Timestamp;
use kube::{Resource, ResourceExt};

use super::index::{ClusterKey, ObjectKey};
use super::kind::Kind;
use super::view::ClusterView;

/// The finalizer of objects whose data goes with them.
pub(super) const FINALIZER: &str = "millpond.io/delete-data";

/// Where an object stands, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// In one word.
    pub state: ObjectState,
    /// Why, for programs.
    pub reason: Reason,
    /// Why, for people.
    pub message: String,
}

impl Verdict {
    pub(crate) fn new(state: ObjectState, reason: Reason, message: impl Into<String>) -> Self {
        Self { state, reason, message: message.into() }
    }
}

/// Why something is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A broker does not have it yet.
    Create,
    /// The spec has changed.
    Change,
    /// It was there before the object.
    Adopt,
    /// The spec is as it was, and a broker holds something else or nothing.
    Drift,
}

/// What to do about one object.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision<W> {
    /// Nothing: brokers hold what the spec says.
    Fits,
    /// Nothing is ever written; the verdict says what was seen.
    Observed(Verdict),
    /// Make these groups hold it.
    Apply {
        /// What to hold.
        wanted: W,
        /// Groups that do not.
        groups: Vec<u32>,
        /// Why.
        why: Why,
    },
    /// Delete it in all groups, then release the object.
    Delete,
    /// Release the object: nothing is to be deleted.
    Release,
    /// Nothing can be done; the verdict says why.
    Refuse(Verdict),
    /// The object is leaving and has nothing of ours on it.
    Ignore,
}

/// Everything that decisions of one pass have in common.
pub struct Scene<'a, K: Kind> {
    /// The cluster's name.
    pub cluster: &'a ClusterKey,
    /// The cluster.
    pub view: &'a ClusterView,
    /// What each group holds, by name; empty when that is not known.
    pub held: Vec<BTreeMap<String, K::Wire>>,
    /// The object that has each name: the oldest one.
    pub holders: BTreeMap<String, ObjectKey>,
    /// All objects of this kind that name this cluster.
    pub living: Vec<ObjectKey>,
}

impl<'a, K: Kind> Scene<'a, K> {
    /// Sets the scene: who has which name.
    pub fn new(
        cluster: &'a ClusterKey,
        view: &'a ClusterView,
        held: Vec<BTreeMap<String, K::Wire>>,
        objects: &[std::sync::Arc<K::Object>],
    ) -> Self {
        let mut holders: BTreeMap<String, ((Timestamp, String), ObjectKey)> = BTreeMap::new();
        for object in objects {
            // One that only looks takes no name from anybody.
            if K::common(object).management == Management::Observed || forbidden(cluster, view, &**object) {
                continue;
            }
            let created = object.creation_timestamp().map_or(Timestamp::MAX, |time| time.0);
            let age = (created, object.uid().unwrap_or_default());
            let key = ObjectKey::of(&**object);
            let holder = holders.entry(K::client_name(object)).or_insert_with(|| (age.clone(), key.clone()));
            if age < holder.0 {
                *holder = (age, key);
            }
        }
        let holders = holders.into_iter().map(|(name, (_, key))| (name, key)).collect();
        let living = objects.iter().map(|object| ObjectKey::of(&**object)).collect();
        Self { cluster, view, held, holders, living }
    }
}

fn forbidden<O: ResourceExt>(cluster: &ClusterKey, view: &ClusterView, object: &O) -> bool {
    let namespace = object.namespace().unwrap_or_default();
    let ClusterView::Present { allowed, .. } = view else { return false };
    namespace != cluster.namespace && !allowed.iter().any(|name| name == "*" || *name == namespace)
}

/// Decides about one object.
pub fn decide<K: Kind>(scene: &Scene<'_, K>, object: &K::Object) -> Decision<K::Wire> {
    if object.meta().deletion_timestamp.is_some() {
        return farewell(scene, object);
    }
    let cluster = scene.cluster;
    match scene.view {
        ClusterView::Missing => Decision::Refuse(Verdict::new(
            ObjectState::Waiting,
            Reason::ClusterMissing,
            format!("BrokerCluster {cluster} does not exist yet"),
        )),
        ClusterView::Leaving => Decision::Refuse(Verdict::new(
            ObjectState::Waiting,
            Reason::ClusterLeaving,
            format!("BrokerCluster {cluster} is being deleted"),
        )),
        ClusterView::Starting => Decision::Refuse(Verdict::new(
            ObjectState::Waiting,
            Reason::ClusterStarting,
            format!("BrokerCluster {cluster} has no broker yet"),
        )),
        ClusterView::Paused => Decision::Refuse(Verdict::new(
            ObjectState::Pending,
            Reason::ClusterPaused,
            format!("spec.reconciliation of BrokerCluster {cluster} is Paused"),
        )),
        ClusterView::Present { .. } if forbidden(cluster, scene.view, object) => {
            Decision::Refuse(Verdict::new(
                ObjectState::Invalid,
                Reason::NamespaceNotAllowed,
                format!(
                    "BrokerCluster {cluster} does not let in namespace {}; add it to allowedNamespaces there",
                    object.namespace().unwrap_or_default()
                ),
            ))
        }
        ClusterView::Present { .. } => admit(scene, object),
    }
}

fn admit<K: Kind>(scene: &Scene<'_, K>, object: &K::Object) -> Decision<K::Wire> {
    let key = ObjectKey::of(object);
    let wanted = match K::wanted(object, &key.to_string()) {
        Ok(wanted) => placed::<K>(scene, object, wanted),
        Err(error) => {
            return Decision::Refuse(Verdict::new(
                ObjectState::Invalid,
                Reason::InvalidSpec,
                error.to_string(),
            ));
        }
    };
    let name = K::name(&wanted);
    if K::common(object).management == Management::Observed {
        return Decision::Observed(look(scene, name));
    }
    if let Some(holder) = scene.holders.get(name).filter(|holder| **holder != key) {
        return Decision::Refuse(Verdict::new(
            ObjectState::Conflict,
            Reason::NameTaken,
            format!(
                "the {} {name} belongs to {holder}, which is older; delete one of the two, or create this one with \
                 another spec.name",
                K::NOUN
            ),
        ));
    }
    compare(scene, object, &key, wanted)
}

fn placed<K: Kind>(scene: &Scene<'_, K>, object: &K::Object, mut wanted: K::Wire) -> K::Wire {
    if let ClusterView::Present { staying, .. } = scene.view {
        let held: Vec<_> = scene.held.iter().map(|group| group.get(K::name(&wanted))).collect();
        K::place(object, &mut wanted, &held, staying);
    }
    wanted
}

fn look<K: Kind>(scene: &Scene<'_, K>, name: &str) -> Verdict {
    let holding = scene.held.iter().filter(|group| group.contains_key(name)).count();
    if holding == scene.held.len() {
        return Verdict::new(
            ObjectState::Ready,
            Reason::Observed,
            format!("the {} exists and is only looked at", K::NOUN),
        );
    }
    let message = format!("{holding} of {} groups have the {} {name}", scene.held.len(), K::NOUN);
    Verdict::new(ObjectState::Waiting, Reason::NotThere, message)
}

/// Compares with what each group holds, and applies everywhere or nowhere.
fn compare<K: Kind>(
    scene: &Scene<'_, K>,
    object: &K::Object,
    key: &ObjectKey,
    wanted: K::Wire,
) -> Decision<K::Wire> {
    let mut groups = Vec::new();
    let mut adopted = false;
    for (group, held) in scene.held.iter().enumerate() {
        let Some(held) = held.get(K::name(&wanted)) else {
            groups.push(group as u32);
            continue;
        };
        let ours = K::owner(held) == key.to_string();
        if !ours && let Some(verdict) = adoption::<K>(scene, object, held, &wanted) {
            return Decision::Refuse(verdict);
        }
        if let Some(text) = K::impossible(held, &wanted) {
            return Decision::Refuse(Verdict::new(ObjectState::InvalidChange, Reason::InvalidChange, text));
        }
        adopted |= !ours;
        if !ours || !K::is_placed(held, &wanted) || !K::differences(held, &wanted).is_empty() {
            groups.push(group as u32);
        }
    }
    if groups.is_empty() {
        return Decision::Fits;
    }
    let known = K::known(object);
    let settled = known.state == Some(ObjectState::Ready) && known.generation == object.meta().generation;
    let why = match (adopted, settled, groups.len() == scene.held.len()) {
        (true, _, _) => Why::Adopt,
        (false, true, _) => Why::Drift,
        (false, false, _) if known.state == Some(ObjectState::Ready) => Why::Change,
        (false, false, true) => Why::Create,
        (false, false, false) => Why::Change,
    };
    Decision::Apply { wanted, groups, why }
}

/// Whether what somebody else made may be taken over; none: yes.
fn adoption<K: Kind>(
    scene: &Scene<'_, K>,
    object: &K::Object,
    held: &K::Wire,
    wanted: &K::Wire,
) -> Option<Verdict> {
    let (noun, name, owner) = (K::NOUN, K::name(held), K::owner(held));
    let refuse = |message: String| Some(Verdict::new(ObjectState::Conflict, Reason::NotAdopted, message));
    // An object that lost its name to an older one, or that is gone, owns nothing any more. Whether one of another
    // cluster reference or namespace that is not watched lives on cannot be seen, and is left to the user's `Always`.
    let loser = scene.living.iter().any(|living| living.to_string() == owner);
    match K::common(object).adoption {
        AdoptionPolicy::Always => None,
        AdoptionPolicy::IfCompatible | AdoptionPolicy::Never if loser => None,
        AdoptionPolicy::Never => {
            refuse(format!("the {noun} {name} exists already; set adoptionPolicy to IfCompatible or Always"))
        }
        AdoptionPolicy::IfCompatible if !owner.is_empty() => refuse(format!(
            "the {noun} {name} belongs to {owner}; set adoptionPolicy to Always if that one is gone"
        )),
        AdoptionPolicy::IfCompatible => {
            let differences = K::differences(held, wanted);
            if differences.is_empty() {
                return None;
            }
            let differences = differences.join(", ");
            refuse(format!(
                "the {noun} {name} exists and is different: {differences}; make the spec equal, or set adoptionPolicy \
                 to Always"
            ))
        }
    }
}

/// An object that is being deleted. It is held back only while there is something to delete and a place to delete it.
fn farewell<K: Kind>(scene: &Scene<'_, K>, object: &K::Object) -> Decision<K::Wire> {
    if !object.finalizers().iter().any(|finalizer| finalizer == FINALIZER) {
        return Decision::Ignore;
    }
    let common = K::common(object);
    let goes = common.deletion == DeletionPolicy::Delete && common.management == Management::Managed;
    let key = ObjectKey::of(object);
    let holds = scene.holders.get(&K::client_name(object)) == Some(&key);
    match scene.view {
        ClusterView::Present { .. } if goes && holds => Decision::Delete,
        // A cluster that has no brokers yet may have a retained volume with the data in it.
        ClusterView::Starting | ClusterView::Paused if goes && holds => Decision::Refuse(Verdict::new(
            ObjectState::Pending,
            Reason::ClusterNotReady,
            format!("waits for BrokerCluster {} to delete the {}", scene.cluster, K::NOUN),
        )),
        ClusterView::Missing
        | ClusterView::Leaving
        | ClusterView::Starting
        | ClusterView::Paused
        | ClusterView::Present { .. } => Decision::Release,
    }
}
