//! The record in a file that all members see.
//!
//! ```text
//!   group.json.lock   flock: shared to read, exclusive to change
//!   group.json        {v, id, version, record, request}; replaced as a whole, synced before it is shown
//! ```
//!
//! Promise: as the crate's. A crash at any point leaves the old file or the new one.
//! Limit: every member needs the same folder, on a file system with working locks. Whoever loses the folder loses the
//! group's record, so this is for one machine, or for a share that is itself kept safe.

mod stored;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crds::group_record::{GroupRecord, GroupRequest, Seen, Version};
use tokio::time::{sleep, timeout};

use crate::sight::{Found, Sight};
use crate::{CALL_MAX, Changes, OpenError, ProposeError, RETRY, ReadError};
use stored::{Broken, Stored};

/// Time between two looks at the file.
const POLL: Duration = Duration::from_millis(50);

/// The record in a file.
pub(crate) struct FileArbiter {
    file: Arc<Stored>,
    sight: Sight,
}

impl FileArbiter {
    pub(crate) async fn open(path: PathBuf, copies: u32, min_in_sync: u32) -> Result<Self, OpenError> {
        let name = path.display().to_string();
        let wish = GroupRequest { copies, min_in_sync, ..GroupRequest::default() };
        let file = Arc::new(Stored::new(path));
        let made = Arc::clone(&file);
        let made = tokio::task::spawn_blocking(move || made.make(&wish));
        match finished(made).await {
            Ok(Ok(())) => Ok(Self { file, sight: Sight::new() }),
            Ok(Err(Broken::Format(error))) => Err(OpenError::Format { path: name, error }),
            Ok(Err(broken)) => {
                Err(OpenError::File { path: name, error: std::io::Error::other(broken.to_string()) })
            }
            Err(late) => Err(OpenError::File { path: name, error: std::io::Error::other(late) }),
        }
    }

    pub(crate) async fn read(&self) -> Result<Seen, ReadError> {
        let before = self.sight.before();
        let file = Arc::clone(&self.file);
        let found = finished(tokio::task::spawn_blocking(move || file.read())).await;
        let found = found.map_err(ReadError::Unreachable)??;
        self.sight.looked(&before, found)
    }

    pub(crate) async fn propose(&self, base: Version, record: &GroupRecord) -> Result<Seen, ProposeError> {
        let before = self.sight.before();
        let (file, record) = (Arc::clone(&self.file), record.clone());
        let swapped = finished(tokio::task::spawn_blocking(move || file.swap(base, record))).await;
        // A swap that is late goes on in its thread, and a lock may still be given to it.
        match swapped.map_err(ProposeError::Unknown)? {
            Ok(found) => Ok(self.sight.wrote(found)),
            Err(Broken::Other(found)) => {
                Err(ProposeError::Conflict(Box::new(self.sight.looked(&before, *found)?)))
            }
            Err(Broken::Write(error)) => Err(ProposeError::Unknown(error.to_string())),
            Err(broken) => Err(ReadError::from(broken).into()),
        }
    }

    pub(crate) fn changes(&self) -> Changes {
        self.sight.changes()
    }

    pub(crate) async fn watch(&self) {
        let mut shown = None;
        loop {
            // Before the read: a change in between is then seen again, not missed.
            let file = Arc::clone(&self.file);
            let text = finished(tokio::task::spawn_blocking(move || file.text())).await.ok().flatten();
            if text.is_some() && text == shown {
                sleep(POLL).await;
                continue;
            }
            shown = match self.read().await {
                Ok(_) => text,
                Err(error) => {
                    self.sight.lost(error);
                    sleep(RETRY).await;
                    None
                }
            };
        }
    }
}

/// The outcome of file work, or why there is none in time.
async fn finished<T>(work: tokio::task::JoinHandle<T>) -> Result<T, String> {
    match timeout(CALL_MAX, work).await {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(error)) => Err(format!("the work on the file ended: {error}")),
        Err(_) => Err(format!("no answer from the file system in {} ms", CALL_MAX.as_millis())),
    }
}

impl From<Broken> for ReadError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Missing(path) => Self::Missing(path),
            Broken::Format(error) => Self::Format(error),
            Broken::Read(error) | Broken::Write(error) => Self::Unreachable(error.to_string()),
            Broken::Other(found) => Self::Unreachable(format!("version {} came first", found.seen.version.0)),
        }
    }
}
