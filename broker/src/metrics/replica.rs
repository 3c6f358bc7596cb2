//! Figures of a member among several: is it counted, how far are the others, how long was nobody there.

use std::collections::BTreeMap;

use crds::group_record::Cause;
use peer::standing::{GAP_BOUNDS_MS, Status};

use super::page::{Page, seconds};
use crate::member::fault_name;

const ROLES: [&str; 5] = ["leader", "follower", "candidate", "closing", "faulty"];
/// Always shown: of a series that begins with 1, Prometheus does not see the first step.
const CAUSES: [Cause; 4] = [Cause::Started, Cause::LeaderLost, Cause::HandOver, Cause::Unclean];
const FAULTS: [&str; 2] = ["Diverged", "RecordRegressed"];

pub(super) fn figures(page: &mut Page, status: &Status, now_ms: u64) {
    role(page, status);
    record(page, status, now_ms);
    log(page, status);
    transitions(page, status);
}

fn role(page: &mut Page, status: &Status) {
    let name = "millpond_replica_role";
    page.family("gauge", name, "1 for what this member is.");
    for role in ROLES {
        page.labelled(name, &[("role", role)], u64::from(role == status.role));
    }
    let name = "millpond_replica_fault";
    page.family("gauge", name, "1 for what a person has to look at.");
    let fault = status.fault.as_ref().map(fault_name);
    for kind in FAULTS {
        page.labelled(name, &[("kind", kind)], u64::from(fault == Some(kind)));
    }
    page.gauge(
        "millpond_replica_epoch",
        "Epoch that this member leads, follows or has promised.",
        status.epoch.0.into(),
    );
    page.gauge(
        "millpond_replica_in_sync",
        "1 when this copy counts: it leads, or it is in sync and follows.",
        u64::from(status.is_in_sync),
    );
    page.gauge(
        "millpond_replica_dirty",
        "1 when the machine went down before the end of the log was synced.",
        u64::from(status.is_dirty),
    );
    page.gauge(
        "millpond_replica_writes_refused",
        "1 while this leader refuses sends: too few copies in sync, or it hands over.",
        u64::from(status.refusal.is_some()),
    );
}

fn record(page: &mut Page, status: &Status, now_ms: u64) {
    let record = &status.record;
    let in_sync = record.in_sync.len() as u64;
    page.gauge("millpond_replica_in_sync_members", "Members in sync, by the record.", in_sync);
    page.gauge("millpond_replica_members", "Members, by the record.", record.members.len() as u64);
    page.gauge("millpond_replica_copies_wanted", "Members that shall keep a copy.", status.copies.into());
    page.gauge(
        "millpond_replica_min_in_sync",
        "Nothing is acknowledged while fewer are in sync.",
        record.min_in_sync.into(),
    );
    page.gauge(
        "millpond_replica_unclean_elections",
        "Elections that were forced although messages could be lost.",
        record.unclean.len() as u64,
    );
    page.gauge(
        "millpond_replica_arbiter_reachable",
        "1 unless the last word of the arbiter was an error.",
        u64::from(status.arbiter_error.is_none()),
    );
    if status.ruled_ms > 0 {
        let name = "millpond_replica_record_age_seconds";
        page.family(
            "gauge",
            name,
            "Since the arbiter answered; a leader asks every 5 s, others when needed.",
        );
        page.labelled(name, &[], seconds(now_ms.saturating_sub(status.ruled_ms)));
    }
}

fn log(page: &mut Page, status: &Status) {
    page.counter(
        "millpond_replica_committed_bytes",
        "Position behind the last record that is known to be committed.",
        status.committed.0,
    );
    let name = "millpond_replica_lag_bytes";
    page.family("gauge", name, "Of a leader: bytes that a connected member has not confirmed.");
    for (ordinal, bytes) in &status.lag_bytes {
        page.labelled(name, &[("member", &ordinal.to_string())], bytes);
    }
    page.counter(
        "millpond_replica_sent_bytes_total",
        "Bytes of the log sent to other members.",
        status.sent_bytes,
    );
    page.counter(
        "millpond_replica_received_bytes_total",
        "Bytes of the log taken from a leader.",
        status.received_bytes,
    );
}

fn transitions(page: &mut Page, status: &Status) {
    let tally = &status.tally;
    let name = "millpond_replica_transitions_total";
    page.family("counter", name, "Times that this member began to serve, by cause.");
    let mut by_cause: BTreeMap<_, _> = CAUSES.map(|cause| (cause.name(), 0)).into();
    by_cause.extend(&tally.by_cause);
    for (cause, times) in by_cause {
        page.labelled(name, &[("cause", cause)], times);
    }
    if let Some(transition) = &status.transition {
        let name = "millpond_replica_last_failover_gap_seconds";
        page.family("gauge", name, "How long nobody served before this member did, the last time.");
        page.labelled(name, &[], seconds(transition.gap_ms));
    }
    page.histogram(
        "millpond_replica_failover_gap_seconds",
        "How long nobody served before this member did.",
        GAP_BOUNDS_MS.into_iter().zip(tally.within),
        (tally.count(), tally.gaps_ms),
    );
}

#[cfg(test)]
mod tests;
