//! The questions that a history is asked.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::ops::Range;

use super::{Delivery, History, Key, Outcome, Send};

/// Problems beyond this are counted and not told: they are mostly one problem.
const TOLD_MAX: usize = 20;

/// What a receive lost is delivered within this time: a lease lasts 10 s.
const COMES_AGAIN_MS_MAX: u64 = 20_000;

/// Queue and offset.
type Place = (i32, i64);

/// What `check` found.
#[derive(Debug, Default)]
pub struct Findings {
    /// Promises that were broken, in words.
    pub problems: Vec<String>,
    /// Messages that were acknowledged.
    pub acknowledged: usize,
    /// Tries that ended without an answer, and were tried again under another name.
    pub unknown: usize,
    /// Of these, the ones that were stored all the same: what a consumer sees twice.
    pub stored_without_answer: usize,
    /// Tries that were refused.
    pub refused: usize,
    /// Bodies that were stored more than once, because the client itself tried again.
    pub stored_again: usize,
    /// Deliveries of what had been delivered before, with a reason.
    pub delivered_again: usize,
}

/// Where everything is.
struct Facts<'a> {
    history: &'a History,
    sends: HashMap<Key, &'a Send>,
    /// The stored messages.
    log: BTreeMap<Place, &'a Delivery>,
    places: HashMap<&'a str, Vec<Place>>,
}

pub(super) fn check(history: &History) -> Findings {
    let mut log = BTreeMap::new();
    let mut places: HashMap<&str, Vec<Place>> = HashMap::new();
    for read in &history.log {
        if log.insert(read.place(), read).is_none() {
            places.entry(&read.body).or_default().push(read.place());
        }
    }
    let sends = history.sends.iter().map(|send| (send.key, send)).collect();
    let facts = Facts { history, sends, log, places };
    let mut findings = facts.count();
    let mut problems = Vec::new();
    for ask in [
        Facts::every_acknowledged_message_is_at_its_place,
        Facts::nothing_refused_is_stored,
        Facts::nothing_is_stored_that_nobody_sent,
        Facts::no_place_names_two_messages,
        Facts::no_place_is_empty,
        Facts::nothing_shown_is_taken_back,
        Facts::what_was_sent_later_lies_later,
        Facts::first_deliveries_are_in_order,
        Facts::every_acknowledged_message_is_delivered,
    ] {
        problems.append(&mut ask(&facts));
    }
    let (again, wrong) = facts.deliveries_that_came_again();
    findings.delivered_again = again;
    problems.extend(wrong);
    findings.problems = problems;
    findings
}

