//! Receipt handles: the text that clients keep, and the receipt it stands for.

use engine::catalog::Broadcast;
use engine::lease::{LeaseError, Receipt};
use store::{Epoch, Offset, QueueId};
use wire::receipt::{self, ReceiptText};
use wire::v2::{self, Code};

use crate::gateway::{Gateway, name_of};
use crate::refusal::{Failure, Refusal};

/// The handle that a client gets.
pub(crate) fn text_of(receipt: &Receipt) -> ReceiptText {
    receipt::Receipt {
        consumer_group: receipt.group,
        queue: receipt.queue.0,
        offset: receipt.offset.0,
        attempt: receipt.attempt,
        serial: receipt.serial,
        due_ms: receipt.due_ms,
        epoch: receipt.epoch.0,
    }
    .encode()
}

/// Whatever is wrong with a receipt has one code: it is the only one that ends a client's retries. The receipt may be
/// good elsewhere if this member does not lead.
pub(crate) fn invalid(error: &LeaseError) -> Failure {
    let code = match error {
        LeaseError::NotLeading => return Failure::NotLeading(error.to_string()),
        LeaseError::Expired
        | LeaseError::Superseded
        | LeaseError::NotDelivered(_)
        | LeaseError::UnknownQueue(_)
        | LeaseError::UnknownGroup(_) => Code::InvalidReceiptHandle,
    };
    Refusal::new(code, error.to_string()).into()
}

impl Gateway {
    /// The id of the group that a request is for. A group that was deleted leaves only invalid receipts.
    pub(crate) fn group_of_receipts(&self, group: Option<&v2::Resource>) -> Result<u32, Refusal> {
        self.consumer_group(name_of(group)).map(|group| group.id).map_err(|mut refusal| {
            if refusal.code == Code::ConsumerGroupNotFound {
                refusal.code = Code::InvalidReceiptHandle;
            }
            refusal
        })
    }

    /// The receipt in a handle; one of another group's receives is no good. Members of a broadcast are their group's.
    pub(crate) fn receipt(&self, handle: &str, group: u32) -> Result<Receipt, Refusal> {
        let is_member = |id| {
            let member = self.group.consumer_group_by_id(id);
            member.is_some_and(|member| member.spec.broadcast == Broadcast::Member(group))
        };
        read(handle, |id| id == group || is_member(id))
    }
}

fn read(handle: &str, is_of: impl Fn(u32) -> bool) -> Result<Receipt, Refusal> {
    let read = receipt::Receipt::decode(handle)
        .map_err(|error| Refusal::new(Code::InvalidReceiptHandle, error.to_string()))?;
    if !is_of(read.consumer_group) {
        return Err(Refusal::new(
            Code::InvalidReceiptHandle,
            "receipt handle belongs to another consumer group",
        ));
    }
    Ok(Receipt {
        group: read.consumer_group,
        queue: QueueId(read.queue),
        offset: Offset(read.offset),
        attempt: read.attempt,
        serial: read.serial,
        due_ms: read.due_ms,
        epoch: Epoch(read.epoch),
    })
}
