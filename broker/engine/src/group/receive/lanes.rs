//! Which line messages stand in, for groups that read in order: from the index, between two looks under the lock.

use store::index::IndexError;

use crate::group::{Group, Receive, ReceiveError};
use crate::topic::Unseen;

/// Messages of one queue that are looked up at a time.
const MESSAGES_MAX: usize = 256;

impl Group {
    /// Tells the lines the lanes of the offsets that nobody has looked at; returns how many were looked up, at least one.
    pub(super) fn see_lanes(&self, request: &Receive<'_>, unseen: &[Unseen]) -> Result<usize, ReceiveError> {
        let group = request.group.id;
        let mut entries = Vec::with_capacity(MESSAGES_MAX);
        let mut count = 1;
        for unseen in unseen {
            entries.clear();
            match self.state.index.read(unseen.id, unseen.from, MESSAGES_MAX, &mut entries) {
                Ok(()) => request.topic.state.lock().see(group, unseen, &entries),
                Err(IndexError::Trimmed { oldest }) => {
                    let mut reading = request.topic.state.lock();
                    if let Some((deliveries, _)) = reading.deliveries(group, unseen.queue) {
                        deliveries.trim(oldest);
                    }
                }
                Err(error) => return Err(ReceiveError::Index(error)),
            }
            count += entries.iter().map(|entry| usize::from(entry.count)).sum::<usize>();
        }
        Ok(count)
    }
}
