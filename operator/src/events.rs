//! Events: what happened to an object, for `kubectl describe`. Only of transitions, so their number is bounded by what
//! changes and not by time.
//!
//! Promise: an event that cannot be written is logged and forgotten; it never fails a pass.

use std::time::Duration;

use crds::Reason;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use tracing::debug;

/// Longest text that Kubernetes takes.
const NOTE_LEN_MAX: usize = 1000;
/// An event is not worth waiting for longer.
const WRITE_TIME_MAX: Duration = Duration::from_secs(5);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Normal,
    /// Somebody may have to do something.
    Warning,
}

/// Writes events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// A writer in the name of this operator pod.
    pub fn new(client: Client, instance: &str) -> Self {
        let reporter =
            Reporter { controller: "millpond.io/operator".to_owned(), instance: Some(instance.to_owned()) };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Says what happened to an object.
    pub async fn say(&self, object: &ObjectReference, severity: Severity, reason: Reason, note: &str) {
        let event = Event {
            type_: match severity {
                Severity::Normal => EventType::Normal,
                Severity::Warning => EventType::Warning,
            },
            reason: reason.word().to_owned(),
            note: Some(note.chars().take(NOTE_LEN_MAX).collect()),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        match tokio::time::timeout(WRITE_TIME_MAX, self.recorder.publish(&event, object)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => debug!(%error, ?reason, "event was not written"),
            Err(_) => debug!(?reason, "event was not written in time"),
        }
    }
}
