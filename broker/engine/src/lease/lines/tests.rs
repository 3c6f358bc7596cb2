//! Lines against a model that looks at every message of a lane.

use std::collections::BTreeMap;

use proptest::prelude::*;
use store::index::IndexEntry;
use store::{Epoch, Offset, Position, QueueId};

use crate::lease::{Deliveries, Grant, Receipt, Wish};

const EPOCH: Epoch = Epoch(1);

#[derive(Clone, Debug)]
enum Op {
    Publish(u32),
    Receive { count: usize, again: bool },
    Ack(usize),
    Extend(usize, u64),
    Skip(usize),
    Abandon(usize),
    TakeBack(usize),
    FoldAck(usize),
    Wait(u64),
    Trim(u64),
    Restart,
    Unordered,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    Ready,
    Held { serial: u32, due_ms: u64 },
}

/// The real thing, and what is known of each message.
struct Run {
    real: Deliveries,
    lanes: Vec<u32>,
    fates: Vec<Fate>,
    held: Vec<Receipt>,
    last: Option<u32>,
    now_ms: u64,
}

impl Run {
    fn new() -> Self {
        let real = Deliveries::starting_at(Offset(0));
        Self { real, lanes: Vec::new(), fates: Vec::new(), held: Vec::new(), last: None, now_ms: 1000 }
    }

    fn tail(&self) -> Offset {
        Offset(self.lanes.len() as u64)
    }

    fn wish(&self, count: usize) -> Wish {
        Wish { count, due_ms: self.now_ms + 1000, now_ms: self.now_ms }
    }

    fn expire(&mut self) {
        for fate in &mut self.fates {
            if let Fate::Held { due_ms, .. } = fate
                && *due_ms <= self.now_ms
            {
                *fate = Fate::Ready;
            }
        }
    }

    /// As a receive does: looks lanes up until something is granted or all is seen.
    fn receive(&mut self, count: usize) -> Vec<u64> {
        self.expire();
        self.real.set_ordered(true);
        let mut grants = Vec::new();
        let mut wish = self.wish(count);
        loop {
            let mut found = Vec::new();
            while wish.count > 0 && self.real.grant_in_line(&wish, &mut found) {
                for grant in found.drain(..) {
                    wish.count -= grant.mask.count_ones() as usize;
                    grants.push(grant);
                }
            }
            match self.real.unseen(self.tail()) {
                Some(from) if grants.is_empty() => {
                    let entries: Vec<_> = (from.0..self.tail().0).take(7).map(|at| self.entry(at)).collect();
                    self.real.see(from, &entries);
                }
                Some(_) | None => break,
            }
        }
        let first_of = self.firsts();
        let mut got = Vec::new();
        for grant in &grants {
            self.last = Some(grant.serial);
            got.extend(self.take(grant));
        }
        self.check_order(&got, &first_of, count);
        got
    }

    /// Lanes that nobody holds a message of, with their undone messages in order.
    fn firsts(&self) -> BTreeMap<u32, Vec<u64>> {
        let mut lanes: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        let mut blocked = Vec::new();
        for (offset, (&lane, fate)) in (0..).zip(self.lanes.iter().zip(&self.fates)) {
            match fate {
                Fate::Done => {}
                Fate::Ready => lanes.entry(lane).or_default().push(offset),
                Fate::Held { .. } => blocked.push(lane),
            }
        }
        lanes.retain(|lane, _| !blocked.contains(lane));
        lanes
    }

    fn check_order(&self, got: &[u64], firsts: &BTreeMap<u32, Vec<u64>>, count: usize) {
        let mut by_lane: BTreeMap<u32, Vec<u64>> = BTreeMap::new();
        for &offset in got {
            by_lane.entry(self.lanes[offset as usize]).or_default().push(offset);
        }
        for (lane, offsets) in by_lane {
            let expected = firsts.get(&lane).unwrap_or_else(|| panic!("lane {lane} is blocked"));
            assert_eq!(offsets, expected[..offsets.len()], "lane {lane}: the first ones, in order");
        }
        assert!(got.len() <= count);
        assert!(!got.is_empty() || firsts.is_empty() || count == 0, "nothing although {firsts:?} are free");
    }

