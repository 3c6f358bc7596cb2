//! Nothing becomes agreed while fewer members are in sync than `minInSync`.

use crds::group_record::{GroupRecord, MemberId};

/// More is agreed, by this member, who knows this record.
pub(crate) fn an_answer_waits_for_enough_copies(id: MemberId, record: &GroupRecord) -> Result<(), String> {
    if record.in_sync.len() >= record.min_in_sync as usize {
        return Ok(());
    }
    Err(format!("{id} commits with {} of {} copies in sync", record.in_sync.len(), record.min_in_sync))
}
