//! What a copy shows is agreed, and the same as everywhere: never more, never something else, never cut.

use engine::group::Group;

use crate::cluster::Views;

/// Looks at one open copy.
pub(crate) fn what_is_agreed_stays(at: usize, views: &Views, group: &Group) -> Result<(), String> {
    if views.holds_lost(at) {
        return Ok(());
    }
    let copy = &views.copies[at];
    let (agreed, reach) = (views.agreed(), copy.reach(&views.truth));
    let shown = copy.published;
    let beyond = copy.batches.partition_point(|batch| batch.start < agreed);
    if copy.batches.get(beyond).is_some_and(|batch| batch.end <= shown) {
        return Err(format!("copy {at} shows {shown}, agreed is {agreed}"));
    }
    let next = views.truth.partition_point(|batch| batch.start < reach);
    if reach < shown && views.truth.get(next).is_some_and(|batch| batch.end <= shown) {
        return Err(format!(
            "copy {at} shows {shown} and is as agreed only to {reach}, {:?}",
            copy.differs_at
        ));
    }
    for &queue in views.queues.keys() {
        let (tail, expected) = (group.queue_range(queue).1, views.tail(queue, shown));
        // A queue that a seed knows nothing of begins with its first message.
        if tail != expected && tail.0 > 0 {
            return Err(format!(
                "copy {at} shows {tail} messages of queue {queue}, up to {shown} are {expected}"
            ));
        }
    }
    Ok(())
}
