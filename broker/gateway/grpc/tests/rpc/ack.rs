use gateway_grpc::method::Method;
use wire::v2::{self, Code};

use crate::broker::{Broker, code_of, duration, handle, ids, message, push, resource, simple, system};

async fn change(broker: &Broker, handle: &str, ms: i64) -> v2::ChangeInvisibleDurationResponse {
    let request = v2::ChangeInvisibleDurationRequest {
        group: resource("billing"),
        topic: resource("orders"),
        receipt_handle: handle.into(),
        invisible_duration: duration(ms),
        message_id: "M".into(),
        lite_topic: None,
        suspend: None,
    };
    broker.unary(Method::ChangeInvisibleDuration, request).await
}

fn forward(group: &str, handle: &str) -> v2::ForwardMessageToDeadLetterQueueRequest {
    v2::ForwardMessageToDeadLetterQueueRequest {
        group: resource(group),
        topic: resource("orders"),
        receipt_handle: handle.into(),
        message_id: "M".into(),
        delivery_attempt: 1,
        max_delivery_attempts: 3,
        lite_topic: None,
    }
}

#[tokio::test(start_paused = true)]
async fn an_acked_message_does_not_come_back_and_may_be_acked_twice() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    let taken = broker.take(simple()).await;
    for _ in 0..2 {
        let reply = broker.ack("billing", &[handle(&taken[0])]).await;
        assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
        assert_eq!(reply.entries[0].receipt_handle, handle(&taken[0]));
    }
    broker.pass(20_000).await;
    assert!(broker.take(simple()).await.is_empty());
    assert_eq!(broker.lag(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_ack_after_the_lease_ran_out_is_not_called_ok() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    let taken = broker.take(simple()).await;
    broker.pass(11_000).await;
    let reply = broker.ack("billing", &[handle(&taken[0])]).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::InvalidReceiptHandle);
}

#[tokio::test(start_paused = true)]
async fn the_handle_of_a_change_takes_the_place_of_the_one_before() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    let first = broker.take(simple()).await;
    let changed = change(&broker, handle(&first[0]), 5000).await;
    assert_eq!(code_of(changed.status.as_ref()), Code::Ok);
    broker.pass(5100).await;
    let second = broker.take(simple()).await;
    assert_eq!(system(&second[0]).delivery_attempt, Some(2));
    let reply = broker.ack("billing", &[&changed.receipt_handle, handle(&second[0])]).await;
    let codes: Vec<_> = reply.entries.iter().map(|entry| code_of(entry.status.as_ref())).collect();
    assert_eq!(codes, [Code::InvalidReceiptHandle, Code::Ok]);
    assert_eq!(code_of(reply.status.as_ref()), Code::MultipleResults);
}

#[tokio::test(start_paused = true)]
async fn a_superseded_handle_is_invalid_at_once() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    let taken = broker.take(simple()).await;
    change(&broker, handle(&taken[0]), 30_000).await;
    let reply = broker.ack("billing", &[handle(&taken[0])]).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::InvalidReceiptHandle);
    let again = change(&broker, handle(&taken[0]), 30_000).await;
    assert_eq!(code_of(again.status.as_ref()), Code::InvalidReceiptHandle);
}

#[tokio::test(start_paused = true)]
async fn a_change_hides_up_to_12_hours_and_not_below_0() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    let taken = broker.take(simple()).await;
    for ms in [-1000, 43_200_001] {
        let reply = change(&broker, handle(&taken[0]), ms).await;
        let status = reply.status.unwrap();
        assert_eq!(code_of(Some(&status)), Code::IllegalInvisibleTime);
        assert!(status.message.contains(&ms.to_string()) && status.message.contains("43200000"));
    }
    assert_eq!(code_of(change(&broker, handle(&taken[0]), 0).await.status.as_ref()), Code::Ok);
    assert_eq!(ids(&broker.take(simple()).await), ["M"], "0 shows it at once");
}

