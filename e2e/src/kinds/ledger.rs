//! What was sent and what came, and whether the two fit together.
//!
//! Promise: what is decided here is decided by what clients were told, and by nothing else.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use super::kind::{self, KINDS, Kind};
use super::reader::Reader;

/// Messages of one request.
pub(super) const BATCH: u64 = 16;

/// What has to become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Comes,
    MayCome,
    Never,
}

/// A message.
#[derive(Debug, Clone)]
struct Sent {
    fate: Fate,
    /// Once it is acknowledged.
    receipt: Option<Receipt>,
}

/// What a sender was told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Receipt {
    pub(super) id: String,
    pub(super) offset: i64,
}

/// One delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) reader: Reader,
    /// What the message is known by.
    pub(super) name: String,
    pub(super) queue: i32,
    pub(super) offset: i64,
    /// In milliseconds since 1970.
    pub(super) at_ms: u64,
    /// Its acknowledgement was acknowledged.
    pub(super) is_done: bool,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    sent: BTreeMap<(Kind, String), Sent>,
    arrivals: Vec<Arrival>,
    /// Names of what arrived.
    come: BTreeMap<Reader, BTreeSet<String>>,
    /// Arrivals before the reader at home left.
    before_leaving: usize,
    problems: Vec<String>,
}

impl Ledger {
    /// How many messages a reader got.
    pub(super) fn count(&self, reader: Reader) -> usize {
        self.come.get(&reader).map_or(0, BTreeSet::len)
    }

    /// How many messages of a kind have this fate.
    pub(super) fn fated(&self, kind: Kind, fate: Fate) -> usize {
        self.sent.iter().filter(|((of, _), sent)| *of == kind && sent.fate == fate).count()
    }

    /// Names of the messages that a reader has to get, and did not.
    pub(super) fn owed(&self, reader: Reader) -> Vec<String> {
        let none = BTreeSet::new();
        let come = self.come.get(&reader).unwrap_or(&none);
        // What was sent later than something that came was sent after it had joined.
        let joined = come.iter().map(|name| kind::number(name)).min();
        let is_before =
            |name: &str| reader == Reader::AtHome && joined.is_none_or(|joined| kind::number(name) < joined);
        let owed = self.sent.iter().filter(|((kind, name), sent)| {
            *kind == reader.kind()
                && sent.fate == Fate::Comes
                && reader.wants(name)
                && !come.contains(name)
                && !is_before(name)
        });
        owed.map(|((_, name), _)| name.clone()).collect()
    }

    /// Ids of the first and of the last acknowledged message of a kind that has to come.
    pub(super) fn samples(&self, kind: Kind) -> Vec<String> {
        let comes = self.sent.iter().filter(|((of, _), sent)| *of == kind && sent.fate == Fate::Comes);
        let mut ids = comes.filter_map(|(_, sent)| Some(sent.receipt.as_ref()?.id.clone()));
        ids.next().into_iter().chain(ids.next_back()).collect()
    }

    /// A message is about to be sent.
    pub(super) fn note(&mut self, kind: Kind, name: &str, fate: Fate) {
        self.sent.insert((kind, name.to_owned()), Sent { fate, receipt: None });
    }

    /// A message was acknowledged.
    pub(super) fn acknowledge(&mut self, kind: Kind, name: &str, fate: Fate, receipt: Receipt) {
        self.sent.insert((kind, name.to_owned()), Sent { fate, receipt: Some(receipt) });
    }

    /// Deliveries; they are numbered from the answer on.
    pub(super) fn arrive(&mut self, arrivals: Vec<Arrival>) -> usize {
        let first = self.arrivals.len();
        for Arrival { reader, name, .. } in &arrivals {
            self.come.entry(*reader).or_default().insert(name.clone());
            if reader.kind() == Kind::InBatches {
                self.complete(kind::number(name));
            }
        }
        self.arrivals.extend(arrivals);
        first
    }

    /// A batch is stored as a whole: the others come as well.
    fn complete(&mut self, number: u64) {
        for other in 0..BATCH {
            let name = (number / BATCH * BATCH + other).to_string();
            if let Some(sent) = self.sent.get_mut(&(Kind::InBatches, name))
                && sent.fate == Fate::MayCome
            {
                sent.fate = Fate::Comes;
            }
        }
    }

    /// A delivery is done.
    pub(super) fn done(&mut self, arrival: usize) {
        self.arrivals[arrival].is_done = true;
    }

    /// The reader at home is gone.
    pub(super) fn left(&mut self) {
        self.before_leaving = self.arrivals.len();
    }

    pub(super) fn problem(&mut self, text: String) {
        self.problems.push(text);
    }

