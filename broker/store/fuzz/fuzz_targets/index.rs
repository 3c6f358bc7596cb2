//! An index from any section over damaged run files opens or is refused; what it then gives out makes sense.
//!
//! Input: first byte even: the rest is the section. Odd: changes of 4 bytes in the run files, `file and flags`,
//! `place` (2), `mask`; flag 0x80 gives the block header there a checksum that fits.
#![no_main]

use std::io::IoSlice;
use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use store::disk::Disk;
use store::disk::sim::SimDisk;
use store::index::{Index, IndexEntry, fuzz};
use store::{Offset, Position, QueueId};

static BASE: LazyLock<(SimDisk, Vec<u8>)> = LazyLock::new(base);

fuzz_target!(|bytes: &[u8]| {
    let Some((mode, rest)) = bytes.split_first() else { return };
    let (disk, section) = &*BASE;
    let disk = disk.fork();
    if mode % 2 == 0 {
        use_index(&disk, rest);
    } else {
        rest.chunks_exact(4).for_each(|change| damage(&disk, change));
        use_index(&disk, section);
    }
});

fn use_index(disk: &SimDisk, section: &[u8]) {
    let Ok(index) = Index::open(Arc::new(disk.clone()), Some(section)) else { return };
    read_all(&index);
    let _ = index.trim(Position(2000));
    read_all(&index);
    if index.flush().is_ok() {
        read_all(&index);
    }
    // What an index says of itself, it understands.
    let again = Index::open(Arc::new(disk.clone()), Some(&index.snapshot())).expect("its own section");
    assert_eq!(again.tails(), index.tails());
}

fn read_all(index: &Index) {
    let mut entries = Vec::new();
    for (queue, tail) in index.tails().into_iter().take(8) {
        let (oldest, _) = index.range(queue);
        for from in [oldest, Offset(oldest.0.midpoint(tail.0))] {
            entries.clear();
            let _ = index.read(queue, from, 400, &mut entries);
            let is_dense = entries.windows(2).all(|pair| pair[0].end() == pair[1].offset);
            let holds_first = entries.first().is_none_or(|first| first.offset <= from && from < first.end());
            assert!(is_dense && holds_first, "offsets of queue {queue} are not dense");
        }
        if let Ok(offset) = index.at_time(queue, 40) {
            assert!((oldest..=tail).contains(&offset));
        }
    }
}

/// Three run files and some entries in memory.
fn base() -> (SimDisk, Vec<u8>) {
    let disk = SimDisk::new(1);
    let index = Index::open(Arc::new(disk.clone()), None).expect("an empty disk opens");
    for number in 0..1200_u64 {
        // Of queue 3 each record has three messages.
        let (queue, offset) =
            if number % 2 == 0 { (1, number / 2) } else { (2 + number % 8 / 2, number / 8) };
        let count = if queue == 3 { 3 } else { 1 };
        let entry = IndexEntry {
            offset: Offset(offset * u64::from(count)),
            count,
            position: Position(number * 8),
            bytes: 8,
            tag_hash: 1,
            lane: 0,
            stored_ms: number / 10,
        };
        index.append(QueueId(queue as u32), entry);
        if number % 350 == 349 {
            index.flush().expect("the disk is well");
        }
    }
    let section = index.snapshot();
    (disk, section)
}

fn damage(disk: &SimDisk, change: &[u8]) {
    let number = 1 + u32::from(change[0] % 3);
    let path = fuzz::path(number);
    let (Some(mut bytes), Ok(file)) = (disk.contents(&path), disk.open(&path)) else { return };
    let place = usize::from(u16::from_le_bytes([change[1], change[2]])) % bytes.len();
    bytes[place] ^= change[3];
    if change[0] & 0x80 != 0 {
        // Blocks begin at multiples of 4: the one that holds the place is up to 60 bytes before it.
        let before = usize::from(change[0] >> 3 & 15) * 4;
        fuzz::reseal_block(&mut bytes, number, (place / 4 * 4).saturating_sub(before));
    }
    file.write_at(&[IoSlice::new(&bytes)], 0).expect("the disk is well");
}
