//! A new member begins where another one's log begins.

use std::sync::Arc;

use engine::group::{Group, Planting, Seed};
use store::disk::Disk;
use store::disk::sim::SimDisk;
use store::log::Flush;
use store::{Offset, Position};

use crate::harness::{Member, outcome, texts};

/// A leader whose first messages are trimmed: all of queue 1, some of queue 0. `latest` began to read in between.
fn trimmed_leader() -> Member {
    let mut leader = Member::leader(Flush::Async, 2);
    leader.receive("latest", 1);
    let text = "x".repeat(9_000);
    // In turn: one goes to queue 0, one to queue 1.
    for _ in 0..20 {
        leader.send(&[&text]);
        leader.agree();
    }
    let received = leader.receive("billing", 3);
    leader.ack_all(&received);
    leader.agree();
    leader.group.checkpoint().unwrap();
    leader.group.checkpoint().unwrap();
    leader.writer.retain(10_000_000).unwrap();
    leader.group.trim_index().unwrap();
    assert!(leader.group.head() > Position(0));
    leader
}

#[test]
fn a_planted_member_has_the_ranges_and_progress_of_its_leader_once_it_has_caught_up() {
    let mut leader = trimmed_leader();
    let mut planted = leader.plant();
    assert_eq!(planted.group.published(), leader.group.head());
    leader.send(&["after the seed"]);
    leader.commit();
    planted.follow_agreed(&leader);
    assert_eq!(planted.group.epochs(), leader.group.epochs());
    let leader_again = {
        let mut again = leader.restart();
        again.take_over(2);
        again
    };
    let mut planted = planted.restart();
    planted.take_over(2);
    assert_eq!(planted.summary(), leader_again.summary());
    assert_eq!(planted.drain(), leader_again.drain());
}

/// Trimmed to the last message, a queue still goes on counting.
#[test]
fn an_offset_is_never_given_twice_even_if_all_messages_were_trimmed() {
    let mut leader = Member::leader(Flush::Async, 1);
    leader.send(&["a", "b", "c"]);
    leader.commit();
    let filler = "x".repeat(9_000);
    leader.apply_topic(&crate::harness::topic_spec("filler", 1), engine::catalog::Adopt::Always);
    leader.agree();
    let topic = leader.group.topic("filler").unwrap();
    for _ in 0..20 {
        let draft = crate::harness::message(&filler);
        leader.group.send(&topic, vec![draft], &leader.mailbox).unwrap();
        leader.agree();
    }
    leader.group.checkpoint().unwrap();
    leader.group.checkpoint().unwrap();
    leader.writer.retain(10_000_000).unwrap();
    // Neither the leader's index nor the seed's has been told yet.
    let mut planted = leader.plant();
    let queue = leader.group.topic("orders").unwrap().queues[0];
    assert_eq!(leader.group.queue_range(queue), (Offset(3), Offset(3)), "all are trimmed");
    planted.follow_agreed(&leader);
    planted.group.checkpoint().unwrap();
    let mut planted = planted.restart();
    planted.take_over(2);
    let ticket = planted.send(&["d"]);
    planted.commit();
    assert_eq!(outcome(&ticket).unwrap()[0].offset, Offset(3));
    assert_eq!(texts(&planted.receive("billing", 9)), ["d"]);
}

#[test]
fn a_seed_is_read_back_or_refused() {
    let seed = trimmed_leader().group.seed().unwrap();
    let bytes = seed.encode();
    assert_eq!(Seed::decode(&bytes), Ok(seed));
    for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        assert!(Seed::decode(&bytes[..cut]).is_err(), "{cut} of {} B", bytes.len());
    }
}

#[test]
fn wherever_the_power_is_cut_there_is_nothing_or_all_of_it() {
    let leader = trimmed_leader();
    let seed = leader.group.seed().unwrap();
    let planting = Planting {
        log_id: leader.group.log_id(),
        segment_bytes: leader.config.log.segment_bytes,
        epochs: leader.group.epochs(),
    };
    // A member with a log of its own, checkpoints and runs.
    let mut old = Member::leader(Flush::Async, 3);
    old.send(&["old", "older"]);
    old.commit();
    old.group.flush_index().unwrap();
    old.group.checkpoint().unwrap();
    let Member { disk, config, group, writer, .. } = old;
    drop((group, writer));
    disk.kill_process();
    let plant = |disk: &SimDisk| {
        let disk: Arc<dyn Disk> = Arc::new(disk.clone());
        Group::plant(&disk, &planting, &seed, 1_000)
    };
    let whole = disk.fork();
    let before = whole.mutations();
    plant(&whole).unwrap();
    let calls = whole.mutations() - before;
    assert!(calls > 10, "{calls} calls");
    for crash_at in 1..=calls {
        let disk = disk.fork();
        disk.crash_at(crash_at);
        assert!(plant(&disk).is_err());
        disk.power_cut(crash_at);
        let is_old = old_is_there(&disk, &config);
        if !is_old && !Group::exists(&disk).unwrap() {
            plant(&disk).unwrap();
        }
        let mut member = Member::open(disk, config.clone());
        if is_old {
            assert_eq!(member.group.head(), Position(0));
            continue;
        }
        assert_eq!(member.group.head(), seed.start, "cut at {crash_at}");
        member.follow_agreed(&leader);
        member.take_over(2);
        assert_eq!(member.group.topic("orders").unwrap().queues.len(), 2, "cut at {crash_at}");
    }
}

/// The crash came before anything was removed for good.
fn old_is_there(disk: &SimDisk, config: &engine::group::GroupConfig) -> bool {
    if !Group::exists(disk).unwrap() {
        return false;
    }
    let fork = disk.fork();
    let member = Member::open(fork, config.clone());
    member.group.head() == Position(0)
}
