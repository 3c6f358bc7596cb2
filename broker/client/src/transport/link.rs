//! The connections to one server, which may have several addresses.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use prost::Message;
use tokio::time::timeout;
use wire::frame;

use super::CallError;
use super::connection::Connection;
use super::frames::Frames;
use super::rpc::{Heads, Identity, Rpc};
use crate::dial::{DialError, Dialer};
use crate::endpoint::{Endpoint, InvalidEndpoint};

/// A server and the connections to it.
pub(crate) struct Link {
    endpoints: Vec<Endpoint>,
    heads: Heads,
    dialer: Dialer,
    slots: Vec<Slot>,
    next: AtomicUsize,
    /// The last call that ended had no answer.
    is_silent: AtomicBool,
}

/// Room for one connection.
#[derive(Default)]
struct Slot {
    current: Mutex<Option<Connection>>,
    /// Held while dialling, so that many callers make one connection.
    dialling: tokio::sync::Mutex<()>,
}

impl Link {
    pub(crate) fn new(
        endpoints: Vec<Endpoint>,
        connections: usize,
        dialer: Dialer,
        identity: &Identity,
    ) -> Result<Self, InvalidEndpoint> {
        let first = endpoints.first().ok_or_else(|| InvalidEndpoint(String::new()))?;
        let heads = Heads::new(first, identity).ok_or_else(|| InvalidEndpoint(first.to_string()))?;
        let slots = (0..connections.max(1)).map(|_| Slot::default()).collect();
        Ok(Self {
            endpoints,
            heads,
            dialer,
            slots,
            next: AtomicUsize::new(0),
            is_silent: AtomicBool::new(false),
        })
    }

    pub(crate) fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Whether another server should be asked, if there is one: the last call here had no answer. The next answer, to a
    /// heartbeat for instance, changes that.
    pub(crate) fn is_silent(&self) -> bool {
        self.is_silent.load(Ordering::Relaxed)
    }

    /// One message there, one back.
    pub(crate) async fn call<M: Message + Default>(
        &self,
        rpc: Rpc,
        request: &impl Message,
    ) -> Result<M, CallError> {
        let mut frame = BytesMut::new();
        frame::put(&mut frame, request);
        let limit = self.heads.timeout(rpc, Duration::ZERO);
        let call = async { self.start(rpc, Duration::ZERO, frame.freeze()).await?.single().await };
        self.limited(limit, call).await
    }

    /// One message there, any number back, each handed to `each`. The server may wait so long before it answers.
    pub(crate) async fn call_for_many<M: Message + Default>(
        &self,
        rpc: Rpc,
        wait: Duration,
        request: &impl Message,
        mut each: impl FnMut(M),
    ) -> Result<(), CallError> {
        let mut frame = BytesMut::new();
        frame::put(&mut frame, request);
        let receive = async {
            let mut frames = self.start(rpc, wait, frame.freeze()).await?;
            while let Some(message) = frames.next().await? {
                each(M::decode(message)?);
            }
            Ok(())
        };
        self.limited(self.heads.timeout(rpc, wait), receive).await
    }

    /// Messages both ways.
    pub(crate) async fn converse(&self, rpc: Rpc, first: &impl Message) -> Result<Frames, CallError> {
        let mut frame = BytesMut::new();
        frame::put(&mut frame, first);
        self.connection(&self.slots[0])
            .await?
            .converse(self.heads.request(rpc, Duration::ZERO), frame.freeze())
            .await
    }

    /// Gives up the connections, so that the next calls make new ones; calls under way go on.
    pub(crate) fn reconnect(&self) {
        for slot in &self.slots {
            slot.current.lock().take();
        }
    }

    async fn start(&self, rpc: Rpc, wait: Duration, frame: Bytes) -> Result<Frames, CallError> {
        // A farewell counts for all connections only if it comes over that of the conversation.
        let turn =
            if rpc == Rpc::NotifyClientTermination { 0 } else { self.next.fetch_add(1, Ordering::Relaxed) };
        let slot = &self.slots[turn % self.slots.len()];
        self.connection(slot).await?.call(self.heads.request(rpc, wait), frame).await
    }

    async fn limited<T>(
        &self,
        limit: Option<Duration>,
        call: impl Future<Output = Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let ended = match limit {
            None => call.await,
            Some(limit) => timeout(limit, call).await.unwrap_or(Err(CallError::Timeout(limit))),
        };
        let is_silent = matches!(ended, Err(CallError::Dial(_) | CallError::Lost(_) | CallError::Timeout(_)));
        self.is_silent.store(is_silent, Ordering::Relaxed);
        ended
    }

    async fn connection(&self, slot: &Slot) -> Result<Connection, DialError> {
        if let Some(connection) = slot.open() {
            return Ok(connection);
        }
        let _one_dials = slot.dialling.lock().await;
        if let Some(connection) = slot.open() {
            return Ok(connection);
        }
        let mut refused = None;
        for endpoint in &self.endpoints {
            match Connection::open(&self.dialer, endpoint).await {
                Ok(connection) => {
                    *slot.current.lock() = Some(connection.clone());
                    return Ok(connection);
                }
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.expect("a link has an endpoint"))
    }
}

impl Slot {
    fn open(&self) -> Option<Connection> {
        self.current.lock().as_ref().filter(|connection| connection.is_open()).cloned()
    }
}
