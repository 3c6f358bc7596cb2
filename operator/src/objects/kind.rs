//! What the reconciler has to know of a kind of object. Everything else is the same for all.

use client::Endpoint;
use client::admin::Outcome;
use crds::definition::DefinitionError;
use crds::object::{AdoptionPolicy, ClusterRef, DeletionPolicy, Management, ObjectState};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource;
use kube::core::NamespaceResourceScope;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::decide::Verdict;
use crate::admin::{BrokerAdmin, BrokerError};

/// The part of a spec that all kinds share.
#[derive(Debug, Clone, Copy)]
pub struct Common<'a> {
    /// The cluster.
    pub cluster: &'a ClusterRef,
    /// What becomes of the data when the object goes.
    pub deletion: DeletionPolicy,
    /// Who may take over what exists.
    pub adoption: AdoptionPolicy,
    /// Whether to write at all.
    pub management: Management,
}

/// How far a consumer group has come, over all broker groups.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Messages not done.
    pub messages: i64,
    /// Of these, handed out.
    pub in_flight: i64,
    /// Topics read.
    pub topics: i64,
    /// Clients connected.
    pub clients: i64,
}

/// What a new status is made of.
pub struct Findings<'a, W> {
    /// Where the object stands.
    pub verdict: &'a Verdict,
    /// Its conditions, already brought up to date.
    pub conditions: Vec<Condition>,
    /// What each broker group holds after the pass; empty when that is not known.
    pub held: Vec<W>,
    /// How far it has come, when that was asked.
    pub progress: Option<Progress>,
}

/// The status of an object as the reconciler reads it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Known<'a> {
    /// Where it stood; none: it has no status yet.
    pub state: Option<ObjectState>,
    /// The generation that was about.
    pub generation: Option<i64>,
    /// Its conditions.
    pub conditions: &'a [Condition],
}

type Answer<T> = Result<T, BrokerError>;

/// A kind of object that brokers hold.
pub trait Kind: Send + Sync + 'static {
    /// The custom resource.
    type Object: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static;
    /// What a broker holds of it.
    type Wire: Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static;
    /// The word for it in sentences.
    const NOUN: &'static str;

    /// The shared part of the spec.
    fn common(object: &Self::Object) -> Common<'_>;
    /// What the status says.
    fn known(object: &Self::Object) -> Known<'_>;
    /// Its name for clients.
    fn client_name(object: &Self::Object) -> String;
    /// What a broker should hold.
    fn wanted(object: &Self::Object, owner: &str) -> Result<Self::Wire, DefinitionError>;
    /// Adds to what is wanted where it is to be. `held`: what each broker group holds of that name; `staying`: the groups that
    /// are not about to leave.
    fn place(
        _object: &Self::Object,
        _wanted: &mut Self::Wire,
        _held: &[Option<&Self::Wire>],
        _staying: &[u32],
    ) {
    }
    /// The new status, if it differs from the present one.
    fn status(object: &Self::Object, findings: Findings<'_, Self::Wire>) -> Option<Value>;

    /// Name of what a broker holds.
    fn name(wire: &Self::Wire) -> &str;
    /// Owner of what a broker holds.
    fn owner(wire: &Self::Wire) -> &str;
    /// Whether what is held is where it is to be; that is not the user's to make equal.
    fn is_placed(_held: &Self::Wire, _wanted: &Self::Wire) -> bool {
        true
    }
    /// What differs, the owner and the place aside: `queues 8 instead of 4`.
    fn differences(held: &Self::Wire, wanted: &Self::Wire) -> Vec<String>;
    /// Why what is held can never become what is wanted.
    fn impossible(held: &Self::Wire, wanted: &Self::Wire) -> Option<String>;

    /// All that a broker holds.
    fn list<A: BrokerAdmin>(admin: &A, at: &Endpoint)
    -> impl Future<Output = Answer<Vec<Self::Wire>>> + Send;
    /// Creates or changes.
    fn apply<A: BrokerAdmin>(
        admin: &A,
        at: &Endpoint,
        wanted: Vec<Self::Wire>,
    ) -> impl Future<Output = Answer<Vec<Outcome>>> + Send;
    /// Deletes, if it is this owner's.
    fn delete<A: BrokerAdmin>(
        admin: &A,
        at: &Endpoint,
        name: &str,
        owner: &str,
    ) -> impl Future<Output = Answer<Vec<Outcome>>> + Send;
    /// How far it has come; none: not a thing of this kind.
    fn progress<A: BrokerAdmin>(
        admin: &A,
        at: &Endpoint,
        name: &str,
    ) -> impl Future<Output = Answer<Option<Progress>>> + Send;
}
