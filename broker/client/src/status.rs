//! What a server says instead of doing what it was asked.

use wire::v2::{self, Code};

use crate::transport::CallError;

/// The server understood the request and does not do it; nothing was changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", name(*.number))]
pub struct Refused {
    /// Number of the code, also one that this client does not know.
    pub number: i32,
    /// The server's sentence.
    pub message: String,
}

/// A request that did not get what it asked for.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There was no answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The answer was no.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The topic has no queue that may be used like that.
    #[error("topic `{0}` has no queue to use")]
    NoQueue(String),
}

impl Refused {
    /// The code, if this client knows it.
    pub fn code(&self) -> Option<Code> {
        Code::try_from(self.number).ok()
    }

    /// Whether the same request may succeed a little later.
    pub fn is_retryable(&self) -> bool {
        match self.code() {
            Some(
                Code::NotImplemented
                | Code::Unsupported
                | Code::VersionUnsupported
                | Code::VerifyFifoMessageUnsupported,
            ) => false,
            Some(Code::TooManyRequests) => true,
            Some(_) | None => (50_000..60_000).contains(&self.number),
        }
    }
}

/// Turns the status of an answer into a result.
pub(crate) fn check(status: Option<&v2::Status>) -> Result<(), Refused> {
    let Some(status) = status else {
        return Err(Refused { number: 0, message: "answer has no status".to_owned() });
    };
    if status.code() == Code::Ok {
        return Ok(());
    }
    Err(Refused { number: status.code, message: status.message.clone() })
}

fn name(number: i32) -> String {
    Code::try_from(number).map_or_else(|_| format!("code {number}"), |code| code.as_str_name().to_owned())
}
