//! Configurations that people copy: they must be valid.

use std::path::{Path, PathBuf};

use crds::BrokerConfig;

fn read(path: &str) -> String {
    // Tests run in the folder of their crate; where it was compiled may be another clone.
    std::fs::read_to_string(Path::new("..").join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn the_configuration_in_the_documentation_is_valid() {
    let text = read("docs/replication.md");
    let blocks = text.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next());
    let configs: Vec<_> = blocks.map(|block| BrokerConfig::from_yaml(block).expect(block)).collect();
    assert!(!configs.is_empty());
    let mut trio = BrokerConfig::from_yaml(&read("examples/trio/member-0.yaml")).expect("member 0");
    let replication = trio.replication.as_mut().expect("one of three");
    // The page states a default.
    replication.min_in_sync = Some(replication.min_in_sync());
    assert_eq!(configs[0], trio, "the page shows the example");
}

#[test]
fn the_three_of_the_example_fit_together() {
    let members = (0..3).map(|n| BrokerConfig::from_yaml(&read(&format!("examples/trio/member-{n}.yaml"))));
    let members: Vec<_> = members.map(|member| member.expect("a valid configuration")).collect();
    let first = members[0].replication.clone().expect("one of three");
    for (n, member) in members.iter().enumerate() {
        let replication = member.replication.clone().expect("one of three");
        let own = &replication.members[n];
        assert_eq!(replication.ordinal, Some(n as u32));
        assert_eq!((&replication.members, &replication.arbiter), (&first.members, &first.arbiter));
        let listens = [replication.listen, member.listen, member.admin_listen].map(|at| at.to_string());
        assert_eq!(listens.each_ref(), [&own.peer, &own.client, &own.admin]);
        assert_eq!(member.data, PathBuf::from(format!("data/member-{n}")));
    }
}
