use engine::catalog::{Adopt, Broadcast, ConsumerGroupSpec};
use gateway_grpc::call::Call;
use gateway_grpc::method::Method;
use wire::v2::{self, Code};

use crate::admin_progress::{delete, list};
use crate::broker::{Broker, code_of, handle, ids, message, resource, simple};

/// A broker whose group `billing` is a broadcast.
async fn broadcasting(broadcast: Broadcast) -> Broker {
    let broker = Broker::start().await;
    apply(&broker, |spec| spec.broadcast = broadcast).await;
    broker
}

async fn apply(broker: &Broker, change: impl FnOnce(&mut ConsumerGroupSpec)) {
    let mut spec = broker.group.consumer_group("billing").unwrap().spec.clone();
    change(&mut spec);
    let (_, ticket) = broker.group.apply_consumer_groups(&[spec], Adopt::Always, &broker.mailbox).unwrap();
    if let Some(ticket) = ticket {
        broker.drive(ticket).await.unwrap();
    }
}

fn host(broker: &Broker, client_id: &str) -> Call {
    broker.call_with("x-mq-client-id", client_id)
}

/// What a client gets; it acks all of it.
async fn take(broker: &Broker, client_id: &str) -> Vec<String> {
    let received = broker.receive_as(&host(broker, client_id), simple()).await;
    received.handout.delivered();
    let handles: Vec<_> = received.messages.iter().map(handle).collect();
    if !handles.is_empty() {
        let reply = broker.ack("billing", &handles).await;
        assert_eq!(code_of(reply.status.as_ref()), Code::Ok, "{reply:?}");
    }
    broker.write();
    ids(&received.messages).into_iter().map(str::to_owned).collect()
}

fn members(broker: &Broker) -> usize {
    broker.group.members_of(broker.group.consumer_group("billing").unwrap().id).len()
}

#[tokio::test(start_paused = true)]
async fn every_host_gets_every_message_once_whatever_clients_it_has() {
    let broker = broadcasting(Broadcast::ByHost).await;
    broker.send_ok(vec![message("A"), message("B")]).await;
    for client in ["web-0@1@0@x", "web-1@1@0@x", "10.0.0.7@1@0@x"] {
        assert_eq!(take(&broker, client).await, ["A", "B"], "{client}");
    }
    broker.send_ok(vec![message("C")]).await;
    assert_eq!(take(&broker, "web-0@77@3@other").await, ["C"], "its progress outlives its clients");
    assert!(take(&broker, "web-0@1@0@x").await.is_empty());
    assert_eq!(members(&broker), 3);
}

#[tokio::test(start_paused = true)]
async fn clients_are_told_apart_by_their_ids_if_that_is_asked_for() {
    let broker = broadcasting(Broadcast::ByClient).await;
    broker.send_ok(vec![message("A")]).await;
    for client in ["web@1", "web@2", "web_1", "web.1", &"x".repeat(300)] {
        assert_eq!(take(&broker, client).await, ["A"], "{client}");
    }
    assert_eq!(members(&broker), 5);
}

