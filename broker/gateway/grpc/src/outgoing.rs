//! A stored message as clients get it: received, pulled or only looked at.

use bytes::BytesMut;
use engine::group::Origin;
use store::Offset;
use store::log::{Encoding, Record};
use tracing::error;
use wire::Malformed;
use wire::digest::DigestForm;
use wire::stored::{DeadLetter, DeliveryParts, Head, encode_delivery};

use crate::filter::Filter;
use crate::gateway::Gateway;
use crate::transaction;

/// A message, and what is said about this delivery of it.
pub(crate) struct Outgoing<'a> {
    pub(crate) record: &'a Record,
    /// Of a dead letter.
    pub(crate) origin: Option<&'a Origin>,
    /// The topic that it is read from.
    pub(crate) topic: &'a str,
    /// Namespace as the client wrote it.
    pub(crate) namespace: &'a str,
    pub(crate) queue: u32,
    pub(crate) offset: Offset,
    pub(crate) stored_ms: u64,
    /// Which delivery this is, from 1; 0: it is none.
    pub(crate) attempt: u32,
    /// The handle, and how long the message stays hidden from others; none where nothing is leased.
    pub(crate) lease: Option<(&'a str, u64)>,
}

impl Gateway {
    /// Appends one frame with the message, unless its head cannot be read.
    pub(crate) fn put_message(
        &self,
        message: &Outgoing<'_>,
        form: DigestForm,
        out: &mut BytesMut,
    ) -> Result<(), Malformed> {
        let (head, body) = (message.record.head(), message.record.body());
        let head = Head::parse(&head)?;
        let dead_letter =
            message.origin.map(|origin| DeadLetter { topic: &origin.topic, message_id: head.message_id() });
        let transaction_id = transaction::id_of(message.record, head.message_id());
        let parts = DeliveryParts {
            topic: message.topic,
            namespace: message.namespace,
            head,
            body: &body,
            digest: &form.digest(message.record.body_crc(), &body),
            receipt: message.lease.map(|(receipt, _)| receipt),
            queue: message.queue,
            offset: message.offset.0,
            stored_ms: message.stored_ms,
            store_host: &self.config.host,
            attempt: message.attempt,
            invisible_ms: message.lease.map(|(_, invisible_ms)| invisible_ms),
            dead_letter,
            transaction_id: transaction_id.as_deref(),
        };
        encode_delivery(out, &parts);
        Ok(())
    }
}

/// Whether the message can be written for a client, and is one that it asked for: the index knows tags by a hash that several
/// tags share, and nothing of other properties.
pub(crate) fn is_wanted(filter: &Filter, record: Option<&Record>) -> bool {
    let Some(record) = record else { return false };
    let entry = record.entry();
    match Head::parse(&record.head()) {
        Ok(head) if entry.encoding == Encoding::RocketmqV2 => filter.matches(head),
        Ok(_) | Err(_) => {
            error!(position = %entry.position, "skipped a message whose encoding is not known");
            false
        }
    }
}
