//! One sentence: is what was acknowledged safe? Decided from answers alone.
//!
//! A copy counts if it is in the in-sync set of the record and the leader hears from it. Whoever is in that set has
//! everything that was acknowledged, unless replication is asynchronous.

use std::collections::BTreeSet;

use client::admin::{GetBrokerResponse, Member};

use super::survey::{Answer, Record, Survey};
use crate::values::show_bytes;

/// How much is well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Level {
    /// As many copies as were asked for, and sends are taken.
    Safe,
    /// There is a leader, and something is missing.
    Degraded,
    /// Nobody leads.
    Down,
}

/// The answer to the question.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) level: Level,
    pub(super) line: String,
    /// Copies in sync that the leader hears from.
    pub(super) in_sync: BTreeSet<u32>,
}

/// Judges a group.
pub(super) fn judge(survey: &Survey) -> Verdict {
    let group = format!("{}/{}", survey.cluster, survey.group);
    let record = survey.record().filter(|record| record.leader.is_some());
    let Some(record) = record else {
        let why =
            arbiter_trouble(survey).unwrap_or_else(|| "its members have not agreed on one yet".to_owned());
        let line = format!("{group}: no leader: {why}");
        return Verdict { level: Level::Down, line, in_sync: BTreeSet::new() };
    };
    let (leader, epoch) = match (survey.leader(), survey.leader_elsewhere()) {
        (Some((leader, _, member)), _) => (leader, member.epoch),
        (None, Some(elsewhere)) => elsewhere,
        (None, None) => return leaderless(&group, survey, &record),
    };
    led(&group, survey, &record, leader, epoch)
}

fn led(group: &str, survey: &Survey, record: &Record, leader: u32, epoch: u32) -> Verdict {
    let view = survey.of(leader);
    let in_sync = counted(survey, record, leader);
    let wanted = record.copies.max(1);
    let name = name(survey, leader);
    let reach = if view.is_none() { ", which does not answer here" } else { "" };
    let mut level = Level::Safe;
    let mut parts = vec![
        format!("{} of {wanted} copies in sync", in_sync.len()),
        format!("leader {name} (epoch {epoch}){reach}"),
    ];
    if in_sync.len() < wanted as usize {
        level = Level::Degraded;
        let missing = (0..wanted).filter(|ordinal| !in_sync.contains(ordinal));
        parts.extend(missing.map(|ordinal| missing_copy(survey, view, ordinal)));
    }
    let refusal = view.and_then(|(broker, member)| refused(broker, member));
    if refusal.is_some() {
        level = Level::Degraded;
    }
    if let Some(trouble) = regressed(survey).or_else(|| arbiter_trouble(survey)) {
        level = Level::Degraded;
        parts.push(format!("no failover is possible: {trouble}"));
    }
    parts.extend(refusal);
    let is_as_wanted = level == Level::Safe;
    parts.push(at_risk(record, view.map(|(_, member)| member), &in_sync, is_as_wanted));
    Verdict { level, line: format!("{group}: {}", parts.join(", ")), in_sync }
}

/// In sync, and heard of by the leader; by their own word if the leader does not answer here.
fn counted(survey: &Survey, record: &Record, leader: u32) -> BTreeSet<u32> {
    let is_heard = |ordinal: u32| match survey.of(leader) {
        Some((_, member)) => member.lags.iter().any(|lag| lag.ordinal == ordinal),
        None => survey.of(ordinal).is_none_or(|(_, member)| member.in_sync),
    };
    let members = record.in_sync.iter().copied();
    members.filter(|&ordinal| ordinal == leader || is_heard(ordinal)).collect()
}

/// What is the matter with a copy that does not count.
fn missing_copy(survey: &Survey, leader: Option<(&GetBrokerResponse, &Member)>, ordinal: u32) -> String {
    let lag = leader.and_then(|(_, view)| view.lags.iter().find(|lag| lag.ordinal == ordinal));
    match (lag, survey.answers.get(&ordinal)) {
        (Some(lag), _) => format!("member {ordinal} catches up ({} to go)", show_bytes(lag.bytes)),
        (None, Some(Answer::Told(broker))) => match &broker.member {
            Some(member) if member.role == "faulty" => {
                format!("member {ordinal} has stopped ({})", member.fault)
            }
            Some(_) | None => format!("member {ordinal} does not follow yet"),
        },
        (None, Some(Answer::Silent(_))) => format!("member {ordinal} does not answer"),
        (None, None) => format!("member {ordinal} is not known"),
    }
}

