use std::io::{ErrorKind, IoSlice};

use super::{Call, Failure, SimDisk};
use crate::disk::{Disk, File};

fn write(file: &dyn File, bytes: &[u8], at: u64) -> std::io::Result<()> {
    file.write_at(&[IoSlice::new(bytes)], at)
}

fn lasting_file(disk: &SimDisk, path: &str, bytes: &[u8]) {
    let file = disk.create(path).unwrap();
    write(&*file, bytes, 0).unwrap();
    file.sync().unwrap();
    disk.sync_dir("").unwrap();
}

#[test]
fn synced_bytes_under_a_synced_name_survive_every_power_cut() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        lasting_file(&disk, "a", b"kept");
        write(&*disk.open("a").unwrap(), b"maybe", 4).unwrap();
        disk.power_cut(seed);
        assert!(disk.contents("a").unwrap().starts_with(b"kept"));
    }
}

#[test]
fn unsynced_bytes_and_names_survive_sometimes_and_in_pieces() {
    let (mut whole, mut torn, mut nothing, mut no_name) = (0, 0, 0, 0);
    for seed in 0..200 {
        let disk = SimDisk::new(1);
        lasting_file(&disk, "a", &[0; 2048]);
        write(&*disk.open("a").unwrap(), &[1; 2048], 0).unwrap();
        disk.create("b").unwrap();
        disk.power_cut(seed);
        match disk.contents("a").unwrap().iter().map(|byte| usize::from(*byte)).sum() {
            2048 => whole += 1,
            0 => nothing += 1,
            count => {
                assert_eq!(count % 512, 0);
                torn += 1;
            }
        }
        no_name += u32::from(disk.open("b").is_err());
    }
    assert!(whole > 10 && torn > 10 && nothing > 10, "{whole} {torn} {nothing}");
    assert!((20..180).contains(&no_name), "{no_name}");
}

#[test]
fn an_unsynced_rename_leaves_one_of_the_two_files_under_the_name() {
    let mut contents = std::collections::BTreeSet::new();
    for seed in 0..100 {
        let disk = SimDisk::new(1);
        lasting_file(&disk, "a", b"old");
        lasting_file(&disk, "a.tmp", b"new");
        disk.rename("a.tmp", "a").unwrap();
        disk.power_cut(seed);
        contents.insert(disk.contents("a").unwrap());
    }
    assert_eq!(contents.into_iter().collect::<Vec<_>>(), [b"new".to_vec(), b"old".to_vec()]);
}

#[test]
fn after_a_failed_sync_the_next_one_succeeds_and_keeps_nothing_of_the_lost() {
    let mut lost = 0;
    for seed in 0..100 {
        let disk = SimDisk::new(seed);
        lasting_file(&disk, "a", b"....");
        let file = disk.open("a").unwrap();
        write(&*file, b"next", 0).unwrap();
        disk.fail(Call::Sync, 1, Failure::Io);
        assert!(file.sync().is_err());
        file.sync().unwrap();
        assert_eq!(disk.contents("a").unwrap(), b"next", "the page cache still shows it");
        disk.power_cut(seed);
        lost += u32::from(disk.contents("a").unwrap() != b"next");
    }
    assert!(lost > 10, "{lost}");
}

#[test]
fn the_planned_call_fails_once_with_the_planned_error() {
    let disk = SimDisk::new(1);
    let file = disk.create("a").unwrap();
    disk.fail(Call::Write, 2, Failure::Full);
    write(&*file, b"1", 0).unwrap();
    assert_eq!(write(&*file, b"2", 1).unwrap_err().kind(), ErrorKind::StorageFull);
    write(&*file, b"3", 1).unwrap();
    disk.fail(Call::Any, 1, Failure::Lost);
    write(&*file, b"4", 1).unwrap();
    assert_eq!(disk.contents("a").unwrap(), b"13");
}

#[test]
fn nothing_goes_over_the_capacity() {
    let disk = SimDisk::new(1);
    disk.set_capacity_bytes(Some(1000));
    let file = disk.create("a").unwrap();
    file.allocate(600).unwrap();
    assert_eq!(disk.free_bytes().unwrap(), 400);
    write(&*file, &[1; 600], 0).unwrap();
    let other = disk.create("b").unwrap();
    assert_eq!(other.allocate(401).unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(write(&*other, &[1; 401], 0).unwrap_err().kind(), ErrorKind::StorageFull);
    assert!(other.len_bytes().unwrap() <= 400);
    disk.remove("a").unwrap();
    write(&*other, &[1; 401], 0).unwrap();
}

#[test]
fn from_the_crash_on_every_call_fails_until_the_reboot() {
    let disk = SimDisk::new(1);
    let file = disk.create("a").unwrap();
    disk.crash_at(2);
    write(&*file, b"1", 0).unwrap();
    assert!(write(&*file, b"2", 1).is_err());
    assert!(disk.has_crashed());
    assert!(file.sync().is_err() && disk.list("").is_err() && disk.open("a").is_err());
    disk.reboot();
    assert!(!disk.has_crashed());
    disk.list("").unwrap();
    assert!(file.len_bytes().is_err(), "files opened before the crash are dead");
}

#[test]
fn a_killed_process_finds_all_it_wrote() {
    let disk = SimDisk::new(1);
    let file = disk.create("a").unwrap();
    write(&*file, b"written", 0).unwrap();
    disk.kill_process();
    assert_eq!(disk.contents("a").unwrap(), b"written");
    assert!(file.sync().is_err());
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let story = |seed| {
        let disk = SimDisk::new(seed);
        disk.create_dir("x/y").unwrap();
        for at in 0..20 {
            let file = disk.create(&format!("x/y/{}", at % 5)).unwrap();
            write(&*file, &[at as u8; 3000], at * 100).unwrap();
            if at % 3 == 0 {
                file.sync().unwrap();
                disk.sync_dir("x/y").unwrap();
            }
        }
        disk.reboot();
        let names = disk.list("x/y").unwrap();
        names.iter().map(|name| disk.contents(&format!("x/y/{name}"))).collect::<Vec<_>>()
    };
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
}

#[test]
fn a_flipped_bit_stays_flipped() {
    let disk = SimDisk::new(1);
    lasting_file(&disk, "a", &[0, 0]);
    assert!(disk.flip_bit("a", 1, 3));
    assert!(!disk.flip_bit("a", 2, 3));
    disk.power_cut(1);
    assert_eq!(disk.contents("a").unwrap(), [0, 8]);
}