    /// Everything that is wrong.
    pub(super) fn problems(&self) -> Vec<String> {
        let mut problems = self.problems.clone();
        for ask in [
            Self::out_of_order,
            Self::too_early,
            Self::unwanted,
            Self::elsewhere,
            Self::done_before,
            Self::lower_first,
        ] {
            problems.extend(ask(self));
        }
        problems
    }

    fn of(&self, reader: Reader) -> impl Iterator<Item = &Arrival> {
        self.arrivals.iter().filter(move |arrival| arrival.reader == reader)
    }

    /// A name is message group and number; what comes again does not count.
    fn out_of_order(&self) -> Vec<String> {
        let mut last: BTreeMap<&str, u64> = BTreeMap::new();
        let mut seen = BTreeSet::new();
        let mut wrong = Vec::new();
        for arrival in self.of(Reader::Of(Kind::InOrder)) {
            let Some((group, number)) = arrival.name.split_once('.') else { continue };
            let number: u64 = number.parse().expect("a number of ours");
            if seen.insert(&arrival.name) {
                let before = last.insert(group, number);
                if before.map_or(number != 0, |before| number != before + 1) {
                    wrong.push(format!("message {number} of group {group} came after {before:?}"));
                }
            }
        }
        wrong
    }

    /// A name is the time and a number.
    fn too_early(&self) -> Vec<String> {
        let early = self.of(Reader::Of(Kind::ForLater)).filter(|arrival| {
            let due = arrival.name.split_once('.').and_then(|(due, _)| due.parse().ok());
            due.is_some_and(|due: u64| arrival.at_ms < due)
        });
        early.map(|arrival| format!("{} came at {}", arrival.name, arrival.at_ms)).collect()
    }

    fn unwanted(&self) -> Vec<String> {
        let unwanted = self.arrivals.iter().filter(|arrival| {
            let sent = self.sent.get(&(arrival.reader.kind(), arrival.name.clone()));
            let may_come = sent.is_some_and(|sent| sent.fate != Fate::Never);
            !may_come || !arrival.reader.wants(&arrival.name)
        });
        unwanted
            .map(|arrival| format!("{:?}: {} came and should not have", arrival.reader, arrival.name))
            .collect()
    }

    /// One place holds one message for ever and for everybody; one that was sent once lies where its receipt says.
    fn elsewhere(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        for kind in KINDS {
            let mut names = BTreeMap::new();
            let mut places = BTreeMap::new();
            for arrival in self.arrivals.iter().filter(|arrival| arrival.reader.kind() == kind) {
                let place = (arrival.queue, arrival.offset);
                let other = *names.entry(place).or_insert(&arrival.name);
                if *other != arrival.name {
                    wrong.push(format!("{kind:?}: {other} and {} at {place:?}", arrival.name));
                }
                let sent = self.sent.get(&(kind, arrival.name.clone()));
                let told = sent.and_then(|sent| sent.receipt.as_ref()).map(|receipt| receipt.offset);
                let first = *places.entry(&arrival.name).or_insert(place);
                if kind.is_sent_once() && (first != place || told.is_some_and(|told| told != place.1)) {
                    wrong.push(format!(
                        "{kind:?}: {} at {place:?} and at {first:?}, told {told:?}",
                        arrival.name
                    ));
                }
            }
        }
        wrong
    }

    /// What the reader at home was done with before it left does not come again.
    fn done_before(&self) -> Vec<String> {
        let (before, after) = self.arrivals.split_at(self.before_leaving);
        let at_home = |arrival: &&Arrival| arrival.reader == Reader::AtHome;
        let done: BTreeSet<_> = before
            .iter()
            .filter(|arrival| at_home(arrival) && arrival.is_done)
            .map(|arrival| &arrival.name)
            .collect();
        let again = after.iter().filter(|arrival| at_home(arrival) && done.contains(&arrival.name));
        again.map(|arrival| format!("{} came again to one that came back", arrival.name)).collect()
    }

    /// Of a backlog the highest level comes first, and of each level what was stored first.
    fn lower_first(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        let firsts: Vec<_> =
            self.of(Reader::Afterwards).filter(|arrival| seen.insert(&arrival.name)).collect();
        let rank = |arrival: &Arrival| {
            (std::cmp::Reverse(kind::level(kind::number(&arrival.name))), arrival.queue, arrival.offset)
        };
        let wrong = firsts.windows(2).filter(|pair| rank(pair[0]) > rank(pair[1]));
        wrong.map(|pair| format!("{:?} came before {:?}", pair[0], pair[1])).collect()
    }
}
