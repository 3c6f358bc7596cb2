//! A consumer group is done with a message exactly if the message's history says so.

use engine::catalog::ConsumeFrom;
use engine::group::{Event, Group, Happened, Spot, Trail, Wanted};
use engine::lease::Standing;

/// Messages that are looked at, the newest ones.
const MESSAGES_MAX: usize = 48;

/// Compares what the log tells of messages with what is in memory; nothing may be on its way.
pub(crate) fn a_history_tells_every_end(group: &Group, now_ms: u64) -> Result<(), String> {
    let wanted = Wanted { topic: None, from_ms: 0, to_ms: u64::MAX, before: None, max: MESSAGES_MAX };
    let mut search = group.search(&wanted).map_err(|error| error.to_string())?;
    while group.search_on(&mut search, &mut |_, _| true).map_err(|error| error.to_string())? {}
    for sighting in search.found() {
        let (position, bytes) = sighting.message;
        let mut trail = group
            .trail(position, bytes, sighting.number, &[])
            .map_err(|error| format!("history: {error}"))?;
        while group.trail_on(&mut trail).map_err(|error| error.to_string())? {}
        for (id, place, standing) in group.standings(&trail, now_ms) {
            let (is_done, is_told) = (standing == Standing::Finished, tells_end(group, &trail, id, place));
            // Who began behind it is done with it, and no record says so.
            let may_begin_behind = group
                .consumer_group_by_id(id)
                .is_none_or(|group| group.spec.consume_from != ConsumeFrom::Earliest);
            if is_done != is_told && !(is_done && may_begin_behind) {
                let what = trail.events();
                return Err(format!("{place:?} is {standing:?} for group {id}, its history: {what:?}"));
            }
        }
    }
    Ok(())
}

fn tells_end(group: &Group, trail: &Trail, id: u32, place: Spot) -> bool {
    let name = group.consumer_group_by_id(id).map(|group| group.spec.name.clone());
    let anew = Happened::Moved { group: id, is_behind: false };
    let begins = |event: &Event| event.what == anew && event.place == Some(place);
    let since = trail.events().iter().rposition(begins).map_or(0, |at| at + 1);
    trail.events()[since..].iter().any(|event| match &event.what {
        Happened::Done { group } | Happened::Moved { group, is_behind: true } => {
            *group == id && event.place == Some(place)
        }
        Happened::DeadLettered { group, .. } => Some(group) == name.as_ref(),
        Happened::Visible
        | Happened::Recalled
        | Happened::Committed
        | Happened::RolledBack
        | Happened::GivenUp
        | Happened::Moved { is_behind: false, .. }
        | Happened::Delivered { .. } => false,
    })
}
