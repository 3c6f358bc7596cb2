//! The brokers that a run of scenarios talks to, and how their leader is killed.
//!
//! ```text
//!   one broker       its address                     kill -9, and another process on the same data
//!   three members    one of theirs, in turn          kill -9 of the leader, which is started again when another leads
//!   Kubernetes       the Service                     the leader's pod is deleted; the StatefulSet makes another
//! ```
//!
//! Promise: an address stays the same, whoever leads.

use std::ops::Range;
use std::time::Duration;

use crate::broker::Broker;
use crate::cluster::copies::Copies;
use crate::cluster::reach::Reach;
use crate::members::Members;
use crate::scenarios::Play;
use crate::traffic::Targets;
use crate::wait;

/// Questions about transactions come soon, and more of them than any scenario needs.
const CHECKS: &str = "transactions: {checkAfterMs: 1000, checkIntervalMs: 1000, maxChecks: 100}\n";
const CHECKS_OF_CLUSTER: &str = ", transactions: {checkAfter: 1s, checkInterval: 1s, maxChecks: 100}";
/// Another leads within this time, or something is wrong.
const LEADS_MAX: Duration = Duration::from_mins(2);
/// The way of the Service has settled when so many connections are answered, which takes two seconds.
const ANSWERS_IN_A_ROW: u32 = 100;
/// What the manifests name exists within this time, or something is wrong.
const APPLIED_MAX: Duration = Duration::from_secs(20);

/// Brokers, wherever they run.
pub struct Site(Brokers);

enum Brokers {
    One(Box<Broker>),
    Members(Members),
    Pods { group: Box<Copies>, copies: usize, reach: Reach },
}

impl Site {
    /// One broker without Kubernetes, with what the plays need.
    pub fn standalone(plays: &[Play]) -> Self {
        Self(Brokers::One(Box::new(Broker::start_configured(&objects(plays, "local"), CHECKS))))
    }

    /// So many copies without Kubernetes.
    pub fn standalone_copies(copies: usize, plays: &[Play]) -> Self {
        let members = Members::start_configured(copies, &objects(plays, "local"), CHECKS);
        let leader = members.leader();
        wait::until("topics and groups exist", APPLIED_MAX, || {
            let log = members.log(leader);
            let exists =
                |play: &Play| log.contains(&format!("kind=\"consumer group\" name=\"{}\"", play.name()));
            plays.iter().all(exists).then_some(())
        });
        Self(Brokers::Members(members))
    }

    /// A broker cluster of so many copies in a namespace of its own.
    pub fn kubernetes(name: &str, copies: usize, plays: &[Play]) -> Self {
        let group = Copies::start_with(name, copies, CHECKS_OF_CLUSTER, &objects(plays, name));
        let reach = group.on(group.place().reach(name));
        Self(Brokers::Pods { group: Box::new(group), copies, reach })
    }

    /// `host:port` for a client with this number.
    pub fn endpoint(&self, client: usize) -> String {
        match &self.0 {
            Brokers::One(broker) => broker.endpoint(),
            Brokers::Members(members) => members.endpoint(client % members.count()),
            Brokers::Pods { reach, .. } => reach.endpoint().to_owned(),
        }
    }

    /// The broker, where there is only one.
    ///
    /// # Panics
    /// Elsewhere.
    pub fn broker(&self) -> &Broker {
        let Brokers::One(broker) = &self.0 else { panic!("there are several brokers") };
        broker
    }

    /// Kills the leader when all copies are in sync, and waits until there is one in a later epoch. Returns the time from
    /// before that until after it, in milliseconds since 1970.
    pub fn strike(&mut self) -> Range<u64> {
        match &mut self.0 {
            Brokers::One(broker) => {
                let began_ms = wait::epoch_ms();
                broker.kill_and_restart();
                began_ms..wait::epoch_ms()
            }
            Brokers::Members(members) => {
                members.converge();
                let leader = members.leader();
                let began_ms = wait::epoch_ms();
                members.kill(leader);
                assert_ne!(members.leader(), leader, "it is dead, and it leads");
                let ended_ms = wait::epoch_ms();
                members.launch(leader);
                began_ms..ended_ms
            }
            Brokers::Pods { group, copies, reach } => {
                group.converge(*copies);
                let epoch = group.record().expect("a record").epoch;
                let leader = group.leader();
                let began_ms = wait::epoch_ms();
                group.delete(leader);
                wait::until("a leader in a later epoch", LEADS_MAX, || {
                    let record = group.record().filter(|record| record.epoch > epoch)?;
                    group.leads(record.leader?.ordinal as usize).then_some(())
                });
                // Programs that start next are not to find the way of the Service still changing.
                let mut in_a_row = 0;
                wait::until("the Service answers again and again", LEADS_MAX, || {
                    in_a_row = if reach.answers() { in_a_row + 1 } else { 0 };
                    (in_a_row >= ANSWERS_IN_A_ROW).then_some(())
                });
                began_ms..wait::epoch_ms()
            }
        }
    }

    /// Removes what would stay.
    pub fn remove(self) {
        if let Brokers::Pods { group, reach, .. } = self.0 {
            drop(reach);
            group.remove();
        }
    }
}

fn objects(plays: &[Play], cluster: &str) -> String {
    let mut yaml = String::new();
    for play in plays {
        play.objects(&mut yaml, cluster);
    }
    yaml
}
