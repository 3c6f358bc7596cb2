//! The gap between two leaders, with calls in it: clients see a longer call and no error.

use std::time::Duration;

use bytes::Bytes;
use engine::inbox::Refusal;
use gateway_grpc::gateway::GatewayConfig;
use gateway_grpc::leader::{Absence, Place};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use wire::v2::{self, Code};

use crate::broker::{code_of, duration, frames, handle, message, resource, simple};
use crate::member::{Client, Log, Member, eventually, in_time, pair};

/// How long after the gap a call may take; deadlines and limits of the wait are several times as long.
const AFTER_GAP: Duration = Duration::from_secs(2);

/// Where a call meets the leader that goes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Point {
    /// It takes nothing new.
    HandingOver,
    /// It has the call in its inbox when it goes.
    Waiting,
    /// Its group is closed, and nobody knows yet.
    Closed,
    /// It knows that it does not lead, and not who does.
    Gone,
}

const POINTS: [Point; 4] = [Point::HandingOver, Point::Waiting, Point::Closed, Point::Gone];

/// A group whose leader goes.
struct Group {
    former: Log,
    leader: Member,
    follower: Member,
    next: Log,
    heir: Member,
}

impl Group {
    async fn start() -> Self {
        let (former, leader, follower) = pair().await;
        let heir = Member::start(GatewayConfig::default()).await;
        Self { former, leader, follower, next: Log::start().await, heir }
    }

    fn begin(&mut self, point: Point) {
        match point {
            Point::HandingOver => self.former.broker.group.refuse(Some(Refusal::HandingOver)),
            Point::Waiting => self.former.write_no_more(),
            Point::Closed => self.former.broker.close(),
            Point::Gone => self.leader.leadership.set(Place::Nowhere(Absence::Electing)),
        }
    }

    /// The gap ends: the heir leads, and everybody knows.
    fn end(&self) {
        self.former.broker.close();
        self.heir.leadership.set(self.next.here());
        self.leader.leadership.set(self.heir.there());
        self.follower.leadership.set(self.heir.there());
    }
}

fn send_of(message: v2::Message) -> v2::SendMessageRequest {
    v2::SendMessageRequest { messages: vec![message] }
}

async fn send(client: Client, message: v2::Message) -> Code {
    let reply: v2::SendMessageResponse = client.ask("SendMessage", &send_of(message)).await;
    code_of(reply.status.as_ref())
}

#[tokio::test]
async fn a_send_in_the_gap_is_stored_once_by_the_next_leader() {
    for point in POINTS {
        for through_follower in [false, true] {
            let mut group = Group::start().await;
            let asked = if through_follower { &group.follower } else { &group.leader };
            let client = asked.client().await;
            // Several frames, all of which have to be kept; or one, whose turn among others is known.
            let bytes = if point == Point::Waiting { 100 } else { 300_000 };
            let body = Bytes::from(vec![7; bytes]);
            group.begin(point);
            let sent = tokio::spawn(send(client.clone(), v2::Message { body, ..message("M") }));
            let asked = if through_follower { &group.follower } else { &group.leader };
            if point == Point::Waiting {
                // Requests of one connection are taken in turn: when this one is answered, the send waits.
                let route = v2::QueryRouteRequest { topic: resource("orders"), endpoints: None };
                let _: v2::QueryRouteResponse = client.ask("QueryRoute", &route).await;
            } else {
                asked.holds(1).await;
            }
            group.end();
            let ended = Instant::now();
            let told = format!("{point:?}, through the follower: {through_follower}");
            assert_eq!(in_time(sent).await.unwrap(), Code::Ok, "{told}");
            assert!(ended.elapsed() < AFTER_GAP, "{told}: {:?}", ended.elapsed());
            assert_eq!((group.former.stored(), group.next.stored()), (0, 1), "{told}");
            asked.holds(0).await;
        }
    }
}

