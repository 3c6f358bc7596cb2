//! The same on a real disk: a folder that is new, then one that is not.

use std::sync::Arc;

use engine::catalog::Adopt;
use engine::group::Group;
use engine::mailbox::Mailbox;
use store::disk::real::RealDisk;

use crate::harness::{config, topic_spec};

#[test]
fn a_new_folder_becomes_a_broker_and_stays_one() {
    let folder = std::env::temp_dir().join(format!("engine-real-disk-{}", std::process::id()));
    let open = || {
        let disk = Arc::new(RealDisk::open(&folder).unwrap());
        let (group, mut writer) = Group::open(disk, config(), 1_000).unwrap();
        writer.lead_alone(1_000).unwrap();
        (group, writer)
    };
    {
        let (group, mut writer) = open();
        let specs = [topic_spec("orders", 4)];
        let (_, ticket) = group.apply_topics(&specs, Adopt::Never, &Mailbox::new()).unwrap();
        writer.step(1_000).unwrap();
        assert!(ticket.unwrap().try_outcome().unwrap().is_ok());
        group.checkpoint().unwrap();
    }
    let found = open().0.topic("orders").map(|topic| topic.spec.queues);
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(found, Some(4));
}
