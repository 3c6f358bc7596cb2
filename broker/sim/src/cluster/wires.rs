//! Connections at work: dialled, written to, read from, broken. See `peer::mesh`.

use crds::group_record::MemberId;
use replica::event::Message;

use super::agenda::{Happening, What};
use super::network::{Body, Conn, Frame, Order, Ship};
use super::world::{Cluster, Process};

/// Between two tries to connect.
const PAUSE_MS: u64 = 100;

impl Cluster {
    pub(crate) fn send(&mut self, process: &Process, to: MemberId, frame: Frame) {
        self.order(process, to, Order::Send(frame));
    }

    pub(crate) fn order(&mut self, process: &Process, to: MemberId, order: Order) {
        let Some(&conn) = process.links.get(&to) else { return };
        if let Some(open) = self.network.conns.get_mut(&conn).filter(|open| open.is_open) {
            open.orders.push_back(order);
            self.call_wire(conn);
        }
    }

    /// Tries to connect, unless it is connected.
    pub(crate) fn dial(&mut self, process: &mut Process, to: usize) {
        let from = process.at;
        if self.network.open[from][to].is_some() {
            return;
        }
        let wait_ms = PAUSE_MS + self.random.below(20);
        let is_cut = self.network.cut[from][to] || self.network.cut[to][from];
        let machine = &self.machines[to];
        if is_cut || machine.paused_until_ms > self.now_ms {
            return self.plan_for(process, wait_ms, What::Dial { to });
        }
        let Some(peer) = &machine.process else {
            // A machine without power refuses nothing.
            if !self.machines[to].stays_down {
                self.plan_for(process, 1, What::Refused { ordinal: to as u32 });
            }
            return self.plan_for(process, wait_ms, What::Dial { to });
        };
        let conn = Conn {
            from,
            from_run: process.run,
            member: process.id,
            to,
            to_run: peer.run,
            to_member: peer.id,
            orders: std::collections::VecDeque::new(),
            ship: None,
            on_way: std::collections::VecDeque::new(),
            is_called: false,
            is_open: true,
            until_ms: None,
            stalled_since: None,
        };
        let (member, run) = (peer.id, peer.run);
        let conn = self.network.connect(conn);
        let ms = self.network.delay_ms;
        self.after(ms, Happening::Run { at: to, run, what: What::Down { member: process.id } });
        self.plan_for(process, ms, What::Up { member, conn });
    }

    /// The writer of a connection has a turn.
    pub(crate) fn wire(&mut self, conn: u64) {
        let Some(open) = self.network.conns.get_mut(&conn).filter(|open| open.is_open) else { return };
        let (from, run) = (open.from, open.from_run);
        let paused_until_ms = self.machines[from].paused_until_ms;
        if paused_until_ms > self.now_ms {
            self.agenda.push(paused_until_ms, Happening::Wire { conn });
            return;
        }
        open.is_called = false;
        for order in std::mem::take(&mut open.orders) {
            match order {
                Order::Send(frame) => self.transmit(conn, frame),
                Order::Stream(ship) => self.load(conn, Some(ship)),
                Order::Halt => self.load(conn, None),
            }
        }
        while self.machines[from].process.as_ref().is_some_and(|process| process.run == run) {
            match self.ship(conn) {
                Ok(true) => {}
                Ok(false) => break,
                Err(why) => {
                    self.note(format_args!("connection {conn} {from}: {why}"));
                    self.break_conn(conn, false);
                    break;
                }
            }
        }
    }

    fn load(&mut self, conn: u64, ship: Option<Ship>) {
        if let Some(open) = self.network.conns.get_mut(&conn) {
            open.ship = ship;
        }
    }

    /// Sends the next part of the log; false if there is none, or enough is on the way.
    fn ship(&mut self, conn: u64) -> Result<bool, String> {
        let chunk_bytes = 1 + self.random.below(self.network.chunk_bytes as u64) as usize;
        let Some(open) = self.network.conns.get_mut(&conn) else { return Ok(false) };
        let Some(process) = &self.machines[open.from].process else { return Ok(false) };
        let (Some(ship), Some(reader)) = (&mut open.ship, &process.freight.reader) else { return Ok(false) };
        let (from, to) = (ship.at, reader.written());
        if from >= to || open.on_way.len() >= self.network.window {
            return Ok(false);
        }
        let mut bytes = Vec::new();
        let read = reader.read_raw(from, to, chunk_bytes, &mut bytes).map_err(|error| error.to_string())?;
        let Some(head) = read else { return Ok(false) };
        let (epoch, session, committed) = (ship.epoch, ship.session, process.freight.committed);
        ship.at = head.end;
        let message = Message::Append { epoch, session, from, committed };
        let body = Body::Span { segment: head.segment, start: head.start, end: head.end, bytes };
        self.transmit(conn, Frame::Message { message, body });
        Ok(true)
    }

