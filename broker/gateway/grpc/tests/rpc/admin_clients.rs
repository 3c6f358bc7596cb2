//! Service `Admin`: questions to single clients, and what is known of them.

use gateway_grpc::rocketmq_admin::Rpc;
use wire::v2::{self, ClientType, Code, telemetry_command::Command};

use crate::admin_service::ask;
use crate::broker::{Broker, code_of, message, resource, simple, system};
use crate::telemetry::{Telemetry, consumer, open};

fn trace_of(client_id: &str) -> v2::PrintThreadStackTraceRequest {
    v2::PrintThreadStackTraceRequest {
        deployment_name: None,
        client_id: client_id.into(),
        group: resource("billing"),
    }
}

fn verify_of(client_id: &str, message_id: &str) -> v2::VerifyMessageRequest {
    v2::VerifyMessageRequest {
        deployment_name: None,
        client_id: client_id.into(),
        group: resource("billing"),
        topic: resource("orders"),
        message_id: message_id.into(),
    }
}

async fn client(broker: &Broker) -> Telemetry {
    open(broker, &broker.call(), consumer(ClientType::PushConsumer)).await
}

async fn trace(broker: &Broker, client_id: &str) -> v2::PrintThreadStackTraceResponse {
    ask(broker, Rpc::PrintThreadStackTrace, trace_of(client_id)).await
}

async fn verify(broker: &Broker, message_id: &str) -> v2::VerifyMessageResponse {
    ask(broker, Rpc::VerifyMessage, verify_of("a", message_id)).await
}

fn status(code: Code) -> Option<v2::Status> {
    Some(v2::Status { code: code.into(), message: code.as_str_name().into() })
}

/// The next command for the client.
async fn asked(stream: &mut Telemetry) -> Command {
    stream.next().await.unwrap().unwrap().command.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_stack_trace_is_the_clients_own() {
    let broker = Broker::start().await;
    let mut stream = client(&broker).await;
    let answering = async {
        let Command::PrintThreadStackTraceCommand(question) = asked(&mut stream).await else {
            panic!("another question")
        };
        let thread_stack_trace = Some("main: parked".to_owned());
        // An answer to nobody's question is passed over.
        let stray = v2::ThreadStackTrace { nonce: "77".into(), thread_stack_trace: None };
        stream.answer(status(Code::Ok), Command::ThreadStackTrace(stray));
        let answer = v2::ThreadStackTrace { nonce: question.nonce, thread_stack_trace };
        stream.answer(status(Code::Ok), Command::ThreadStackTrace(answer));
        stream.next().await
    };
    let told = async {
        tokio::select! {
            told = trace(&broker, "a") => told,
            _ = answering => panic!("the stream ended"),
        }
    };
    let told = told.await;
    assert_eq!(code_of(told.status.as_ref()), Code::Ok);
    assert_eq!(told.thread_stack_trace.as_deref(), Some("main: parked"));
}

#[tokio::test(start_paused = true)]
async fn a_message_is_shown_to_the_client_and_its_verdict_is_passed_on() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    for (code, is_echoed) in
        [(Code::Ok, false), (Code::FailedToConsumeMessage, false), (Code::NotImplemented, true)]
    {
        let mut stream = client(&broker).await;
        let answering = async {
            let Command::VerifyMessageCommand(question) = asked(&mut stream).await else {
                panic!("another question")
            };
            let shown = question.message.clone().unwrap();
            assert_eq!((system(&shown).message_id.as_str(), &shown.body[..]), ("M", &b"body of M"[..]));
            let answer = v2::VerifyMessageResult { nonce: question.nonce.clone() };
            // One SDK answers in the shape of the question.
            let answer = if is_echoed {
                Command::VerifyMessageCommand(question)
            } else {
                Command::VerifyMessageResult(answer)
            };
            stream.answer(status(code), answer);
            stream.next().await
        };
        let told = tokio::select! {
            told = verify(&broker, "M") => told,
            _ = answering => panic!("the stream ended"),
        };
        assert_eq!(code_of(told.status.as_ref()), code);
    }
    assert_eq!(broker.take(simple()).await.len(), 1, "nothing was leased or done");
}