    fn take(&mut self, grant: &Grant) -> Vec<u64> {
        let offsets: Vec<u64> =
            (0..64).filter(|bit| grant.mask >> bit & 1 != 0).map(|bit| grant.base.0 + bit).collect();
        for &offset in &offsets {
            assert_eq!(self.fates[offset as usize], Fate::Ready, "offset {offset} was free");
            self.fates[offset as usize] = Fate::Held { serial: grant.serial, due_ms: grant.due_ms };
            self.held.push(Receipt {
                group: 1,
                queue: QueueId(1),
                offset: Offset(offset),
                attempt: grant.attempt,
                serial: grant.serial,
                due_ms: grant.due_ms,
                epoch: EPOCH,
            });
        }
        offsets
    }

    fn entry(&self, at: u64) -> IndexEntry {
        let lane = self.lanes[at as usize];
        let (offset, position) = (Offset(at), Position(at * 64));
        IndexEntry { offset, count: 1, position, bytes: 64, tag_hash: 0, lane, stored_ms: 0 }
    }

    fn receipt(&mut self, at: usize) -> Option<Receipt> {
        if self.held.is_empty() { None } else { Some(self.held.remove(at % self.held.len())) }
    }

    fn is_held(&self, receipt: &Receipt) -> bool {
        let fate = self.fates[receipt.offset.0 as usize];
        matches!(fate, Fate::Held { serial, due_ms } if serial == receipt.serial && due_ms > self.now_ms)
    }

    fn apply(&mut self, op: &Op) {
        match *op {
            Op::Publish(lane) => {
                self.lanes.push(lane);
                self.fates.push(Fate::Ready);
            }
            Op::Receive { count, again: false } => drop(self.receive(count)),
            Op::Receive { count, again: true } => self.receive_again(count),
            Op::Ack(at) => {
                let Some(receipt) = self.receipt(at) else { return };
                let acked = self.real.ack(&receipt, EPOCH, self.tail(), self.now_ms);
                assert_eq!(acked == Ok(true), self.is_held(&receipt), "{receipt:?}: {acked:?}");
                if acked == Ok(true) {
                    self.fates[receipt.offset.0 as usize] = Fate::Done;
                }
            }
            Op::Extend(at, ms) => {
                let Some(receipt) = self.receipt(at) else { return };
                let is_held = self.is_held(&receipt);
                let due_ms = self.now_ms + ms;
                let extended = self.real.extend(&receipt, EPOCH, self.tail(), due_ms, self.now_ms);
                assert_eq!(matches!(extended, Ok(Some(_))), is_held);
                if let Ok(Some(new)) = extended {
                    let fate = Fate::Held { serial: new.serial, due_ms };
                    self.fates[receipt.offset.0 as usize] = if ms == 0 { Fate::Ready } else { fate };
                    self.held.push(new);
                }
            }
            Op::Skip(at) => {
                let Some(receipt) = self.receipt(at).filter(|receipt| self.is_held(receipt)) else { return };
                let lease = self.real.leases[&receipt.serial];
                let mask = 1 << (receipt.offset.0 - lease.base().0);
                let (base, serial) = (lease.base(), receipt.serial);
                self.real.skip(&Grant { base, mask, serial, attempt: 1, due_ms: 0 }, mask);
                self.fates[receipt.offset.0 as usize] = Fate::Done;
            }
            Op::Abandon(at) => self.abandon(at),
            Op::TakeBack(at) => {
                let Some(receipt) = self.receipt(at).filter(|receipt| self.is_held(receipt)) else { return };
                self.real.take_back(&receipt);
                self.fates[receipt.offset.0 as usize] = Fate::Ready;
            }
            Op::FoldAck(at) => {
                if !self.fates.is_empty() {
                    let at = at % self.fates.len();
                    self.real.fold_acks(Offset(at as u64), 1);
                    self.fates[at] = Fate::Done;
                }
            }
            Op::Wait(ms) => self.now_ms += ms,
            Op::Trim(to) => {
                let oldest = to.min(self.tail().0);
                self.real.trim(Offset(oldest));
                self.fates[..oldest as usize].fill(Fate::Done);
            }
            Op::Restart => {
                self.real = Deliveries::restore(&self.real.state(), self.tail());
                self.forget_holders();
            }
            Op::Unordered => {
                // What is held at the change is in no line until it is seen, so it may be overtaken from in front.
                self.now_ms += 10_000;
                self.real.set_ordered(false);
            }
        }
    }

