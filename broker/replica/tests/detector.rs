//! When a member tries: silence, stalls, hand-overs.

use std::collections::BTreeSet;

use crds::group_record::{Cause, FORMAT, GroupRecord, GroupRequest, MemberId, Seen, Version};
use replica::detector::{Detector, Timing};
use replica::event::{Beat, Effect, End, Event, Message, OnDisk, Vow};
use replica::history::{EpochStart, History};
use replica::member::{Member, Settings};
use store::{Epoch, Position};

const TIMING: Timing = Timing { peer_timeout_ms: 1500, ack_stall_ms: 1000 };

fn id(ordinal: u32) -> MemberId {
    MemberId { ordinal, store: 7 }
}

fn record(leader: u32, in_sync: &[u32]) -> GroupRecord {
    GroupRecord {
        format: FORMAT,
        revision: 5,
        epoch: 3,
        leader: Some(id(leader)),
        in_sync: in_sync.iter().copied().map(id).collect(),
        members: [0, 1, 2].map(id).into(),
        min_in_sync: 1,
        ..GroupRecord::default()
    }
}

fn seen(record: GroupRecord) -> Event {
    let request = GroupRequest { copies: 3, ..GroupRequest::default() };
    Event::Saw(Seen { version: Version(9), record, request })
}

fn on_disk() -> OnDisk {
    let epochs = vec![EpochStart { epoch: Epoch(3), start: Position(0) }];
    let end = Position(100);
    OnDisk { history: History { epochs, written: end }, durable: end, head: Position(0), committed: end }
}

fn beat(leads: Option<u32>, hears: Option<u32>) -> Beat {
    Beat {
        promised: Epoch(3),
        leads: leads.map(Epoch),
        hears: hears.map(id),
        is_leaving: false,
        is_dirty: false,
        last_epoch: Epoch(3),
        written: Position(100),
        committed: Position(100),
    }
}

fn from(ordinal: u32, beat: Beat) -> Event {
    Event::Received { from: id(ordinal), message: Message::Beat(beat) }
}

/// A member that knows the record and what is on its disk.
fn member(ordinal: u32, record: GroupRecord) -> Member {
    let vow = Vow { promised: Epoch(3), revision: 5, ..Vow::default() };
    let mut member = Member::new(id(ordinal), Settings::default(), vow, Some(on_disk()), 1);
    member.on_event(seen(record));
    member
}

/// When the first event that `wanted` names comes, looking every 10 ms from 0 on.
fn first(detector: &mut Detector, member: &Member, wanted: fn(&Event) -> bool) -> Option<u64> {
    (0..1000).map(|tick| tick * 10).find(|&now_ms| detector.tick(member, now_ms).iter().any(wanted))
}

fn is_campaign(event: &Event) -> bool {
    matches!(event, Event::Campaign { .. })
}

#[test]
fn a_silent_leader_is_replaced_after_the_timeout_and_by_the_better_member_first() {
    for (ordinal, after_ms) in [(1, 1500), (2, 1650)] {
        let mut member = member(ordinal, record(0, &[0, 1, 2]));
        member.on_event(from(0, beat(Some(3), None)));
        let other = 3 - ordinal;
        member.on_event(from(other, beat(None, None)));
        let mut detector = Detector::new(TIMING, 0);
        detector.heard(id(0), 0);
        // The other follower goes on beating all the time.
        let stood = (0..1000).map(|tick| tick * 10).find(|&now_ms| {
            detector.heard(id(other), now_ms);
            detector.tick(&member, now_ms).iter().any(is_campaign)
        });
        assert_eq!(stood, Some(after_ms), "member {ordinal}");
    }
}

#[test]
fn a_leader_whose_process_is_gone_is_replaced_at_once() {
    let mut member = member(1, record(0, &[0, 1]));
    member.on_event(from(0, beat(Some(3), None)));
    let mut detector = Detector::new(TIMING, 0);
    detector.heard(id(0), 0);
    detector.refused(0, 20);
    assert_eq!(first(&mut detector, &member, is_campaign), Some(0));
}

#[test]
fn a_leader_that_another_member_hears_is_given_more_time() {
    let mut member = member(1, record(0, &[0, 1, 2]));
    member.on_event(from(0, beat(Some(3), None)));
    member.on_event(from(2, beat(None, Some(0))));
    let mut detector = Detector::new(TIMING, 0);
    detector.heard(id(0), 0);
    let stood = (0..1000).map(|tick| tick * 10).find(|&now_ms| {
        detector.heard(id(2), now_ms);
        detector.tick(&member, now_ms).iter().any(is_campaign)
    });
    assert_eq!(stood, Some(4500));
}

#[test]
fn nobody_stands_who_is_not_in_sync_or_hears_the_leader() {
    let mut learner = member(2, record(0, &[0, 1]));
    learner.on_event(from(0, beat(Some(3), None)));
    assert_eq!(first(&mut Detector::new(TIMING, 0), &learner, is_campaign), None);
    let mut follower = member(1, record(0, &[0, 1]));
    follower.on_event(from(0, beat(Some(3), None)));
    let mut detector = Detector::new(TIMING, 0);
    let stood = (0..1000).map(|tick| tick * 10).find(|&now_ms| {
        detector.heard(id(0), now_ms);
        detector.tick(&follower, now_ms).iter().any(is_campaign)
    });
    assert_eq!(stood, None);
}