#[tokio::test(start_paused = true)]
async fn clients_that_are_not_there_or_silent_or_leave_are_told_apart() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("M")]).await;
    assert_eq!(code_of(trace(&broker, "a").await.status.as_ref()), Code::NotFound, "not known");
    let mut stream = client(&broker).await;
    let other = v2::PrintThreadStackTraceRequest { group: resource("none"), ..trace_of("a") };
    let told: v2::PrintThreadStackTraceResponse = ask(&broker, Rpc::PrintThreadStackTrace, other).await;
    assert_eq!(code_of(told.status.as_ref()), Code::ConsumerGroupNotFound);
    broker.consumer_group("audit", 3).await;
    let other = v2::PrintThreadStackTraceRequest { group: resource("audit"), ..trace_of("a") };
    let told: v2::PrintThreadStackTraceResponse = ask(&broker, Rpc::PrintThreadStackTrace, other).await;
    assert_eq!(code_of(told.status.as_ref()), Code::NotFound, "of another group");
    assert_eq!(code_of(verify(&broker, "none").await.status.as_ref()), Code::MessageNotFound);
    assert_eq!(code_of(verify(&broker, " ").await.status.as_ref()), Code::IllegalMessageId);
    let began_ms = broker.now_ms();
    let told = tokio::select! {
        told = verify(&broker, "M") => told,
        _ = async { loop { stream.next().await; } } => unreachable!(),
    };
    assert_eq!(code_of(told.status.as_ref()), Code::ProxyTimeout);
    assert_eq!(broker.now_ms() - began_ms, 5000);
    let leaving = async {
        asked(&mut stream).await;
        drop(stream);
        std::future::pending::<()>().await;
    };
    let told = tokio::select! {
        told = trace(&broker, "a") => told,
        () = leaving => unreachable!(),
    };
    assert_eq!(code_of(told.status.as_ref()), Code::NotFound, "left before it answered");
    let told = trace(&broker, "a").await;
    assert_eq!(code_of(told.status.as_ref()), Code::NotFound, "known, without a stream");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_a_consumer_is_told() {
    let broker = Broker::start().await;
    broker.send_ok(vec![message("A"), message("B")]).await;
    let _stream = client(&broker).await;
    broker.take(simple()).await;
    let info = |client: &str| v2::GetConsumerRunningInfoRequest {
        deployment_name: None,
        group: resource("billing"),
        client_id: client.into(),
    };
    let told: v2::GetConsumerRunningInfoResponse = ask(&broker, Rpc::GetConsumerRunningInfo, info("a")).await;
    let told = told.consumer_running_info.unwrap();
    assert_eq!(told.properties["client_type"], "PUSH_CONSUMER");
    assert_eq!(told.properties["telemetry_stream"], "open");
    assert_eq!(told.subscriptions["orders"].expression, "*");
    let queues = told.message_queue_table.iter().map(|item| item.process_queue_info.unwrap());
    assert_eq!((queues.len(), queues.map(|queue| queue.cached_msg_count).sum::<i32>()), (4, 2));
    let told: v2::GetConsumerRunningInfoResponse = ask(&broker, Rpc::GetConsumerRunningInfo, info("b")).await;
    assert_eq!(code_of(told.status.as_ref()), Code::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_its_stream_is_asked_so_often_and_no_more() {
    let broker = Broker::start().await;
    let _stream = client(&broker).await;
    let told = futures::future::join_all((0..65).map(|_| trace(&broker, "a"))).await;
    let codes: Vec<_> = told.iter().map(|told| code_of(told.status.as_ref())).collect();
    let count = |code| codes.iter().filter(|told| **told == code).count();
    assert_eq!((count(Code::ProxyTimeout), count(Code::TooManyRequests)), (64, 1));
}
