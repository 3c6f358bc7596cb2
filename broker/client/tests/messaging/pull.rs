//! A pull consumer against a server that keeps two queues in memory.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::{ClientBuilder, Place, PullConsumer, PullError, PullQueue};
use parking_lot::Mutex;
use prost::Message;
use wire::v2::pull_message_response::Content;
use wire::v2::{self, Code};

use crate::fake::{Fake, framed, status};

const REQUEST_MAX: Duration = Duration::from_secs(1);

/// One queue: offsets from `head` on, and each message's time is its offset.
#[derive(Debug, Default)]
struct Queue {
    head: i64,
    bodies: Vec<String>,
    committed: Option<i64>,
}

type Queues = Arc<Mutex<HashMap<i32, Queue>>>;

impl Queue {
    fn tail(&self) -> i64 {
        self.head + signed(self.bodies.len())
    }

    fn pull(&self, request: &v2::PullMessageRequest) -> Option<Vec<Content>> {
        if request.offset < self.head || request.offset > self.tail() {
            let nearest = request.offset.clamp(self.head, self.tail());
            return Some(vec![Content::Status(status(Code::IllegalOffset)), Content::NextOffset(nearest)]);
        }
        let from = usize::try_from(request.offset - self.head).unwrap();
        let max = usize::try_from(request.batch_size).unwrap();
        let bodies: Vec<_> = self.bodies[from..].iter().take(max).enumerate().collect();
        if bodies.is_empty() {
            let is_patient =
                request.long_polling_timeout.is_some_and(|wait| wait != prost_types::Duration::default());
            let nothing = Content::Status(status(Code::MessageNotFound));
            return (!is_patient).then(|| vec![nothing, Content::NextOffset(request.offset)]);
        }
        let next = request.offset + signed(bodies.len());
        let mut contents = vec![Content::Status(status(Code::Ok))];
        contents.extend(bodies.into_iter().map(|(at, body)| {
            let system = v2::SystemProperties {
                message_id: body.clone(),
                queue_offset: Some(request.offset + signed(at)),
                ..Default::default()
            };
            Content::Message(v2::Message {
                body: Bytes::from(body.clone()),
                system_properties: Some(system),
                ..Default::default()
            })
        }));
        contents.push(Content::NextOffset(next));
        Some(contents)
    }
}

fn signed(count: usize) -> i64 {
    i64::try_from(count).unwrap()
}

fn answer(queues: &Queues, name: &str, request: Bytes) -> Option<Vec<Bytes>> {
    let mut queues = queues.lock();
    let mut of = |queue: Option<v2::MessageQueue>| {
        std::mem::take(queues.entry(queue.expect("a queue").id).or_default())
    };
    match name {
        "QueryRoute" => {
            let queue = |id| v2::MessageQueue {
                id,
                permission: v2::Permission::ReadWrite.into(),
                broker: Some(v2::Broker { name: "one".into(), ..Default::default() }),
                ..Default::default()
            };
            let message_queues = vec![queue(0), queue(1)];
            Some(vec![framed(&v2::QueryRouteResponse { status: Some(status(Code::Ok)), message_queues })])
        }
        "PullMessage" => {
            let request = v2::PullMessageRequest::decode(request).unwrap();
            let id = request.message_queue.clone().unwrap().id;
            let queue = of(request.message_queue.clone());
            let contents = queue.pull(&request);
            queues.insert(id, queue);
            let frame = |content| framed(&v2::PullMessageResponse { content: Some(content) });
            contents.map(|contents| contents.into_iter().map(frame).collect())
        }
        "GetOffset" => {
            let request = v2::GetOffsetRequest::decode(request).unwrap();
            let committed = queues.get(&request.message_queue.unwrap().id).and_then(|queue| queue.committed);
            let code = if committed.is_some() { Code::Ok } else { Code::OffsetNotFound };
            let offset = committed.unwrap_or_default();
            Some(vec![framed(&v2::GetOffsetResponse { status: Some(status(code)), offset })])
        }
        "UpdateOffset" => {
            let request = v2::UpdateOffsetRequest::decode(request).unwrap();
            let queue = queues.entry(request.message_queue.unwrap().id).or_default();
            let is_legal = (0..=queue.tail()).contains(&request.offset);
            if is_legal {
                queue.committed = Some(request.offset);
            }
            let code = if is_legal { Code::Ok } else { Code::IllegalOffset };
            Some(vec![framed(&v2::UpdateOffsetResponse { status: Some(status(code)) })])
        }
        "QueryOffset" => {
            let request = v2::QueryOffsetRequest::decode(request).unwrap();
            let policy = request.query_offset_policy();
            let queue = queues.entry(request.message_queue.unwrap().id).or_default();
            let offset = match policy {
                v2::QueryOffsetPolicy::Beginning => queue.head,
                v2::QueryOffsetPolicy::End => queue.tail(),
                v2::QueryOffsetPolicy::Timestamp => {
                    let time = request.timestamp.unwrap();
                    time.seconds * 1000 + i64::from(time.nanos / 1_000_000)
                }
            };
            Some(vec![framed(&v2::QueryOffsetResponse { status: Some(status(Code::Ok)), offset })])
        }
        other => panic!("{other} is not expected"),
    }
}

