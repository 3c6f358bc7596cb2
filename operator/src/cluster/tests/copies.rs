//! Copies come and go while brokers go on: the operator's plans against brokers that keep the rules of the record.

use crds::object::DeletionPolicy;
use proptest::prelude::*;
use serde_json::json;

use super::*;

/// A cluster of one group, its Kubernetes, and its brokers.
struct World {
    cluster: BrokerCluster,
    observed: Observed,
    /// Claims that were deleted.
    deleted: Vec<String>,
    stores: u64,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    /// The user asks for this many copies.
    Copies(i32),
    /// The operator makes a plan, brokers do something else meanwhile, and the plan is carried out.
    Operator([u8; 2]),
    /// Kubernetes makes and removes pods.
    Kubernetes,
    /// A member joins, learns, leaves, or hands over.
    Brokers(u8),
}

impl World {
    fn new(copies: i32, policy: DeletionPolicy) -> Self {
        let mut cluster = cluster(&json!({ "copies": copies }));
        cluster.spec.deletion_policy = policy;
        Self { cluster, observed: Observed::default(), deleted: Vec::new(), stores: 0 }
    }

    fn record(&self) -> Option<&GroupRecord> {
        self.observed.leases.get(&0).and_then(LeaseView::readable)
    }

    fn change(&mut self, change: impl FnOnce(&mut GroupRecord)) {
        let lease = self.observed.leases.get_mut(&0).unwrap();
        let Some(Ok(record)) = lease.record.as_mut() else { panic!("no record") };
        change(record);
        record.revision += 1;
        assert_eq!(
            GroupRecord::from_json(&record.to_json()).as_ref(),
            Ok(&*record),
            "brokers keep the rules"
        );
    }

    fn act(&mut self, step: Step) {
        match step {
            Step::Copies(copies) => self.cluster.spec.copies = copies,
            Step::Operator(meanwhile) => {
                let plan = planned(&self.cluster, &self.observed);
                for choice in meanwhile {
                    self.brokers(choice);
                }
                self.carry_out(plan);
            }
            Step::Kubernetes => self.kubernetes(),
            Step::Brokers(choice) => self.brokers(choice),
        }
        self.check();
    }

    fn carry_out(&mut self, plan: Plan) {
        for step in plan.leases {
            let request = &step.wanted.metadata.annotations.as_ref().unwrap()[REQUEST_ANNOTATION];
            let known = self.observed.leases.entry(0).or_insert_with(|| LeaseView {
                uid: "uid-lease".into(),
                resource_version: "1".into(),
                record: None,
                request: None,
                is_deleted: false,
            });
            known.request = Some(GroupRequest::from_json(request).unwrap());
            if let Some(record) = step.record {
                assert!(known.record.is_none(), "a record was overwritten");
                known.record = Some(Ok(record));
            }
        }
        for child in plan.children {
            if let Child::StatefulSet(set) = child {
                self.observed.stateful_sets.insert(0, seen(*set));
            }
        }
        for removal in plan.removals {
            if let Removal::Claim { name, .. } = removal {
                self.observed.claims.retain(|_, claim| claim.name != name);
                self.deleted.push(name);
            }
        }
        let status = report(&self.cluster, &self.observed, &planned(&self.cluster, &self.observed), noon());
        self.cluster.status = Some(status.status);
    }

    fn pods(&self) -> u32 {
        let spec = self.observed.stateful_sets.get(&0).and_then(|set| set.spec.as_ref());
        spec.map_or(0, |spec| spec.replicas.unwrap().cast_unsigned())
    }

    fn kubernetes(&mut self) {
        let pods = self.pods();
        self.observed.pods.retain(|(_, ordinal), _| *ordinal < pods);
        self.observed.brokers.retain(|(_, ordinal), _| *ordinal < pods);
        for ordinal in 0..pods {
            if !self.observed.pods.contains_key(&(0, ordinal)) {
                come_up(&mut self.observed, (0, ordinal));
            }
            let is_in_sync =
                self.record().is_some_and(|record| record.in_sync.iter().any(|m| m.ordinal == ordinal));
            self.observed.pods.get_mut(&(0, ordinal)).unwrap().ready = is_in_sync;
        }
    }

