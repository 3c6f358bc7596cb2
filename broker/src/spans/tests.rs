use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};

use gateway_grpc::spans::{About, Counts, Fault, Handed, Operation, WAITING_MAX};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTracePartialSuccess, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use wire::traceparent::TraceParent;
use wire::v2::MessageType;

use super::*;

const IN_TIME: Duration = Duration::from_secs(20);

/// A collector that hands on what it gets, or refuses it.
struct Collector {
    got: mpsc::UnboundedSender<ExportTraceServiceRequest>,
    rejected: i64,
    is_away: Arc<AtomicBool>,
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        if self.is_away.load(Ordering::Relaxed) {
            return Err(Status::unavailable("in a moment"));
        }
        self.got.send(request.into_inner()).expect("the test is there");
        let partial = ExportTracePartialSuccess { rejected_spans: self.rejected, ..Default::default() };
        Ok(Response::new(ExportTraceServiceResponse { partial_success: Some(partial) }))
    }
}

async fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    (listener, endpoint)
}

/// Its endpoint, and what it gets.
async fn collector(
    rejected: i64,
    is_away: &Arc<AtomicBool>,
) -> (String, mpsc::UnboundedReceiver<ExportTraceServiceRequest>) {
    let (listener, endpoint) = listener().await;
    let (got, requests) = mpsc::unbounded_channel();
    let service = TraceServiceServer::new(Collector { got, rejected, is_away: Arc::clone(is_away) });
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    (endpoint, requests)
}

/// An exporter that runs, the place that it is told, and its end.
struct Running {
    spans: Arc<Spans>,
    wanted: Setting<Option<String>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    fn start(endpoint: &str) -> Self {
        let (spans, stop) = (spans(), CancellationToken::new());
        let wanted = Setting::from(Some(endpoint.to_owned()));
        let exporter = Exporter::new(Arc::clone(&spans), wanted.clone(), &BrokerConfig::default());
        let task = tokio::spawn(exporter.run(stop.clone()));
        Self { spans, wanted, stop, task }
    }

    async fn end(self) {
        self.stop.cancel();
        timeout(IN_TIME, self.task).await.expect("the exporter ends").unwrap();
    }