async fn started(queues: &[(i64, &[&str])]) -> (Fake, Queues, PullConsumer) {
    let of = |(id, (head, bodies)): (i32, &(i64, &[&str]))| {
        let bodies = bodies.iter().map(|&body| body.to_owned()).collect();
        (id, Queue { head: *head, bodies, committed: None })
    };
    let queues: Queues = Arc::new(Mutex::new((0..).zip(queues).map(of).collect()));
    let kept = queues.clone();
    let fake = Fake::start(move |name, request| answer(&kept, name, request)).await;
    let client = ClientBuilder::new(fake.endpoint()).request_timeout(REQUEST_MAX);
    let builder = PullConsumer::builder(client, "billing").subscribe("orders", "*");
    let consumer = builder.start().await.unwrap();
    (fake, queues, consumer)
}

async fn first(consumer: &PullConsumer) -> PullQueue {
    consumer.queues("orders").await.unwrap().remove(0)
}

fn bodies(messages: &[client::Delivered]) -> Vec<&str> {
    messages.iter().map(|message| std::str::from_utf8(&message.body).unwrap()).collect()
}

#[tokio::test]
async fn a_queue_is_read_by_offset_as_often_as_one_likes() {
    let (_fake, _queues, consumer) = started(&[(5, &["a", "b", "c"])]).await;
    let queue = first(&consumer).await;
    for _ in 0..2 {
        let pulled = consumer.pull(&queue, 5, 2, Duration::ZERO).await.unwrap();
        assert_eq!((bodies(&pulled.messages), pulled.next_offset), (vec!["a", "b"], 7));
    }
    let pulled = consumer.pull(&queue, 8, 2, Duration::ZERO).await.unwrap();
    assert_eq!((pulled.messages.len(), pulled.next_offset), (0, 8), "the end is no error");
}

#[tokio::test]
async fn an_offset_that_is_not_in_the_queue_is_told_with_the_nearest_that_is() {
    let (_fake, _queues, consumer) = started(&[(5, &["a"])]).await;
    let queue = first(&consumer).await;
    for (asked, wanted) in [(0, 5), (99, 6)] {
        let error = consumer.pull(&queue, asked, 1, Duration::ZERO).await.unwrap_err();
        let PullError::IllegalOffset { offset, nearest, refused } = &error else { panic!("{error:?}") };
        assert_eq!((*offset, *nearest, refused.code()), (asked, Some(wanted), Some(Code::IllegalOffset)));
    }
    let error = consumer.commit(&queue, 99).await.unwrap_err();
    assert!(matches!(error, PullError::IllegalOffset { offset: 99, nearest: None, .. }), "{error:?}");
    assert_eq!(consumer.offset_of(&queue).await.unwrap(), None, "nothing was committed");
}

#[tokio::test]
async fn what_is_committed_is_where_the_group_stands() {
    let (_fake, _queues, consumer) = started(&[(5, &["a", "b"])]).await;
    let queue = first(&consumer).await;
    assert_eq!(consumer.offset_of(&queue).await.unwrap(), None);
    consumer.commit(&queue, 6).await.unwrap();
    assert_eq!(consumer.offset_of(&queue).await.unwrap(), Some(6));
}

#[tokio::test]
async fn places_have_offsets() {
    let (_fake, _queues, consumer) = started(&[(5, &["a", "b"])]).await;
    let queue = first(&consumer).await;
    for (place, offset) in [(Place::Beginning, 5), (Place::End, 7), (Place::Time(12_345), 12_345)] {
        assert_eq!(consumer.query_offset(&queue, place).await.unwrap(), offset, "{place:?}");
    }
}

#[tokio::test]
async fn a_reader_goes_over_all_queues_and_goes_on_where_it_committed() {
    let (_fake, _queues, consumer) = started(&[(5, &["a", "b", "c"]), (0, &["x", "y"])]).await;
    let all = consumer.queues("orders").await.unwrap();
    let mut reader = consumer.reader(all.clone(), Place::Beginning).await.unwrap();
    let mut read = Vec::new();
    for _ in 0..4 {
        let messages = reader.next(1, Duration::ZERO).await.unwrap();
        read.extend(bodies(&messages).into_iter().map(str::to_owned));
    }
    assert_eq!(read, ["a", "x", "b", "y"], "by turns");
    reader.commit().await.unwrap();
    let mut reader = consumer.reader(all, Place::Beginning).await.unwrap();
    assert_eq!(bodies(&reader.next(9, Duration::ZERO).await.unwrap()), ["c"]);
    assert!(reader.next(9, Duration::ZERO).await.unwrap().is_empty());
    reader.seek(Place::Beginning).await.unwrap();
    assert_eq!(reader.positions().map(|(_, position)| position).collect::<Vec<_>>(), [5, 0]);
}

#[tokio::test]
async fn a_reader_passes_over_what_was_removed_before_it_was_read() {
    let (_fake, queues, consumer) = started(&[(0, &["a", "b"])]).await;
    let all = vec![first(&consumer).await];
    let mut reader = consumer.reader(all, Place::Beginning).await.unwrap();
    *queues.lock().get_mut(&0).unwrap() =
        Queue { head: 40, bodies: vec!["late".to_owned()], committed: None };
    assert_eq!(bodies(&reader.next(9, Duration::ZERO).await.unwrap()), ["late"]);
    assert_eq!(reader.positions().next().unwrap().1, 41);
}

#[tokio::test]
async fn a_pull_that_is_not_answered_ends_after_its_wait_and_a_request_timeout() {
    let (_fake, _queues, consumer) = started(&[(0, &[])]).await;
    let queue = first(&consumer).await;
    let wait = Duration::from_millis(50);
    let error = consumer.pull(&queue, 0, 1, wait).await.unwrap_err();
    let PullError::Ask(client::AskError::Call(client::CallError::Timeout(limit))) = error else {
        panic!("{error:?}")
    };
    assert_eq!(limit, REQUEST_MAX + wait);
}