    /// One move that brokers may make, by the record and the wish beside it.
    fn brokers(&mut self, choice: u8) {
        let Some(lease) = self.observed.leases.get(&0).cloned() else { return };
        let (Some(record), Some(request)) = (lease.readable().cloned(), lease.request) else { return };
        let running: Vec<u32> = self.observed.pods.keys().map(|(_, ordinal)| *ordinal).collect();
        let Some(leader) = record.leader else {
            if running.contains(&0) {
                self.change(|record| {
                    *record = GroupRecord { revision: record.revision, epoch: 1, ..in_sync(1) }
                });
            }
            return;
        };
        let is_wanted = |member: &MemberId| member.ordinal < request.copies;
        let joins = running
            .iter()
            .find(|o| **o < request.copies && record.members.iter().all(|member| member.ordinal != **o));
        let learns = record.members.difference(&record.in_sync).find(|m| is_wanted(m)).copied();
        let leaves = record.members.iter().find(|m| !is_wanted(m) && **m != leader).copied();
        let heir = record.in_sync.iter().find(|m| is_wanted(m)).copied();
        match choice % 4 {
            0 => {
                if let Some(ordinal) = joins {
                    self.stores += 1;
                    let new = MemberId { ordinal: *ordinal, store: 100 + self.stores };
                    self.change(|record| {
                        record.members.insert(new);
                    });
                }
            }
            1 => learns.into_iter().for_each(|m| {
                self.change(|record| {
                    record.in_sync.insert(m);
                });
            }),
            2 => leaves.into_iter().for_each(|member| {
                self.change(|record| {
                    record.in_sync.remove(&member);
                    record.members.remove(&member);
                });
            }),
            // Any of the in-sync members may lead at any time, and a leader that shall leave hands over.
            _ => heir.into_iter().for_each(|heir| {
                self.change(|record| {
                    record.leader = Some(heir);
                    record.epoch += 1;
                });
            }),
        }
    }

    /// What must hold whatever happens in whatever order.
    fn check(&self) {
        let Some(record) = self.record() else {
            assert_eq!(self.pods(), 0, "pods before the record");
            return;
        };
        for member in record.members.iter().chain(&record.in_sync) {
            assert!(member.ordinal < self.pods(), "{member} of the record has no pod: {record:?}");
            assert!(self.observed.claims.contains_key(&(0, member.ordinal)), "{member} has no disk");
        }
        if self.cluster.spec.deletion_policy == DeletionPolicy::Retain {
            assert_eq!(self.deleted, Vec::<String>::new());
        }
    }

    /// Everybody does what is to be done until nothing is left.
    fn settle(&mut self) {
        for _ in 0..12 {
            self.act(Step::Operator([3, 3]));
            self.act(Step::Kubernetes);
            (0..4).for_each(|choice| self.act(Step::Brokers(choice)));
        }
        self.act(Step::Kubernetes);
        self.act(Step::Operator([3, 3]));
    }

    fn ordinals(&self) -> Vec<u32> {
        self.record().unwrap().in_sync.iter().map(|member| member.ordinal).collect()
    }
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (1..=3i32).prop_map(Step::Copies),
        3 => any::<[u8; 2]>().prop_map(Step::Operator),
        3 => Just(Step::Kubernetes),
        4 => any::<u8>().prop_map(Step::Brokers),
    ];
    prop::collection::vec(step, 0..80)
}

proptest! {
    // Each case is some hundred plans of a whole cluster.
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn whatever_the_order_no_member_loses_its_pod_or_disk_and_the_asked_copies_come(
        start in 1..=3i32,
        deletes in any::<bool>(),
        steps in steps(),
    ) {
        let policy = if deletes { DeletionPolicy::Delete } else { DeletionPolicy::Retain };
        let mut world = World::new(start, policy);
        for step in steps {
            world.act(step);
        }
        world.settle();
        let copies = world.cluster.spec.copies();
        prop_assert_eq!(world.ordinals(), (0..copies).collect::<Vec<_>>());
        prop_assert_eq!(world.pods(), copies);
        let status = world.cluster.status.as_ref().unwrap();
        prop_assert_eq!(&status.in_sync, &format!("{copies}/{copies}"));
        let kept = if deletes { 0 } else { world.observed.claims.len() - copies as usize };
        prop_assert_eq!(status.retained_volumes.len(), kept);
        prop_assert_eq!(world.observed.claims.len(), copies as usize + kept);
    }
}

#[test]
fn one_two_three_two_one() {
    let mut world = World::new(1, DeletionPolicy::Delete);
    for copies in [1, 2, 3, 2, 1] {
        world.act(Step::Copies(copies));
        world.settle();
        let status = world.cluster.status.as_ref().unwrap();
        assert_eq!(
            (status.in_sync.as_str(), world.pods()),
            (format!("{copies}/{copies}").as_str(), copies.cast_unsigned())
        );
        assert_eq!(status.state, crds::broker_cluster::ClusterState::Serving);
    }
    assert_eq!(world.deleted, ["data-shop-g0-2", "data-shop-g0-1"]);
}

