//! Groups that join.

use crds::broker_config::BrokerConfig;
use jiff::{SignedDuration, Timestamp};

use super::*;

/// A cluster that served with this many groups, and is to have more.
fn growing(from: u32, to: u32) -> (BrokerCluster, Observed) {
    let mut cluster = cluster(&json!({ "groups": from }));
    let observed = settled(&cluster);
    tell(&mut cluster, &observed, noon());
    cluster.spec.groups = i32::try_from(to).unwrap();
    (cluster, observed)
}

/// A pass: its plan, after which the status is written.
fn tell(cluster: &mut BrokerCluster, observed: &Observed, now: Timestamp) -> Plan {
    let plan = plan(cluster, observed, &settings(), now);
    cluster.status = Some(report(cluster, observed, &plan, now).status);
    plan
}

/// The groups that the brokers of each group tell clients of.
fn told(plan: &Plan) -> Vec<Vec<String>> {
    let configs = plan.children.iter().filter_map(|child| {
        let Child::ConfigMap(config) = child else { return None };
        config.data.as_ref()?.values().next()
    });
    let names = |config: &String| {
        let groups = BrokerConfig::from_yaml(config).unwrap().groups;
        groups.into_iter().map(|group| group.name).collect()
    };
    configs.map(names).collect()
}

fn reconciling(cluster: &BrokerCluster) -> Option<String> {
    let conditions = &cluster.status.as_ref().unwrap().conditions;
    let found = conditions::find(conditions, Kind::Reconciling).unwrap();
    (found.status == "True").then(|| found.reason.clone())
}

#[test]
fn clients_are_sent_to_a_new_group_when_it_serves_and_holds_everything() {
    let (mut cluster, mut observed) = growing(2, 4);
    observed.holding = 2;
    let apart = [vec!["g0", "g1"], vec!["g0", "g1"], vec!["g0", "g1", "g2"], vec!["g0", "g1", "g3"]];
    assert_eq!(told(&tell(&mut cluster, &observed, noon())), apart);

    observed = Observed { holding: 2, ..settled(&cluster) };
    assert_eq!(told(&tell(&mut cluster, &observed, noon())), apart, "topics are not there");
    assert_eq!(reconciling(&cluster).as_deref(), Some("ScalingOut"));
    let view = crate::objects::ClusterView::of(Some(&cluster), noon());
    let crate::objects::ClusterView::Present { leaders, staying, .. } = view else { panic!("{view:?}") };
    assert_eq!(
        (leaders.len(), staying),
        (4, vec![0, 1]),
        "topics are made in all groups, and placed in those that stay"
    );
    let joining = |cluster: &BrokerCluster, group: usize| {
        cluster.status.as_ref().unwrap().group_status[group].joining.is_some()
    };
    assert!(!joining(&cluster, 1) && joining(&cluster, 2));

    observed.holding = 4;
    observed.brokers.insert((3, 0), BrokerView::Answered(Box::new(broker("starting"))));
    let all_but_g3 = vec!["g0", "g1", "g2"];
    let seen = told(&tell(&mut cluster, &observed, noon()));
    assert_eq!(seen[..3], [all_but_g3.clone(), all_but_g3.clone(), all_but_g3], "g3 does not serve");
    observed.brokers.insert((3, 0), BrokerView::Answered(Box::new(broker("serving"))));
    assert_eq!(told(&tell(&mut cluster, &observed, noon())), [const { ["g0", "g1", "g2", "g3"] }; 4]);
    // An operator that has just begun knows of no pass.
    observed.holding = 0;
    assert_eq!(told(&tell(&mut cluster, &observed, noon()))[0].len(), 4);
    assert!(!joining(&cluster, 3));
    assert_eq!(reconciling(&cluster), None);
}

#[test]
fn the_groups_of_a_new_cluster_begin_together() {
    let mut cluster = cluster(&json!({ "groups": 2 }));
    let observed = settled(&cluster);
    for _ in 0..2 {
        assert_eq!(told(&tell(&mut cluster, &observed, noon())), [["g0", "g1"]; 2]);
    }
}

#[test]
fn topics_that_cannot_be_compared_do_not_keep_a_group_out_for_ever() {
    let (mut cluster, mut observed) = growing(1, 2);
    tell(&mut cluster, &observed, noon());
    observed = settled(&cluster);
    for (seconds, groups) in [(119, 1), (120, 2)] {
        let now = noon() + SignedDuration::from_secs(seconds);
        assert_eq!(told(&plan(&cluster, &observed, &settings(), now))[0].len(), groups, "after {seconds} s");
    }
}
