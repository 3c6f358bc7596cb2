//! The places where a record can be, each with what can happen to it behind the arbiters' backs.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use crds::broker_config::{ArbiterConfig, MemberAddress, ReplicationConfig};
use crds::group_record::{GroupRequest, RECORD_ANNOTATION, REQUEST_ANNOTATION};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::fake_api::{FakeApi, Way};
use crate::memory::{Fault, Link, MemoryObject};
use crate::{Arbiter, LeaseArbiter};

/// Where the record is.
pub(super) enum Place {
    File(TempDir),
    Memory(MemoryObject),
    Lease(FakeApi),
}

/// The way of one member to the record, to spoil it.
pub(super) enum Door {
    File,
    Memory(MemoryObject, Link),
    Lease(FakeApi, Way),
}

/// A state to go back to.
pub(super) enum Backup {
    File(String),
    Memory(usize),
    Lease(Value),
}

impl Place {
    pub(super) fn file() -> Self {
        Self::File(tempfile::tempdir().unwrap())
    }

    pub(super) fn memory() -> Self {
        Self::Memory(MemoryObject::new(wish()))
    }

    pub(super) fn lease() -> Self {
        Self::Lease(FakeApi::new(&wish()))
    }

    fn path(&self) -> PathBuf {
        match self {
            Self::File(folder) => folder.path().join("group.json"),
            Self::Memory(_) | Self::Lease(_) => unreachable!("only files have paths"),
        }
    }

    pub(super) async fn member(&self) -> (Arbiter, Door) {
        match self {
            Self::File(_) => {
                let arbiter = Arbiter::open(&on_file(self.path()), Arc::new(|| 0)).await.unwrap();
                (arbiter, Door::File)
            }
            Self::Memory(object) => {
                let (arbiter, link) = object.arbiter();
                (arbiter, Door::Memory(object.clone(), link))
            }
            Self::Lease(api) => {
                let (client, way) = api.client();
                let clock = Arc::new(|| 1_800_000_000_123);
                let arbiter = Arbiter::lease(LeaseArbiter::new(client, "mq", "shop-g0", clock));
                (arbiter, Door::Lease(api.clone(), way))
            }
        }
    }

    pub(super) fn request(&self, wish: &GroupRequest) {
        match self {
            Self::File(_) => self.edit(|json| json["request"] = json!(wish)),
            Self::Memory(object) => object.request(wish.clone()),
            Self::Lease(api) => api.annotate(REQUEST_ANNOTATION, &wish.to_json()),
        }
    }

    /// False: the place holds values, not text.
    pub(super) fn write_later_format(&self) -> bool {
        let later = json!({"v": 2, "colour": "blue"});
        match self {
            Self::File(_) => self.edit(|json| json["record"] = later),
            Self::Memory(_) => return false,
            Self::Lease(api) => api.annotate(RECORD_ANNOTATION, &later.to_string()),
        }
        true
    }

    pub(super) fn delete(&self) {
        match self {
            Self::File(_) => fs::remove_file(self.path()).unwrap(),
            Self::Memory(object) => object.delete(),
            Self::Lease(api) => api.delete(),
        }
    }

    pub(super) async fn make_again(&self) {
        match self {
            // As a member does that starts.
            Self::File(_) => drop(self.member().await),
            Self::Memory(object) => object.make_again(wish()),
            Self::Lease(api) => api.make(&wish()),
        }
    }

    pub(super) fn back_up(&self) -> Backup {
        match self {
            Self::File(_) => Backup::File(fs::read_to_string(self.path()).unwrap()),
            Self::Memory(object) => Backup::Memory(object.history().len()),
            Self::Lease(api) => Backup::Lease(api.object().unwrap()),
        }
    }

    pub(super) fn restore(&self, backup: Backup) {
        match (self, backup) {
            (Self::File(_), Backup::File(text)) => fs::write(self.path(), text).unwrap(),
            (Self::Memory(object), Backup::Memory(len)) => object.forget(object.history().len() - len),
            (Self::Lease(api), Backup::Lease(object)) => api.restore(object),
            (Self::File(_) | Self::Memory(_) | Self::Lease(_), _) => unreachable!("from another place"),
        }
    }

    fn edit(&self, edit: impl FnOnce(&mut Value)) {
        let mut json: Value = serde_json::from_str(&fs::read_to_string(self.path()).unwrap()).unwrap();
        json["version"] = json!(json["version"].as_u64().unwrap() + 1);
        edit(&mut json);
        fs::write(self.path(), json.to_string()).unwrap();
    }
}

impl Door {
    pub(super) fn set(&self, fault: Fault) {
        match self {
            Self::File => unreachable!("nothing lies in between"),
            Self::Memory(_, link) => link.set(fault),
            Self::Lease(_, way) => way.set(fault),
        }
    }

    /// What waited on the way arrives.
    pub(super) fn deliver(&self) {
        match self {
            Self::File => unreachable!("nothing lies in between"),
            Self::Memory(object, link) => object.deliver(link),
            Self::Lease(api, way) => api.deliver(way),
        }
    }
}

fn wish() -> GroupRequest {
    GroupRequest { copies: 2, min_in_sync: 2, ..GroupRequest::default() }
}

pub(super) fn on_file(path: PathBuf) -> ReplicationConfig {
    let member = |n: u32| MemberAddress {
        peer: format!("m{n}:8084"),
        client: format!("m{n}:8081"),
        admin: format!("m{n}:8082"),
    };
    let config = json!({ "members": [member(0), member(1)], "arbiter": {"file": {"path": "replaced"}} });
    let config: ReplicationConfig = serde_json::from_value(config).unwrap();
    ReplicationConfig { arbiter: ArbiterConfig::File { path }, ..config }
}