    /// Puts a frame on the wire.
    fn transmit(&mut self, conn: u64, frame: Frame) {
        let delay_ms = 1 + self.random.below(2 * self.network.delay_ms);
        let Some(open) = self.network.conns.get_mut(&conn) else { return };
        let earliest_ms = open.on_way.back().map_or(0, |(at_ms, _)| *at_ms);
        let at_ms = (self.now_ms + delay_ms).max(earliest_ms);
        open.on_way.push_back((at_ms, frame));
        if self.network.is_wild && self.random.one_in(20) {
            let other = self.random.below(open.on_way.len() as u64) as usize;
            if self.random.one_in(2) {
                let (one_ms, last_ms) = (open.on_way[other].0, at_ms);
                let last = open.on_way.len() - 1;
                open.on_way.swap(other, last);
                (open.on_way[other].0, open.on_way[last].0) = (one_ms, last_ms);
            } else {
                let again = open.on_way[other].1.clone();
                open.on_way.push_back((at_ms, again));
                self.agenda.push(at_ms, Happening::Arrive { conn });
            }
        }
        self.agenda.push(at_ms, Happening::Arrive { conn });
    }

    /// What has come out at the other end is read.
    pub(crate) fn arrive(&mut self, conn: u64) -> Result<(), String> {
        let now_ms = self.now_ms;
        let give_up_ms = 2 * self.timing.peer_timeout_ms;
        let Some(open) = self.network.conns.get_mut(&conn) else { return Ok(()) };
        let (to, to_run, from) = (open.to, open.to_run, open.from);
        if open.until_ms.is_some_and(|until_ms| until_ms < now_ms) {
            self.network.conns.remove(&conn);
            return Ok(());
        }
        let paused_until_ms = self.machines[to].paused_until_ms;
        if paused_until_ms > now_ms {
            self.agenda.push(paused_until_ms, Happening::Arrive { conn });
            return Ok(());
        }
        let is_deaf = self.network.cut[to][from];
        if self.network.cut[from][to] || is_deaf {
            let since_ms = *open.stalled_since.get_or_insert(now_ms);
            if now_ms - since_ms > give_up_ms {
                self.break_conn(conn, true);
                return Ok(());
            }
            if !is_deaf || self.network.cut[from][to] {
                self.after(20, Happening::Arrive { conn });
                return Ok(());
            }
        } else {
            open.stalled_since = None;
        }
        let Some((at_ms, _)) = open.on_way.front() else { return Ok(()) };
        if *at_ms > now_ms {
            let at_ms = *at_ms;
            self.agenda.push(at_ms, Happening::Arrive { conn });
            return Ok(());
        }
        let (member, to_member) = (open.member, open.to_member);
        let Some((_, frame)) = open.on_way.pop_front() else { return Ok(()) };
        if open.is_open && open.ship.is_some() {
            self.call_wire(conn);
        }
        if self.trace.is_silent() {
            return self.with_process(to, to_run, |world, process| world.frame(process, member, frame));
        }
        self.note(format_args!("{to_member} <- {member} {frame:?}"));
        self.with_process(to, to_run, |world, process| world.frame(process, member, frame))
    }

    /// A connection breaks; a part of what is on the way may still arrive, the ends hear of it sooner or later.
    pub(crate) fn break_conn(&mut self, conn: u64, is_silent: bool) {
        let now_ms = self.now_ms;
        let spread_ms = 2 * self.network.delay_ms + 1;
        let lasts_ms = if self.random.one_in(4) { 4 * spread_ms } else { self.random.below(spread_ms) };
        let Some(open) = self.network.conns.get_mut(&conn).filter(|open| open.is_open) else { return };
        open.is_open = false;
        open.until_ms = Some(now_ms + lasts_ms);
        let (from, to, from_run, to_run) = (open.from, open.to, open.from_run, open.to_run);
        let (member, to_member) = (open.member, open.to_member);
        if self.network.open[from][to] == Some(conn) {
            self.network.open[from][to] = None;
        }
        let sooner_ms = self.random.below(10);
        self.after(
            sooner_ms,
            Happening::Run { at: from, run: from_run, what: What::Down { member: to_member } },
        );
        self.after(sooner_ms + PAUSE_MS, Happening::Run { at: from, run: from_run, what: What::Dial { to } });
        if !is_silent {
            self.after(lasts_ms + 1, Happening::Run { at: to, run: to_run, what: What::Down { member } });
        }
    }

    /// All connections of a process end with it.
    pub(crate) fn hang_up(&mut self, at: usize) {
        let conns = self.network.conns.iter();
        let own = conns.filter(|(_, open)| open.is_open && (open.from == at || open.to == at));
        let own: Vec<u64> = own.map(|(conn, _)| *conn).collect();
        for conn in own {
            self.break_conn(conn, false);
        }
    }
}
