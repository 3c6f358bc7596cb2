//! A person moves the leadership.

use std::sync::Arc;

use gateway_grpc::admin::{HandOverError, Membership};
use gateway_grpc::gateway::GatewayConfig;
use gateway_grpc::leader::{Absence, Place};
use parking_lot::Mutex;
use tokio::sync::Notify;
use wire::admin::{self, HandOverOutcome};

use crate::member::{Client, Log, Member, in_time, pair};

/// A member that answers hand-overs with this, and notes whom it was asked for.
fn answering(answer: Result<u32, HandOverError>, asked: &Arc<Mutex<Vec<Option<u32>>>>) -> Membership {
    let asked = Arc::clone(asked);
    Membership {
        view: Arc::new(|| admin::Member { ordinal: 4, role: "leader".to_owned(), ..Default::default() }),
        hand_over: Arc::new(move |to| {
            asked.lock().push(to);
            let answer = answer.clone();
            Box::pin(async move { answer })
        }),
    }
}

async fn admin(member: &Member) -> Client {
    Client::connect(&member.address.admin).await
}

async fn hand_over(client: &Client, to: Option<u32>) -> admin::HandOverResponse {
    client.administer("HandOver", &admin::HandOverRequest { to }).await
}

#[tokio::test]
async fn every_end_of_a_hand_over_has_its_own_outcome() {
    let ends = [
        (Ok(2), HandOverOutcome::Leads),
        (Err(HandOverError::NoSuchMember(9)), HandOverOutcome::NoSuchMember),
        (Err(HandOverError::NotInSync(2)), HandOverOutcome::NotInSync),
        (Err(HandOverError::NobodyInSync), HandOverOutcome::NotInSync),
        (Err(HandOverError::NotLeading(4)), HandOverOutcome::NotLeading),
        (Err(HandOverError::TimedOut { waited_ms: 5000 }), HandOverOutcome::TimedOut),
    ];
    let log = Log::start().await;
    for (end, outcome) in ends {
        let asked = Arc::default();
        let member = Member::among(answering(end.clone(), &asked)).await;
        member.leadership.set(log.here());
        let answer = hand_over(&admin(&member).await, Some(2)).await;
        assert_eq!(answer.outcome(), outcome);
        assert_eq!(answer.message, end.as_ref().err().map(ToString::to_string).unwrap_or_default());
        assert_eq!(answer.leader, end.unwrap_or_default());
        assert_eq!(*asked.lock(), [Some(2)]);
    }
}

#[tokio::test]
async fn a_broker_that_is_alone_says_so() {
    let (_log, leader, _follower) = pair().await;
    let answer = hand_over(&admin(&leader).await, None).await;
    assert_eq!(answer.outcome(), HandOverOutcome::Alone);
}

#[tokio::test]
async fn every_member_shows_its_own_view_although_it_does_not_lead() {
    let asked = Arc::default();
    let member = Member::among(answering(Ok(0), &asked)).await;
    member.leadership.set(Place::Nowhere(Absence::Electing));
    let broker: admin::GetBrokerResponse =
        admin(&member).await.administer("GetBroker", &admin::GetBrokerRequest {}).await;
    assert_eq!((&*broker.state, &*broker.flush), ("electing", "Async"));
    assert_eq!(broker.member.map(|member| member.ordinal), Some(4));
}

/// The follower that relays the call learns of the next leader before the old one answers, and waits all the same.
#[tokio::test]
async fn the_answer_of_the_old_leader_reaches_whoever_asked_a_follower() {
    let (began, may_answer) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&began), Arc::clone(&may_answer));
    let membership = Membership {
        view: Arc::new(admin::Member::default),
        hand_over: Arc::new(move |to| {
            let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
            Box::pin(async move {
                tell.notify_one();
                wait.notified().await;
                Ok(to.unwrap_or_default())
            })
        }),
    };
    let log = Log::start().await;
    let leader = Member::among(membership).await;
    let follower = Member::start(GatewayConfig::default()).await;
    leader.leadership.set(log.here());
    follower.leadership.set(leader.there());
    let client = admin(&follower).await;
    let asking = tokio::spawn(async move { hand_over(&client, Some(3)).await });
    in_time(began.notified()).await;
    // The follower itself leads now.
    leader.leadership.set(Place::Nowhere(Absence::Electing));
    follower.leadership.set(log.here());
    may_answer.notify_one();
    let answer = in_time(asking).await.unwrap();
    assert_eq!((answer.outcome(), answer.leader), (HandOverOutcome::Leads, 3));
}
