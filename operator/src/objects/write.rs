//! What a pass writes to Kubernetes: finalizers, statuses, events.

use crds::Reason;
use crds::object::ObjectState;
use kube::api::{Api, Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::decide::{FINALIZER, Verdict, Why};
use super::kind::Kind;
use crate::context::Context;
use crate::events::Severity;
use crate::kubernetes::{CallError, MANAGER, STATUS_MANAGER, within};
use crate::metrics::Counter;

/// Adds or removes the finalizer. Fails with a conflict when the object has changed since it was read.
pub(super) async fn set_finalizer<A, O>(
    context: &Context<A>,
    object: &O,
    present: bool,
) -> Result<(), CallError>
where
    O: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    let mut finalizers: Vec<&str> =
        object.finalizers().iter().map(String::as_str).filter(|known| *known != FINALIZER).collect();
    if present {
        finalizers.push(FINALIZER);
    }
    // The version makes it a compare-and-swap: a finalizer that somebody else added meanwhile is not lost.
    let patch = json!({ "metadata": {
        "finalizers": finalizers, "resourceVersion": object.resource_version(), "uid": object.uid(),
    } });
    let params = PatchParams { field_manager: Some(MANAGER.to_owned()), ..PatchParams::default() };
    match within(api::<A, O>(context, object).patch_metadata(
        &object.name_any(),
        &params,
        &Patch::Merge(&patch),
    ))
    .await
    {
        Ok(_) => Ok(()),
        Err(error) if error.is_not_found() && !present => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes a status. An object that is gone needs none.
pub(super) async fn write_status<A, O>(
    context: &Context<A>,
    object: &O,
    status: &Value,
) -> Result<(), CallError>
where
    O: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug,
{
    // With the uid a status meant for one object never lands on another that was made under the same name since.
    let patch = json!({
        "apiVersion": O::api_version(&()), "kind": O::kind(&()), "metadata": { "uid": object.uid() }, "status": status,
    });
    let params = PatchParams::apply(STATUS_MANAGER).force();
    let call = api::<A, O>(context, object);
    match within(call.patch_status(&object.name_any(), &params, &Patch::Apply(&patch))).await {
        Ok(_) => {
            context.metrics.count(Counter::StatusWrites);
            Ok(())
        }
        Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
        Err(error) => Err(error),
    }
}

/// Says what happened, if something did: an object came to stand elsewhere, or something was applied.
pub(super) async fn say<A, K: Kind>(
    context: &Context<A>,
    object: &K::Object,
    verdict: &Verdict,
    why: Option<Why>,
) {
    let moved = K::known(object).state != Some(verdict.state);
    let (severity, reason, note) = match (why, verdict.state) {
        (Some(why), ObjectState::Ready) => applied(K::NOUN, why),
        (_, ObjectState::Ready | ObjectState::Waiting | ObjectState::Pending) if moved => {
            (Severity::Normal, verdict.reason, verdict.message.clone())
        }
        (_, ObjectState::Conflict | ObjectState::InvalidChange | ObjectState::Invalid) if moved => {
            (Severity::Warning, verdict.reason, verdict.message.clone())
        }
        _ => return,
    };
    context.events.say(&object.object_ref(&()), severity, reason, &note).await;
}

fn applied(noun: &str, why: Why) -> (Severity, Reason, String) {
    match why {
        Why::Create => (Severity::Normal, Reason::Created, format!("the {noun} was created")),
        Why::Change => (Severity::Normal, Reason::Changed, format!("the {noun} was changed")),
        Why::Adopt => (Severity::Normal, Reason::Adopted, format!("the {noun} existed and was taken over")),
        Why::Drift => (
            Severity::Warning,
            Reason::DriftCorrected,
            format!("the {noun} was changed or lost at a broker and has been put back"),
        ),
    }
}

fn api<A, O>(context: &Context<A>, object: &O) -> Api<O>
where
    O: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
{
    Api::namespaced(context.client.clone(), &object.namespace().unwrap_or_default())
}
