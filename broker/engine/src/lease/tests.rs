//! Leases against a model that keeps one state per offset and searches them all.

mod model;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use store::{Epoch, Offset, QueueId};

use super::{Deliveries, Grant, LeaseError, Receipt, Wish};
use model::{Fate, Model};

fn wish(count: usize, due_ms: u64, now_ms: u64) -> Wish {
    Wish { count, due_ms, now_ms }
}

#[derive(Clone, Debug)]
enum Op {
    Send(u64),
    Receive { count: usize, invisible_ms: u64, skip: u64, release: u64 },
    Ack(prop::sample::Index),
    Extend(prop::sample::Index, u64),
    Renew(prop::sample::Index, u64),
    DeadLetter(prop::sample::Index),
    Pass(u64),
    Trim(u64),
    Move(prop::sample::Index),
    Restart,
}

fn op() -> impl Strategy<Value = Op> {
    let sparse = prop_oneof![3 => Just(0), 1 => any::<u64>()];
    let receive = (1..70_usize, 1..30_u64, sparse.clone(), sparse);
    prop_oneof![
        3 => (1..100_u64).prop_map(Op::Send),
        6 => receive.prop_map(|(count, invisible_ms, skip, release)| Op::Receive { count, invisible_ms, skip, release }),
        8 => any::<prop::sample::Index>().prop_map(Op::Ack),
        3 => (any::<prop::sample::Index>(), 0..30_u64).prop_map(|(receipt, ms)| Op::Extend(receipt, ms)),
        2 => (any::<prop::sample::Index>(), 0..60_u64).prop_map(|(receipt, ms)| Op::Renew(receipt, ms)),
        1 => any::<prop::sample::Index>().prop_map(Op::DeadLetter),
        4 => (0..20_u64).prop_map(Op::Pass),
        1 => (0..40_u64).prop_map(Op::Trim),
        1 => any::<prop::sample::Index>().prop_map(Op::Move),
        1 => Just(Op::Restart),
    ]
}

/// A record as the log would hold it.
#[derive(Clone, Copy, Debug)]
enum Logged {
    Acks(Offset, u64),
    Attempts(Offset, u64, u16),
    Move(Offset, Epoch),
}

#[derive(Debug)]
struct Run {
    real: Deliveries,
    model: Model,
    log: Vec<Logged>,
    receipts: Vec<Receipt>,
    oldest: u64,
    tail: u64,
    now_ms: u64,
    epoch: Epoch,
}

