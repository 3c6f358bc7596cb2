use super::{Checkpoint, CheckpointError, load, write};
use crate::Position;
use crate::disk::Disk;
use crate::disk::sim::{Call, Failure, SimDisk};

fn checkpoint(number: u64) -> Checkpoint {
    let sections = vec![(1, vec![number as u8; 700]), (2, Vec::new()), (3, number.to_le_bytes().to_vec())];
    Checkpoint { covered: Position(number * 1000), sections }
}

#[test]
fn the_newest_is_found_and_two_are_kept() {
    let disk = SimDisk::new(1);
    assert_eq!(load(&disk).unwrap(), None);
    let kept_from = (1..=5).map(|number| write(&disk, &checkpoint(number)).unwrap().0).collect::<Vec<_>>();
    assert_eq!(kept_from, [0, 1000, 2000, 3000, 4000]);
    assert_eq!(load(&disk).unwrap(), Some(checkpoint(5)));
    assert_eq!(disk.list("state").unwrap(), ["checkpoint-0000000004", "checkpoint-0000000005"]);
}

#[test]
fn a_damaged_newest_is_set_aside_for_the_older_one_which_is_then_kept() {
    for at in [0, 30, 70, 300] {
        let disk = SimDisk::new(1);
        write(&disk, &checkpoint(1)).unwrap();
        write(&disk, &checkpoint(2)).unwrap();
        assert!(disk.flip_bit("state/checkpoint-0000000002", at, 1));
        assert_eq!(load(&disk).unwrap(), Some(checkpoint(1)));
        assert_eq!(write(&disk, &checkpoint(3)).unwrap(), Position(1000));
        assert_eq!(load(&disk).unwrap(), Some(checkpoint(3)));
    }
}

#[test]
fn without_a_valid_one_the_damage_is_told() {
    let disk = SimDisk::new(1);
    write(&disk, &checkpoint(1)).unwrap();
    assert!(disk.flip_bit("state/checkpoint-0000000001", 64, 0));
    let error = load(&disk).unwrap_err();
    assert_eq!(
        error.to_string(),
        "state/checkpoint-0000000001 is damaged at byte 64, and there is no older one"
    );
}

#[test]
fn after_a_failed_write_the_one_before_is_found_and_the_next_write_succeeds() {
    for call in [Call::Create, Call::Write, Call::Sync, Call::Rename, Call::SyncDir] {
        for failure in [Failure::Io, Failure::Full] {
            let disk = SimDisk::new(1);
            write(&disk, &checkpoint(1)).unwrap();
            disk.fail(call, 1, failure);
            assert!(matches!(write(&disk, &checkpoint(2)), Err(CheckpointError::Io { .. })), "{call:?}");
            disk.kill_process();
            load(&disk).unwrap().unwrap();
            write(&disk, &checkpoint(3)).unwrap();
            disk.reboot();
            assert_eq!(load(&disk).unwrap(), Some(checkpoint(3)));
        }
    }
}

#[test]
fn a_power_cut_at_any_call_leaves_the_last_that_was_written_or_the_one_begun() {
    let whole = SimDisk::new(1);
    for number in 1..=4 {
        write(&whole, &checkpoint(number)).unwrap();
    }
    for crash_at in 1..=whole.mutations() {
        for seed in 0..20 {
            let disk = SimDisk::new(seed);
            disk.crash_at(crash_at);
            let written =
                (1..=4).take_while(|number| write(&disk, &checkpoint(*number)).is_ok()).count() as u64;
            disk.reboot();
            let found = load(&disk).unwrap().map_or(0, |found| found.covered.0 / 1000);
            assert!((written..=written + 1).contains(&found), "wrote {written}, found {found}");
            write(&disk, &checkpoint(9)).unwrap();
            disk.reboot();
            assert_eq!(load(&disk).unwrap(), Some(checkpoint(9)), "crash at {crash_at}, seed {seed}");
        }
    }
}
