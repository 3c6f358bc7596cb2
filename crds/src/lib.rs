//! What users write: the custom resources, the broker's configuration, and the names that hold them together.
//!
//! Used by the operator, the broker and the end-to-end tests. Nothing in here does input or output except
//! [`manifests`], which reads a folder.
#![forbid(unsafe_code)]
#![allow(unreachable_pub, reason = "the schema derives make hidden structs that are pub")]

pub mod amount;
pub mod broker_cluster;
pub mod broker_config;
pub mod conditions;
pub mod consumer_group;
pub mod definition;
pub mod generate;
pub mod group_record;
pub mod listener;
pub mod manifests;
pub mod names;
pub mod object;
pub mod placement;
pub mod reason;
pub mod reference;
pub mod topic;

pub use broker_cluster::{BrokerCluster, BrokerClusterSpec, BrokerClusterStatus};
pub use broker_config::BrokerConfig;
pub use consumer_group::{ConsumerGroup, ConsumerGroupSpec, ConsumerGroupStatus};
pub use reason::Reason;
pub use topic::{Topic, TopicSpec, TopicStatus};