/// Members that have seen a later record than is there now.
fn regressed(survey: &Survey) -> Option<String> {
    let seen = survey.told().filter(|(_, _, member)| member.fault == "RecordRegressed");
    let seen: BTreeSet<u32> = seen.map(|(ordinal, _, _)| ordinal).collect();
    (!seen.is_empty()).then(|| format!("the record is older than one that was known (to {})", list(&seen)))
}

fn refused(broker: &GetBrokerResponse, leader: &Member) -> Option<String> {
    if !leader.refusal.is_empty() {
        return Some(format!("sends are refused ({})", leader.refusal));
    }
    (broker.state == "disk-full").then(|| "sends are refused (the leader's disk is full)".to_owned())
}

fn arbiter_trouble(survey: &Survey) -> Option<String> {
    // One that reaches it asks for the others.
    let errors: Vec<&str> = survey.told().map(|(_, _, member)| &*member.arbiter_error).collect();
    let error = errors.first()?;
    errors.iter().all(|error| !error.is_empty()).then(|| format!("the arbiter cannot be used ({error})"))
}

/// What the next failure would cost.
fn at_risk(record: &Record, leader: Option<&Member>, in_sync: &BTreeSet<u32>, is_as_wanted: bool) -> String {
    let (copies, min) = (in_sync.len() as u32, record.min_in_sync.max(1));
    if record.is_async && copies > 1 {
        let lags = leader.into_iter().flat_map(|leader| &leader.lags);
        let least = lags.filter(|lag| in_sync.contains(&lag.ordinal)).map(|lag| lag.bytes).min();
        return match least {
            Some(0) | None => "asynchronous: the last messages may be lost with the leader".to_owned(),
            Some(bytes) => format!("asynchronous: the last {} are on the leader alone", show_bytes(bytes)),
        };
    }
    if copies < min {
        // Who is missing was in sync when the last message was acknowledged, and none was since.
        return format!("every acknowledged message is on each of the members {}", list(&record.in_sync));
    }
    match copies {
        0 | 1 if record.copies <= 1 => "the only copy: what is on its disk is all there is".to_owned(),
        0 | 1 => {
            "the next failure stops the group, and loses acknowledged messages if the disk is lost".to_owned()
        }
        _ if is_as_wanted => "nothing at risk".to_owned(),
        _ if copies - 1 < min => "one more failure loses nothing acknowledged and stops sends".to_owned(),
        _ => "one more failure loses nothing".to_owned(),
    }
}

fn leaderless(group: &str, survey: &Survey, record: &Record) -> Verdict {
    let heard: Vec<(u32, &Member)> = survey
        .told()
        .filter(|(ordinal, _, member)| record.in_sync.contains(ordinal) && member.role != "faulty")
        .map(|(ordinal, _, member)| (ordinal, member))
        .collect();
    let all = list(&record.in_sync);
    let why = match regressed(survey).or_else(|| arbiter_trouble(survey)) {
        Some(trouble) => trouble,
        None if heard.is_empty() => format!("none of the members in sync ({all}) answers"),
        None if heard.iter().all(|(_, member)| member.dirty) && heard.len() < record.in_sync.len() => {
            format!("after a power loss all members in sync ({all}) have to be there")
        }
        None => "an election is under way".to_owned(),
    };
    let safety = if record.is_async {
        let leader = record.leader.map_or_else(String::new, |leader| format!(" {leader}"));
        format!("the last messages may be on member{leader} alone")
    } else if record.in_sync.len() == 1 {
        format!("every acknowledged message is on member {all}, perhaps nowhere else")
    } else {
        format!("every acknowledged message is on each of the members {all}")
    };
    let in_sync = heard.iter().map(|(ordinal, _)| *ordinal).collect();
    Verdict { level: Level::Down, line: format!("{group}: no leader: {why}, {safety}"), in_sync }
}

pub(super) fn name(survey: &Survey, ordinal: u32) -> String {
    format!("{}-{}-{ordinal}", survey.cluster, survey.group)
}

fn list(ordinals: &BTreeSet<u32>) -> String {
    ordinals.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
