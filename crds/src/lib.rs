//! What users write: the custom resources, the broker's configuration, and the names that hold them together.
//!
//! Used by the operator, the broker and the end-to-end tests. Nothing in here does input or output except
//! [`manifests`], which reads a folder.
#![forbid(unsafe_code)]

pub mod broker_config;
pub mod names;
