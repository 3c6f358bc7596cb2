use std::collections::BTreeMap;

use client::admin::MemberLag;

use super::*;

/// Members 0 to 2, of which 1 leads in epoch 7 and all are in sync.
fn trio() -> Survey {
    let mut answers = BTreeMap::new();
    for ordinal in 0..3 {
        answers.insert(ordinal, Answer::Told(Box::new(member_of_three(ordinal))));
    }
    let mut survey = Survey { cluster: "shop".to_owned(), group: "g0".to_owned(), answers };
    record(&mut survey, &[0, 1, 2], 2);
    lags(&mut survey, &[(0, 0), (2, 0)]);
    survey
}

fn member_of_three(ordinal: u32) -> GetBrokerResponse {
    let leads = ordinal == 1;
    let member = Member {
        ordinal,
        role: if leads { "leader" } else { "follower" }.to_owned(),
        in_sync: true,
        epoch: 7,
        copies: 3,
        leader: "1-00000000000000ab".to_owned(),
        ..Member::default()
    };
    let state = if leads { "serving" } else { "following" };
    GetBrokerResponse { state: state.to_owned(), member: Some(member), ..GetBrokerResponse::default() }
}

fn each(survey: &mut Survey, mut change: impl FnMut(&mut Member)) {
    for answer in survey.answers.values_mut() {
        if let Answer::Told(broker) = answer {
            change(broker.member.as_mut().unwrap());
        }
    }
}

fn one(survey: &mut Survey, ordinal: u32, change: impl FnOnce(&mut GetBrokerResponse, &mut Member)) {
    let Some(Answer::Told(broker)) = survey.answers.get_mut(&ordinal) else { panic!("{ordinal} is silent") };
    let mut member = broker.member.take().unwrap();
    change(broker, &mut member);
    broker.member = Some(member);
}

fn record(survey: &mut Survey, in_sync: &[u32], min: u32) {
    each(survey, |member| {
        member.in_sync_members =
            in_sync.iter().map(|ordinal| format!("{ordinal}-00000000000000ab")).collect();
        member.min_in_sync = min;
        member.in_sync = in_sync.contains(&member.ordinal);
        member.record = r#"{"epoch": 7, "revision": 12}"#.to_owned();
    });
}

fn lags(survey: &mut Survey, lags: &[(u32, u64)]) {
    let lags = lags.iter().map(|&(ordinal, bytes)| MemberLag { ordinal, bytes }).collect();
    one(survey, 1, |_, leader| leader.lags = lags);
}

fn silence(survey: &mut Survey, ordinals: &[u32]) {
    for &ordinal in ordinals {
        survey.answers.insert(ordinal, Answer::Silent("connection refused".to_owned()));
    }
}

/// The leader is gone, and nobody follows anybody.
fn orphan(survey: &mut Survey) {
    silence(survey, &[1]);
    for ordinal in [0, 2] {
        one(survey, ordinal, |broker, member| {
            broker.state = "electing".to_owned();
            member.in_sync = false;
        });
    }
}

type Case = (&'static str, fn(&mut Survey), Level, &'static str);

