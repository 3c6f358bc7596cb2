//! Against a real gRPC server on a loopback port; the broker behind it is `broker`'s to test.

use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use wire::admin::admin_server::{Admin, AdminServer};

use super::*;

/// Answers applied topics with their own names, and knows one topic.
struct Echo;

type Answer<M> = Result<Response<M>, Status>;

#[tonic::async_trait]
impl Admin for Echo {
    async fn apply_topics(
        &self,
        request: Request<proto::ApplyTopicsRequest>,
    ) -> Answer<proto::ApplyResponse> {
        let topics = request.into_inner().topics;
        assert!(topics.len() <= BULK_MAX);
        let results = topics.into_iter().map(|topic| proto::Result {
            code: if topic.queues == 0 { proto::Code::Invalid } else { proto::Code::Created }.into(),
            message: String::new(),
            name: topic.name,
        });
        Ok(Response::new(proto::ApplyResponse { results: results.collect() }))
    }

    async fn describe_topic(
        &self,
        request: Request<proto::DescribeRequest>,
    ) -> Answer<DescribeTopicResponse> {
        let name = request.into_inner().name;
        let code = if name == "there" { proto::Code::Unspecified } else { proto::Code::NotFound };
        let result = Some(proto::Result { name, code: code.into(), message: String::new() });
        Ok(Response::new(DescribeTopicResponse { result, ..Default::default() }))
    }

    async fn get_broker(&self, _: Request<proto::GetBrokerRequest>) -> Answer<GetBrokerResponse> {
        std::future::pending().await
    }

    async fn hand_over(&self, _: Request<proto::HandOverRequest>) -> Answer<HandOverResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn find_messages(&self, request: Request<FindMessagesRequest>) -> Answer<FindMessagesResponse> {
        let FindMessagesRequest { topic, message_id, .. } = request.into_inner();
        let code = if topic == "there" { proto::Code::Unchanged } else { proto::Code::NotFound };
        let result = Some(proto::Result { name: topic, code: code.into(), message: String::new() });
        let messages = vec![StoredMessage { message_id, ..Default::default() }];
        Ok(Response::new(FindMessagesResponse { result, messages, ..Default::default() }))
    }

    async fn trace_message(&self, _: Request<TraceMessageRequest>) -> Answer<TraceMessageResponse> {
        let result = proto::Result { code: proto::Code::NotFound.into(), ..Default::default() };
        Ok(Response::new(TraceMessageResponse { result: Some(result), ..Default::default() }))
    }

    async fn delete_topics(&self, _: Request<proto::DeleteRequest>) -> Answer<proto::ApplyResponse> {
        Ok(Response::new(proto::ApplyResponse::default()))
    }

    async fn list_topics(&self, _: Request<proto::ListRequest>) -> Answer<proto::ListTopicsResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn apply_consumer_groups(
        &self,
        _: Request<proto::ApplyConsumerGroupsRequest>,
    ) -> Answer<proto::ApplyResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn delete_consumer_groups(&self, _: Request<proto::DeleteRequest>) -> Answer<proto::ApplyResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn list_consumer_groups(
        &self,
        _: Request<proto::ListRequest>,
    ) -> Answer<proto::ListConsumerGroupsResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn move_offsets(
        &self,
        _: Request<proto::MoveOffsetsRequest>,
    ) -> Answer<proto::MoveOffsetsResponse> {
        Err(Status::unimplemented("not here"))
    }

    async fn describe_consumer_group(
        &self,
        _: Request<proto::DescribeRequest>,
    ) -> Answer<DescribeConsumerGroupResponse> {
        Err(Status::unimplemented("not here"))
    }
}

async fn client() -> AdminClient {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Server::builder().add_service(AdminServer::new(Echo));
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    client_at(port)
}

fn client_at(port: u16) -> AdminClient {
    AdminClient::new(AdminConfig {
        timeout: Duration::from_millis(300),
        ..AdminConfig::new(Endpoint::plain("127.0.0.1", port))
    })
    .unwrap()
}

fn topic(name: String, queues: u32) -> Topic {
    Topic { name, queues, ..Default::default() }
}

#[tokio::test]
async fn a_bulk_request_is_split_and_answered_in_order() {
    let topics: Vec<_> = (0..2500).map(|n| topic(format!("t{n}"), n % 2)).collect();
    let outcomes = client().await.apply_topics(topics, Adopt::IfCompatible).await.unwrap();
    assert_eq!(outcomes.len(), 2500);
    for (n, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.name, format!("t{n}"));
        assert_eq!(outcome.is_ok(), n % 2 == 1, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_missing_topic_is_not_found_and_no_failure_of_the_broker() {
    let client = client().await;
    assert!(client.topic("there").await.is_ok());
    let error = client.topic("missing").await.unwrap_err();
    assert!(error.is_not_found() && !error.is_retryable(), "{error}");
}

#[tokio::test]
async fn messages_are_found_and_missing_ones_are_not_found() {
    let client = client().await;
    let wanted = |topic: &str| FindMessagesRequest {
        topic: topic.to_owned(),
        message_id: "A".to_owned(),
        ..Default::default()
    };
    assert_eq!(client.find_messages(wanted("there")).await.unwrap().messages[0].message_id, "A");
    assert!(client.find_messages(wanted("missing")).await.unwrap_err().is_not_found());
    assert!(client.trace_message(TraceMessageRequest::default()).await.unwrap_err().is_not_found());
}

#[tokio::test]
async fn a_broker_that_does_not_answer_is_a_timeout() {
    let error = client().await.broker().await.unwrap_err();
    assert!(matches!(error, AdminError::Timeout { .. }) && error.is_retryable(), "{error}");
}

#[tokio::test]
async fn a_broker_that_is_not_there_is_unreachable_and_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = client_at(port).topics("").await.unwrap_err();
    assert!(matches!(error, AdminError::Unreachable { .. }) && error.is_retryable(), "{error}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(error.to_string().to_lowercase().contains("refused"), "{error}");
}

#[tokio::test]
async fn an_answer_that_leaves_items_out_is_an_error() {
    let error = client().await.delete_topics(vec!["a".into()], None).await.unwrap_err();
    assert!(matches!(error, AdminError::Protocol { .. }), "{error}");
}