    /// A reply did not arrive.
    fn abandon(&mut self, at: usize) {
        let Some(receipt) = self.receipt(at) else { return };
        let until_ms = self.now_ms + 10;
        self.real.shorten(receipt.serial, until_ms);
        for fate in &mut self.fates {
            if let Fate::Held { serial, due_ms } = fate
                && *serial == receipt.serial
            {
                *due_ms = until_ms.min(*due_ms);
            }
        }
    }

    /// The last try never got its reply.
    fn receive_again(&mut self, count: usize) {
        self.expire();
        let Some(lost) = self.last else { return };
        self.real.take_back_lease(lost, self.now_ms);
        for fate in &mut self.fates {
            if matches!(fate, Fate::Held { serial, .. } if *serial == lost) {
                *fate = Fate::Ready;
            }
        }
        self.receive(count);
    }

    fn forget_holders(&mut self) {
        self.held.clear();
        self.last = None;
        for fate in &mut self.fates {
            if *fate != Fate::Done {
                *fate = Fate::Ready;
            }
        }
    }

    /// Everything that is left comes out, lane by lane in order.
    fn drain(&mut self) {
        self.now_ms += 1_000_000;
        while self.fates.iter().any(|fate| *fate != Fate::Done) {
            let got = self.receive(5);
            assert!(!got.is_empty(), "stuck with {:?}", self.fates);
            while !self.held.is_empty() {
                self.apply(&Op::Ack(0));
            }
        }
    }
}

fn ops() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0..5_u32).prop_map(Op::Publish),
        6 => (1..40_usize, prop::bool::weighted(0.2)).prop_map(|(count, again)| Op::Receive { count, again }),
        5 => any::<usize>().prop_map(Op::Ack),
        2 => (any::<usize>(), prop_oneof![Just(0), 1..3000_u64]).prop_map(|(at, ms)| Op::Extend(at, ms)),
        1 => any::<usize>().prop_map(Op::Skip),
        1 => any::<usize>().prop_map(Op::Abandon),
        1 => any::<usize>().prop_map(Op::TakeBack),
        1 => any::<usize>().prop_map(Op::FoldAck),
        2 => (1..1500_u64).prop_map(Op::Wait),
        1 => (0..50_u64).prop_map(Op::Trim),
        1 => Just(Op::Restart),
        1 => Just(Op::Unordered),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]
    #[test]
    fn a_message_goes_out_when_those_before_it_in_its_lane_are_done(ops in prop::collection::vec(ops(), 1..250)) {
        let mut run = Run::new();
        for op in &ops {
            run.apply(op);
        }
        run.drain();
    }
}

#[test]
fn a_blocked_lane_leaves_the_others_flowing() {
    let mut run = Run::new();
    for number in 0..10_000 {
        run.apply(&Op::Publish(if number % 2 == 0 { 0 } else { number }));
    }
    let stuck = run.receive(1);
    assert_eq!(stuck, [0]);
    let mut got = 0;
    loop {
        let some = run.receive(32);
        if some.is_empty() {
            break;
        }
        got += some.len();
        for _ in 0..some.len() {
            run.apply(&Op::Ack(1));
        }
    }
    assert_eq!(got, 5000, "all lanes but the blocked one");
}
