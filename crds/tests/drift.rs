//! The generated files are those that the types make.
#![allow(clippy::unwrap_used, reason = "a test program: helpers fail as tests do")]

use std::fs;
use std::path::Path;

const HOW: &str = "run `make crds`";

#[test]
fn the_files_in_the_repository_are_those_of_the_types() {
    // Tests run in the folder of their crate; where it was compiled may be another clone.
    let here = Path::new(".");
    for file in crds::generate::files().unwrap() {
        let generated = here.join("generated").join(file.name);
        let found = fs::read_to_string(&generated).unwrap_or_default();
        assert!(found == file.yaml, "{} is out of date: {HOW}", generated.display());
        let template = here.join("../charts/millpond/templates/crds").join(file.name);
        let found = fs::read_to_string(&template).unwrap_or_default();
        assert!(found == file.template, "{} is out of date: {HOW}", template.display());
    }
    for page in crds::reference::pages().unwrap() {
        let path = here.join("../docs/reference").join(&page.name);
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == page.text, "{} is out of date: {HOW}", path.display());
    }
}

#[test]
fn every_field_is_described() {
    for page in crds::reference::pages().unwrap() {
        for line in page.text.lines().filter(|line| line.starts_with("| `")) {
            let cells: Vec<&str> = line.split(" | ").collect();
            assert!(cells[2].trim_end_matches(" |").len() > 3, "{}: {line}", page.name);
        }
    }
}

#[test]
fn every_rule_has_a_message_that_says_more_than_the_rule() {
    for (name, crd) in crds::generate::definitions() {
        let crd = serde_json::to_value(crd).unwrap();
        let mut rules = Vec::new();
        collect(&crd, &mut rules);
        assert!(!rules.is_empty(), "{name} has rules");
        for rule in rules {
            let message = rule["message"].as_str().unwrap_or_default();
            assert!(message.split(' ').count() >= 5, "{name}: {rule}");
        }
    }
}

fn collect(value: &serde_json::Value, rules: &mut Vec<serde_json::Value>) {
    match value {
        serde_json::Value::Object(map) => {
            for (key, value) in map {
                if key == "x-kubernetes-validations" {
                    rules.extend(value.as_array().into_iter().flatten().cloned());
                } else {
                    collect(value, rules);
                }
            }
        }
        serde_json::Value::Array(items) => items.iter().for_each(|item| collect(item, rules)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => {}
    }
}
