//! What became of one item of a bulk request.

use wire::admin as proto;

/// One item and its result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Name of the topic or consumer group.
    pub name: String,
    /// What was done, or why nothing was.
    pub result: Result<Change, Refusal>,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Created,
    /// It was there and is different now.
    Changed,
    /// It was there as it should be.
    Unchanged,
    /// It is gone.
    Deleted,
}

/// Why nothing was done; the old state stays.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such thing.
    #[error("not found{}", after(.0))]
    NotFound(String),
    /// A name, a number or a combination is not allowed.
    #[error("invalid{}", after(.0))]
    Invalid(String),
    /// Not possible on an object that exists.
    #[error("invalid change{}", after(.0))]
    InvalidChange(String),
    /// It belongs to another owner.
    #[error("conflict{}", after(.0))]
    Conflict(String),
    /// The broker cannot write now, or what this builds on is not stored yet; try again.
    #[error("unavailable{}", after(.0))]
    Unavailable(String),
    /// A code that this client does not know.
    #[error("code {0}: {1}")]
    Unknown(i32, String),
}

impl Outcome {
    /// Whether the item is as it was asked to be.
    pub fn is_ok(&self) -> bool {
        self.result.is_ok()
    }
}

impl From<proto::Result> for Outcome {
    fn from(item: proto::Result) -> Self {
        let (number, message) = (item.code, item.message);
        let result = match proto::Code::try_from(number) {
            Ok(proto::Code::Created) => Ok(Change::Created),
            Ok(proto::Code::Changed) => Ok(Change::Changed),
            Ok(proto::Code::Unchanged) => Ok(Change::Unchanged),
            Ok(proto::Code::Deleted) => Ok(Change::Deleted),
            Ok(proto::Code::NotFound) => Err(Refusal::NotFound(message)),
            Ok(proto::Code::Invalid) => Err(Refusal::Invalid(message)),
            Ok(proto::Code::InvalidChange) => Err(Refusal::InvalidChange(message)),
            Ok(proto::Code::Conflict) => Err(Refusal::Conflict(message)),
            Ok(proto::Code::Unavailable) => Err(Refusal::Unavailable(message)),
            Ok(proto::Code::Unspecified) | Err(_) => Err(Refusal::Unknown(number, message)),
        };
        Self { name: item.name, result }
    }
}

fn after(message: &str) -> String {
    if message.is_empty() { String::new() } else { format!(": {message}") }
}