#[tokio::test]
async fn every_send_during_many_changes_is_stored_once() {
    let mut members = Vec::new();
    for _ in 0..3 {
        members.push(Member::start(GatewayConfig::default()).await);
    }
    let mut logs = vec![Log::start().await];
    let lead = |term: usize, log: &Log| {
        let leader = &members[term % 3];
        leader.leadership.set(log.here());
        members.iter().filter(|member| member.address != leader.address).for_each(|member| {
            member.leadership.set(leader.there());
        });
    };
    lead(0, &logs[0]);
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let mut senders = Vec::new();
    for number in 0..6 {
        let (client, stopped) = (members[number % 3].client().await, stopped.clone());
        senders.push(tokio::spawn(async move {
            let mut sent = 0;
            while !*stopped.borrow() {
                assert_eq!(send(client.clone(), message(&format!("{number}-{sent}"))).await, Code::Ok);
                sent += 1;
            }
            sent
        }));
    }
    for term in 1..10 {
        eventually(|| logs[term - 1].stored() >= 20).await;
        let next = Log::start().await;
        match POINTS[term % 4] {
            Point::HandingOver => logs[term - 1].broker.group.refuse(Some(Refusal::HandingOver)),
            Point::Waiting => logs[term - 1].write_no_more(),
            Point::Closed => logs[term - 1].broker.close(),
            Point::Gone => members[(term - 1) % 3].leadership.set(Place::Nowhere(Absence::Electing)),
        }
        for _ in 0..term * 10 {
            tokio::task::yield_now().await;
        }
        logs[term - 1].broker.close();
        lead(term, &next);
        logs.push(next);
    }
    stop.send(true).unwrap();
    let mut sent = 0;
    for sender in senders {
        sent += in_time(sender).await.unwrap();
    }
    assert_eq!(logs.iter().map(Log::stored).sum::<u64>(), sent);
}

#[tokio::test]
async fn a_send_goes_on_when_a_hand_over_is_called_off() {
    for through_follower in [false, true] {
        let mut group = Group::start().await;
        group.begin(Point::HandingOver);
        let asked = if through_follower { &group.follower } else { &group.leader };
        let sent = tokio::spawn(send(asked.client().await, message("M")));
        asked.holds(1).await;
        group.former.broker.group.refuse(None);
        let ended = Instant::now();
        assert_eq!(in_time(sent).await.unwrap(), Code::Ok);
        assert!(ended.elapsed() < AFTER_GAP, "{:?}", ended.elapsed());
        assert_eq!(group.former.stored(), 1);
    }
}

#[tokio::test]
async fn a_send_whose_outcome_is_unknown_is_not_tried_again() {
    for through_follower in [false, true] {
        let group = Group::start().await;
        group.former.broker.wait_for_copies();
        let asked = if through_follower { &group.follower } else { &group.leader };
        let sent = tokio::spawn(send(asked.client().await, message("M")));
        let log = &group.former.broker.group;
        eventually(|| log.written() > log.published()).await;
        group.end();
        assert_eq!(in_time(sent).await.unwrap(), Code::MasterPersistenceTimeout);
        assert_eq!(group.next.stored(), 0, "the next leader never saw it");
    }
}

#[tokio::test]
async fn a_send_that_lacks_copies_is_refused_at_once() {
    let group = Group::start().await;
    group.former.broker.group.refuse(Some(Refusal::TooFewCopies { in_sync: 1, min: 2 }));
    for asked in [&group.leader, &group.follower] {
        let sent = send(asked.client().await, message("M")).await;
        assert_eq!(sent, Code::HaNotAvailable);
    }
}

fn ack(handle: &str) -> v2::AckMessageRequest {
    let entry = v2::AckMessageEntry { receipt_handle: handle.into(), ..Default::default() };
    v2::AckMessageRequest { group: resource("billing"), topic: resource("orders"), entries: vec![entry] }
}

fn change(handle: &str) -> v2::ChangeInvisibleDurationRequest {
    v2::ChangeInvisibleDurationRequest {
        group: resource("billing"),
        topic: resource("orders"),
        receipt_handle: handle.into(),
        invisible_duration: duration(20_000),
        ..Default::default()
    }
}

fn bury(handle: &str) -> v2::ForwardMessageToDeadLetterQueueRequest {
    v2::ForwardMessageToDeadLetterQueueRequest {
        group: resource("billing"),
        topic: resource("orders"),
        receipt_handle: handle.into(),
        ..Default::default()
    }
}

/// A call under way; field 1 of its reply is the status.
fn asked_of(
    client: &Client,
    method: &'static str,
    request: impl prost::Message + 'static,
) -> JoinHandle<Option<v2::Status>> {
    let client = client.clone();
    tokio::spawn(async move {
        let (bytes, _) = client.call(method, &request).await;
        frames::<v2::HeartbeatResponse>(&bytes).swap_remove(0).status
    })
}