#[tokio::test(start_paused = true)]
async fn members_follow_their_group_and_go_with_it() {
    let broker = broadcasting(Broadcast::ByHost).await;
    broker.send_ok(vec![message("A")]).await;
    take(&broker, "one@1").await;
    apply(&broker, |spec| spec.ordered = true).await;
    broker.send_ok(vec![message("B")]).await;
    assert_eq!(take(&broker, "one@1").await, ["B"]);
    let id = broker.group.consumer_group("billing").unwrap().id;
    assert!(broker.group.members_of(id).iter().all(|member| member.spec.ordered));
    apply(&broker, |spec| spec.broadcast = Broadcast::No).await;
    broker.pass(61_000).await;
    assert!(broker.group.members_of(id).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_nobody_uses_for_a_day_is_forgotten_and_one_in_use_is_not() {
    let broker = broadcasting(Broadcast::ByHost).await;
    broker.send_ok(vec![message("A")]).await;
    take(&broker, "gone@1").await;
    for _ in 0..25 {
        take(&broker, "stays@1").await;
        tokio::time::advance(std::time::Duration::from_hours(1)).await;
        broker.gateway.sweep();
        broker.write();
    }
    assert_eq!(members(&broker), 1);
    assert!(take(&broker, "stays@1").await.is_empty());
    assert_eq!(take(&broker, "gone@1").await, ["A"], "as a new one");
}

#[tokio::test(start_paused = true)]
async fn dead_letters_are_the_groups_and_a_reset_moves_every_member() {
    let broker = broadcasting(Broadcast::ByHost).await;
    broker.send_ok(vec![message("A"), message("B")]).await;
    for client in ["one@1", "two@1"] {
        let received = broker.receive_as(&host(&broker, client), simple()).await;
        received.handout.delivered();
        let request = v2::ForwardMessageToDeadLetterQueueRequest {
            group: resource("billing"),
            topic: resource("orders"),
            receipt_handle: handle(&received.messages[0]).into(),
            ..Default::default()
        };
        let reply: v2::ForwardMessageToDeadLetterQueueResponse =
            broker.unary_as(&host(&broker, client), Method::ForwardMessageToDeadLetterQueue, request).await;
        assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
        broker.ack("billing", &[handle(&received.messages[1])]).await;
    }
    let letters = broker.group.topic("%DLQ%billing").unwrap();
    assert_eq!(broker.group.queue_range(letters.queues[0]).1, store::Offset(2));
    let again = engine::catalog::Reset {
        id: "1".into(),
        topics: Vec::new(),
        to: engine::catalog::ConsumeFrom::Earliest,
    };
    apply(&broker, |spec| spec.reset = Some(again)).await;
    for client in ["one@1", "two@1"] {
        assert_eq!(take(&broker, client).await, ["A", "B"], "{client}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_subscription_of_a_broadcast_is_told_and_deleted_with_those_of_its_members() {
    let broker = broadcasting(Broadcast::ByHost).await;
    broker.send_ok(vec![message("A")]).await;
    for client in ["one@1", "two@1"] {
        assert_eq!(take(&broker, client).await, ["A"], "{client}");
    }
    assert_eq!(list(&broker, "orders", "billing").await.unwrap().len(), 1);
    assert_eq!(delete(&broker, "orders", "billing").await, Code::Ok);
    assert!(list(&broker, "orders", "billing").await.unwrap().is_empty());
    assert_eq!(delete(&broker, "orders", "billing").await, Code::NotFound);
    for client in ["one@1", "two@1"] {
        assert_eq!(take(&broker, client).await, ["A"], "{client} begins anew");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_reads_as_somebody_else() {
    let broker = broadcasting(Broadcast::ByHost).await;
    broker.send_ok(vec![message("A")]).await;
    let received = broker.receive_as(&host(&broker, "one@1"), simple()).await;
    received.handout.delivered();
    let id = broker.group.consumer_group("billing").unwrap().id;
    let member = broker.group.members_of(id)[0].spec.name.clone();
    let named = v2::ReceiveMessageRequest { group: resource(&member), ..simple() };
    let refused = broker.receive(named).await;
    assert_ne!(code_of(Some(&refused.status)), Code::Ok);
    assert!(refused.messages.is_empty());
    broker.consumer_group("other", 3).await;
    let reply = broker.ack("other", &[handle(&received.messages[0])]).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::InvalidReceiptHandle);
}

#[tokio::test(start_paused = true)]
async fn offsets_of_a_broadcast_are_each_clients_own() {
    let broker = broadcasting(Broadcast::ByHost).await;
    broker.send_ok(vec![message("A"), message("B")]).await;
    let queue = (0..4).find(|&queue| {
        let id = broker.group.topic("orders").unwrap().queues[queue];
        broker.group.queue_range(id).1 > store::Offset(0)
    });
    let queue = v2::MessageQueue {
        topic: resource("orders"),
        id: i32::try_from(queue.unwrap()).unwrap(),
        ..Default::default()
    };
    let update =
        v2::UpdateOffsetRequest { group: resource("billing"), message_queue: Some(queue.clone()), offset: 1 };
    let reply: v2::UpdateOffsetResponse =
        broker.unary_as(&host(&broker, "one@1"), Method::UpdateOffset, update).await;
    assert_eq!(code_of(reply.status.as_ref()), Code::Ok);
    let get = v2::GetOffsetRequest { group: resource("billing"), message_queue: Some(queue) };
    let one: v2::GetOffsetResponse =
        broker.unary_as(&host(&broker, "one@9"), Method::GetOffset, get.clone()).await;
    let two: v2::GetOffsetResponse = broker.unary_as(&host(&broker, "two@1"), Method::GetOffset, get).await;
    assert_eq!((code_of(one.status.as_ref()), one.offset), (Code::Ok, 1));
    assert_eq!(code_of(two.status.as_ref()), Code::OffsetNotFound);
}
