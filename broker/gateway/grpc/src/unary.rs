//! The calls with one small request and one small reply: decoding, dispatch, and what is not served.

use bytes::{Bytes, BytesMut};
use prost::Message;
use wire::frame;
use wire::v2::{self, Code, receive_message_response::Content};

use crate::call::{Call, GrpcError, Unanswered};
use crate::gateway::Gateway;
use crate::method::Method;
use crate::refusal::{Failure, Refusable, Refusal};
use crate::reply;
use crate::rocketmq_admin;
use crate::send::none_stored;

impl Gateway {
    /// Answers any call but sends, receives, pulls, acks and telemetry; the whole reply is appended.
    pub async fn unary(
        &self,
        method: Method,
        call: &Call,
        request: Bytes,
        out: &mut BytesMut,
    ) -> Result<(), Unanswered> {
        match method {
            Method::QueryRoute => self.answer(request, out, |request| self.query_route(call, &request)),
            Method::QueryAssignment => {
                self.answer(request, out, |request| self.query_assignment(call, &request))
            }
            Method::Heartbeat => self.answer(request, out, |request| self.heartbeat(call, &request)),
            Method::NotifyClientTermination => {
                self.answer(request, out, |request| self.terminate(call, &request))
            }
            Method::ChangeInvisibleDuration => {
                let request = decode(request)?;
                self.put(out, self.change_invisible(call, &request))
            }
            Method::ForwardMessageToDeadLetterQueue => {
                let request = decode(request)?;
                self.put(out, self.forward_to_dead_letters(call, request).await)
            }
            Method::EndTransaction => {
                let request = decode::<v2::EndTransactionRequest>(request)?;
                self.put(out, self.end_transaction(call, &request).await)
            }
            Method::RecallMessage => {
                let request = decode::<v2::RecallMessageRequest>(request)?;
                self.put(out, self.recall(call, &request).await)
            }
            Method::SyncLiteSubscription => self
                .answer::<v2::SyncLiteSubscriptionRequest, v2::SyncLiteSubscriptionResponse>(
                    request,
                    out,
                    |_| not_served(call, "lite topics"),
                ),
            Method::UpdateOffset => {
                let request = decode::<v2::UpdateOffsetRequest>(request)?;
                self.put(out, self.update_offset(call, &request).await)
            }
            Method::GetOffset => self.answer(request, out, |request| self.get_offset(call, &request)),
            Method::QueryOffset => self.answer(request, out, |request| self.query_offset(call, &request)),
            Method::Admin(rpc) => Box::pin(self.administer(rpc, call, request, out)).await,
            Method::SendMessage
            | Method::ReceiveMessage
            | Method::PullMessage
            | Method::AckMessage
            | Method::Telemetry => {
                Err(GrpcError::internal(format!("{method:?} has a way of its own")).into())
            }
        }
    }

    pub(crate) fn answer<Q: Message + Default, R: Refusable>(
        &self,
        request: Bytes,
        out: &mut BytesMut,
        handle: impl FnOnce(Q) -> Result<R, Refusal>,
    ) -> Result<(), Unanswered> {
        self.put(out, handle(decode(request)?).map_err(Failure::from))
    }

    /// Appends a reply, or the one that tells the refusal.
    pub(crate) fn put<R: Refusable>(
        &self,
        out: &mut BytesMut,
        reply: Result<R, Failure>,
    ) -> Result<(), Unanswered> {
        let reply = match reply {
            Ok(reply) => reply,
            Err(failure) => {
                let refusal = failure.refusal()?;
                self.counters.refused(1);
                R::with_status(refusal.status())
            }
        };
        frame::put(out, &reply);
        Ok(())
    }
}

/// The reply of this method that holds nothing but a refusal. `request` matters for sends: they have one entry per message.
pub(crate) fn refused(
    method: Method,
    refusal: Refusal,
    request: &Bytes,
    now_ms: u64,
    out: &mut BytesMut,
) -> Result<(), GrpcError> {
    let status = refusal.clone().status();
    match method {
        Method::Telemetry => return Err(GrpcError::unavailable(refusal.message)),
        Method::SendMessage => {
            frame::put(out, &none_stored(request, refusal));
        }
        Method::ReceiveMessage => {
            let content = Some(Content::Status(status));
            frame::put(out, &v2::ReceiveMessageResponse { content });
            reply::put_delivery_timestamp(out, now_ms);
        }
        Method::AckMessage => put_status::<v2::AckMessageResponse>(status, out),
        Method::QueryRoute => put_status::<v2::QueryRouteResponse>(status, out),
        Method::QueryAssignment => put_status::<v2::QueryAssignmentResponse>(status, out),
        Method::Heartbeat => put_status::<v2::HeartbeatResponse>(status, out),
        Method::ForwardMessageToDeadLetterQueue => {
            put_status::<v2::ForwardMessageToDeadLetterQueueResponse>(status, out);
        }
        Method::PullMessage => put_status::<v2::PullMessageResponse>(status, out),
        Method::UpdateOffset => put_status::<v2::UpdateOffsetResponse>(status, out),
        Method::GetOffset => put_status::<v2::GetOffsetResponse>(status, out),
        Method::QueryOffset => put_status::<v2::QueryOffsetResponse>(status, out),
        Method::EndTransaction => put_status::<v2::EndTransactionResponse>(status, out),
        Method::NotifyClientTermination => put_status::<v2::NotifyClientTerminationResponse>(status, out),
        Method::ChangeInvisibleDuration => put_status::<v2::ChangeInvisibleDurationResponse>(status, out),
        Method::RecallMessage => put_status::<v2::RecallMessageResponse>(status, out),
        Method::SyncLiteSubscription => put_status::<v2::SyncLiteSubscriptionResponse>(status, out),
        Method::Admin(rpc) => return rocketmq_admin::refused(rpc, status, out),
    }
    Ok(())
}

pub(crate) fn put_status<R: Refusable>(status: v2::Status, out: &mut BytesMut) {
    frame::put(out, &R::with_status(status));
}

fn not_served<R>(call: &Call, what: &str) -> Result<R, Refusal> {
    call.identified()?;
    Err(Refusal::new(Code::NotImplemented, format!("{what} are not served by this version")))
}

pub(crate) fn decode<Q: Message + Default>(request: Bytes) -> Result<Q, GrpcError> {
    Q::decode(request)
        .map_err(|error| GrpcError::invalid_argument(format!("request does not decode: {error}")))
}
