//! Whatever was acknowledged is in the log of every member that the record calls in sync, and with `flush: Sync` it is
//! synced there; unless that member says that it may have lost its end.

use crds::group_record::GroupRecord;

use crate::cluster::{Machine, Views};

pub(crate) fn every_copy_in_sync_has_what_is_agreed(
    record: &GroupRecord,
    machines: &[Machine],
    views: &Views,
    flush_sync: bool,
) -> Result<(), String> {
    for member in &record.in_sync {
        let at = member.ordinal as usize;
        let Some(process) = machines[at].process.as_ref().filter(|process| process.id == *member) else {
            continue;
        };
        if process.file.vow.is_dirty || process.is_reopening {
            continue;
        }
        let view = &views.copies[at];
        if process.copy.is_none() {
            if views.truth.is_empty() {
                continue;
            }
            return Err(format!("{member} is in sync and has no log"));
        }
        if !view.is_whole(&views.truth) {
            let (agreed, reach) = (views.agreed(), view.reach(&views.truth));
            let differs_at = view.differs_at;
            return Err(format!(
                "{member} is in sync and has {reach} of {agreed}, written {}, differs at {differs_at:?}",
                view.written
            ));
        }
        let last = views.truth.last().map(|last| last.end);
        if flush_sync && last.is_some_and(|last| view.durable < last) {
            return Err(format!("{member} has synced {} of {last:?}", view.durable));
        }
    }
    Ok(())
}