#[test]
fn a_leader_that_was_restarted_stands_again_once_the_others_are_there() {
    let member = member(0, record(0, &[0, 1]));
    let mut detector = Detector::new(TIMING, 0);
    assert_eq!(first(&mut detector, &member, is_campaign), Some(600), "nobody else is there");
    let mut detector = Detector::new(TIMING, 0);
    detector.heard(id(1), 0);
    assert_eq!(first(&mut detector, &member, is_campaign), Some(0));
}

/// Wins an election and leads; 1 is in sync and has acknowledged all.
fn leader() -> Member {
    let mut member = member(0, record(0, &[0, 1]));
    let alive = BTreeSet::from([id(1)]);
    let effects = member.on_event(Event::Campaign { alive, cause: Cause::Started });
    let Some(Effect::Cas { record, .. }) = effects.last() else { panic!("{effects:?}") };
    let request = GroupRequest { copies: 3, ..GroupRequest::default() };
    member.on_event(Event::Saw(Seen { version: Version(10), record: (**record).clone(), request }));
    let end = Position(110);
    member.on_event(Event::Began { start: Position(100), written: end, durable: end });
    member
}

#[test]
fn a_member_that_does_not_acknowledge_is_stalled_until_it_does() {
    let mut member = leader();
    let mut detector = Detector::new(TIMING, 0);
    let stalled = |event: &Event| matches!(event, Event::Stalled(stalled) if stalled.contains(&id(1)));
    assert_eq!(first(&mut detector, &member, stalled), Some(1000));
    let mut refused = Detector::new(TIMING, 0);
    refused.refused(1, 0);
    assert_eq!(first(&mut refused, &member, stalled), Some(300), "its process is gone");
    let epoch = member.leader().expect("it leads").epoch;
    let history = Some(on_disk().history);
    let hello = Message::Hello(replica::event::Hello { epoch, history, is_dirty: false });
    member.on_event(Event::Received { from: id(1), message: hello });
    let (written, durable) = (Position(110), Position(110));
    let ack = Message::Ack { epoch, session: 1, written, durable };
    member.on_event(Event::Received { from: id(1), message: ack });
    let cleared = detector.tick(&member, 2000);
    assert!(cleared.contains(&Event::Stalled(BTreeSet::new())), "{cleared:?}");
}

#[test]
fn a_leader_that_shall_not_lead_asks_for_a_successor_and_does_not_wait_for_ever() {
    let mut member = leader();
    let mut seen = member.seen().expect("it has won").clone();
    seen.version = Version(11);
    seen.request.fenced.insert(0);
    member.on_event(Event::Saw(seen));
    member.on_event(Event::Wrote(End {
        written: Position(110),
        durable: Position(110),
        committed: Position(100),
    }));
    let mut detector = Detector::new(TIMING, 0);
    assert_eq!(first(&mut detector, &member, |event| *event == Event::HandOver(None)), Some(0));
    assert_eq!(first(&mut detector, &member, |event| *event == Event::HandOverExpired), Some(3000));
}

#[test]
fn a_member_that_shall_not_lead_stands_only_while_nobody_else_is_there() {
    let mut member = member(0, record(1, &[0, 1, 2]));
    let mut seen = member.seen().expect("it has read it").clone();
    seen.version = Version(11);
    seen.request.fenced.extend([0, 1]);
    member.on_event(Event::Saw(seen));
    assert!(member.is_eligible(), "1 shall not lead either, and 2 was never heard of");
    member.on_event(from(2, beat(None, Some(1))));
    assert!(!member.is_eligible(), "2 can lead");
    member.on_event(Event::Gone(id(2)));
    assert!(member.is_eligible());
}

/// Greets the leader with a log as far as it was elected with, and has everything since.
fn takes_all(leader: &mut Member, ordinal: u32, session: u64) {
    let epoch = leader.leader().expect("it leads").epoch;
    let history = Some(on_disk().history);
    let hello = Message::Hello(replica::event::Hello { epoch, history, is_dirty: false });
    leader.on_event(Event::Received { from: id(ordinal), message: hello });
    let (written, durable) = (Position(110), Position(110));
    let message = Message::Ack { epoch, session, written, durable };
    leader.on_event(Event::Received { from: id(ordinal), message });
}

fn in_sync_of(effects: &[Effect]) -> Option<BTreeSet<MemberId>> {
    effects.iter().find_map(|effect| {
        if let Effect::Cas { record, .. } = effect { Some(record.in_sync.clone()) } else { None }
    })
}

#[test]
fn whoever_is_about_to_stop_is_neither_waited_for_nor_asked_to_lead() {
    let mut member = leader();
    takes_all(&mut member, 1, 1);
    takes_all(&mut member, 2, 2);
    let mut seen = member.seen().expect("it has won").clone();
    (seen.version, seen.record.revision) = (Version(12), seen.record.revision + 1);
    seen.record.in_sync = [0, 1, 2].map(id).into();
    member.on_event(Event::Saw(seen));
    let leaving = Beat { is_leaving: true, ..beat(None, Some(0)) };
    let effects = member.on_event(from(1, leaving));
    assert_eq!(in_sync_of(&effects), Some([0, 2].map(id).into()), "it leaves the set at once: {effects:?}");
    let effects = member.on_event(Event::HandOver(None));
    let asked: Vec<_> = effects
        .iter()
        .filter_map(|effect| {
            let Effect::Send { to, message: Message::TakeOver { .. } } = effect else { return None };
            Some(*to)
        })
        .collect();
    assert_eq!(asked, [id(2)], "{effects:?}");
}
