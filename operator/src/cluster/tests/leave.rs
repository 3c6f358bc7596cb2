//! Groups that leave.

use client::admin::{Remainder, Remains};
use crds::broker_cluster::ClusterState;
use crds::broker_config::{BrokerConfig, GroupPhase};
use crds::object::DeletionPolicy;
use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::children::CLIENT_PORT;

/// A cluster of which one group is to leave, pass after pass.
struct Shop {
    cluster: BrokerCluster,
    observed: Observed,
    now: Timestamp,
}

impl Shop {
    /// It had this many groups, and is to have fewer.
    fn new(had: u32, spec: &Value) -> Self {
        let before = cluster(&json!({ "groups": had }));
        let observed = settled(&before);
        let mut this = Self { cluster: before, observed, now: noon() };
        this.pass(0);
        this.cluster.spec = cluster(spec).spec;
        this
    }

    /// A pass some seconds later: its plan, after which the status is written.
    fn pass(&mut self, seconds: i64) -> Plan {
        self.now += SignedDuration::from_secs(seconds);
        let plan = planned(&self.cluster, &self.observed);
        self.cluster.status = Some(report(&self.cluster, &self.observed, &plan, self.now).status);
        plan
    }

    /// What the leader of a group says from now on.
    fn says(&mut self, group: u32, remains: Remains) {
        let answer = GetBrokerResponse { remains: Some(remains), ..broker("serving") };
        self.observed.brokers.insert((group, 0), BrokerView::Answered(Box::new(answer)));
    }

    fn phase(&self, group: usize) -> Option<GroupPhase> {
        self.cluster.status.as_ref()?.group_status.get(group)?.leaving.as_ref().map(|leaving| leaving.phase)
    }

    /// Until it is about to be removed.
    fn empty(&mut self, group: u32) {
        for (standing, seconds) in [("diverting", 0), ("diverting", 41), ("draining", 1), ("closed", 41)] {
            self.says(group, nothing(standing));
            self.pass(seconds);
        }
        assert_eq!(self.phase(group as usize), Some(GroupPhase::Removing));
    }
}

fn nothing(standing: &str) -> Remains {
    Remains { standing: standing.into(), ..Remains::default() }
}

fn lag(standing: &str, messages: u64) -> Remains {
    let largest = vec![Remainder { topic: "orders".into(), consumer_group: "billing".into(), messages }];
    Remains { messages, largest, ..nothing(standing) }
}

/// The phases that the brokers of g0 are told.
fn told(plan: &Plan) -> Vec<GroupPhase> {
    let config = plan.children.iter().find_map(|child| {
        let Child::ConfigMap(config) = child else { return None };
        config.data.as_ref()?.values().next()
    });
    BrokerConfig::from_yaml(config.unwrap()).unwrap().groups.iter().map(|group| group.phase).collect()
}

/// Over how many groups brokers have rights.
fn may(plan: &Plan) -> usize {
    let rules = plan.children.iter().find_map(|child| {
        let Child::Role(role) = child else { return None };
        role.rules.as_ref()?.first()?.resource_names.as_ref()
    });
    rules.map_or(0, Vec::len)
}

fn holds(shop: &Shop, kind: Kind) -> bool {
    conditions::holds(&shop.cluster.status.as_ref().unwrap().conditions, kind)
}

fn removed(plan: &Plan) -> Vec<String> {
    let name = |removal: &Removal| match removal {
        Removal::Object { kind, name, .. } => format!("{kind}/{name}"),
        Removal::Budget { name, .. } => format!("Budget/{name}"),
        Removal::Claim { name, .. } => format!("Claim/{name}"),
    };
    plan.removals.iter().map(name).collect()
}

#[test]
fn a_group_leaves_once_it_is_empty_and_everybody_knows_another_way() {
    let mut shop = Shop::new(2, &json!({ "groups": 1 }));
    let plan = shop.pass(0);
    assert_eq!(told(&plan), [GroupPhase::Serving, GroupPhase::Diverting]);
    shop.says(1, lag("diverting", 7));
    shop.pass(39);
    assert_eq!(shop.phase(1), Some(GroupPhase::Diverting), "producers may still go by an old route");
    shop.pass(1);
    assert_eq!(told(&shop.pass(1)), [GroupPhase::Serving, GroupPhase::Draining]);
    shop.says(1, nothing("diverting"));
    shop.pass(1);
    assert_eq!(shop.phase(1), Some(GroupPhase::Draining), "it may still take messages");
    shop.says(1, lag("draining", 1));
    shop.pass(600);
    assert_eq!(shop.phase(1), Some(GroupPhase::Draining), "a message is left");
    for rest in [
        Remains { pending_timers: 1, ..nothing("draining") },
        Remains { open_transactions: 1, ..nothing("draining") },
    ] {
        shop.says(1, rest);
        shop.pass(1);
        assert_eq!(shop.phase(1), Some(GroupPhase::Draining));
    }
    shop.says(1, nothing("draining"));
    shop.pass(1);
    assert_eq!(told(&shop.pass(1)), [GroupPhase::Serving, GroupPhase::Emptied]);
    shop.says(1, nothing("closed"));
    shop.pass(41);
    assert_eq!(shop.phase(1), Some(GroupPhase::Removing));
    let plan = shop.pass(1);
    assert_eq!((plan.groups, told(&plan).len()), (1, 1));
    let status = shop.cluster.status.as_ref().unwrap();
    assert_eq!((status.group_status.len(), status.groups), (1, 1), "nothing is placed in it any more");
}

