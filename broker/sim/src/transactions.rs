//! Producers of messages in transactions, and the broker's questions about them.

use engine::catalog::TopicType;
use engine::group::{DecideError, Decision, TransactionId};
use store::Position;
use store::log::{Draft, Kind, Placed};

use crate::event::Event;
use crate::world::{Awaited, World};

/// A message that its producer may decide about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Half {
    check_ms: u64,
    /// Where it was stored, once that is known.
    position: Option<Position>,
}

impl World {
    /// A draft of a transaction.
    pub(crate) fn undecided(&mut self, message: u64, draft: Draft) -> Draft {
        let check_ms = self.now_ms + self.pick(1, 20_000);
        self.halves.insert(message, Half { check_ms, position: None });
        self.invariants.begun(message);
        Draft { kind: Kind::Half, due_ms: check_ms, ..draft }
    }

    /// A producer hears where its message lies, if that is one of a transaction.
    pub(crate) fn stored_half(&mut self, message: u64, placed: &Placed) -> bool {
        let half = self.halves.get_mut(&message);
        half.map(|half| half.position = Some(placed.position)).is_some()
    }

    /// A producer decides, for the first time or once more, the same or otherwise.
    pub(crate) fn decide(&mut self) -> Result<(), String> {
        let stored = self.halves.iter().filter_map(|(message, half)| {
            Some((*message, TransactionId { check_ms: half.check_ms, position: half.position? }))
        });
        let stored: Vec<_> = stored.collect();
        if stored.is_empty() {
            return Ok(());
        }
        let (message, id) = stored[self.pick(0, stored.len() as u64) as usize];
        let decision = if self.random.one_in(3) { Decision::RollBack } else { Decision::Commit };
        self.decide_about(message, id, decision)
    }

    fn decide_about(&mut self, message: u64, id: TransactionId, decision: Decision) -> Result<(), String> {
        let topics: Vec<_> = self.topics.iter().filter(|spec| spec.topic_type == TopicType::Normal).collect();
        for spec in topics {
            let Some(topic) = self.broker.group.topic(&spec.name) else { continue };
            match self.broker.group.decide(&topic, id, decision, self.now_ms, &self.mailbox) {
                // Of the other topic, or taken by a power cut.
                Err(DecideError::NotOpen) => {}
                Err(DecideError::Deciding | DecideError::Submit(_)) => return Ok(()),
                Err(DecideError::Read(error)) => return self.bear(&error),
                Err(DecideError::Decided(earlier)) => {
                    self.trace.note(format_args!("{decision:?} of {message}: it was {earlier:?} before"));
                    return self.invariants.decided_before(message, earlier);
                }
                Ok(ticket) => {
                    self.trace.note(format_args!("{decision:?} of {message}"));
                    self.invariants.deciding(message, decision);
                    self.awaited.push((ticket, Awaited::Decision { message, decision }));
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// A producer hears that its decision is stored.
    pub(crate) fn decided(
        &mut self,
        message: u64,
        decision: Decision,
        placed: &[Placed],
    ) -> Result<(), String> {
        let body = self.halves.get(&message).and_then(|half| half.position);
        let body = body.ok_or_else(|| format!("message {message} was decided and never stored"))?;
        self.tell(Event::Decided { message, decision, body, record: placed.first().map(|p| p.position) })
    }

    /// The broker's round: it asks producers, one of whom may answer.
    pub(crate) fn check_transactions(&mut self) -> Result<(), String> {
        let checks = self.broker.group.due_checks(self.now_ms);
        for error in &checks.unreadable {
            self.bear(error)?;
        }
        for check in checks.due {
            let body = check.record.body();
            let number = body.first_chunk().ok_or("a question is about a body that was never sent")?;
            let message = u64::from_le_bytes(*number);
            self.trace.note(format_args!("question {} about {message}", check.check));
            self.invariants.asked(message)?;
            if self.now_ms < check.id.check_ms {
                return Err(format!("question about {message} at {}, too early", self.now_ms));
            }
            if self.random.one_in(2) {
                self.broker.group.asked(&check);
            }
            if self.random.one_in(3) {
                // Nobody may have heard that it is stored.
                self.halves.entry(message).and_modify(|half| half.position = Some(check.id.position));
                let decision = if self.random.one_in(2) { Decision::RollBack } else { Decision::Commit };
                self.decide_about(message, check.id, decision)?;
            }
        }
        Ok(())
    }
}
