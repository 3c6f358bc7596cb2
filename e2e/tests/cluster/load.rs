//! A broker pod killed under load: clients go on by themselves and nothing that was acknowledged is lost.

use std::time::Duration;

use crds::{BrokerCluster, ConsumerGroup, Topic};
use e2e::cluster::Place;
use e2e::sdk::stream::Stream;
use e2e::sdk::{Call, Mode, Sdk};

const FLOW: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn killed_pod_loses_nothing_that_was_acknowledged() {
    let here = Place::new("load").await;
    here.apply(&(super::shop("") + &super::pair("go") + &super::pair("java") + &super::pair("python")));
    here.ready::<BrokerCluster>("shop").await;
    for name in ["go", "java", "python"] {
        here.ready::<Topic>(name).await;
        here.ready::<ConsumerGroup>(name).await;
    }
    let reach = here.reach("shop").await;
    let running: Vec<(&str, Stream)> =
        [("go", Sdk::Go, Mode::Push), ("java", Sdk::Java, Mode::Simple), ("python", Sdk::Python, Mode::Push)]
            .into_iter()
            .map(|(name, sdk, mode)| {
                let call = Call::new(sdk, mode, reach.endpoint(), name, name);
                (name, call.stream(100, 600).expect("the stream starts"))
            })
            .collect();
    for (_, stream) in &running {
        stream.flows(100, FLOW);
    }
    for _ in 0..2 {
        let said = here.kubectl(&["delete", "pod", "shop-g0-0", "--force", "--grace-period=0"]);
        assert!(said.ok, "{}", said.text);
        for (_, stream) in &running {
            stream.flows(100, FLOW);
        }
    }
    for (name, stream) in running {
        let report = stream.finish().expect("a report");
        println!(
            "{name}: {} acknowledged, {} copies, {} failures, longest gap {} ms",
            report.acknowledged, report.copies, report.failures, report.longest_gap_ms
        );
        assert!(
            report.ok && report.missing.is_empty(),
            "{name} lost {:?}: {:?}",
            report.missing,
            report.errors
        );
    }
    here.ready::<BrokerCluster>("shop").await;
    here.remove().await;
}