#[test]
fn all_objects_of_a_group_that_left_go_and_its_lease_goes_with_its_disks() {
    for (policy, kept) in [(DeletionPolicy::Retain, true), (DeletionPolicy::Delete, false)] {
        let mut shop = Shop::new(2, &json!({ "groups": 1 }));
        shop.cluster.spec.deletion_policy = policy;
        shop.empty(1);
        for child in &planned(&cluster(&json!({ "groups": 2 })), &shop.observed).children {
            let uid = format!("uid-{}", child.name());
            let group = crate::children::group_of(child.metadata());
            let owner_uid = Some("uid-shop".into());
            let meta = ChildMeta { uid, group, owner_uid, ..ChildMeta::default() };
            shop.observed.children.insert((child.kind(), child.name().into()), meta);
        }
        let lease = ChildMeta { group: Some(1), owner_uid: Some("uid-shop".into()), ..ChildMeta::default() };
        shop.observed.children.insert(("Lease", "shop-g1".into()), lease);
        let plan = shop.pass(1);
        assert_eq!(removed(&plan), ["StatefulSet/shop-g1"]);
        assert_eq!(plan.retained, [], "its pod may still write");
        shop.observed.stateful_sets.remove(&1);
        shop.observed.children.remove(&("StatefulSet", "shop-g1".to_owned()));
        let plan = shop.pass(1);
        assert_eq!((removed(&plan), may(&plan)), (vec![], 2), "its broker is not told to do without");
        assert!(holds(&shop, Kind::Reconciling));
        shop.observed.pods.remove(&(1, 0));
        let plan = shop.pass(1);
        let objects = ["ConfigMap/shop-g1", "Service/shop-g1"];
        assert_eq!((&removed(&plan)[..2], may(&plan)), (&objects.map(str::to_owned)[..], 1));
        shop.observed.children.retain(|(kind, name), _| {
            !name.starts_with("shop-g1") || *kind == "Lease" || name.ends_with("-leader")
        });
        let plan = shop.pass(1);
        assert_eq!(plan.retained.len(), usize::from(kept));
        assert_eq!(removed(&plan), if kept { vec![] } else { vec!["Claim/data-shop-g1-0"] });
        shop.observed.claims.remove(&(1, 0));
        assert_eq!(removed(&shop.pass(1)), if kept { vec![] } else { vec!["Lease/shop-g1"] });
    }
}

/// What the address of g1's leader selects.
fn selected(plan: &Plan) -> Option<bool> {
    plan.children.iter().find_map(|child| {
        let Child::Service(service) = child else { return None };
        (child.name() == "shop-g1-leader").then(|| service.spec.as_ref().unwrap().selector.is_some())
    })
}

#[test]
fn the_address_of_a_group_that_left_leads_to_the_others_and_is_made_anew_when_it_is_back() {
    let mut shop = Shop::new(2, &json!({ "groups": 1 }));
    shop.empty(1);
    let address = ChildMeta {
        uid: "uid-address".into(),
        group: Some(1),
        owner_uid: Some("uid-shop".into()),
        ..ChildMeta::default()
    };
    shop.observed.children.insert(("Service", "shop-g1-leader".into()), address);
    assert_eq!(selected(&shop.pass(1)), Some(true));
    shop.observed.stateful_sets.remove(&1);
    shop.observed.pods.remove(&(1, 0));
    shop.observed.detours.insert(1);
    let plan = shop.pass(1);
    assert_eq!((selected(&plan), removed(&plan)), (Some(true), vec![]));
    shop.cluster.spec.groups = 2;
    let plan = shop.pass(1);
    assert_eq!(
        (selected(&plan), removed(&plan)),
        (None, vec!["Service/shop-g1-leader".to_owned()]),
        "its endpoints are brokers of other groups"
    );
    shop.observed.detours.clear();
    shop.observed.children.clear();
    let plan = shop.pass(1);
    assert_eq!((selected(&plan), removed(&plan)), (Some(false), vec![]));
}

