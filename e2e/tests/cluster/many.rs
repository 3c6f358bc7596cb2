//! A thousand topics at once.

use std::time::Duration;

use crds::object::ObjectState;
use crds::{BrokerCluster, Topic};
use e2e::cluster::Place;
use e2e::wait::{self, Stopwatch};
use futures::stream::{self, StreamExt, TryStreamExt};
use kube::Api;
use kube::api::{ListParams, PostParams};

const COUNT: usize = 1000;

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_topics_applied_at_once_are_ready_within_a_minute() {
    let here = Place::new("many").await;
    here.apply(&super::shop(""));
    here.ready::<BrokerCluster>("shop").await;
    let topics: Api<Topic> = here.api();
    let watch = Stopwatch::start();
    // Not with kubectl, which holds itself to some twenty objects a second.
    stream::iter(0..COUNT)
        .map(|number| create(&topics, number))
        .buffer_unordered(32)
        .try_collect::<Vec<_>>()
        .await
        .expect("every topic is accepted");
    let applied = watch.elapsed();
    wait::eventually("every topic is Ready", Duration::from_mins(1), async || {
        let list = topics.list(&ListParams::default()).await.map_err(|error| error.to_string())?;
        let is_ready =
            |topic: &&Topic| topic.status.as_ref().is_some_and(|status| status.state == ObjectState::Ready);
        let ready = list.items.iter().filter(is_ready).count();
        if ready == COUNT { Ok(()) } else { Err(format!("{ready} of {COUNT}")) }
    })
    .await;
    let took = watch.elapsed();
    println!("1,000 topics: accepted after {applied:.1?}, all Ready after {took:.1?}");
    assert!(took < Duration::from_mins(1), "all Ready after {took:?}");
    here.remove().await;
}

async fn create(topics: &Api<Topic>, number: usize) -> kube::Result<Topic> {
    let object = serde_json::json!({
        "apiVersion": "millpond.io/v1alpha1",
        "kind": "Topic",
        "metadata": {"name": format!("t-{number:04}")},
        "spec": {"clusterRef": {"name": "shop"}},
    });
    let topic = serde_json::from_value(object).expect("a Topic");
    topics.create(&PostParams::default(), &topic).await
}
