//! Reads the Topics and ConsumerGroups of a folder of YAML files, for a broker without Kubernetes.
//!
//! ```text
//!   folder ── *.yaml, *.yml in name order ── documents ──► Topic, ConsumerGroup ──► definitions
//! ```
//!
//! Promise: a mistake in one document is reported with file and document and does not hide the others. An unknown
//! field is a mistake, as it is for `kubectl apply`; a name defined twice is a mistake of the second document.
//! Limits: folders inside of the folder are not read; documents of other kinds, a BrokerCluster for instance, are
//! passed over. Files over 4 MiB are refused.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::consumer_group::ConsumerGroup;
use crate::definition::{ConsumerGroupDefinition, DefinitionError, TopicDefinition};
use crate::topic::Topic;

/// Largest file that is read.
pub const FILE_BYTES_MAX: u64 = 4 << 20;

/// What a folder says.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Manifests {
    /// Topics, in the order they were read.
    pub topics: Vec<Sourced<TopicDefinition>>,
    /// Consumer groups, in the order they were read.
    pub consumer_groups: Vec<Sourced<ConsumerGroupDefinition>>,
    /// Documents of other kinds that were passed over.
    pub skipped: usize,
}

/// A definition and where it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Sourced<T> {
    /// Where it was read.
    pub source: Source,
    /// What was read.
    pub definition: T,
}

/// A document in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// The document in it, counted from 1.
    pub document: usize,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, document {}", self.file.display(), self.document)
    }
}

/// What is wrong with a manifest.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The folder or a file cannot be read.
    #[error("{}: {source}", .path.display())]
    Read {
        /// The folder or file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file too large to be a manifest.
    #[error("{}: {bytes} B is over the limit of {FILE_BYTES_MAX} B for a manifest; split the file", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
    /// Not YAML: nothing of the file after this document was read.
    #[error("{at}: {source}")]
    Syntax {
        /// The document.
        at: Box<Source>,
        /// What the parser said.
        source: serde_yaml::Error,
    },
    /// A Topic or ConsumerGroup of another shape.
    #[error("{at}: {kind}: {message}")]
    Shape {
        /// The document.
        at: Box<Source>,
        /// Its kind.
        kind: String,
        /// What does not fit.
        message: String,
    },
    /// Fields that do not exist.
    #[error("{at}: {kind} has no field {fields}; correct or remove it")]
    UnknownFields {
        /// The document.
        at: Box<Source>,
        /// Its kind.
        kind: String,
        /// Their paths.
        fields: String,
    },
    /// A value that cannot be served.
    #[error("{at}: {kind} `{name}`: {source}")]
    Invalid {
        /// The document.
        at: Box<Source>,
        /// Its kind.
        kind: String,
        /// Its name.
        name: String,
        /// What is wrong.
        source: DefinitionError,
    },
    /// A name that was defined before.
    #[error("{at}: {kind} `{name}` is defined in {first} already; remove one of the two")]
    Twice {
        /// The document.
        at: Box<Source>,
        /// Its kind.
        kind: String,
        /// The name.
        name: String,
        /// The document that has it.
        first: Box<Source>,
    },
}

/// Reads a folder. What is right is returned along with what is wrong.
pub fn read_folder(folder: &Path) -> (Manifests, Vec<ManifestError>) {
    let mut reader = Reader::default();
    match yaml_files(folder) {
        Ok(files) => files.iter().for_each(|file| reader.file(file)),
        Err(source) => reader.errors.push(ManifestError::Read { path: folder.to_owned(), source }),
    }
    (reader.found, reader.errors)
}

/// Reads the text of one file; `file` is only its name in errors.
pub fn read_text(file: &Path, text: &str) -> (Manifests, Vec<ManifestError>) {
    let mut reader = Reader::default();
    reader.text(file, text);
    (reader.found, reader.errors)
}