const LED: &[Case] = &[
    (
        "all is well",
        |_| {},
        Level::Safe,
        "3 of 3 copies in sync, leader shop-g0-1 (epoch 7), nothing at risk",
    ),
    (
        "a member is gone",
        |s| {
            record(s, &[0, 1], 2);
            lags(s, &[(0, 0)]);
            silence(s, &[2]);
        },
        Level::Degraded,
        "2 of 3 copies in sync, leader shop-g0-1 (epoch 7), member 2 does not answer, one more failure loses nothing acknowledged and stops sends",
    ),
    (
        "a member is gone and one copy is enough",
        |s| {
            record(s, &[0, 1], 1);
            lags(s, &[(0, 0)]);
            silence(s, &[2]);
        },
        Level::Degraded,
        "2 of 3 copies in sync, leader shop-g0-1 (epoch 7), member 2 does not answer, one more failure loses nothing",
    ),
    (
        "a member has just gone and the record does not know it",
        |s| {
            record(s, &[0, 1, 2], 1);
            lags(s, &[(0, 0)]);
            silence(s, &[2]);
        },
        Level::Degraded,
        "2 of 3 copies in sync, leader shop-g0-1 (epoch 7), member 2 does not answer, one more failure loses nothing",
    ),
    (
        "a member learns",
        |s| {
            record(s, &[0, 1], 2);
            lags(s, &[(0, 0), (2, 3 << 29)]);
        },
        Level::Degraded,
        "2 of 3 copies in sync, leader shop-g0-1 (epoch 7), member 2 catches up (1.5 GiB to go), one more failure loses nothing acknowledged and stops sends",
    ),
    (
        "one copy is left and is enough",
        |s| {
            record(s, &[1], 1);
            lags(s, &[]);
            silence(s, &[0, 2]);
        },
        Level::Degraded,
        "1 of 3 copies in sync, leader shop-g0-1 (epoch 7), member 0 does not answer, member 2 does not answer, the next failure stops the group, and loses acknowledged messages if the disk is lost",
    ),
    (
        "too few copies are left",
        |s| {
            record(s, &[0, 1], 2);
            lags(s, &[]);
            silence(s, &[0, 2]);
            one(s, 1, |_, leader| leader.refusal = "1 in sync, 2 needed".to_owned());
        },
        Level::Degraded,
        "1 of 3 copies in sync, leader shop-g0-1 (epoch 7), member 0 does not answer, member 2 does not answer, sends are refused (1 in sync, 2 needed), every acknowledged message is on each of the members 0, 1",
    ),
    (
        "the leader hands over",
        |s| one(s, 1, |_, leader| leader.refusal = "another member is about to lead".to_owned()),
        Level::Degraded,
        "3 of 3 copies in sync, leader shop-g0-1 (epoch 7), sends are refused (another member is about to lead), one more failure loses nothing",
    ),
    (
        "the disk is full",
        |s| one(s, 1, |broker, _| broker.state = "disk-full".to_owned()),
        Level::Degraded,
        "3 of 3 copies in sync, leader shop-g0-1 (epoch 7), sends are refused (the leader's disk is full), one more failure loses nothing",
    ),
    (
        "a member has stopped",
        |s| {
            record(s, &[0, 1], 1);
            lags(s, &[(0, 0)]);
            one(s, 2, |_, member| {
                member.role = "faulty".to_owned();
                member.fault = "Diverged".to_owned();
            });
        },
        Level::Degraded,
        "2 of 3 copies in sync, leader shop-g0-1 (epoch 7), member 2 has stopped (Diverged), one more failure loses nothing",
    ),
    (
        "nobody reaches the arbiter",
        |s| each(s, |member| member.arbiter_error = "timed out".to_owned()),
        Level::Degraded,
        "3 of 3 copies in sync, leader shop-g0-1 (epoch 7), no failover is possible: the arbiter cannot be used (timed out), one more failure loses nothing",
    ),
    (
        "one member does not reach the arbiter, the others ask for it",
        |s| one(s, 2, |_, member| member.arbiter_error = "timed out".to_owned()),
        Level::Safe,
        "3 of 3 copies in sync, leader shop-g0-1 (epoch 7), nothing at risk",
    ),
    (
        "asynchronous, and the others have everything",
        |s| each(s, |member| member.asynchronous = true),
        Level::Safe,
        "3 of 3 copies in sync, leader shop-g0-1 (epoch 7), asynchronous: the last messages may be lost with the leader",
    ),
    (
        "asynchronous, and the others are behind",
        |s| {
            each(s, |member| member.asynchronous = true);
            lags(s, &[(0, 2048), (2, 4096)]);
        },
        Level::Safe,
        "3 of 3 copies in sync, leader shop-g0-1 (epoch 7), asynchronous: the last 2.0 KiB are on the leader alone",
    ),
    (
        "a record that went back while somebody leads",
        |s| one(s, 2, |_, member| member.fault = "RecordRegressed".to_owned()),
        Level::Degraded,
        "3 of 3 copies in sync, leader shop-g0-1 (epoch 7), no failover is possible: the record is older than one that was known (to 2), one more failure loses nothing",
    ),
    (
        "one copy is wanted",
        |s| {
            record(s, &[1], 1);
            each(s, |member| member.copies = 1);
            lags(s, &[]);
        },
        Level::Safe,
        "1 of 1 copies in sync, leader shop-g0-1 (epoch 7), the only copy: what is on its disk is all there is",
    ),
    (
        "the leader answers others alone",
        |s| silence(s, &[1]),
        Level::Safe,
        "3 of 3 copies in sync, leader shop-g0-1 (epoch 7), which does not answer here, nothing at risk",
    ),
];

