//! Messages that a member hands on: the client's once it took them, and nobody's before.

use wire::v2;

use crate::broker::{duration, frames, message, push, simple};
use crate::member::{Client, eventually, in_time, pair};
use crate::network::whole;

const LARGE_BYTES: usize = 100_000;

fn hidden() -> v2::ReceiveMessageRequest {
    v2::ReceiveMessageRequest { invisible_duration: duration(3_600_000), ..simple() }
}

async fn send_large(client: &Client) {
    let large = v2::Message { body: vec![7; LARGE_BYTES].into(), ..message("M") };
    let _: v2::SendMessageResponse =
        client.ask("SendMessage", &v2::SendMessageRequest { messages: vec![large] }).await;
}

/// Messages of a reply, which come between its status and its time.
async fn received(client: &Client) -> usize {
    let (bytes, _) = client.call("ReceiveMessage", &simple()).await;
    frames::<v2::ReceiveMessageResponse>(&bytes).len() - 2
}

#[tokio::test]
async fn a_client_that_vanishes_before_a_member_handed_its_messages_on_gives_them_back() {
    for window_bytes in [0, 1000] {
        let (_log, _leader, follower) = pair().await;
        let client = follower.client().await;
        send_large(&client).await;
        let vanishing = Client::connect_reading(&follower.address.client, window_bytes).await;
        let half = vanishing.begin("ReceiveMessage", &hidden()).await;
        drop((half, vanishing));
        assert_eq!(received(&client).await, 1, "of one that reads {window_bytes} B");
    }
}

#[tokio::test]
async fn a_member_that_dies_before_it_handed_messages_on_gives_them_back() {
    let (_log, leader, follower) = pair().await;
    let client = leader.client().await;
    send_large(&client).await;
    let slow = Client::connect_reading(&follower.address.client, 1000).await;
    let _half = slow.begin("ReceiveMessage", &hidden()).await;
    follower.kill();
    assert_eq!(received(&client).await, 1);
}

#[tokio::test]
async fn messages_that_a_member_handed_on_stay_the_clients() {
    let (_log, leader, follower) = pair().await;
    let client = leader.client().await;
    send_large(&client).await;
    let slow = Client::connect_reading(&follower.address.client, 1000).await;
    let response = slow.begin("ReceiveMessage", &hidden()).await;
    let (bytes, status) = in_time(whole(response)).await;
    assert_eq!((frames::<v2::ReceiveMessageResponse>(&bytes).len(), status.as_str()), (3, "0"));
    drop(slow);
    follower.kill();
    let (bytes, _) = client.call("ReceiveMessage", &simple()).await;
    assert_eq!(frames::<v2::ReceiveMessageResponse>(&bytes).len(), 2, "nothing within 5 s");
}

#[tokio::test]
async fn what_a_member_handed_on_just_before_it_died_is_not_renewed() {
    let (_log, leader, follower) = pair().await;
    let gateway = leader.leadership.gateway().unwrap();
    let client = follower.client().await;
    send_large(&client).await;
    let (bytes, status) = client.call("ReceiveMessage", &push()).await;
    assert_eq!((frames::<v2::ReceiveMessageResponse>(&bytes).len(), status.as_str()), (3, "0"));
    gateway.sweep();
    assert_eq!(gateway.held_count(), 1);
    follower.kill();
    eventually(|| {
        gateway.sweep();
        gateway.held_count() == 0
    })
    .await;
}
