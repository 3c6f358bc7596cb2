//! The members one by one.

use client::admin::{GetBrokerResponse, Member, Transition};
use serde_json::{Value, json};

use super::survey::{Answer, Record, Survey};
use super::verdict::{Level, Verdict, name};
use crate::output::Table;
use crate::values::{show_bytes, show_ms};

/// For people.
pub(super) fn table(survey: &Survey, now_ms: u64) -> Table {
    let mut table = Table::new(&["MEMBER", "ROLE", "IN SYNC", "LAG", "EPOCH", "BEGAN TO LEAD", "NOTES"]);
    let record = survey.record().unwrap_or_default();
    for (&ordinal, answer) in &survey.answers {
        let lag = lag(survey, ordinal).map_or_else(|| "-".to_owned(), show_bytes);
        let name = name(survey, ordinal);
        table.row(match answer {
            Answer::Told(broker) => {
                let member = broker.member.clone().unwrap_or_default();
                let began = member.transition.as_ref().map_or_else(|| "-".to_owned(), |t| began(t, now_ms));
                let notes = notes(broker, &member, &record);
                let in_sync = if member.in_sync { "yes" } else { "no" };
                [name, member.role, in_sync.to_owned(), lag, member.epoch.to_string(), began, notes]
            }
            Answer::Silent(why) => {
                let dash = || "-".to_owned();
                [name, "no answer".to_owned(), dash(), lag, dash(), dash(), why.clone()]
            }
        });
    }
    table
}

/// For programs.
pub(super) fn json(survey: &Survey, verdict: &Verdict) -> Value {
    let record = survey.record().unwrap_or_default();
    let members = survey.answers.iter().map(|(&ordinal, answer)| {
        let name = name(survey, ordinal);
        match answer {
            Answer::Told(broker) => told(broker, &name, lag(survey, ordinal)),
            Answer::Silent(why) => json!({ "ordinal": ordinal, "name": name, "error": why }),
        }
    });
    json!({
        "cluster": survey.cluster, "group": survey.group,
        "level": match verdict.level {
            Level::Safe => "safe",
            Level::Degraded => "degraded",
            Level::Down => "down",
        },
        "summary": verdict.line, "inSync": verdict.in_sync, "copies": record.copies,
        "minInSync": record.min_in_sync, "members": members.collect::<Vec<_>>(), "record": record.json,
    })
}

fn told(broker: &GetBrokerResponse, name: &str, lag: Option<u64>) -> Value {
    let member = broker.member.clone().unwrap_or_default();
    let transition = member
        .transition
        .map(|transition| json!({ "cause": transition.cause, "atMs": transition.at_ms, "gapMs": transition.gap_ms }));
    json!({
        "ordinal": member.ordinal, "name": name, "id": member.id, "role": member.role, "state": broker.state,
        "inSync": member.in_sync, "epoch": member.epoch, "lagBytes": lag, "written": member.written,
        "committed": member.committed, "refusal": member.refusal, "fault": member.fault,
        "faultDetail": member.fault_detail, "arbiterError": member.arbiter_error, "dirty": member.dirty,
        "asynchronous": member.asynchronous, "transition": transition, "version": broker.version,
        "logId": broker.log_id, "logHead": broker.log_head, "logDurable": broker.log_durable,
        "diskFreeBytes": broker.disk_free_bytes, "connections": broker.connections, "uptimeMs": broker.uptime_ms,
        "flush": broker.flush,
    })
}

/// By the leader's word.
fn lag(survey: &Survey, ordinal: u32) -> Option<u64> {
    let (_, _, leader) = survey.leader()?;
    leader.lags.iter().find(|lag| lag.ordinal == ordinal).map(|lag| lag.bytes)
}

fn notes(broker: &GetBrokerResponse, member: &Member, record: &Record) -> String {
    let mut notes = Vec::new();
    if !member.fault.is_empty() {
        notes.push(format!("{}: {}", member.fault, member.fault_detail));
    }
    if member.role == "leader" && !member.refusal.is_empty() {
        notes.push(format!("refuses sends: {}", member.refusal));
    }
    if broker.state == "disk-full" {
        notes.push("disk full".to_owned());
    }
    if member.dirty {
        notes.push("may have lost its end in a power cut".to_owned());
    }
    if !member.arbiter_error.is_empty() {
        notes.push(format!("arbiter: {}", member.arbiter_error));
    }
    if record.leader == Some(member.ordinal) && !record.unclean.is_empty() {
        notes.push(format!("elections were forced in epochs {:?}", record.unclean));
    }
    notes.join("; ")
}

fn began(transition: &Transition, now_ms: u64) -> String {
    let ago_ms = now_ms.saturating_sub(transition.at_ms);
    format!("{} ago, {}, gap {} ms", rounded(ago_ms), transition.cause, transition.gap_ms)
}

/// With the largest unit alone.
fn rounded(ms: u64) -> String {
    let units = [86_400_000, 3_600_000, 60_000, 1000];
    let unit = units.into_iter().find(|unit| ms >= *unit).unwrap_or(1000);
    if ms < unit { "0s".to_owned() } else { show_ms(ms / unit * unit) }
}
