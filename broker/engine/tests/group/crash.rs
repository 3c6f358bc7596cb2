//! The power is cut at every call of a scripted life that changes the disk.

use std::collections::BTreeSet;

use engine::catalog::Adopt;
use engine::group::{GroupConfig, Received};
use engine::inbox::Ticket;
use engine::writer::Writer;
use store::disk::sim::SimDisk;
use store::log::{Flush, LogConfig};

use crate::harness::{Broker, INVISIBLE_MS, config, group_spec, message, texts, topic_spec};

/// What clients were told.
#[derive(Debug, Default)]
struct Told {
    /// Sends that were answered with success.
    stored: BTreeSet<String>,
    /// Sends that were tried.
    tried: BTreeSet<String>,
    /// Acks that were answered; the record of some may be only in memory or not synced.
    acked: BTreeSet<String>,
    /// Acks whose record was in a batch that was synced.
    acked_for_good: BTreeSet<String>,
    topics: BTreeSet<String>,
}

struct Life {
    broker: Broker,
    told: Told,
    /// Acked since the last step.
    acking: BTreeSet<String>,
    /// With `flush: Async`: written, safe with the next sync.
    unsynced: (BTreeSet<String>, BTreeSet<String>),
}

impl Life {
    /// Steps once; `None`: the log has ended.
    fn step(&mut self) -> Option<()> {
        let writer: &mut Writer = &mut self.broker.writer;
        writer.step(self.broker.now_ms).ok()?;
        Some(())
    }

    fn send(&mut self, count: usize, round: usize) -> Option<()> {
        let texts: Vec<_> = (0..count).map(|n| format!("{round}-{n}")).collect();
        // Padded, so that the script goes through several segments.
        let drafts = texts.iter().map(|text| message(&format!("{text:.<5000}"), 0)).collect();
        self.told.tried.extend(texts.iter().cloned());
        let ticket = self.broker.group.send(&self.broker.topic(), drafts, &self.broker.mailbox).unwrap();
        let acking = std::mem::take(&mut self.acking);
        self.step()?;
        if matches!(ticket.try_outcome(), Some(Ok(_))) {
            self.unsynced.0.extend(texts);
            // They rode in the same batch.
            self.unsynced.1.extend(acking);
            if self.broker.config.log.flush == Flush::Sync {
                self.synced();
            }
        }
        Some(())
    }

    fn synced(&mut self) {
        self.told.stored.append(&mut self.unsynced.0);
        self.told.acked_for_good.append(&mut self.unsynced.1);
    }

    fn apply(&mut self, ticket: Option<Ticket>, name: String) -> Option<()> {
        self.step()?;
        let is_safe = self.broker.config.log.flush == Flush::Sync;
        if is_safe && ticket.is_some_and(|ticket| matches!(ticket.try_outcome(), Some(Ok(_)))) {
            self.told.topics.insert(name);
        }
        Some(())
    }

    fn ack_some(&mut self) {
        let received = self.broker.receive(4);
        for (delivery, text) in received.deliveries.iter().zip(names(&received)).step_by(2) {
            self.broker.group.ack(&delivery.receipt, self.broker.now_ms, &self.broker.mailbox).unwrap();
            self.told.acked.insert(text.clone());
            self.acking.insert(text);
        }
    }

    fn live(&mut self) -> Option<()> {
        for round in 0..24 {
            self.send(1 + round % 3, round)?;
            self.ack_some();
            if round % 4 == 1 {
                let name = format!("topic-{round}");
                let specs = [topic_spec(&name, 2)];
                let group = &self.broker.group;
                let (_, ticket) = group.apply_topics(&specs, Adopt::default(), &self.broker.mailbox).unwrap();
                self.apply(ticket, name)?;
            }
            if round % 5 == 3 {
                self.broker.now_ms += INVISIBLE_MS;
                self.broker.group.checkpoint().ok()?;
                self.synced();
            }
            if round % 6 == 2 {
                self.broker.group.sync().ok()?;
                self.synced();
            }
            if round % 7 == 6 {
                self.broker.group.prepare_segment().ok()?;
            }
        }
        Some(())
    }
}

/// A broker on a disk whose life can begin; attempts never run out.
fn born() -> SimDisk {
    let mut broker = Broker::with_small_segments(2);
    broker.apply_group(&group_spec("billing", 1000));
    broker.disk.clone()
}

fn open(disk: SimDisk, flush: Flush) -> Broker {
    let log = LogConfig { segment_bytes: 64 << 10, flush, ..config().log };
    Broker::open(disk, GroupConfig { log, ..config() })
}

/// Lives until the crash and returns what was told.
fn live_until(disk: &SimDisk, flush: Flush, crash_at: u64) -> Told {
    disk.kill_process();
    let broker = open(disk.clone(), flush);
    disk.crash_at(crash_at);
    let told = Told::default();
    let mut life =
        Life { broker, told, acking: BTreeSet::new(), unsynced: (BTreeSet::new(), BTreeSet::new()) };
    let _ = life.live();
    life.told
}

fn names(received: &Received) -> Vec<String> {
    texts(received).iter().map(|text| text.trim_end_matches('.').to_owned()).collect()
}

fn drain(broker: &Broker) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    loop {
        let received = broker.receive(32);
        if received.deliveries.is_empty() {
            return found;
        }
        assert!(received.corrupt.is_empty());
        for text in names(&received) {
            assert!(found.insert(text), "handed out twice");
        }
    }
}

fn cut_everywhere(flush: Flush) {
    let disk = born();
    let whole = disk.fork();
    let before = {
        whole.kill_process();
        drop(open(whole.clone(), flush));
        whole.mutations()
    };
    let life = disk.fork();
    live_until(&life, flush, 1 << 40);
    let calls = life.mutations() - before;
    assert!(calls > 50, "the script does too little: {calls}");
    for crash_at in 1..=calls {
        let disk = disk.fork();
        let told = live_until(&disk, flush, crash_at);
        disk.power_cut(crash_at);
        check(&told, &mut open(disk, flush), crash_at);
    }
}

fn check(told: &Told, broker: &mut Broker, crash_at: u64) {
    let found = drain(broker);
    let is_lost = |text: &&String| !found.contains(*text) && !told.acked.contains(*text);
    let lost: Vec<_> = told.stored.iter().filter(is_lost).collect();
    assert!(lost.is_empty(), "cut at {crash_at}: lost {lost:?}");
    let again: Vec<_> = told.acked_for_good.intersection(&found).collect();
    assert!(again.is_empty(), "cut at {crash_at}: acked messages came again: {again:?}");
    assert!(found.is_subset(&told.tried), "cut at {crash_at}: made up");
    for topic in &told.topics {
        assert!(broker.group.topic(topic).is_some(), "cut at {crash_at}: topic {topic} is lost");
    }
    // It goes on, and what it now holds is whole.
    broker.send(&["again"]);
    assert_eq!(drain(broker).len(), 1, "cut at {crash_at}");
}

#[test]
fn no_acknowledged_message_is_lost_wherever_the_power_is_cut() {
    cut_everywhere(Flush::Sync);
}

#[test]
fn what_was_synced_is_not_lost_wherever_the_power_is_cut() {
    cut_everywhere(Flush::Async);
}
