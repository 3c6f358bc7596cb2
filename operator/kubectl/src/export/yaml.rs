//! JSON as YAML that reads the same under YAML 1.1, as kubectl has it, and 1.2.
//!
//! Promise: a topic may be called `on`, `1_000` or `1e3` and stays text. Everything that is not a plain word is quoted as in JSON.

use std::fmt::Write;

use serde_json::Value;

/// Words that some version of YAML takes for something else.
const WORDS: [&str; 9] = ["true", "false", "yes", "no", "on", "off", "y", "n", "null"];

/// A document of a stream.
pub(crate) fn document(value: &Value) -> String {
    let mut text = "---\n".to_owned();
    write(value, 0, &mut text);
    text
}

fn write(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let _ = write!(text, "{indent}{}:", scalar(key));
                below(value, depth, text);
            }
        }
        Value::Array(items) => {
            for item in items {
                let _ = write!(text, "{indent}-");
                below(item, depth, text);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            let _ = writeln!(text, "{indent}{}", leaf(value));
        }
    }
}

/// What stands behind a key or a dash: on the same line if it is short, otherwise on lines of its own.
fn below(value: &Value, depth: usize, text: &mut String) {
    let is_empty = match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => true,
    };
    if is_empty {
        let _ = writeln!(text, " {}", leaf(value));
    } else {
        text.push('\n');
        write(value, depth + 1, text);
    }
}

fn leaf(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), scalar)
}

fn scalar(word: &str) -> String {
    let is_word = word.starts_with(|c: char| c.is_ascii_alphabetic())
        && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./".contains(&b))
        && !WORDS.contains(&&*word.to_ascii_lowercase());
    if is_word { word.to_owned() } else { Value::from(word).to_string() }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let words = [
            "on", "No", "y", "1_000", "1e3", "0x1f", "-", "null", "a: b", "# c", "a\n b", "", "é", "~",
            ".inf", "orders",
        ];
        let value = json!({
            "words": words, "none": [], "empty": {}, "number": 1.5, "deep": {"list": [{"a": [[1], []]}, true, null]},
            "yes": "no",
        });
        let read: Value = serde_yaml::from_str(&document(&value)).unwrap();
        assert_eq!(read, value);
    }

    #[test]
    fn text_that_older_yaml_takes_for_a_number_or_a_truth_is_quoted() {
        let text = document(&json!({"name": ["on", "Yes", "1_000", "orders"]}));
        assert_eq!(text, "---\nname:\n  - \"on\"\n  - \"Yes\"\n  - \"1_000\"\n  - orders\n");
    }
}