#[tokio::test(start_paused = true)]
async fn receipts_are_good_for_their_own_group_only_and_noise_for_none() {
    let broker = Broker::start().await;
    broker.consumer_group("audit", 3).await;
    broker.send_ok(vec![message("M")]).await;
    let taken = broker.take(simple()).await;
    let own = handle(&taken[0]);
    let altered = format!("{}{}", &own[..own.len() - 1], if own.ends_with('A') { 'B' } else { 'A' });
    for (group, handle) in
        [("audit", own), ("gone", own), ("billing", "noise"), ("billing", &altered), ("billing", "")]
    {
        let acked = broker.ack(group, &[handle]).await;
        assert_eq!(code_of(acked.status.as_ref()), Code::InvalidReceiptHandle, "{group} {handle}");
        let dead: v2::ForwardMessageToDeadLetterQueueResponse =
            broker.unary(Method::ForwardMessageToDeadLetterQueue, forward(group, handle)).await;
        assert_eq!(code_of(dead.status.as_ref()), Code::InvalidReceiptHandle, "{group} {handle}");
    }
    assert_eq!(code_of(broker.ack("billing", &[own]).await.status.as_ref()), Code::Ok);
}

#[tokio::test(start_paused = true)]
async fn receipts_of_a_deleted_topic_or_group_end_the_retries_of_their_clients() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M"), message("N")]).await;
    let taken = broker.take(simple()).await;
    let (_, ticket) = broker.group.delete_topics(&["orders".into()], None, &broker.mailbox).unwrap();
    broker.drive(ticket.unwrap()).await.unwrap();
    let reply = broker.ack("billing", &[handle(&taken[0])]).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::InvalidReceiptHandle);
    let (_, ticket) =
        broker.group.delete_consumer_groups(&["billing".into()], None, &broker.mailbox).unwrap();
    broker.drive(ticket.unwrap()).await.unwrap();
    let reply = broker.ack("billing", &[handle(&taken[1])]).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::InvalidReceiptHandle);
}

#[tokio::test(start_paused = true)]
async fn what_was_done_and_what_was_refused_is_counted() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M"), message("N")]).await;
    let taken = broker.take(push()).await;
    broker.ack("billing", &[handle(&taken[0]), "noise"]).await;
    broker.send(vec![]).await;
    let figures = broker.gateway.figures();
    assert_eq!((figures.sent, figures.received, figures.acked, figures.refused), (2, 2, 1, 2));
    assert_eq!((figures.held, figures.clients, figures.waiting_receives), (1, 1, 0));
    assert!(figures.sent_bytes > 0 && figures.received_bytes > figures.sent_bytes);
}

#[tokio::test(start_paused = true)]
async fn an_ack_of_nothing_is_a_bad_request() {
    let broker = Broker::start().await;
    assert_eq!(code_of(broker.ack("billing", &[]).await.status.as_ref()), Code::BadRequest);
}

#[tokio::test(start_paused = true)]
async fn a_forwarded_message_is_a_dead_letter_at_once_and_done_for_its_group() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    let taken = broker.take(push()).await;
    let reply: v2::ForwardMessageToDeadLetterQueueResponse =
        broker.unary(Method::ForwardMessageToDeadLetterQueue, forward("billing", handle(&taken[0]))).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::Ok, "{reply:?}");
    assert_eq!((broker.lag(), broker.gateway.held_count()), (0, 0));
    let mut request = simple();
    request.message_queue.as_mut().unwrap().topic = resource("%DLQ%billing");
    let dead = broker.take(request).await;
    assert_eq!(ids(&dead), ["M"]);
    assert_eq!(system(&dead[0]).dead_letter_queue.as_ref().unwrap().topic, "orders");
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_client_id_is_refused_by_every_method() {
    let broker = Broker::start().await;
    let call = broker.call_with("x-mq-client-id", " ");
    let received = broker.receive_as(&call, simple()).await;
    assert_eq!(code_of(Some(&received.status)), Code::ClientIdRequired);
    received.handout.delivered();
    let sent = broker.send_raw(&call, bytes::Bytes::new()).await.unwrap();
    assert_eq!(code_of(sent.status.as_ref()), Code::ClientIdRequired);
    for method in [
        Method::QueryRoute,
        Method::QueryAssignment,
        Method::Heartbeat,
        Method::NotifyClientTermination,
        Method::ChangeInvisibleDuration,
        Method::ForwardMessageToDeadLetterQueue,
        Method::EndTransaction,
        Method::RecallMessage,
        Method::SyncLiteSubscription,
        Method::UpdateOffset,
        Method::GetOffset,
        Method::QueryOffset,
    ] {
        // The status is field 1 of each of these replies.
        let reply: v2::HeartbeatResponse =
            broker.unary_as(&call, method, v2::HeartbeatRequest::default()).await;
        assert_eq!(code_of(reply.status.as_ref()), Code::ClientIdRequired, "{method:?}");
    }
}