    async fn until(&self, counts: Counts) {
        let look = async {
            while self.spans.counts() != counts {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let found = timeout(IN_TIME, look).await;
        assert!(found.is_ok(), "{:?} instead of {counts:?}", self.spans.counts());
    }
}

fn span(operation: Operation) -> Span {
    let context = TraceParent { trace_id: [0xab; 16], span_id: [0xcd; 8], sampled: true };
    let handed = Handed { consumer_group: "billing".into(), queue: 3, offset: 17, attempt: 2 };
    let about = About {
        context,
        topic: "orders".into(),
        namespace: String::new(),
        message_id: "M".into(),
        tag: Some("new".into()),
        keys: vec!["k1".into(), "k2".into()],
        message_group: None,
        message_type: MessageType::Delay,
        delivery_ms: Some(4711),
        body_bytes: 5,
    };
    Span {
        operation,
        about: Arc::new(about),
        handed: Some(handed).filter(|_| operation != Operation::Send),
        client_id: "host@1".into(),
        queued_ms: (operation == Operation::Receive).then_some(250),
        begin_ns: 1000,
        end_ns: 3000,
        fault: (operation == Operation::Ack)
            .then(|| Fault { kind: "INVALID_RECEIPT_HANDLE", text: "run out".into() }),
    }
}

fn spans_of(request: ExportTraceServiceRequest) -> Vec<v1::Span> {
    let scopes = request.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
    scopes.flat_map(|scope| scope.spans).collect()
}

fn attribute(span: &v1::Span, key: &str) -> Option<String> {
    let found = span.attributes.iter().find(|attribute| attribute.key == key)?;
    let value = found.value.as_ref()?.value.as_ref()?;
    if let Value::StringValue(text) = value {
        return Some(text.clone());
    }
    if let Value::IntValue(number) = value {
        return Some(number.to_string());
    }
    let Value::ArrayValue(array) = value else { panic!("{value:?}") };
    Some(array.values.len().to_string())
}

#[tokio::test]
async fn a_collector_gets_spans_with_the_names_of_the_conventions() {
    let (endpoint, mut requests) = collector(0, &Arc::default()).await;
    let running = Running::start(&endpoint);
    for operation in [Operation::Send, Operation::Receive, Operation::Ack] {
        running.spans.record(span(operation));
    }
    let request = timeout(IN_TIME, requests.recv()).await.unwrap().unwrap();
    let resource = request.resource_spans[0].resource.clone().unwrap();
    assert!(resource.attributes.iter().any(|attribute| attribute.key == "service.name"));
    let spans = spans_of(request);
    let told = |key: &str| spans.iter().map(|span| attribute(span, key)).collect::<Vec<_>>();
    let all = |text: &str| vec![Some(text.to_owned()); 3];
    assert_eq!(
        spans.iter().map(|span| &*span.name).collect::<Vec<_>>(),
        ["send orders", "receive orders", "ack orders"]
    );
    assert_eq!(told("messaging.system"), all("rocketmq"));
    assert_eq!(told("messaging.destination.name"), all("orders"));
    assert_eq!(told("messaging.message.id"), all("M"));
    assert_eq!(told("messaging.rocketmq.message.type"), all("delay"));
    assert_eq!(told("messaging.rocketmq.message.keys"), all("2"));
    assert_eq!(told("messaging.rocketmq.message.delivery_timestamp"), all("4711"));
    assert_eq!(told("messaging.rocketmq.message.group"), [None, None, None]);
    let kinds = ["send", "receive", "settle"].map(|kind| Some(kind.to_owned()));
    assert_eq!(told("messaging.operation.type"), kinds);
    let group = Some("billing".to_owned());
    assert_eq!(told("messaging.consumer.group.name"), [None, group.clone(), group]);
    assert_eq!(told("millpond.message.queued_ms"), [None, Some("250".into()), None]);
    assert_eq!(told("error.type"), [None, None, Some("INVALID_RECEIPT_HANDLE".into())]);
    let mut ids: Vec<_> = spans.iter().map(|span| span.span_id.clone()).collect();
    ids.sort();
    ids.dedup();
    assert!(ids.len() == 3 && ids.iter().all(|id| id.len() == 8 && *id != [0; 8]), "{ids:?}");
    for span in &spans {
        assert_eq!((&*span.trace_id, &*span.parent_span_id), (&[0xab; 16][..], &[0xcd; 8][..]));
        assert_eq!((span.start_time_unix_nano, span.end_time_unix_nano), (1000, 3000));
        assert_eq!(span.status.is_some(), span.name == "ack orders");
    }
    running.until(Counts { exported: 3, dropped: 0 }).await;
    running.end().await;
}

#[tokio::test]
async fn what_is_left_is_exported_when_the_broker_stops() {
    let (endpoint, mut requests) = collector(0, &Arc::default()).await;
    let running = Running::start(&endpoint);
    running.spans.record(span(Operation::Send));
    let spans = Arc::clone(&running.spans);
    running.end().await;
    assert_eq!(spans.counts(), Counts { exported: 1, dropped: 0 });
    assert_eq!(spans_of(requests.recv().await.unwrap()).len(), 1);
}

#[tokio::test]
async fn rejected_spans_count_as_dropped() {
    let (endpoint, _requests) = collector(2, &Arc::default()).await;
    let running = Running::start(&endpoint);
    (0..5).for_each(|_| running.spans.record(span(Operation::Send)));
    running.until(Counts { exported: 3, dropped: 2 }).await;
    running.end().await;
}

#[tokio::test]
async fn a_collector_that_is_away_for_a_moment_gets_everything() {
    let is_away = Arc::new(AtomicBool::new(true));
    let (endpoint, mut requests) = collector(0, &is_away).await;
    let running = Running::start(&endpoint);
    running.spans.record(span(Operation::Send));
    tokio::time::sleep(Duration::from_millis(300)).await;
    is_away.store(false, Ordering::Relaxed);
    assert_eq!(spans_of(timeout(IN_TIME, requests.recv()).await.unwrap().unwrap()).len(), 1);
    running.until(Counts { exported: 1, dropped: 0 }).await;
    running.end().await;
}

#[tokio::test]
async fn a_collector_that_hangs_costs_spans_alone() {
    // Connections wait in the backlog, and nobody ever answers.
    let (_listener, endpoint) = listener().await;
    let running = Running::start(&endpoint);
    let watch = Instant::now();
    (0..3 * WAITING_MAX).for_each(|_| running.spans.record(span(Operation::Send)));
    assert!(watch.elapsed() < Duration::from_secs(2), "{:?}", watch.elapsed());
    assert_eq!(running.spans.counts(), Counts { exported: 0, dropped: 2 * WAITING_MAX as u64 });
    // The exporter has a batch in its hands, and the queue takes as many in its place.
    tokio::time::sleep(Duration::from_millis(500)).await;
    (0..BATCH).for_each(|_| running.spans.record(span(Operation::Send)));
    assert_eq!(running.spans.counts().dropped, 2 * WAITING_MAX as u64);
    let spans = Arc::clone(&running.spans);
    running.end().await;
    assert_eq!(spans.counts().dropped, 2 * WAITING_MAX as u64 + BATCH as u64, "the batch is given up");
}

#[tokio::test]
async fn a_collector_that_is_not_there_costs_spans_and_another_one_is_taken_over() {
    let (listener, nobody) = listener().await;
    drop(listener);
    let running = Running::start(&nobody);
    running.spans.record(span(Operation::Send));
    running.until(Counts { exported: 0, dropped: 1 }).await;
    let (endpoint, mut requests) = collector(0, &Arc::default()).await;
    running.wanted.set(Some(endpoint));
    running.spans.record(span(Operation::Receive));
    assert_eq!(spans_of(timeout(IN_TIME, requests.recv()).await.unwrap().unwrap()).len(), 1);
    running.wanted.set(None);
    let off = async {
        while running.spans.is_on() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(IN_TIME, off).await.expect("it is switched off");
    running.end().await;
}
