//! A log with damaged segments opens or is refused; what it then gives out is stable, and it goes on.
//!
//! Input: changes of 4 bytes, `file and flags`, `place` (2), `mask`. Flags: give the batch or record at that place a
//! checksum that fits, so that the damage is found by something else than the checksum.
#![no_main]

use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use store::{Epoch, QueueId};
use store::disk::Disk;
use store::disk::sim::SimDisk;
use store::log::{Draft, Entry, Flush, Kind, Log, LogConfig, OpenError, ReadError, Replay, fuzz};

const ID: [u8; 16] = [7; 16];
const CONFIG: LogConfig = LogConfig { segment_bytes: 16 << 10, flush: Flush::Sync, new_id: Some(ID) };

static BASE: LazyLock<SimDisk> = LazyLock::new(base);

fuzz_target!(|changes: &[u8]| {
    let disk = BASE.fork();
    for change in changes.chunks_exact(4) {
        damage(&disk, change);
    }
    let Ok((mut log, entries)) = open(&disk) else { return };
    let reader = log.reader();
    for &(position, bytes, _) in &entries {
        match reader.read(position, bytes) {
            Ok(record) => assert_eq!(record.entry().position, position),
            Err(ReadError::Corrupt { position: named, .. }) => assert_eq!(named, position),
            Err(other) => panic!("{other}"),
        }
    }
    let _ = log.append(&[Draft::control(Kind::Meta, Bytes::from_static(b"on"))], 0);
    log.sync().expect("the disk is well");
    drop(log);
    // What was taken over stays, unless the damage says that more had been synced than there is.
    if let Ok((_, again)) = open(&disk) {
        assert_eq!(again[..entries.len()], entries);
    }
});

type Seen = (store::Position, u32, Kind);

fn open(disk: &SimDisk) -> Result<(Log, Vec<Seen>), OpenError> {
    let mut entries = Vec::new();
    let mut fold = |entry: &Entry<'_>| entries.push((entry.position, entry.bytes, entry.kind));
    let mut log = Log::open(Arc::new(disk.clone()), CONFIG, Replay::default(), 0)?;
    log.reader().replay(log.head(), log.written(), &mut fold)?;
    let epoch = Epoch(log.last_epoch().0 + 1);
    let (draft, placed) = log.begin_epoch(epoch, 0)?;
    log.sync()?;
    entries.push((placed.position, placed.bytes, draft.kind));
    Ok((log, entries))
}

/// A log of three segments.
fn base() -> SimDisk {
    let disk = SimDisk::new(1);
    let (mut log, _) = open(&disk).expect("a new log opens");
    for number in 0..24 {
        let message = Draft {
            kind: Kind::Message,
            queue: QueueId(1 + number % 3),
            head: Bytes::from_static(b"head of a message"),
            ..Draft::control(Kind::Message, vec![number as u8; 40 * number as usize].into())
        };
        let acks = Draft::control(Kind::Acks, vec![number as u8; 24].into());
        log.append(&[message.clone(), acks, message], u64::from(number)).expect("there is room");
        log.sync().expect("the disk is well");
    }
    disk
}

fn damage(disk: &SimDisk, change: &[u8]) {
    let start = u64::from(change[0] % 3) * CONFIG.segment_bytes;
    let Ok(file) = disk.open(&format!("log/{start:020}.log")) else { return };
    let place = u64::from(u16::from_le_bytes([change[1], change[2]])) % CONFIG.segment_bytes;
    let mut bytes = vec![0; CONFIG.segment_bytes as usize];
    let length = file.read_at(&mut bytes, 0).expect("the disk is well");
    bytes.truncate(length);
    let Some(byte) = bytes.get_mut(place as usize) else { return };
    *byte ^= change[3];
    if change[0] & 0x80 != 0 {
        // The headers begin at multiples of 8: the one that holds the place is up to 64 bytes before it.
        let nearest = (place / 8 * 8).saturating_sub(u64::from(change[0] >> 4 & 7) * 8) as usize;
        fuzz::reseal(&mut bytes[nearest..], &ID);
    }
    file.write_at(&[std::io::IoSlice::new(&bytes)], 0).expect("the disk is well");
}
