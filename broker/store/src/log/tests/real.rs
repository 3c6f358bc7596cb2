//! The log on a real file system, with threads beside the writer.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::disk::real::RealDisk;

fn open_real(folder: &tempfile::TempDir, flush: Flush, fold: &mut dyn FnMut(&Entry<'_>)) -> Log {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(folder.path()).unwrap());
    let config = LogConfig { segment_bytes: 1 << 20, ..config(flush) };
    lead(disk, config, Replay::default(), fold).unwrap()
}

#[test]
fn a_log_on_a_real_disk_comes_back_with_readers_syncs_and_preparation_beside_the_writer() {
    for flush in [Flush::Sync, Flush::Async] {
        let folder = tempfile::tempdir().unwrap();
        let mut log = open_real(&folder, flush, &mut |_| {});
        let (reader, preparer, done) = (log.reader(), log.preparer(), AtomicBool::new(false));
        let mut placed = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    preparer.prepare(1_000).unwrap();
                    let durable = reader.sync().unwrap();
                    assert!(durable <= reader.written());
                }
            });
            for number in 0..1_500u32 {
                let batch = [message(1, vec![number as u8; 1_024]), message(2, vec![number as u8; 3_000])];
                let new = log.append(&batch, 1_000).unwrap();
                let read = reader.read(new[1].position, new[1].bytes).unwrap();
                assert_eq!(read.body(), batch[1].body);
                placed.extend(new);
            }
            done.store(true, Ordering::Relaxed);
        });
        assert_eq!(log.sync().unwrap(), log.written());
        assert!(log.written().0 > 5 << 20);
        drop((log, reader, preparer));

        let mut found = Vec::new();
        let log = open_real(&folder, flush, &mut |entry| {
            if entry.kind == Kind::Message {
                found.push((entry.position, entry.bytes));
            }
        });
        assert_eq!(found, placed.iter().map(|p| (p.position, p.bytes)).collect::<Vec<_>>());
        for (number, record) in log.reader().read_span(&found).into_iter().enumerate() {
            assert_eq!(record.unwrap().body()[0], (number / 2) as u8);
        }
    }
}

#[test]
fn no_more_than_a_recovery_can_look_through_waits_for_a_sync() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::open(folder.path()).unwrap());
    let mut log = lead(disk, LogConfig::default(), Replay::default(), &mut |_| {}).unwrap();
    let begun = log.durable();
    let draft = message(1, vec![1; 4 << 20]);
    while log.durable() == begun {
        log.append(std::slice::from_ref(&draft), 1_000).unwrap();
        assert!(log.written().0 - log.durable().0 <= writer::WINDOW_BYTES);
    }
}
