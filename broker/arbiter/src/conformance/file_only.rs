//! What only the file promises.

use std::fs;

use std::sync::Arc;

use crds::broker_config::ReplicationConfig;
use crds::group_record::{GroupRecord, GroupRequest};

use super::next;
use super::place::on_file;
use crate::{Arbiter, OpenError};

async fn open(config: &ReplicationConfig) -> Result<Arbiter, OpenError> {
    Arbiter::open(config, Arc::new(|| 0)).await
}

#[tokio::test]
async fn a_missing_file_is_made_with_the_configured_wishes_and_kept_after_that() {
    let folder = tempfile::tempdir().unwrap();
    let config = on_file(folder.path().join("group.json"));
    let made = open(&config).await.unwrap().read().await.unwrap();
    assert_eq!(made.record, GroupRecord::created(1));
    assert_eq!(made.request, GroupRequest { copies: 2, min_in_sync: 1, ..GroupRequest::default() });

    let again = open(&config).await.unwrap();
    assert_eq!(again.read().await, Ok(made.clone()), "opened again, nothing is changed");
    let written = again.propose(made.version, &next(&made, 0, 1)).await.unwrap();

    let stricter = ReplicationConfig { min_in_sync: Some(2), ..config };
    let seen = open(&stricter).await.unwrap().read().await.unwrap();
    assert_eq!((seen.record, seen.request.min_in_sync), (written.record, 2));
    assert!(seen.version > written.version, "a proposal on the old wishes must not pass");
}

#[tokio::test]
async fn a_crash_between_the_steps_of_a_change_leaves_the_old_record() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("group.json");
    let arbiter = open(&on_file(path.clone())).await.unwrap();
    let seen = arbiter.read().await.unwrap();
    for torn in ["", "{\"v\":1,", &fs::read_to_string(&path).unwrap()] {
        fs::write(folder.path().join("group.json.new"), torn).unwrap();
        assert_eq!(arbiter.read().await.as_ref(), Ok(&seen));
    }
    assert!(arbiter.propose(seen.version, &next(&seen, 0, 1)).await.is_ok());
}

#[tokio::test]
async fn what_is_no_record_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("group.json");
    for text in ["", "hello", "{}", r#"{"v":2}"#] {
        fs::write(&path, text).unwrap();
        let outcome = open(&on_file(path.clone())).await;
        assert!(matches!(outcome, Err(OpenError::Format { .. })), "{text:?}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
    let nowhere = open(&on_file(folder.path().join("no/group.json"))).await;
    assert!(matches!(nowhere, Err(OpenError::File { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_change_that_waits_for_a_lock_for_too_long_is_perhaps_written() {
    use rustix::fs::{FlockOperation, flock};

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("group.json");
    let arbiter = open(&on_file(path)).await.unwrap();
    let seen = arbiter.read().await.unwrap();
    let lock = fs::File::open(folder.path().join("group.json.lock")).unwrap();
    flock(&lock, FlockOperation::LockExclusive).unwrap();
    let record = next(&seen, 0, 1);
    let waiting = arbiter.clone();
    let proposed = tokio::spawn({
        let record = record.clone();
        async move { waiting.propose(seen.version, &record).await }
    });
    // The clock of the test stands still while a thread works on a file, so it is moved by hand.
    tokio::task::yield_now().await;
    tokio::time::advance(crate::CALL_MAX).await;
    assert!(matches!(proposed.await.unwrap(), Err(crate::ProposeError::Unknown(_))));
    let mut changes = arbiter.changes();
    drop(lock);
    tokio::time::resume();
    let watching = tokio::spawn(arbiter.watch());
    super::until(&mut changes, |held| held.as_ref().is_ok_and(|held| held.record == record)).await;
    watching.abort();
}
