//! Whatever happens to the bytes of the newest checkpoint, it is found as it was written, or the older one is.
//!
//! Input: first byte even: the rest is the file. Odd: changes of 3 bytes, `place` (2), `mask`.
#![no_main]

use std::io::IoSlice;

use libfuzzer_sys::fuzz_target;
use store::Position;
use store::checkpoint::{Checkpoint, load, write};
use store::disk::Disk;
use store::disk::sim::SimDisk;

const NEWEST: &str = "state/checkpoint-0000000002";

fuzz_target!(|bytes: &[u8]| {
    let Some((mode, rest)) = bytes.split_first() else { return };
    let disk = SimDisk::new(1);
    for number in 1..=2 {
        write(&disk, &checkpoint(number)).expect("the disk is well");
    }
    let mut newest = disk.contents(NEWEST).expect("it was written");
    if mode % 2 == 0 {
        newest = rest.to_vec();
    } else {
        for change in rest.chunks_exact(3) {
            let place = usize::from(u16::from_le_bytes([change[0], change[1]])) % newest.len();
            newest[place] ^= change[2];
        }
    }
    let file = disk.open(NEWEST).expect("it was written");
    file.truncate(0).expect("the disk is well");
    file.write_at(&[IoSlice::new(&newest)], 0).expect("the disk is well");
    let found = load(&disk).expect("the older one is whole").expect("there are two");
    assert!(found == checkpoint(2) || found == checkpoint(1));
});

fn checkpoint(number: u64) -> Checkpoint {
    let sections = vec![(1, vec![number as u8; 200]), (2, Vec::new()), (3, number.to_le_bytes().to_vec())];
    Checkpoint { covered: Position(number), sections }
}