const LEADERLESS: &[Case] = &[
    (
        "an election",
        orphan,
        Level::Down,
        "no leader: an election is under way, every acknowledged message is on each of the members 0, 1, 2",
    ),
    (
        "a leader that was replaced and does not know it",
        |s| {
            orphan(s);
            let mut stale = member_of_three(1);
            stale.member.as_mut().unwrap().epoch = 6;
            s.answers.insert(1, Answer::Told(Box::new(stale)));
        },
        Level::Down,
        "no leader: an election is under way, every acknowledged message is on each of the members 0, 1, 2",
    ),
    (
        "a leader that hears nobody and serves nobody",
        |s| {
            one(s, 1, |broker, _| broker.state = "electing".to_owned());
            silence(s, &[0, 2]);
        },
        Level::Down,
        "no leader: an election is under way, every acknowledged message is on each of the members 0, 1, 2",
    ),
    (
        "no arbiter",
        |s| {
            orphan(s);
            each(s, |member| member.arbiter_error = "timed out".to_owned());
        },
        Level::Down,
        "no leader: the arbiter cannot be used (timed out), every acknowledged message is on each of the members 0, 1, 2",
    ),
    (
        "only a learner is left",
        |s| {
            record(s, &[1], 1);
            orphan(s);
        },
        Level::Down,
        "no leader: none of the members in sync (1) answers, every acknowledged message is on member 1, perhaps nowhere else",
    ),
    (
        "a power loss, and not all are back",
        |s| {
            orphan(s);
            each(s, |member| member.dirty = true);
        },
        Level::Down,
        "no leader: after a power loss all members in sync (0, 1, 2) have to be there, every acknowledged message is on each of the members 0, 1, 2",
    ),
    (
        "a record that went back",
        |s| {
            orphan(s);
            each(s, |member| member.fault = "RecordRegressed".to_owned());
        },
        Level::Down,
        "no leader: the record is older than one that was known (to 0, 2), every acknowledged message is on each of the members 0, 1, 2",
    ),
    (
        "asynchronous",
        |s| {
            orphan(s);
            each(s, |member| member.asynchronous = true);
        },
        Level::Down,
        "no leader: an election is under way, the last messages may be on member 1 alone",
    ),
    (
        "a new group",
        |s| {
            orphan(s);
            each(s, |member| {
                member.leader = String::new();
                member.record = String::new();
            });
        },
        Level::Down,
        "no leader: its members have not agreed on one yet",
    ),
];

#[test]
fn one_line_says_for_every_state_whether_the_data_is_safe() {
    for (what, spoil, level, line) in LED.iter().chain(LEADERLESS) {
        let mut survey = trio();
        spoil(&mut survey);
        let verdict = judge(&survey);
        assert_eq!((verdict.level, &*verdict.line), (*level, &*format!("shop/g0: {line}")), "{what}");
    }
}

#[test]
fn the_table_shows_every_member_whether_it_answers_or_not() {
    let mut survey = trio();
    silence(&mut survey, &[2]);
    one(&mut survey, 1, |_, leader| {
        let cause = "LeaderLost".to_owned();
        leader.transition = Some(client::admin::Transition { cause, at_ms: 1_000, gap_ms: 1620, epoch: 7 });
    });
    let table = crate::status::members::table(&survey, 181_000).text();
    assert!(
        table.contains("shop-g0-1  leader     yes      -        7  3m ago, LeaderLost, gap 1620 ms"),
        "{table}"
    );
    assert!(table.contains("shop-g0-2  no answer  -        0 B"), "{table}");
}
