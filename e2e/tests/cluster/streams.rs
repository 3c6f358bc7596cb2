//! Streams of several SDKs at once, each with a topic and a consumer group of its own name.

use std::time::Duration;

use crds::{ConsumerGroup, Topic};
use e2e::cluster::Place;
use e2e::sdk::stream::Stream;
use e2e::sdk::{Call, Mode, Sdk};

const FLOW: Duration = Duration::from_secs(90);

/// Programs that send and receive.
pub(crate) struct Streams(Vec<(&'static str, Stream)>);

impl Streams {
    /// Push consumers of these SDKs with cluster `shop`, once what they need is there.
    pub(crate) async fn start(here: &Place, clients: &[(&'static str, Sdk)]) -> Self {
        for (name, _) in clients {
            here.ready::<Topic>(name).await;
            here.ready::<ConsumerGroup>(name).await;
        }
        let reach = here.reach("shop").await;
        let stream = |(name, sdk): &(&'static str, Sdk)| {
            let call = Call::new(*sdk, Mode::Push, reach.endpoint(), name, name);
            (*name, call.stream(100, 3600).expect("the stream starts"))
        };
        Self(clients.iter().map(stream).collect())
    }

    /// Waits until messages have come through all of them.
    pub(crate) fn flow(&self) {
        self.0.iter().for_each(|(_, stream)| stream.flows(100, FLOW));
    }

    /// Ends them: nothing was lost, and no send or receive failed.
    pub(crate) fn finish(self) {
        let mut failures = 0;
        for (name, stream) in self.0 {
            let report = stream.finish().expect("a report");
            println!(
                "{name}: {} acknowledged, {} copies, {} failures, longest gap {} ms: {:?}",
                report.acknowledged, report.copies, report.failures, report.longest_gap_ms, report.errors
            );
            assert!(report.ok && report.missing.is_empty(), "{name} lost {:?}", report.missing);
            failures += report.failures;
        }
        assert_eq!(failures, 0, "sends failed, or receives");
    }
}
