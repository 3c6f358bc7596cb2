//! What a program does with the messages that are pushed to it.

use std::fmt;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;

use futures::FutureExt;
use tracing::warn;

use crate::message::Delivered;

/// What became of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consumed {
    /// The message is done for its consumer group.
    Done,
    /// It is to come again, after the time that the group's retry policy says.
    Retry,
}

/// What is called with each delivery; cheap to clone.
#[derive(Clone)]
pub(crate) struct Listener(Arc<Listen>);

type Listen = dyn Fn(Delivered) -> Pin<Box<dyn Future<Output = Consumed> + Send>> + Send + Sync;

impl Listener {
    pub(crate) fn new<F, R>(listen: F) -> Self
    where
        F: Fn(Delivered) -> R + Send + Sync + 'static,
        R: Future<Output = Consumed> + Send + 'static,
    {
        Self(Arc::new(move |delivered| Box::pin(listen(delivered))))
    }

    /// A panic is a failure of this message, and of no other.
    pub(crate) async fn call(&self, delivered: Delivered) -> Consumed {
        let (topic, message_id) = (delivered.topic.clone(), delivered.message_id.clone());
        // Called within the future: a listener may panic before it makes its own.
        let listening = async { (self.0)(delivered).await };
        AssertUnwindSafe(listening).catch_unwind().await.unwrap_or_else(|_| {
            warn!(topic, message_id, "listener panicked, the message comes again");
            Consumed::Retry
        })
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listener")
    }
}
