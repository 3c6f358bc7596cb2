//! Transactions: a message that consumers get once its sender commits it, and the question to senders who do not say.
//!
//! ```text
//!   send, type TRANSACTION ──▶ a half, entry with a transaction id ──EndTransaction──▶ committed, or rolled back
//!                                │ after a while                          ▲
//!                                └── any producer of the topic is asked ──┘  over its telemetry stream
//! ```
//!
//! Promise: a decision that is answered OK is stored, and stands; the same one again is answered OK. The id says where the
//! half lies, so that whoever leads the group can decide about it.
//!
//! | what is wrong with `EndTransaction` | code |
//! |---|---|
//! | the id is none of ours, of another topic or message, or of a transaction that was decided otherwise or long ago | `INVALID_TRANSACTION_ID` |
//! | another decision about it does not get stored | `TOO_MANY_REQUESTS` |
//!
//! A resolution that is neither commit nor rollback ("not known yet") changes nothing and is answered OK.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use engine::group::{Check, DecideError, Decision, TransactionId, transaction_of};
use engine::inbox::SubmitError;
use store::log::Record;
use tracing::{debug, error};
use wire::digest::DigestForm;
use wire::stored::{DeliveryParts, Head, encode_check};
use wire::v2::{self, Code, TransactionResolution};
use wire::validate;

use crate::authorize::{Action, Principal, Resource, authorize};
use crate::call::Call;
use crate::gateway::{Gateway, name_of};
use crate::pending_id;
use crate::refusal::{Failure, Refusal, ok};
use crate::send::{not_taken, stored};
use crate::session::Session;

/// While another decision is on its way, the call looks again after this time ...
const AGAIN: Duration = Duration::from_millis(10);
/// ... so often.
const LOOKS_MAX: usize = 200;

/// The id of the transaction that this record was sent in, if it was sent in one.
pub(crate) fn id_of(record: &Record, message_id: &str) -> Option<String> {
    let id = transaction_of(record)?;
    Some(pending_id::text(id.check_ms, id.position, message_id))
}

impl Gateway {
    pub(crate) async fn end_transaction(
        &self,
        call: &Call,
        request: &v2::EndTransactionRequest,
    ) -> Result<v2::EndTransactionResponse, Failure> {
        call.identified()?;
        let name = name_of(request.topic.as_ref());
        authorize(Principal::Anonymous, Action::Publish, Resource::Topic(name))?;
        validate::transaction_id(&request.transaction_id)?;
        let topic = self.topic(name)?;
        let Some((check_ms, position, _)) =
            pending_id::read(&request.transaction_id).filter(|(_, _, id)| *id == request.message_id)
        else {
            let text =
                format!("transaction id is not of message `{}`", validate::Shown::from(&*request.message_id));
            return Err(Refusal::new(Code::InvalidTransactionId, text).into());
        };
        let decision = match request.resolution() {
            TransactionResolution::Commit => Decision::Commit,
            TransactionResolution::Rollback => Decision::RollBack,
            TransactionResolution::Unspecified => return Ok(decided()),
        };
        let id = TransactionId { check_ms, position };
        for _ in 0..LOOKS_MAX {
            match self.group.decide(&topic, id, decision, self.now_ms(), &call.mailbox) {
                Err(DecideError::Deciding) => tokio::time::sleep(AGAIN).await,
                Err(error) => return Err(refused(&error)),
                Ok(ticket) => {
                    let written = stored(Ok(ticket)).await?;
                    // The same decision again writes nothing.
                    if !written.is_empty() {
                        topic.note_decided(decision);
                    }
                    return Ok(decided());
                }
            }
        }
        Err(refused(&DecideError::Deciding))
    }

    /// Asks producers about transactions that nobody decided. Reads the disk.
    pub(crate) fn check_transactions(&self, now_ms: u64) {
        let checks = self.group.due_checks(now_ms);
        for error in &checks.unreadable {
            error!(%error, "a message of a transaction cannot be read");
        }
        let mut producers: HashMap<&str, Vec<Arc<Session>>> = HashMap::new();
        for check in &checks.due {
            let topic = check.topic.spec.name.as_str();
            let online = producers.entry(topic).or_insert_with(|| self.sessions.producers_of(topic));
            if self.ask_one(check, online) {
                self.group.asked(check);
            } else {
                debug!(topic, check = check.check, "no producer can be asked about a transaction");
            }
        }
    }

    /// The producers take turns; false if none of them can be told.
    fn ask_one(&self, check: &Check, online: &[Arc<Session>]) -> bool {
        let first = self.checks.fetch_add(1, Ordering::Relaxed);
        let turns = (0..online.len()).map(|turn| &online[first.wrapping_add(turn) % online.len()]);
        turns.map(|session| session.profile()).any(|profile| {
            let form = DigestForm::of_client(&profile.language, &profile.version);
            profile.stream.is_some_and(|stream| stream.outbox.try_send(self.question(check, form)).is_ok())
        })
    }

    fn question(&self, check: &Check, form: DigestForm) -> Bytes {
        let mut frame = BytesMut::new();
        let (head, body) = (check.record.head(), check.record.body());
        // A head that cannot be read is none that this version wrote.
        let Ok(head) = Head::parse(&head) else { return frame.freeze() };
        let transaction_id = pending_id::text(check.id.check_ms, check.id.position, head.message_id());
        let parts = DeliveryParts {
            topic: &check.topic.spec.name,
            namespace: "",
            head,
            body: &body,
            digest: &form.digest(check.record.body_crc(), &body),
            receipt: None,
            queue: check.queue_index,
            // It gets a number in its queue when it is committed.
            offset: 0,
            stored_ms: check.record.entry().stored_ms,
            store_host: &self.config.host,
            attempt: check.check,
            invisible_ms: None,
            dead_letter: None,
            transaction_id: Some(&transaction_id),
        };
        encode_check(&mut frame, &parts, &transaction_id);
        frame.freeze()
    }
}

fn decided() -> v2::EndTransactionResponse {
    v2::EndTransactionResponse { status: Some(ok()) }
}

fn refused(error: &DecideError) -> Failure {
    let code = match error {
        DecideError::NotOpen | DecideError::Decided(_) => Code::InvalidTransactionId,
        DecideError::Deciding => Code::TooManyRequests,
        DecideError::Submit(SubmitError::NotLeading) => return Failure::NotLeading(error.to_string()),
        DecideError::Submit(error) => return not_taken(*error),
        DecideError::Read(_) => {
            error!(%error, "a message of a transaction cannot be read");
            Code::InternalServerError
        }
    };
    Refusal::new(code, error.to_string()).into()
}