impl Run {
    fn new() -> Self {
        let (real, model) = (Deliveries::default(), Model::default());
        let (log, receipts) = (Vec::new(), Vec::new());
        Self { real, model, log, receipts, oldest: 0, tail: 0, now_ms: 0, epoch: Epoch(1) }
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Send(count) => self.tail += count,
            Op::Pass(ms) => self.now_ms += ms,
            Op::Receive { count, invisible_ms, skip, release } => {
                self.receive(count, invisible_ms, skip, release);
            }
            Op::Ack(index) => self.with_receipt(index, Self::ack),
            Op::Extend(index, ms) => self.with_receipt(index, |run, receipt| _ = run.extend(receipt, ms)),
            Op::Renew(index, ms) => self.with_receipt(index, |run, receipt| run.renew(receipt, ms)),
            Op::DeadLetter(index) => self.with_receipt(index, Self::dead_letter),
            Op::Trim(count) => self.trim((self.oldest + count).min(self.tail)),
            Op::Move(index) => {
                self.move_to(self.oldest + index.index((self.tail - self.oldest) as usize + 1) as u64);
            }
            Op::Restart => self.restart(),
        }
    }

    fn with_receipt(&mut self, index: prop::sample::Index, act: impl FnOnce(&mut Self, Receipt)) {
        if !self.receipts.is_empty() {
            act(self, *index.get(&self.receipts));
        }
    }

    fn receive(&mut self, count: usize, invisible_ms: u64, skip: u64, release: u64) {
        let due_ms = self.now_ms + invisible_ms;
        let grant = self.real.grant(&Wish { count, due_ms, now_ms: self.now_ms }, Offset(self.tail));
        self.model.expire(self.now_ms);
        let was_ready: BTreeSet<_> = (0_u64..)
            .zip(&self.model.fates)
            .filter(|(_, fate)| matches!(fate, Fate::Ready { .. }))
            .map(|(offset, _)| offset)
            .collect();
        let Some(grant) = grant else {
            assert!(was_ready.is_empty(), "ready ones were not offered");
            assert_eq!(self.model.fates.len() as u64, self.tail, "new ones were not offered");
            return;
        };
        let offsets: Vec<_> = super::mask::offsets(grant.base, grant.mask).map(|offset| offset.0).collect();
        assert!(!offsets.is_empty() && offsets.len() <= count);
        if let Some(first) = was_ready.first() {
            assert!(offsets.iter().all(|offset| was_ready.contains(offset)));
            assert!(offsets[0] / 64 == first / 64, "the oldest block comes first");
        } else {
            let next = self.model.fates.len() as u64;
            assert_eq!(offsets, (next..next + offsets.len() as u64).collect::<Vec<_>>());
            assert_eq!(offsets.len(), count.min(64).min((self.tail - next) as usize));
            self.model.fates.resize((next as usize) + offsets.len(), Fate::Ready { attempts: 0 });
        }
        for offset in &offsets {
            let fate = &mut self.model.fates[*offset as usize];
            assert_eq!(*fate, Fate::Ready { attempts: grant.attempt - 1 });
            *fate = Fate::Held { serial: grant.serial, due_ms, attempt: grant.attempt };
        }
        self.settle(&grant, grant.mask & skip, grant.mask & release & !skip);
    }

    fn settle(&mut self, grant: &Grant, skipped: u64, released: u64) {
        self.real.skip(grant, skipped);
        self.real.release(grant, released);
        for offset in super::mask::offsets(grant.base, skipped) {
            self.model.fates[offset.0 as usize] = Fate::Done;
        }
        for offset in super::mask::offsets(grant.base, released) {
            self.model.fates[offset.0 as usize] = Fate::Ready { attempts: grant.attempt - 1 };
        }
        if skipped != 0 {
            self.log.push(Logged::Acks(grant.base, skipped));
        }
        let delivered = grant.mask & !skipped & !released;
        if grant.attempt >= 2 && delivered != 0 {
            self.log.push(Logged::Attempts(grant.base, delivered, grant.attempt));
        }
        for offset in super::mask::offsets(grant.base, delivered) {
            self.receipts.push(Receipt {
                group: 1,
                queue: QueueId(1),
                offset,
                attempt: grant.attempt,
                serial: grant.serial,
                due_ms: grant.due_ms,
                epoch: self.epoch,
            });
        }
    }

    fn grow_model(&mut self, receipt: &Receipt) {
        let len = self.model.fates.len().max(receipt.offset.0 as usize + 1);
        self.model.fates.resize(len, Fate::Ready { attempts: 0 });
    }

    fn ack(&mut self, receipt: Receipt) {
        let claim = self.model.claim(&receipt, self.epoch, self.tail, self.now_ms);
        let outcome = self.real.ack(&receipt, self.epoch, Offset(self.tail), self.now_ms);
        assert_eq!(outcome, claim.map(|fate| fate != Fate::Done));
        if outcome == Ok(true) {
            self.grow_model(&receipt);
            self.model.fates[receipt.offset.0 as usize] = Fate::Done;
            self.log.push(Logged::Acks(receipt.offset, 1));
        }
    }

    fn extend(&mut self, receipt: Receipt, ms: u64) -> Option<Receipt> {
        let claim = self.model.claim(&receipt, self.epoch, self.tail, self.now_ms);
        let (epoch, tail, due_ms) = (self.epoch, Offset(self.tail), self.now_ms + ms);
        let outcome = self.real.extend(&receipt, epoch, tail, due_ms, self.now_ms);
        let attempt = match claim {
            Err(error) => {
                assert_eq!(outcome, Err(error));
                return None;
            }
            Ok(Fate::Done) => {
                assert_eq!(outcome, Ok(None));
                return None;
            }
            Ok(Fate::Ready { attempts }) => attempts.max(receipt.attempt),
            Ok(Fate::Held { attempt, .. }) => attempt,
        };
        let new = outcome.unwrap().unwrap();
        assert_eq!((new.attempt, new.due_ms, new.epoch), (attempt, due_ms, epoch));
        self.grow_model(&receipt);
        self.model.fates[receipt.offset.0 as usize] = if ms > 0 {
            Fate::Held { serial: new.serial, due_ms, attempt }
        } else {
            Fate::Ready { attempts: attempt }
        };
        if attempt >= 2 {
            // It was recorded when it was handed out; the record may have been of an earlier epoch.
            self.log.push(Logged::Attempts(receipt.offset, 1, attempt));
        }
        self.receipts.push(new);
        Some(new)
    }

    fn renew(&mut self, receipt: Receipt, ms: u64) {
        let claim = self.model.claim(&receipt, self.epoch, self.tail, self.now_ms);
        let until_ms = self.now_ms + ms;
        let outcome = self.real.renew(&receipt, self.epoch, Offset(self.tail), until_ms, self.now_ms);
        let expected = claim.and_then(|fate| match fate {
            Fate::Ready { .. } => Err(LeaseError::Superseded),
            Fate::Held { .. } => Ok(true),
            Fate::Done => Ok(false),
        });
        assert_eq!(outcome, expected);
        if let Ok(Fate::Held { serial: renewed, .. }) = claim {
            for fate in &mut self.model.fates {
                if let Fate::Held { serial, due_ms, .. } = fate
                    && *serial == renewed
                {
                    *due_ms = until_ms.max(*due_ms);
                }
            }
        }
    }

    fn dead_letter(&mut self, receipt: Receipt) {
        if let Some(receipt) = self.extend(receipt, 25) {
            self.real.set_aside(receipt.offset, receipt.serial, std::sync::Weak::new());
            self.real.fold_acks(receipt.offset, 1);
            self.model.fates[receipt.offset.0 as usize] = Fate::Done;
            self.log.push(Logged::Acks(receipt.offset, 1));
        }
    }

    fn trim(&mut self, oldest: u64) {
        self.oldest = oldest;
        self.real.trim(Offset(oldest));
        let len = self.model.fates.len().max(oldest as usize);
        self.model.fates.resize(len, Fate::Done);
        self.model.fates[..oldest as usize].fill(Fate::Done);
    }

    fn move_to(&mut self, to: u64) {
        self.real.move_to(Offset(to), self.epoch);
        self.model.move_to(to, self.epoch);
        self.log.push(Logged::Move(Offset(to), self.epoch));
    }

    fn restart(&mut self) {
        let mut replayed = Deliveries::starting_at(Offset(0));
        for logged in &self.log {
            match *logged {
                Logged::Acks(base, mask) => replayed.fold_acks(base, mask),
                Logged::Attempts(base, mask, attempt) => replayed.fold_attempts(base, mask, attempt),
                Logged::Move(to, epoch) => replayed.move_to(to, epoch),
            }
        }
        replayed.trim(Offset(self.oldest));
        let state = self.real.state();
        assert_eq!(replayed.state(), state, "a replay of the records tells another state");
        self.real = Deliveries::restore(&state, Offset(self.tail));
        self.model.restart();
        self.epoch.0 += 1;
    }

    fn check(&self) {
        let mut dues = BTreeMap::new();
        let mut undone = 0;
        for fate in &self.model.fates {
            undone += u64::from(*fate != Fate::Done);
            if let Fate::Held { due_ms, .. } = fate {
                *dues.entry(*due_ms).or_insert(0_u64) += 1;
            }
        }
        assert_eq!(self.real.next(), Offset(self.model.fates.len() as u64));
        assert_eq!(self.real.floor(), Offset(self.model.floor()));
        assert_eq!(self.real.undone(), undone);
        assert_eq!(self.real.held(), dues.values().sum::<u64>());
        assert_eq!(self.real.next_due_ms(), dues.keys().next().copied());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn deliveries_agree_with_a_model_that_searches(ops in prop::collection::vec(op(), 1..80)) {
        let mut run = Run::new();
        for op in &ops {
            run.apply(op);
            run.check();
        }
    }
}

