//! Random lives of a leader, whose log others follow: who follows knows what a restart of the leader would know.

use proptest::prelude::*;

use engine::catalog::Adopt;
use engine::lease::Receipt;
use store::log::Flush;

use crate::harness::{INVISIBLE_MS, Member, topic_spec};

#[derive(Clone, Debug)]
enum Op {
    Send { count: usize },
    Receive { group: u8, max: usize },
    Ack { every: usize },
    GiveUp,
    Extend,
    PutTopic { name: u8, queues: u32 },
    DeleteTopic { name: u8 },
    Wait,
    Step,
    Commit,
    Follow,
    FollowerCheckpoint,
    FollowerReopens,
    LeaderCheckpoint,
    Retain,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (1..6_usize).prop_map(|count| Op::Send { count }),
        6 => (0..2_u8, 1..9_usize).prop_map(|(group, max)| Op::Receive { group, max }),
        4 => (1..4_usize).prop_map(|every| Op::Ack { every }),
        1 => Just(Op::GiveUp),
        1 => Just(Op::Extend),
        1 => (0..3_u8, 1..4_u32).prop_map(|(name, queues)| Op::PutTopic { name, queues }),
        1 => (0..3_u8).prop_map(|name| Op::DeleteTopic { name }),
        3 => Just(Op::Wait),
        6 => Just(Op::Step),
        6 => Just(Op::Commit),
        3 => Just(Op::Follow),
        1 => Just(Op::FollowerCheckpoint),
        1 => Just(Op::FollowerReopens),
        1 => Just(Op::LeaderCheckpoint),
        1 => Just(Op::Retain),
    ]
}

struct Life {
    leader: Member,
    follower: Option<Member>,
    receipts: Vec<Receipt>,
    sent: u32,
}

impl Life {
    fn live(&mut self, op: &Op) {
        let leader = &mut self.leader;
        match *op {
            Op::Send { count } => {
                let texts: Vec<_> = (0..count).map(|n| format!("{:.<3000}", self.sent + n as u32)).collect();
                self.sent += count as u32;
                let _ = leader.submit(&texts.iter().map(String::as_str).collect::<Vec<_>>());
            }
            Op::Receive { group, max } => {
                let received = leader.receive(["billing", "latest"][usize::from(group)], max);
                self.receipts.extend(received.deliveries.iter().map(|delivery| delivery.receipt));
            }
            Op::Ack { every } => {
                for receipt in self.receipts.iter().step_by(every) {
                    let _ = leader.group.ack(receipt, leader.now_ms, &leader.mailbox);
                }
            }
            Op::GiveUp => {
                if let Some(receipt) = self.receipts.pop() {
                    let _ = leader.group.dead_letter(&receipt, leader.now_ms, &leader.mailbox);
                }
            }
            Op::Extend => {
                if let Some(receipt) = self.receipts.last_mut()
                    && let Ok(extended) = leader.group.extend(receipt, 500, leader.now_ms)
                {
                    *receipt = extended;
                }
            }
            Op::PutTopic { name, queues } => {
                let _ = leader.group.apply_topics(
                    &[topic_spec(&format!("topic-{name}"), queues)],
                    Adopt::Always,
                    &leader.mailbox,
                );
            }
            Op::DeleteTopic { name } => {
                let names = [format!("topic-{name}")];
                let _ = leader.group.delete_topics(&names, None, &leader.mailbox);
            }
            Op::Wait => leader.now_ms += INVISIBLE_MS / 2,
            Op::Step => leader.step(),
            Op::Commit => leader.commit(),
            Op::LeaderCheckpoint => leader.group.checkpoint().unwrap(),
            Op::Retain => {
                leader.writer.retain(100_000_000).unwrap();
                leader.group.trim_index().unwrap();
            }
            Op::Follow => self.follow(),
            Op::FollowerCheckpoint => {
                if let Some(follower) = &self.follower {
                    follower.group.checkpoint().unwrap();
                }
            }
            Op::FollowerReopens => self.follower = self.follower.take().map(Member::restart),
        }
    }

    /// Unless the leader has trimmed what the follower needs: then it is out.
    fn follow(&mut self) {
        self.follower.take_if(|follower| follower.group.written() < self.leader.group.head());
        if let Some(follower) = &mut self.follower {
            follower.follow_agreed(&self.leader);
        }
    }
}

/// Leads, has the index forget what retention took, and tells all it knows.
fn told(mut member: Member, epoch: u32) -> (Vec<String>, Vec<String>) {
    member.take_over(epoch);
    member.group.trim_index().unwrap();
    member.now_ms += 10 * INVISIBLE_MS;
    (member.summary(), member.drain())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whoever_follows_and_then_leads_knows_what_the_leader_would_know_after_a_restart(
        ops in prop::collection::vec(op(), 1..90),
        seeded_after in any::<prop::sample::Index>(),
        is_sync in any::<bool>(),
    ) {
        let flush = if is_sync { Flush::Sync } else { Flush::Async };
        let leader = Member::leader(flush, 2);
        let follower = Some(Member::new(flush));
        let mut life = Life { leader, follower, receipts: Vec::new(), sent: 0 };
        let seeded_after = seeded_after.index(ops.len());
        let mut planted = None;
        for (number, op) in ops.iter().enumerate() {
            life.live(op);
            if number == seeded_after {
                // What took effect in memory is in the log too: else the seed knows more than a restart.
                life.leader.agree();
                planted = Some(life.leader.plant());
            }
        }
        let Life { mut leader, follower, .. } = life;
        leader.agree();
        // What was granted for the first time is told by no record.
        let mut members: Vec<Member> = follower.into_iter().chain(planted).collect();
        members.retain(|member| member.group.written() >= leader.group.head());
        for member in &mut members {
            member.now_ms = leader.now_ms;
            member.follow_agreed(&leader);
        }
        let heads: Vec<_> = members.iter().map(|member| member.group.head()).collect();
        let head = leader.group.head();
        // Without the checkpoint's own knowledge: from the log alone, or from checkpoint and log, it is the same.
        let leader = leader.restart();
        let wanted = told(leader, 2);
        for (member, its_head) in members.into_iter().zip(heads) {
            let got = told(member, 2);
            if its_head == head {
                prop_assert_eq!(&got.0, &wanted.0);
                prop_assert_eq!(&got.1, &wanted.1);
            }
        }
    }
}