#[test]
fn a_disk_that_stays_is_told_and_taken_back() {
    let mut world = World::new(2, DeletionPolicy::Retain);
    world.settle();
    world.act(Step::Copies(1));
    world.settle();
    let retained = &world.cluster.status.as_ref().unwrap().retained_volumes;
    assert_eq!(retained.iter().map(|volume| volume.claim.as_str()).collect::<Vec<_>>(), ["data-shop-g0-1"]);
    world.act(Step::Copies(2));
    world.settle();
    assert_eq!(world.cluster.status.as_ref().unwrap().retained_volumes, []);
}

#[test]
fn more_or_fewer_copies_restart_nobody() {
    let mut templates = BTreeSet::new();
    for copies in 1..=3 {
        let plan = planned(&cluster(&json!({ "copies": copies, "minInSync": copies })), &Observed::default());
        let config = plan.children.iter().find(|child| child.kind() == "ConfigMap").unwrap();
        let Child::ConfigMap(config) = config else { panic!("{config:?}") };
        let set = plan.children.iter().find(|child| child.kind() == "StatefulSet").unwrap();
        let Child::StatefulSet(set) = set else { panic!("{set:?}") };
        templates.insert(json!([config.data, set.spec.as_ref().unwrap().template]).to_string());
    }
    assert_eq!(templates.len(), 1);
}

#[test]
fn budgets_of_another_number_of_copies_go() {
    let names = |copies: i32, observed: &Observed| {
        let plan = planned(&cluster(&json!({ "copies": copies, "groups": 2 })), observed);
        let budgets = plan.children.iter().filter(|child| child.kind() == "PodDisruptionBudget");
        (budgets.map(|child| child.name().to_owned()).collect::<Vec<_>>(), plan.removals)
    };
    assert_eq!(names(1, &Observed::default()), (vec!["shop".to_owned()], vec![]));
    let mut observed = Observed::default();
    for (name, owner) in [("shop", "uid-shop"), ("shop-of-somebody", "other")] {
        let meta = ChildMeta { uid: name.into(), owner_uid: Some(owner.into()), ..ChildMeta::default() };
        observed.children.insert(("PodDisruptionBudget", name.into()), meta);
    }
    let (wanted, removals) = names(2, &observed);
    assert_eq!(wanted, ["shop-g0", "shop-g1"]);
    assert_eq!(removals, [Removal::Budget { name: "shop".into(), uid: "shop".into() }]);
}

#[test]
fn a_lease_that_outlives_its_cluster_has_no_owner() {
    let owners = |policy: &str| {
        let plan = planned(&cluster(&json!({ "deletionPolicy": policy })), &Observed::default());
        let lease = plan.leases[0].wanted.clone();
        assert_eq!(lease.metadata.finalizers, Some(vec![crate::children::RECORD_FINALIZER.to_owned()]));
        assert!(!lease.metadata.annotations.unwrap().contains_key(crds::group_record::RECORD_ANNOTATION));
        lease.metadata.owner_references.map_or(0, |owners| owners.len())
    };
    assert_eq!((owners("Retain"), owners("Delete")), (0, 1));
}

#[test]
fn the_leader_of_a_group_is_restarted_last_and_only_when_all_copies_are_in_sync() {
    let cluster = cluster(&json!({ "copies": 3 }));
    let mut observed = settled(&cluster);
    let next = |observed: &Observed| planned(&cluster, observed).restart.map(|restart| restart.member);
    let mut order = Vec::new();
    for ordinal in 0..3 {
        observed.pods.get_mut(&(0, ordinal)).unwrap().revision = "old".into();
    }
    while let Some(member) = next(&observed) {
        order.push(member.1);
        observed.pods.get_mut(&member).unwrap().revision = "new".into();
        let mut shrunk = in_sync(3);
        shrunk.in_sync.retain(|other| other.ordinal != member.1 || member.1 == 0);
        observed.leases.insert(0, lease(&shrunk, 3));
        if member.1 != 0 {
            assert_eq!(next(&observed), None, "{member:?} is not in sync again");
        }
        observed.leases.insert(0, lease(&in_sync(3), 3));
    }
    assert_eq!(order, [1, 2, 0]);
}
