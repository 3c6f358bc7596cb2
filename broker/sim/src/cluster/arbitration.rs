//! The arbiter's side of a driver: one question at a time, answers that come late or never. See `peer::driver`.

use crds::group_record::{GroupRecord, Version};
use replica::event::Event;

use super::agenda::{Happening, Ruling, What};
use super::arbiter::{CALL_MAX_MS, Found, Request, Verdict, WAITING_MAX};
use super::network::{Body, Frame};
use super::world::{Cluster, Outcome, Process};

impl Cluster {
    pub(crate) fn request(&mut self, process: &mut Process, request: Request) {
        if process.way.waiting.len() >= WAITING_MAX {
            return;
        }
        process.way.waiting.push_back(request);
        if process.way.asked.is_none() {
            self.plan_for(process, 0, What::Ask);
        }
    }

    /// Sends the next question on its way.
    pub(crate) fn ask_next(&mut self, process: &mut Process) {
        if process.way.asked.is_some() {
            return;
        }
        let Some(request) = process.way.waiting.pop_front() else { return };
        if process.way.was_unreachable
            && let Some(frame) = relayed(&request)
        {
            self.plan_for(process, 0, What::Ruling(Ruling::Relay(frame)));
        }
        process.way.numbers += 1;
        let number = process.way.numbers;
        process.way.asked = Some((number, request.clone(), process.way.latest.clone()));
        self.plan_for(process, CALL_MAX_MS, What::Answer { number, verdict: Verdict::Unknown });
        let machine = &self.machines[process.at];
        let is_lost = machine.lost_arbiter;
        let (at, run) = (process.at, process.run);
        // Now and then a question is under way for longer than anybody waits for the answer.
        let late_ms = if self.random.one_in(12) { self.random.below(2 * CALL_MAX_MS) } else { 0 };
        let ms = 1 + self.random.below(20) + late_ms;
        if is_lost && !(late_ms > 0 && self.random.one_in(2)) {
            let ms = if self.random.one_in(2) { CALL_MAX_MS } else { ms };
            return self.plan_for(process, ms, What::Answer { number, verdict: Verdict::Unknown });
        }
        self.after(
            ms,
            match request {
                Request::Propose { base, record, .. } => Happening::Land { at, run, number, base, record },
                Request::Read { .. } | Request::Renew => Happening::Look { at, run, number },
            },
        );
    }

    /// A proposal arrives, even if its sender has died.
    pub(crate) fn land(
        &mut self,
        at: usize,
        run: u64,
        number: u64,
        base: Version,
        record: &GroupRecord,
    ) -> Result<(), String> {
        let replaced = self.object.swap(base, record);
        self.note(format_args!("arbiter: {} proposes on {} {record:?}: {}", at, base.0, replaced.is_some()));
        let verdict = match (&replaced, self.object.found(0)) {
            (Some(_), Some(found)) => Verdict::Wrote(found),
            (None, Some(found)) => Verdict::Looked(found),
            (_, None) => Verdict::Missing,
        };
        if let Some(replaced) = replaced {
            self.changed();
            self.recorded(&replaced)?;
        }
        self.answer(at, run, number, verdict);
        Ok(())
    }

    pub(crate) fn look(&mut self, at: usize, run: u64, number: u64) {
        let skip = if self.machines[at].sees_old { 1 + self.random.below(3) as usize } else { 0 };
        let verdict = self.object.found(skip).map_or(Verdict::Missing, Verdict::Looked);
        self.answer(at, run, number, verdict);
    }

    fn answer(&mut self, at: usize, run: u64, number: u64, verdict: Verdict) {
        let is_lost = self.machines[at].lost_arbiter || self.random.one_in(self.plan.lost_answer_in);
        if !is_lost {
            let ms = 1 + self.random.below(20);
            self.after(ms, Happening::Run { at, run, what: What::Answer { number, verdict } });
        }
    }

    /// Whoever watches hears of the change, sooner or later.
    pub(crate) fn changed(&mut self) {
        for at in 0..self.machines.len() {
            self.watch(at);
        }
    }

    pub(crate) fn watch(&mut self, at: usize) {
        let late_ms = if self.random.one_in(6) { self.random.below(3000) } else { 0 };
        let ms = 2 + self.random.below(40) + late_ms;
        let machine = &self.machines[at];
        let (Some(process), Some(found), false) =
            (&machine.process, self.object.found(0), machine.lost_arbiter)
        else {
            return;
        };
        let run = process.run;
        self.after(ms, Happening::Run { at, run, what: What::Watch(found) });
    }

    /// The answer to a question, if nobody has given it up.
    pub(crate) fn answered(&mut self, process: &mut Process, number: u64, verdict: Verdict) -> Outcome {
        let Some((_, request, before)) = process.way.asked.take_if(|(asked, ..)| *asked == number) else {
            return Ok(());
        };
        self.plan_for(process, 1, What::Ask);
        let is_unreachable = matches!(verdict, Verdict::Unknown);
        if is_unreachable
            && !process.way.was_unreachable
            && let Some(frame) = relayed(&request)
        {
            self.plan_for(process, 0, What::Ruling(Ruling::Relay(frame)));
        }
        process.way.was_unreachable = is_unreachable;
        let seen = match verdict {
            Verdict::Wrote(found) => Some(process.way.wrote(found)),
            Verdict::Looked(found) => self.looked(process, before.as_ref(), found),
            Verdict::Missing | Verdict::Unknown => None,
        };
        let Some(seen) = seen else { return Ok(()) };
        match request {
            Request::Propose { on_behalf: Some(to), .. } | Request::Read { on_behalf: Some(to) } => {
                self.plan_for(process, 0, What::Ruling(Ruling::SeenFor { to, seen }));
                Ok(())
            }
            Request::Propose { .. } | Request::Read { .. } | Request::Renew => {
                self.process(process, Event::Saw(seen), Body::None)
            }
        }
    }

    fn looked(
        &mut self,
        process: &mut Process,
        before: Option<&Found>,
        found: Found,
    ) -> Option<crds::group_record::Seen> {
        let seen = process.way.looked(before, found);
        if seen.is_none() {
            self.note(format_args!("{} refuses an old state", process.id));
        }
        seen
    }
}

/// The same question to another member; none if it was already somebody else's.
fn relayed(request: &Request) -> Option<Frame> {
    match request {
        Request::Propose { base, record, on_behalf: None } => {
            Some(Frame::Relay { base: *base, record: record.clone() })
        }
        Request::Read { on_behalf: None } => Some(Frame::Ask),
        Request::Propose { .. } | Request::Read { .. } | Request::Renew => None,
    }
}
