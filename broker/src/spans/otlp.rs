//! Spans as OTLP says them, with the names of OpenTelemetry's semantic conventions for messaging.
//!
//! | span | name | `messaging.operation.type` |
//! |---|---|---|
//! | stored | `send <topic>` | `send` |
//! | handed out | `receive <topic>` | `receive` |
//! | acknowledged | `ack <topic>` | `settle` |
//! | comes back at another time | `change_invisible_duration <topic>` | `settle` |
//! | moved to the dead letters | `dead_letter <topic>` | `settle` |
//!
//! Each is a child of the context that the message carries.

use crds::broker_config::BrokerConfig;
use gateway_grpc::spans::{About, Handed, Operation, Span};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self, ResourceSpans, ScopeSpans, Status};
use wire::v2::MessageType;

use crate::kept;

const SERVICE: &str = "millpond-broker";
/// The flags of a span: its trace is sampled, and its parent is known to be in another process.
const SAMPLED_REMOTE_PARENT: u32 = 0x301;

/// What all spans of this broker share.
pub(super) struct Form {
    resource: Resource,
    scope: InstrumentationScope,
}

impl Form {
    pub(super) fn new(config: &BrokerConfig) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let host = kept::host_name().unwrap_or_default();
        let instance = format!("{host}:{}", config.listen.port());
        let mut attributes = Attributes::default();
        attributes.text("service.name", SERVICE);
        attributes.text("service.version", version);
        attributes.text("service.instance.id", &instance);
        attributes.text("host.name", &host);
        attributes.text("millpond.cluster", &config.cluster);
        attributes.text("millpond.group", &config.group);
        Self {
            resource: Resource { attributes: attributes.0, ..Resource::default() },
            scope: InstrumentationScope {
                name: SERVICE.to_owned(),
                version: version.to_owned(),
                ..InstrumentationScope::default()
            },
        }
    }

    pub(super) fn request(&self, spans: &[Span]) -> ExportTraceServiceRequest {
        let scope_spans = ScopeSpans {
            scope: Some(self.scope.clone()),
            spans: spans.iter().map(told).collect(),
            ..ScopeSpans::default()
        };
        let resource_spans = ResourceSpans {
            resource: Some(self.resource.clone()),
            scope_spans: vec![scope_spans],
            ..ResourceSpans::default()
        };
        ExportTraceServiceRequest { resource_spans: vec![resource_spans] }
    }
}

fn told(span: &Span) -> v1::Span {
    let (name, kind) = words(span.operation);
    let context = &span.about.context;
    let status = span
        .fault
        .as_ref()
        .map(|fault| Status { message: fault.text.clone(), code: StatusCode::Error.into() });
    v1::Span {
        trace_id: context.trace_id.to_vec(),
        span_id: kept::draw().max(1).to_be_bytes().to_vec(),
        parent_span_id: context.span_id.to_vec(),
        flags: SAMPLED_REMOTE_PARENT,
        name: format!("{name} {}", span.about.topic),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: span.begin_ns,
        // The machine's clock may have been set back meanwhile.
        end_time_unix_nano: span.end_ns.max(span.begin_ns),
        attributes: attributes(span, name, kind),
        status,
        ..v1::Span::default()
    }
}

/// `messaging.operation.name` and `messaging.operation.type`.
fn words(operation: Operation) -> (&'static str, &'static str) {
    match operation {
        Operation::Send => ("send", "send"),
        Operation::Receive => ("receive", "receive"),
        Operation::Ack => ("ack", "settle"),
        Operation::ChangeInvisibleDuration => ("change_invisible_duration", "settle"),
        Operation::DeadLetter => ("dead_letter", "settle"),
    }
}

fn attributes(span: &Span, name: &str, kind: &str) -> Vec<KeyValue> {
    let mut attributes = Attributes::default();
    attributes.text("messaging.system", "rocketmq");
    attributes.text("messaging.operation.name", name);
    attributes.text("messaging.operation.type", kind);
    attributes.text("messaging.client.id", &span.client_id);
    attributes.message(&span.about);
    if let Some(handed) = &span.handed {
        attributes.delivery(handed);
    }
    if let Some(queued_ms) = span.queued_ms {
        attributes.number("millpond.message.queued_ms", queued_ms);
    }
    if let Some(fault) = &span.fault {
        attributes.text("error.type", fault.kind);
    }
    attributes.0
}

/// Attributes of a span; an empty text is none.
#[derive(Default)]
struct Attributes(Vec<KeyValue>);

impl Attributes {
    fn message(&mut self, about: &About) {
        self.text("messaging.destination.name", &about.topic);
        self.text("messaging.message.id", &about.message_id);
        self.number("messaging.message.body.size", about.body_bytes as u64);
        self.text("messaging.rocketmq.namespace", &about.namespace);
        self.text("messaging.rocketmq.message.type", type_name(about.message_type));
        self.text("messaging.rocketmq.message.tag", about.tag.as_deref().unwrap_or_default());
        self.text("messaging.rocketmq.message.group", about.message_group.as_deref().unwrap_or_default());
        if let Some(due_ms) = about.delivery_ms.and_then(|ms| u64::try_from(ms).ok()) {
            self.number("messaging.rocketmq.message.delivery_timestamp", due_ms);
        }
        if !about.keys.is_empty() {
            let values = about.keys.iter().map(|key| any(Value::StringValue(key.clone()))).collect();
            self.put("messaging.rocketmq.message.keys", Value::ArrayValue(ArrayValue { values }));
        }
    }

    fn delivery(&mut self, handed: &Handed) {
        self.text("messaging.consumer.group.name", &handed.consumer_group);
        self.text("messaging.destination.partition.id", &handed.queue.to_string());
        self.number("millpond.message.offset", handed.offset);
        self.number("millpond.message.attempt", handed.attempt.into());
    }

    fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.put(key, Value::StringValue(value.to_owned()));
        }
    }

    fn number(&mut self, key: &str, value: u64) {
        self.put(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)));
    }

    fn put(&mut self, key: &str, value: Value) {
        self.0.push(KeyValue { key: key.to_owned(), value: Some(any(value)), ..KeyValue::default() });
    }
}

fn any(value: Value) -> AnyValue {
    AnyValue { value: Some(value) }
}

/// As the conventions call it; kinds that they do not know go by their own name.
fn type_name(message_type: MessageType) -> &'static str {
    match message_type {
        MessageType::Normal => "normal",
        MessageType::Fifo => "fifo",
        MessageType::Delay => "delay",
        MessageType::Transaction => "transaction",
        MessageType::Priority => "priority",
        MessageType::Lite => "lite",
        MessageType::Unspecified => "",
    }
}