impl Facts<'_> {
    fn count(&self) -> Findings {
        let mut findings = Findings::default();
        for send in &self.history.sends {
            let stored = self.places_of(send.key).len();
            match send.outcome {
                Outcome::Acknowledged(_) => findings.acknowledged += 1,
                Outcome::Refused(_) => findings.refused += 1,
                Outcome::Unknown(_) => {
                    findings.unknown += 1;
                    findings.stored_without_answer += usize::from(stored > 0);
                }
            }
            findings.stored_again += stored.saturating_sub(1);
        }
        findings
    }

    fn every_acknowledged_message_is_at_its_place(&self) -> Vec<String> {
        let wrong = self.acknowledged().filter_map(|(send, offset)| {
            let places = self.places_of(send.key);
            match places.as_slice() {
                [] => Some(format!("{} was acknowledged at offset {offset} and is lost", send.key)),
                _ if !places.iter().any(|place| place.1 == offset) => {
                    Some(format!("{} was acknowledged at offset {offset} and lies at {places:?}", send.key))
                }
                [_] => None,
                _ => (!send.may_repeat).then(|| format!("{} is stored more than once: {places:?}", send.key)),
            }
        });
        wrong.collect()
    }

    fn nothing_refused_is_stored(&self) -> Vec<String> {
        let wrong = self.history.sends.iter().filter_map(|send| {
            let Outcome::Refused(why) = &send.outcome else { return None };
            let places = self.places_of(send.key);
            (!places.is_empty()).then(|| format!("{} was refused ({why}) and lies at {places:?}", send.key))
        });
        wrong.collect()
    }

    fn nothing_is_stored_that_nobody_sent(&self) -> Vec<String> {
        let is_ours = |body: &str| body.parse().is_ok_and(|key: Key| self.sends.contains_key(&key));
        let wrong = self.history.log.iter().filter(|read| !is_ours(&read.body));
        wrong.map(|read| format!("{:?} holds `{}`, which nobody sent", read.place(), read.body)).collect()
    }

    fn no_place_names_two_messages(&self) -> Vec<String> {
        let mut names: HashMap<Place, BTreeSet<&str>> = HashMap::new();
        for read in self.history.deliveries.iter().chain(&self.history.log) {
            names.entry(read.place()).or_default().insert(&read.body);
        }
        let wrong = names.into_iter().filter(|(_, bodies)| bodies.len() > 1);
        wrong.map(|(place, bodies)| format!("{place:?} named {bodies:?}")).collect()
    }

    /// Nothing is removed while a test runs, so a missing place was given out and lost.
    fn no_place_is_empty(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut next: HashMap<i32, i64> = HashMap::new();
        for (queue, offset) in self.log.keys() {
            let expected = next.insert(*queue, offset + 1).unwrap_or(0);
            if *offset != expected {
                wrong.push(format!("queue {queue} has nothing from offset {expected} to {offset}"));
            }
        }
        wrong
    }

    fn nothing_shown_is_taken_back(&self) -> Vec<String> {
        let gone =
            self.history.deliveries.iter().filter(|delivery| !self.log.contains_key(&delivery.place()));
        gone.map(|delivery| {
            format!("`{}` was delivered from {:?} and is not stored", delivery.body, delivery.place())
        })
        .collect()
    }

    /// Who had the answer to one before sending another finds them in this order, if they are in one queue.
    fn what_was_sent_later_lies_later(&self) -> Vec<String> {
        let placed = |(send, offset): (&'_ Send, i64)| {
            let place = self.places_of(send.key).into_iter().find(|place| place.1 == offset)?;
            Some((send.span_ms.clone(), place, send.key))
        };
        let mut begun: Vec<_> = self.acknowledged().filter_map(placed).collect();
        let mut ended = begun.clone();
        begun.sort_by_key(|(span_ms, ..)| span_ms.start);
        ended.sort_by_key(|(span_ms, ..)| span_ms.end);
        let mut ended = ended.into_iter().peekable();
        let mut highest: HashMap<i32, (i64, Key)> = HashMap::new();
        let mut wrong = Vec::new();
        for (span_ms, (queue, offset), key) in begun {
            while let Some((_, (queue, offset), key)) = ended.next_if(|before| before.0.end < span_ms.start) {
                let top = highest.entry(queue).or_insert((offset, key));
                *top = (*top).max((offset, key));
            }
            if let Some((before, other)) = highest.get(&queue).filter(|top| top.0 >= offset) {
                wrong.push(format!(
                    "{key} at {offset} was sent after {other} at {before} of queue {queue} was acknowledged"
                ));
            }
        }
        wrong
    }

    fn first_deliveries_are_in_order(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let mut highest: HashMap<i32, (i64, u64)> = HashMap::new();
        let mut wrong = Vec::new();
        for delivery in &self.history.deliveries {
            let (queue, offset) = delivery.place();
            // A second delivery of what the first one lost on its way may come at any time.
            if !seen.insert((queue, offset)) || delivery.attempt > 1 {
                continue;
            }
            let (top, top_ms) = highest.entry(queue).or_insert((-1, 0));
            if offset > *top {
                (*top, *top_ms) = (offset, delivery.at_ms);
            } else if !self.was_lost_before(*top_ms, delivery.at_ms) {
                let (at_ms, lost) = (delivery.at_ms, &self.history.lost_receives_ms);
                wrong.push(format!(
                    "offset {offset} of queue {queue} was delivered first at {at_ms} ms, after offset {top} at {top_ms} ms; \
                     lost receives: {:?}, disturbed: {:?}",
                    lost.iter().rev().find(|lost| lost.start <= *top_ms),
                    self.history.disturbed_ms.iter().rev().find(|range| range.start <= at_ms),
                ));
            }
        }
        wrong
    }

    /// Whether a receive that had begun before `top_ms` was lost, and what it may have held comes again at `at_ms`. A call to a
    /// member that is cut off may arrive when the cut is over: then its lease begins.
    fn was_lost_before(&self, top_ms: u64, at_ms: u64) -> bool {
        let is_reason = |lost: &Range<u64>, disturbed: &Range<u64>| {
            let over_ms = if disturbed.start <= lost.end { lost.end.max(disturbed.end) } else { lost.end };
            disturbed.start <= at_ms && lost.start <= disturbed.end && at_ms < over_ms + COMES_AGAIN_MS_MAX
        };
        let mut held =
            self.history.lost_receives_ms.iter().filter(|lost| lost.start <= top_ms && lost.end <= at_ms);
        held.any(|lost| self.history.disturbed_ms.iter().any(|disturbed| is_reason(lost, disturbed)))
    }

    fn every_acknowledged_message_is_delivered(&self) -> Vec<String> {
        let delivered: BTreeSet<Place> = self.history.deliveries.iter().map(Delivery::place).collect();
        let wrong = self.acknowledged().filter(|(send, _)| {
            let places = self.places_of(send.key);
            !places.is_empty() && !places.iter().any(|place| delivered.contains(place))
        });
        wrong.map(|(send, _)| format!("{} is stored and was never delivered", send.key)).collect()
    }

    /// How many came again with a reason, and those that came without one.
    fn deliveries_that_came_again(&self) -> (usize, Vec<String>) {
        let mut last: HashMap<Place, &Delivery> = HashMap::new();
        let (mut again, mut wrong) = (0, Vec::new());
        for delivery in &self.history.deliveries {
            let Some(before) = last.insert(delivery.place(), delivery) else { continue };
            // Leases that were not agreed on yet go with the leader that granted them.
            let was_disturbed = self
                .history
                .disturbed_ms
                .iter()
                .any(|range| range.start <= delivery.at_ms && before.at_ms <= range.end);
            if delivery.attempt > before.attempt || was_disturbed {
                again += 1;
            } else {
                wrong.push(format!(
                    "{:?} was delivered at {} ms as attempt {} and at {} ms as attempt {}",
                    delivery.place(),
                    before.at_ms,
                    before.attempt,
                    delivery.at_ms,
                    delivery.attempt
                ));
            }
        }
        (again, wrong)
    }

    fn acknowledged(&self) -> impl Iterator<Item = (&Send, i64)> {
        self.history.sends.iter().filter_map(|send| match send.outcome {
            Outcome::Acknowledged(offset) => Some((send, offset)),
            Outcome::Refused(_) | Outcome::Unknown(_) => None,
        })
    }

    fn places_of(&self, key: Key) -> Vec<Place> {
        self.places.get(key.to_string().as_str()).cloned().unwrap_or_default()
    }
}

impl Delivery {
    fn place(&self) -> Place {
        (self.queue, self.offset)
    }
}

impl Findings {
    /// # Panics
    /// If a promise was broken.
    pub fn assert_sound(&self) {
        let told = self.problems.iter().take(TOLD_MAX).map(|problem| format!("\n  {problem}"));
        let told: String = told.collect();
        assert!(self.problems.is_empty(), "{} problems, {self}:{told}", self.problems.len());
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} acknowledged, {} refused, {} without an answer ({} of them stored), {} stored and {} delivered again",
            self.acknowledged,
            self.refused,
            self.unknown,
            self.stored_without_answer,
            self.stored_again,
            self.delivered_again
        )
    }
}