fn received(bytes: &[u8]) -> Vec<v2::Message> {
    let replies = frames::<v2::ReceiveMessageResponse>(bytes).into_iter();
    let message = |reply: v2::ReceiveMessageResponse| match reply.content {
        Some(v2::receive_message_response::Content::Message(message)) => Some(message),
        _ => None,
    };
    replies.filter_map(message).collect()
}

#[tokio::test]
async fn what_consumers_do_in_the_gap_is_done_by_the_next_leader() {
    for through_follower in [false, true] {
        let mut group = Group::start().await;
        // Prepared at the heir: both logs number alike, so that its receipts make sense to the former leader too.
        group.heir.leadership.set(group.next.here());
        let before = group.heir.client().await;
        for id in ["A", "B", "C"] {
            assert_eq!(send(before.clone(), message(id)).await, Code::Ok);
        }
        let taken = received(&before.call("ReceiveMessage", &simple()).await.0);
        assert_eq!(send(before, message("D")).await, Code::Ok);
        group.begin(Point::Closed);
        let asked = if through_follower { &group.follower } else { &group.leader };
        let client = asked.client().await;
        let calls = [
            asked_of(&client, "AckMessage", ack(handle(&taken[0]))),
            asked_of(&client, "ChangeInvisibleDuration", change(handle(&taken[1]))),
            asked_of(&client, "ForwardMessageToDeadLetterQueue", bury(handle(&taken[2]))),
        ];
        let receiving = client.clone();
        let receiving = tokio::spawn(async move { receiving.call("ReceiveMessage", &simple()).await });
        asked.holds(4).await;
        group.end();
        let ended = Instant::now();
        for call in calls {
            assert_eq!(code_of(in_time(call).await.unwrap().as_ref()), Code::Ok);
        }
        let (bytes, status) = in_time(receiving).await.unwrap();
        assert_eq!((received(&bytes).len(), status.as_str()), (1, "0"));
        assert!(ended.elapsed() < AFTER_GAP, "{:?}", ended.elapsed());
        assert_eq!(group.next.broker.lag(), 2, "what was held again and what was received");
    }
}

#[tokio::test]
async fn a_member_that_does_not_lead_sends_a_relayed_call_back_at_once() {
    let member = Member::start(GatewayConfig::default()).await;
    let client = member.client().await;
    for method in ["SendMessage", "ReceiveMessage", "Telemetry"] {
        let mut request =
            crate::network::request("127.0.0.1:1".parse().unwrap(), method, &send_of(message("M")));
        request.headers_mut().insert("x-millpond-forwarded", "1".parse().unwrap());
        let reply = client.any(request.map(http_body_util::BodyExt::boxed_unsync)).await;
        assert_eq!(reply.headers()["x-millpond-not-leading"], "1", "{method}");
        assert_eq!(crate::network::whole(reply).await, (Bytes::new(), "14".to_owned()), "{method}");
    }
    assert_eq!(member.leadership.figures().held_calls, 0);
}

#[tokio::test]
async fn a_telemetry_stream_that_was_relayed_in_vain_ends_for_the_client_to_open_another() {
    let (_log, leader, follower) = pair().await;
    leader.leadership.set(Place::Nowhere(Absence::Electing));
    let (_settings, reply) = follower.client().await.telemetry().await;
    assert_eq!(crate::network::whole(reply).await.1, "14");
}

#[tokio::test]
async fn an_admin_change_relayed_in_the_gap_is_made_by_the_next_leader() {
    let mut group = Group::start().await;
    let client = Client::connect(&group.follower.address.admin).await;
    group.begin(Point::Gone);
    let topic = wire::admin::Topic { name: "new".into(), r#type: 1, queues: 1, ..Default::default() };
    let apply = wire::admin::ApplyTopicsRequest { topics: vec![topic], adopt: 0 };
    let applied =
        tokio::spawn(
            async move { client.administer::<wire::admin::ApplyResponse>("ApplyTopics", &apply).await },
        );
    group.follower.holds(1).await;
    group.end();
    assert_eq!(in_time(applied).await.unwrap().results[0].code(), wire::admin::Code::Created);
    assert!(group.next.broker.group.topic("new").is_some());
}