fn yaml_files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        // Follows links: a mounted ConfigMap consists of them.
        if matches!(extension, Some("yaml" | "yml")) && path.is_file() {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

#[derive(Default)]
struct Reader {
    found: Manifests,
    errors: Vec<ManifestError>,
    names: BTreeMap<(&'static str, String), Source>,
}

impl Reader {
    fn file(&mut self, path: &Path) {
        let read = || -> io::Result<Result<String, u64>> {
            let bytes = fs::metadata(path)?.len();
            if bytes > FILE_BYTES_MAX { Ok(Err(bytes)) } else { fs::read_to_string(path).map(Ok) }
        };
        match read() {
            Ok(Ok(text)) => self.text(path, &text),
            Ok(Err(bytes)) => self.errors.push(ManifestError::TooLarge { path: path.to_owned(), bytes }),
            Err(source) => self.errors.push(ManifestError::Read { path: path.to_owned(), source }),
        }
    }

    fn text(&mut self, file: &Path, text: &str) {
        for (index, document) in serde_yaml::Deserializer::from_str(text).enumerate() {
            let at = Source { file: file.to_owned(), document: index + 1 };
            match Value::deserialize(document) {
                Ok(document) => {
                    if let Err(error) = self.document(at, document) {
                        self.errors.push(error);
                    }
                }
                Err(source) => {
                    // The parser has lost its place: what follows would be guesses.
                    self.errors.push(ManifestError::Syntax { at: Box::new(at), source });
                    return;
                }
            }
        }
    }

    fn document(&mut self, at: Source, document: Value) -> Result<(), ManifestError> {
        let word = |key| document.get(key).and_then(Value::as_str).unwrap_or_default();
        match (word("apiVersion"), word("kind")) {
            ("millpond.io/v1alpha1", "Topic") => {
                let topic: Topic = parse(&at, "Topic", document)?;
                let definition = topic.definition();
                let definition = self.checked(&at, "Topic", topic.client_name(), definition)?;
                self.found.topics.push(Sourced { source: at, definition });
            }
            ("millpond.io/v1alpha1", "ConsumerGroup") => {
                let group: ConsumerGroup = parse(&at, "ConsumerGroup", document)?;
                let definition = group.definition();
                let definition = self.checked(&at, "ConsumerGroup", group.client_name(), definition)?;
                self.found.consumer_groups.push(Sourced { source: at, definition });
            }
            // A document of comments alone is nothing that was passed over.
            _ if document.is_null() => {}
            _ => self.found.skipped += 1,
        }
        Ok(())
    }

    fn checked<T>(
        &mut self,
        at: &Source,
        kind: &'static str,
        name: String,
        definition: Result<T, DefinitionError>,
    ) -> Result<T, ManifestError> {
        let definition = match definition {
            Ok(definition) => definition,
            Err(source) => {
                return Err(ManifestError::Invalid {
                    at: Box::new(at.clone()),
                    kind: kind.to_owned(),
                    name,
                    source,
                });
            }
        };
        let key = (kind, name);
        if let Some(first) = self.names.get(&key) {
            let (at, first) = (Box::new(at.clone()), Box::new(first.clone()));
            return Err(ManifestError::Twice { at, kind: kind.to_owned(), name: key.1, first });
        }
        self.names.insert(key, at.clone());
        Ok(definition)
    }
}

fn parse<T: DeserializeOwned>(at: &Source, kind: &str, document: Value) -> Result<T, ManifestError> {
    let mut unknown = Vec::new();
    let object = serde_ignored::deserialize(document, |path| {
        let path = path.to_string();
        // A manifest taken from a cluster carries metadata that only a cluster reads.
        if !path.starts_with("metadata.") && path != "apiVersion" && path != "kind" {
            unknown.push(format!("`{path}`"));
        }
    });
    let (at, kind) = (Box::new(at.clone()), kind.to_owned());
    match object {
        Err(error) => Err(ManifestError::Shape { at, kind, message: error.to_string() }),
        Ok(_) if !unknown.is_empty() => {
            Err(ManifestError::UnknownFields { at, kind, fields: unknown.join(", ") })
        }
        Ok(object) => Ok(object),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{BackoffDefinition, StartDefinition};

    fn read(text: &str) -> (Manifests, Vec<String>) {
        let (found, errors) = read_text(Path::new("a.yaml"), text);
        (found, errors.iter().map(ToString::to_string).collect())
    }

    const TOPIC: &str = "apiVersion: millpond.io/v1alpha1\nkind: Topic\n";
    const GROUP: &str = "apiVersion: millpond.io/v1alpha1\nkind: ConsumerGroup\n";

    #[test]
    fn the_files_of_a_cluster_serve_without_one() {
        let (found, errors) = read(&format!(
            "# quickstart\n---\napiVersion: millpond.io/v1alpha1\nkind: BrokerCluster\nmetadata: {{name: shop}}\n\
             ---\n{TOPIC}metadata: {{name: orders, labels: {{team: a}}}}\n\
             spec: {{clusterRef: {{name: shop}}, queues: {{perGroup: 8}}, retention: {{maxAge: 1h}}}}\n\
             ---\n{GROUP}metadata: {{name: billing}}\nspec:\n  clusterRef: {{name: shop}}\n  consumeFrom: Latest\n  \
             retry: {{maxAttempts: 5, backoff: {{exponential: {{initial: 1s, max: 1m}}}}}}\n"
        ));
        assert_eq!(errors, Vec::<String>::new());
        assert_eq!(found.skipped, 1);
        assert_eq!(found.topics[0].source.to_string(), "a.yaml, document 2");
        let orders = TopicDefinition {
            name: "orders".into(),
            topic_type: crate::topic::TopicType::Normal,
            queues: 8,
            retention_ms: 3_600_000,
        };
        assert_eq!(found.topics[0].definition, orders);
        let billing = &found.consumer_groups[0].definition;
        assert_eq!((billing.max_attempts, billing.consume_from), (5, StartDefinition::Latest));
        let backoff = BackoffDefinition::Exponential { initial_ms: 1_000, max_ms: 60_000, multiplier: 2.0 };
        assert_eq!(billing.backoff, backoff);
    }

    #[test]
    fn a_mistake_names_file_and_document_and_hides_nothing_else() {
        let (found, errors) = read(&format!(
            "{TOPIC}metadata: {{name: a}}\nspec: {{clusterRef: {{name: c}}, queue: {{perGroup: 8}}}}\n\
             ---\n{TOPIC}metadata: {{name: b}}\nspec: {{clusterRef: {{name: c}}, queues: {{perGroup: 0}}}}\n\
             ---\n{TOPIC}metadata: {{name: c}}\nspec: {{}}\n\
             ---\n{TOPIC}metadata: {{name: d}}\nspec: {{clusterRef: {{name: c}}}}\n\
             ---\n{TOPIC}metadata: {{name: e}}\nspec: {{clusterRef: {{name: c}}, name: d}}\n"
        ));
        assert_eq!(
            errors,
            [
                "a.yaml, document 1: Topic has no field `spec.queue`; correct or remove it",
                "a.yaml, document 2: Topic `b`: spec.queues.perGroup: 0 must be from 1 to 1024",
                "a.yaml, document 3: Topic: missing field `clusterRef`",
                "a.yaml, document 5: Topic `d` is defined in a.yaml, document 4 already; remove one of the two",
            ]
        );
        assert_eq!(found.topics.len(), 1);
        assert_eq!(found.topics[0].definition.name, "d");
    }

    #[test]
    fn broken_yaml_keeps_what_came_before_it() {
        let (found, errors) = read(&format!(
            "{TOPIC}metadata: {{name: a}}\nspec: {{clusterRef: {{name: c}}}}\n---\n{TOPIC}metadata: [unclosed\n"
        ));
        assert_eq!(found.topics.len(), 1);
        assert_eq!(errors.len(), 1);
        assert!(errors[0].starts_with("a.yaml, document 2: "), "{}", errors[0]);
    }

    #[test]
    fn a_folder_is_read_in_name_order_and_only_its_yaml() {
        let folder = std::env::temp_dir().join(format!("millpond-manifests-{}", std::process::id()));
        fs::create_dir_all(folder.join("sub.yaml")).unwrap();
        for (file, name) in [("b.yml", "second"), ("a.yaml", "first"), ("c.txt", "third")] {
            let text = format!("{TOPIC}metadata: {{name: {name}}}\nspec: {{clusterRef: {{name: c}}}}\n");
            fs::write(folder.join(file), text).unwrap();
        }
        let (found, errors) = read_folder(&folder);
        fs::remove_dir_all(&folder).unwrap();
        let names: Vec<_> = found.topics.iter().map(|topic| topic.definition.name.as_str()).collect();
        assert_eq!((names, errors.len()), (vec!["first", "second"], 0));
    }

    #[test]
    fn a_missing_folder_is_named() {
        let (_, errors) = read_folder(Path::new("/nowhere/at/all"));
        assert!(errors[0].to_string().starts_with("/nowhere/at/all: "));
    }
}
