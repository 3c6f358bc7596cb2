//! One trace from the producer through the broker to the consumer: what a collector gets of messages that went all the way, and
//! what becomes of messages when it does not take anything.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use e2e::broker::Broker;
use e2e::members::Members;
use e2e::{matrix, place, wait};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};

const IN_TIME: Duration = Duration::from_secs(30);
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// A collector on loopback; it goes with its runtime.
struct Collector {
    endpoint: String,
    spans: Spans,
    _runtime: Runtime,
}

/// What came, with the broker that it is of.
type Spans = Arc<Mutex<Vec<(String, Span)>>>;

struct Service(Spans);

#[tonic::async_trait]
impl TraceService for Service {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let resources = request.into_inner().resource_spans.into_iter();
        for resource in resources {
            let of = resource.resource.map(|resource| text(&resource.attributes, "service.instance.id"));
            let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            let spans = spans.map(|span| (of.clone().unwrap_or_default(), span));
            self.0.lock().expect("no panic").extend(spans);
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Collector {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let spans = Spans::default();
        let listening = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = runtime.block_on(listening).expect("a free port");
        let endpoint = format!("http://{}", listener.local_addr().expect("its address"));
        let service = TraceServiceServer::new(Service(Arc::clone(&spans)));
        let server = tonic::transport::Server::builder().add_service(service);
        runtime.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { endpoint, spans, _runtime: runtime }
    }

    /// In the order that they began in.
    fn got(&self) -> Vec<(String, Span)> {
        let mut spans = self.spans.lock().expect("no panic").clone();
        spans.sort_by_key(|(_, span)| span.start_time_unix_nano);
        spans
    }
}

fn manifests() -> String {
    let mut yaml = String::new();
    matrix::object(&mut yaml, "Topic", "orders", "local", "type: NORMAL");
    matrix::object(&mut yaml, "ConsumerGroup", "billing", "local", "consumeFrom: Earliest");
    yaml
}

fn tracing(endpoint: &str) -> String {
    format!("tracing: {{otlpEndpoint: '{endpoint}'}}\n")
}

/// The objects that a command prints, one a line.
fn lines(endpoint: &str, args: &[&str]) -> Vec<Value> {
    let output = Command::new(place::program("millpond"))
        .args(["--endpoint", endpoint, "-o", "json"])
        .args(args)
        .output()
        .expect("millpond starts");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// Sends a message and returns its id.
fn send(endpoint: &str, args: &[&str]) -> String {
    let sent = lines(endpoint, &[&["send", "orders", "hello"], args].concat());
    sent[0]["messageId"].as_str().expect("an id").to_owned()
}

fn context(span_id: &str, flags: &str) -> String {
    format!("00-{TRACE}-{span_id}-{flags}")
}

/// As a `traceparent` has it.
fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(half.into(), 16).expect("four bits");
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

fn attribute(span: &Span, key: &str) -> String {
    text(&span.attributes, key)
}

fn text(attributes: &[KeyValue], key: &str) -> String {
    let found = attributes.iter().find(|attribute| attribute.key == key);
    match found.and_then(|found| found.value.clone()).and_then(|value| value.value) {
        Some(Any::StringValue(text)) => text,
        Some(Any::IntValue(number)) => number.to_string(),
        _ => String::new(),
    }
}

#[test]
fn one_trace_shows_a_message_from_its_producer_to_its_consumer() {
    let collector = Collector::start();
    let broker = Broker::start_configured(&manifests(), &tracing(&collector.endpoint));
    let (first, second) = ("b7ad6b7169203331", "00f067aa0be902b7");
    let in_field = send(&broker.endpoint(), &["--trace-context", &context(first, "01")]);
    let property = format!("traceparent={}", context(second, "01"));
    let in_property = send(&broker.endpoint(), &["--property", &property]);
    let unsampled = send(&broker.endpoint(), &["--trace-context", &context(first, "00")]);
    let plain = send(&broker.endpoint(), &[]);
    let received = lines(
        &broker.endpoint(),
        &["receive", "orders", "--group", "billing", "--max", "4", "--wait", "15s"],
    );
    let got: BTreeMap<_, _> = received
        .iter()
        .map(|message| {
            let told = (message["traceContext"].as_str(), message["properties"]["traceparent"].as_str());
            (message["messageId"].as_str().expect("an id"), told)
        })
        .collect();
    let (sampled, other, not) = (context(first, "01"), context(second, "01"), context(first, "00"));
    let wanted = [
        (&*in_field, (Some(&*sampled), None)),
        (&*in_property, (None, Some(&*other))),
        (&*unsampled, (Some(&*not), None)),
        (&*plain, (None, None)),
    ];
    assert_eq!(got, BTreeMap::from(wanted), "every context is handed through as it was sent");
    wait::until("the spans are exported", IN_TIME, || {
        (broker.figure("millpond_spans_exported_total")? >= 6.0).then_some(())
    });
    assert_eq!(broker.figure("millpond_spans_exported_total"), Some(6.0), "none of what is not sampled");
    assert_eq!(broker.figure("millpond_spans_dropped_total"), Some(0.0));
    let spans = collector.got();
    for (id, parent) in [(&in_field, first), (&in_property, second)] {
        let own = spans.iter().map(|(_, span)| span);
        let own: Vec<_> = own.filter(|span| attribute(span, "messaging.message.id") == **id).collect();
        let names: Vec<_> = own.iter().map(|span| &*span.name).collect();
        assert_eq!(names, ["send orders", "receive orders", "ack orders"]);
        for span in own {
            assert_eq!((&*hex(&span.trace_id), &*hex(&span.parent_span_id)), (TRACE, parent));
            assert!(span.end_time_unix_nano > span.start_time_unix_nano, "{span:?}");
            assert_eq!(attribute(span, "messaging.system"), "rocketmq");
            let group = if span.name == "send orders" { "" } else { "billing" };
            assert_eq!(attribute(span, "messaging.consumer.group.name"), group);
        }
    }
}

#[test]
fn a_trace_goes_on_with_the_next_leader_and_is_switched_on_without_a_restart() {
    let collector = Collector::start();
    let mut members = Members::start(3, &manifests());
    for member in 0..members.count() {
        members.configure(member, &tracing(&collector.endpoint));
    }
    wait::until("the members export spans", IN_TIME, || {
        let all = (0..members.count()).all(|member| members.log(member).contains("exporting spans"));
        all.then_some(())
    });
    let (leader, follower) = (members.leader(), members.followers()[0]);
    send(&members.endpoint(follower), &["--trace-context", &context("b7ad6b7169203331", "01")]);
    wait::until("the send is told", IN_TIME, || (collector.got().len() == 1).then_some(()));
    members.kill(leader);
    let receive = ["receive", "orders", "--group", "billing", "--wait", "20s"];
    assert_eq!(lines(&members.endpoint(follower), &receive).len(), 1);
    wait::until("the rest is told", IN_TIME, || (collector.got().len() == 3).then_some(()));
    let spans = collector.got();
    let names: Vec<_> = spans.iter().map(|(_, span)| &*span.name).collect();
    assert_eq!(names, ["send orders", "receive orders", "ack orders"]);
    assert!(spans.iter().all(|(_, span)| hex(&span.trace_id) == TRACE), "{spans:?}");
    let brokers: Vec<_> = spans.iter().map(|(broker, _)| broker).collect();
    assert!(brokers[0] != brokers[1] && brokers[1] == brokers[2], "{brokers:?}");
}

#[test]
fn a_collector_that_hangs_neither_slows_nor_loses_messages() {
    // Connections wait in the backlog, and nobody ever answers.
    let nobody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let nowhere = format!("http://{}", nobody.local_addr().expect("its address"));
    let broker = Broker::start_configured(&manifests(), &tracing(&nowhere));
    let context = context("b7ad6b7169203331", "01");
    let sent = lines(
        &broker.endpoint(),
        &["send", "orders", "hello", "--count", "4000", "--trace-context", &context],
    );
    assert_eq!(sent.len(), 4000);
    let receive = ["receive", "orders", "--group", "billing", "--max", "4000", "--wait", "15s"];
    assert_eq!(lines(&broker.endpoint(), &receive).len(), 4000);
    // Each of them had three spans; the queue and the exporter hold fewer.
    assert!(broker.figure("millpond_spans_dropped_total").expect("a figure") >= 3000.0);
    wait::until("the exporter gives up on a batch", IN_TIME, || {
        broker.log().contains("spans were not exported").then_some(())
    });
    assert_eq!(broker.figure("millpond_spans_exported_total"), Some(0.0));
    assert_eq!(broker.log().matches("spans were not exported").count(), 1, "told once in a minute");
}

#[test]
fn a_broker_does_not_start_with_an_endpoint_that_cannot_be_one() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("broker.yaml");
    std::fs::write(&file, "tracing: {otlpEndpoint: 'https://collector:4317'}").expect("a file");
    let output = Command::new(place::program("millpond-broker"))
        .arg("--config")
        .arg(&file)
        .current_dir(folder.path())
        .output()
        .expect("the broker starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(
        said.contains("tracing.otlpEndpoint: `https://collector:4317` must be `http://host:port`"),
        "{said}"
    );
}

#[test]
fn with_log_json_every_line_is_an_object() {
    let broker = Broker::start_with("", &["--log-json".to_owned()]);
    let log = broker.log();
    assert!(log.lines().count() > 0);
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for key in ["timestamp", "level", "target", "fields"] {
            assert!(!line[key].is_null(), "{key} of {line}");
        }
    }
}
