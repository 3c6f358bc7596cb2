//! Spans on their way to a collector: OTLP over gRPC, in batches, from the control runtime.
//!
//! ```text
//!   gateway ──▶ Spans ──every second, or 512──▶ export ──▶ collector
//!                 └── full: dropped                └── refused, or not taken in two tries: dropped
//! ```
//!
//! Promise: a collector that is slow, hangs or is not there costs spans, which are counted, a line in the log per minute, and
//! memory for a queue of 8192 spans and a batch; no call waits for it. Another endpoint is taken over while the broker runs.
//! Limit: plaintext, and no headers: a collector next to the brokers adds what a service far away wants.

mod otlp;

use std::error::Error;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crds::broker_config::BrokerConfig;
use engine::setting::Setting;
use gateway_grpc::spans::{BATCH, Span, Spans};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use otlp::Form;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};
use tracing::{info, warn};

/// Spans wait so long for others.
const EXPORT_EVERY: Duration = Duration::from_secs(1);
/// A collector has so long for a batch, the connection included, each time it is tried.
const EXPORT_WAIT: Duration = Duration::from_secs(5);
/// A batch that was not taken is tried once more after this time.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What is left when the broker stops has so long.
const FLUSH_WAIT: Duration = Duration::from_secs(2);
/// Trouble is told once in this time.
const TELL_EVERY: Duration = Duration::from_mins(1);

type Client = TraceServiceClient<Channel>;

/// Spans that nobody records yet.
pub(crate) fn spans() -> Arc<Spans> {
    Spans::new(|| {
        #[expect(clippy::disallowed_methods, reason = "the program hands time to everything else")]
        let now = SystemTime::now();
        now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
    })
}

/// Takes the spans that wait to where the configuration says.
pub(crate) struct Exporter {
    spans: Arc<Spans>,
    wanted: Setting<Option<String>>,
    form: Form,
    endpoint: Option<String>,
    told: Option<Instant>,
    /// Dropped since it was told.
    untold: usize,
}

impl Exporter {
    pub(crate) fn new(spans: Arc<Spans>, wanted: Setting<Option<String>>, config: &BrokerConfig) -> Self {
        let form = Form::new(config);
        let mut exporter = Self { spans, wanted, form, endpoint: None, told: None, untold: 0 };
        // Before the first message.
        exporter.follow();
        exporter
    }

    /// Exports until `stop`, and then what is left.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut client = None;
        let mut turns = interval(EXPORT_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let spans = Arc::clone(&self.spans);
        loop {
            tokio::select! {
                _ = turns.tick() => {}
                () = spans.filled() => {}
                () = stop.cancelled() => {}
            }
            if self.follow() {
                client = None;
            }
            let mut exporting = pin!(self.export_all(&mut client));
            tokio::select! {
                biased;
                () = stop.cancelled() => return drop(timeout(FLUSH_WAIT, exporting).await),
                () = &mut exporting => {}
            }
        }
    }

    /// Goes by the endpoint that the configuration says now; returns whether it is another one.
    fn follow(&mut self) -> bool {
        let wanted = self.wanted.get();
        if wanted == self.endpoint {
            return false;
        }
        self.spans.switch(wanted.is_some());
        if let Some(endpoint) = &wanted {
            info!(endpoint, "exporting spans of sampled traces");
        } else {
            self.spans.note_dropped(self.spans.take(usize::MAX).len());
            info!("exporting no spans");
        }
        self.endpoint = wanted;
        true
    }

    /// Empties the queue, or ends at the first trouble.
    async fn export_all(&mut self, client: &mut Option<Client>) {
        let Some(endpoint) = self.endpoint.clone() else { return };
        loop {
            let batch = Batch::take(&self.spans);
            if batch.left == 0 {
                return;
            }
            let request = self.form.request(&batch.list);
            match export(&endpoint, client, request).await {
                Ok(rejected) => {
                    let lost = batch.taken(rejected);
                    if lost > 0 {
                        self.tell(lost, "the collector rejected them");
                    }
                }
                Err(why) => {
                    let lost = batch.left;
                    drop(batch);
                    return self.tell(lost, &why);
                }
            }
        }
    }

    fn tell(&mut self, lost: usize, why: &str) {
        self.untold += lost;
        if self.told.is_some_and(|told| told.elapsed() < TELL_EVERY) {
            return;
        }
        let endpoint = self.endpoint.as_deref().unwrap_or_default();
        warn!(endpoint, dropped = self.untold, why, "spans were not exported");
        (self.told, self.untold) = (Some(Instant::now()), 0);
    }
}

/// Spans that were taken; those that are left when it is dropped are lost, and counted.
struct Batch {
    spans: Arc<Spans>,
    list: Vec<Span>,
    left: usize,
}

impl Batch {
    fn take(spans: &Arc<Spans>) -> Self {
        let list = spans.take(BATCH);
        Self { spans: Arc::clone(spans), left: list.len(), list }
    }

    /// The collector took all but so many; returns how many it did not.
    fn taken(mut self, rejected: i64) -> usize {
        let rejected = usize::try_from(rejected).unwrap_or(0).min(self.left);
        self.spans.note_exported(self.left - rejected);
        self.left = rejected;
        rejected
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.spans.note_dropped(self.left);
    }
}

/// How many spans of the request the collector rejected. Tries twice, the second time on a new connection.
async fn export(
    endpoint: &str,
    client: &mut Option<Client>,
    request: ExportTraceServiceRequest,
) -> Result<i64, String> {
    match try_export(endpoint, client, request.clone()).await {
        Err(status) if may_pass(status.code()) => {
            *client = None;
            tokio::time::sleep(RETRY_AFTER).await;
            try_export(endpoint, client, request).await
        }
        answer => answer,
    }
    .map_err(|status| {
        *client = None;
        format!("{:?}: {}", status.code(), status.message())
    })
}

async fn try_export(
    endpoint: &str,
    client: &mut Option<Client>,
    request: ExportTraceServiceRequest,
) -> Result<i64, tonic::Status> {
    let exporting = async {
        let client = match client {
            Some(client) => client,
            None => client.insert(connect(endpoint).await?),
        };
        client.export(request).await
    };
    let late = |_| tonic::Status::deadline_exceeded(format!("no answer within {EXPORT_WAIT:?}"));
    let answer = timeout(EXPORT_WAIT, exporting).await.map_err(late)??;
    Ok(answer.into_inner().partial_success.map_or(0, |partial| partial.rejected_spans))
}

async fn connect(endpoint: &str) -> Result<Client, tonic::Status> {
    let said = |error: tonic::transport::Error| {
        let cause = error.source().map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"));
        tonic::Status::unavailable(cause)
    };
    let endpoint = Endpoint::from_shared(endpoint.to_owned()).map_err(said)?;
    Ok(TraceServiceClient::new(endpoint.connect().await.map_err(said)?))
}

/// Whether a second try may help, as the OTLP specification says.
fn may_pass(code: Code) -> bool {
    matches!(
        code,
        Code::Cancelled
            | Code::DeadlineExceeded
            | Code::Aborted
            | Code::OutOfRange
            | Code::Unavailable
            | Code::DataLoss
    )
}

#[cfg(test)]
mod tests;