fn receipt(grant: &Grant) -> Receipt {
    Receipt {
        group: 1,
        queue: QueueId(1),
        offset: grant.base,
        attempt: grant.attempt,
        serial: grant.serial,
        due_ms: grant.due_ms,
        epoch: Epoch(1),
    }
}

#[test]
fn a_superseded_receipt_is_refused_and_the_redelivery_is_acked() {
    let (epoch, tail) = (Epoch(1), Offset(1));
    let mut deliveries = Deliveries::default();
    let a = receipt(&deliveries.grant(&wish(1, 30_000, 0), tail).unwrap());
    let b = deliveries.extend(&a, epoch, tail, 5_000, 0).unwrap().unwrap();
    assert_eq!(deliveries.ack(&a, epoch, tail, 1_000), Err(LeaseError::Superseded));
    assert_eq!(deliveries.grant(&wish(1, 35_000, 4_999), tail), None);
    let again = deliveries.grant(&wish(1, 35_000, 5_000), tail).map(|grant| (grant.attempt, receipt(&grant)));
    let (attempt, c) = again.unwrap();
    assert_eq!(attempt, 2);
    assert_eq!(deliveries.ack(&b, epoch, tail, 5_001), Err(LeaseError::Expired));
    assert_eq!(deliveries.ack(&c, epoch, tail, 5_001), Ok(true));
    assert_eq!(deliveries.ack(&c, epoch, tail, 5_002), Ok(false));
    assert_eq!(deliveries.floor(), Offset(1));
}

#[test]
fn a_million_in_flight_in_batches_costs_few_entries() {
    let mut deliveries = Deliveries::default();
    let tail = Offset(1 << 20);
    let mut leases = 0;
    while deliveries.grant(&wish(32, 60_000, 0), tail).is_some() {
        leases += 1;
    }
    assert_eq!(leases, (1 << 20) / 32);
    assert_eq!(deliveries.open.len(), (1 << 20) / 64);
}
