//! The disk is cut at every call that changes it; no promise breaks.

use super::story::{Known, Step, script};
use super::*;

const STEPS: usize = 80;

/// Ends of one crash: the process dies and the kernel goes on, or the power goes and luck decides.
const POWER_CUTS: u64 = 2;

/// Runs the script once for each changing call, crashes there and looks at the remains.
fn crash_everywhere(seed: u64, flush: Flush) {
    let script = script(seed, STEPS, flush);
    let whole = SimDisk::new(seed);
    assert!(Known::default().live(&whole, flush, &script), "without faults");
    let calls = whole.mutations();
    let (log, _) = open(&whole, flush).unwrap();
    assert!(
        log.head() > Position(0) && log.written().0 > 6 * SEGMENT_BYTES,
        "the script must roll and delete"
    );
    for nth in 1..=calls {
        let disk = SimDisk::new(seed + nth);
        disk.crash_at(nth);
        let mut known = Known::default();
        assert!(!known.live(&disk, flush, &script) && disk.has_crashed());
        for end in 0..=POWER_CUTS {
            let disk = disk.fork();
            match end {
                0 => disk.kill_process(),
                end => disk.power_cut(nth * 31 + end),
            }
            let why = format!("seed {seed}, {flush:?}, crash at call {nth}, end {end}");
            crash_again_and_check(&disk, flush, &mut known.clone(), nth + end, &why);
        }
    }
}

/// Recovery is a life too: it is cut as well before it may finish.
fn crash_again_and_check(disk: &SimDisk, flush: Flush, known: &mut Known, luck: u64, why: &str) {
    disk.crash_at(1 + luck % 6);
    let mut again = known.clone();
    again.live(disk, flush, &[Step::Sync]);
    known.began(&again);
    if luck.is_multiple_of(2) {
        disk.power_cut(luck);
    } else {
        disk.kill_process();
    }
    known.check(disk, flush, why);
}

#[test]
fn a_synced_log_keeps_every_promise_wherever_it_crashes() {
    for seed in [1, 3] {
        crash_everywhere(seed, Flush::Sync);
    }
}

#[test]
fn an_unsynced_log_keeps_every_promise_wherever_it_crashes() {
    crash_everywhere(11, Flush::Async);
}
