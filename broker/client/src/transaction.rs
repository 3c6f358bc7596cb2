//! Transactions: a message that consumers get once its producer commits it.
//!
//! ```text
//!   Producer::begin ──▶ Transaction ──commit, roll_back──▶ decided
//!                          │ dropped, or its program died          ▲
//!                          └── the server asks a producer of the topic: its checker decides
//! ```
//!
//! Promise: the first decision stands; the same one again is `Ok`. A producer that has a checker is asked about messages of
//! other producers of its topics, too.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;
use tracing::debug;
use wire::v2::{self, TransactionResolution, TransactionSource};

use crate::message::Delivered;
use crate::status::{AskError, check};
use crate::transport::{Link, Rpc};

const AGAIN_AFTER: Duration = Duration::from_millis(100);

/// What becomes of the message of a transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolution {
    /// Consumers get it.
    Commit,
    /// Nobody gets it.
    RollBack,
    /// Not known yet: the server asks again.
    Unknown,
}

/// A message that nobody has decided about in time.
#[derive(Debug, Clone)]
pub struct Undecided {
    /// Names the transaction.
    pub transaction_id: String,
    /// The message; its `attempt` counts the questions.
    pub message: Delivered,
}

/// Decides about messages whose producer did not.
#[derive(Clone)]
pub struct Checker(Arc<Check>);

type Check = dyn Fn(Undecided) -> Pin<Box<dyn Future<Output = Resolution> + Send>> + Send + Sync;

/// A message that is sent and not decided. Dropped, it stays undecided until the server asks.
#[must_use = "an undecided message is not delivered"]
pub struct Transaction {
    /// Id of the message.
    pub message_id: String,
    /// Names the transaction.
    pub transaction_id: String,
    pub(crate) topic: v2::Resource,
    pub(crate) link: Arc<Link>,
    pub(crate) attempts_max: u32,
}

impl Checker {
    /// A checker that calls `check`.
    pub fn new<F, R>(check: F) -> Self
    where
        F: Fn(Undecided) -> R + Send + Sync + 'static,
        R: Future<Output = Resolution> + Send + 'static,
    {
        Self(Arc::new(move |undecided| Box::pin(check(undecided))))
    }

    /// Answers a question of the server.
    pub(crate) async fn answer(self, command: v2::RecoverOrphanedTransactionCommand, link: Arc<Link>) {
        let v2::RecoverOrphanedTransactionCommand { message, transaction_id } = command;
        let Some(message) = message else { return };
        let topic = message.topic.clone().unwrap_or_default();
        let message = Delivered::from_proto(message, &link);
        let message_id = message.message_id.clone();
        let undecided = Undecided { transaction_id: transaction_id.clone(), message };
        let resolution = (self.0)(undecided).await;
        let one = Transaction { message_id, transaction_id, topic, link, attempts_max: 1 };
        if let Err(error) = one.resolve(resolution, TransactionSource::SourceServerCheck).await {
            debug!(transaction = one.transaction_id, %error, "the server will ask again");
        }
    }
}

impl Transaction {
    /// Consumers get the message. Refused with `INVALID_TRANSACTION_ID` it was rolled back before, or given up.
    pub async fn commit(self) -> Result<(), AskError> {
        self.resolve(Resolution::Commit, TransactionSource::SourceClient).await
    }

    /// Nobody gets the message. Refused with `INVALID_TRANSACTION_ID` it was committed before.
    pub async fn roll_back(self) -> Result<(), AskError> {
        self.resolve(Resolution::RollBack, TransactionSource::SourceClient).await
    }

    async fn resolve(&self, resolution: Resolution, source: TransactionSource) -> Result<(), AskError> {
        let request = v2::EndTransactionRequest {
            topic: Some(self.topic.clone()),
            message_id: self.message_id.clone(),
            transaction_id: self.transaction_id.clone(),
            resolution: match resolution {
                Resolution::Commit => TransactionResolution::Commit,
                Resolution::RollBack => TransactionResolution::Rollback,
                Resolution::Unknown => TransactionResolution::Unspecified,
            }
            .into(),
            source: source.into(),
            trace_context: String::new(),
        };
        let mut attempt = 0;
        loop {
            attempt += 1;
            let Err(error) = self.ask(&request).await else { return Ok(()) };
            let may_help = match &error {
                AskError::Call(_) | AskError::NoQueue(_) => true,
                AskError::Refused(refused) => refused.is_retryable(),
            };
            if attempt >= self.attempts_max || !may_help {
                return Err(error);
            }
            sleep(AGAIN_AFTER).await;
        }
    }

    async fn ask(&self, request: &v2::EndTransactionRequest) -> Result<(), AskError> {
        let answer: v2::EndTransactionResponse = self.link.call(Rpc::EndTransaction, request).await?;
        Ok(check(answer.status.as_ref())?)
    }
}

impl fmt::Debug for Checker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checker")
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("transaction_id", &self.transaction_id).finish_non_exhaustive()
    }
}
