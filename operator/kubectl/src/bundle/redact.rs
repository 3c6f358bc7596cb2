//! What is left out of objects: what may lead to a secret, and what only fills pages.

use serde_json::{Value, json};

/// Fields anywhere in an object that say where a value is taken from. They stay, empty, so that one sees that there was
/// something, and that a pod is still read as one.
const SOURCES: [&str; 2] = ["valueFrom", "envFrom"];
/// Repeats the whole object as its author wrote it, sources included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Takes it away.
pub(crate) fn redact(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            annotations.remove(LAST_APPLIED);
        }
    }
    without_sources(object);
}

fn without_sources(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                if SOURCES.contains(&key.as_str()) {
                    *value = if value.is_array() { json!([]) } else { json!({}) };
                } else {
                    without_sources(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(without_sources),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_and_where_they_come_from_goes() {
        let mut pod = json!({
            "metadata": {"name": "shop-g0-0", "managedFields": [{"manager": "kubelet"}],
                "annotations": {LAST_APPLIED: "{\"token\":\"hunter2\"}", "team": "web"}},
            "spec": {"containers": [{
                "env": [{"name": "LEVEL", "value": "info"},
                    {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}],
                "envFrom": [{"secretRef": {"name": "s"}}],
            }]},
        });
        redact(&mut pod);
        let expected = json!({
            "metadata": {"name": "shop-g0-0", "annotations": {"team": "web"}},
            "spec": {"containers": [{
                "env": [{"name": "LEVEL", "value": "info"}, {"name": "TOKEN", "valueFrom": {}}],
                "envFrom": [],
            }]},
        });
        assert_eq!(pod, expected);
    }
}
