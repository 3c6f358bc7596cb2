//! Whether the tests that `e2e/PEER_BUGS.md` names are there.

use crate::place;

#[test]
fn every_test_that_is_named_exists() {
    let text = std::fs::read_to_string(place::root().join("e2e/PEER_BUGS.md")).expect("the list");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|') && line.contains('`')).collect();
    assert!(rows.len() > 20, "{} rows", rows.len());
    let mut missing = Vec::new();
    for row in rows {
        let mut quoted = row.split('`').skip(1).step_by(2);
        let file = quoted.next().expect("a row names a file");
        let Ok(source) = std::fs::read_to_string(place::root().join(file)) else {
            missing.push(file.to_owned());
            continue;
        };
        missing.extend(quoted.filter(|name| !source.contains(&format!("fn {name}("))).map(str::to_owned));
    }
    assert!(missing.is_empty(), "{missing:?}");
}