#[test]
fn raising_the_number_brings_a_group_back_at_any_time() {
    for passes in 0..4 {
        let mut shop = Shop::new(2, &json!({ "groups": 1 }));
        for (standing, seconds) in
            [("diverting", 0), ("diverting", 41), ("draining", 1), ("closed", 1)].into_iter().take(passes + 1)
        {
            shop.says(1, nothing(standing));
            shop.pass(seconds);
        }
        shop.cluster.spec.groups = 2;
        let plan = shop.pass(1);
        assert_eq!(told(&plan), [GroupPhase::Serving; 2], "after {passes} passes");
        assert_eq!((shop.phase(1), removed(&plan)), (None, vec![]));
    }
}

#[test]
fn a_topic_that_is_placed_in_a_group_keeps_it() {
    let mut shop = Shop::new(2, &json!({ "groups": 1 }));
    let placed = |standing| Remains { placed_topics: vec!["ledger".into()], ..nothing(standing) };
    shop.says(1, placed("diverting"));
    shop.pass(0);
    shop.pass(3600);
    assert_eq!(shop.phase(1), Some(GroupPhase::Diverting));
    let plan = shop.pass(1);
    let problem = plan.problem.unwrap();
    assert_eq!(problem.reason(), Reason::TopicsStay);
    assert!(problem.message().contains("g1: ledger"), "{}", problem.message());
    // Unless there is a deadline, by which the user gives its order up.
    shop.cluster.spec = cluster(&json!({ "groups": 1, "scaleIn": { "deadline": "2h" } })).spec;
    assert_eq!(shop.pass(1).problem, None);
    assert_eq!(shop.phase(1), Some(GroupPhase::Diverting));
    shop.pass(3600);
    assert_eq!(shop.phase(1), Some(GroupPhase::Draining));
}

#[test]
fn messages_that_nobody_consumes_hold_a_group_until_the_deadline() {
    let mut shop = Shop::new(2, &json!({ "groups": 1, "scaleIn": { "deadline": "2h" } }));
    shop.says(1, lag("diverting", 5));
    shop.pass(0);
    shop.pass(41);
    shop.says(1, lag("draining", 5));
    shop.pass(3600);
    assert_eq!(shop.phase(1), Some(GroupPhase::Draining));
    let leaving = shop.cluster.status.as_ref().unwrap().group_status[1].leaving.clone().unwrap();
    assert_eq!(leaving.remaining, Some(5));
    assert_eq!(leaving.message, "takes no message any more; 5 messages are left: 5 of orders for billing");
    shop.pass(3600);
    shop.says(1, lag("closed", 5));
    shop.pass(41);
    assert_eq!(shop.phase(1), Some(GroupPhase::Removing));
}

#[test]
fn the_last_group_goes_first_and_none_of_those_that_stay() {
    let mut shop = Shop::new(3, &json!({ "groups": 1 }));
    shop.says(2, lag("diverting", 1));
    shop.empty(1);
    let plan = shop.pass(1);
    assert_eq!(plan.groups, 3, "g2 is not empty, and numbers have no gaps");
    assert_eq!(told(&plan), [GroupPhase::Serving, GroupPhase::Removing, GroupPhase::Draining]);
    shop.says(2, nothing("draining"));
    shop.pass(1);
    shop.says(2, nothing("closed"));
    shop.pass(41);
    assert_eq!(shop.pass(1).groups, 1);
}

#[test]
fn messages_that_come_while_clients_leave_are_waited_for() {
    let mut shop = Shop::new(2, &json!({ "groups": 1 }));
    for (standing, seconds) in [("diverting", 0), ("diverting", 41), ("draining", 1)] {
        shop.says(1, nothing(standing));
        shop.pass(seconds);
    }
    assert_eq!(shop.phase(1), Some(GroupPhase::Emptied));
    shop.says(1, lag("closed", 1));
    shop.pass(1);
    assert_eq!(shop.phase(1), Some(GroupPhase::Draining));
}

#[test]
fn the_status_says_that_a_group_leaves_while_all_serve() {
    let mut shop = Shop::new(2, &json!({ "groups": 1 }));
    shop.pass(0);
    let status = shop.cluster.status.as_ref().unwrap();
    assert_eq!((status.state, status.groups), (ClusterState::Serving, 2));
    let reconciling = conditions::find(&status.conditions, Kind::Reconciling).unwrap();
    assert_eq!((reconciling.status.as_str(), reconciling.reason.as_str()), ("True", "ScalingIn"));
    assert!(status.endpoint.as_ref().unwrap().ends_with(&format!(":{CLIENT_PORT}")));
}
