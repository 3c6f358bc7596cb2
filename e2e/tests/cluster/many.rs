//! A thousand topics at once.

use std::time::Duration;

use crds::Topic;
use crds::object::ObjectState;
use e2e::cluster::Place;
use e2e::matrix;
use e2e::wait::{self, Stopwatch};
use kube::Api;
use kube::api::ListParams;

const COUNT: usize = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_topics_applied_at_once_are_ready_within_a_minute() {
    let here = Place::new("many").await;
    here.apply(&super::shop(""));
    here.cluster_ready("shop").await;
    let mut yaml = String::new();
    for number in 0..COUNT {
        matrix::object(&mut yaml, "Topic", &format!("t-{number:04}"), "shop", "queues: {perGroup: 4}");
    }
    let watch = Stopwatch::start();
    here.apply(&yaml);
    let applied = watch.elapsed();
    let topics: Api<Topic> = here.api();
    wait::eventually("every topic is Ready", Duration::from_secs(60), async || {
        let list = topics.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let is_ready =
            |topic: &&Topic| topic.status.as_ref().is_some_and(|status| status.state == ObjectState::Ready);
        let ready = list.items.iter().filter(is_ready).count();
        if ready == COUNT { Ok(()) } else { Err(format!("{ready} of {COUNT}")) }
    })
    .await;
    let took = watch.elapsed();
    println!("1,000 topics: kubectl apply took {applied:.1?}, all Ready after {took:.1?}");
    assert!(took < Duration::from_secs(60), "all Ready after {took:?}");
    here.remove().await;
}
