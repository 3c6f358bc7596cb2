//! Ends that are no success, each with its exit code.

use std::io;
use std::process::ExitCode;

use client::admin::AdminError;
use client::{
    AskError, CallError, DialError, InvalidConfig, InvalidEndpoint, Refused, SendError, StartError,
};

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The broker said no, or to a part.
    #[error("{0}")]
    Refused(String),
    /// The arguments make no sense together.
    #[error("{0}")]
    Usage(String),
    /// The broker did not answer, or not in its protocol.
    #[error("{0}")]
    NoAnswer(String),
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// Reading or writing here.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> ExitCode {
        match self {
            Self::Refused(_) | Self::Io(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::NoAnswer(_) => ExitCode::from(3),
            Self::NotFound(_) => ExitCode::from(4),
        }
    }
}

impl From<InvalidEndpoint> for Failure {
    fn from(error: InvalidEndpoint) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<InvalidConfig> for Failure {
    fn from(error: InvalidConfig) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<DialError> for Failure {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Trust(_) => Self::Usage(error.to_string()),
            DialError::Connect { .. } => Self::NoAnswer(error.to_string()),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Grpc { .. } => Self::Refused(error.to_string()),
            CallError::Dial(_) | CallError::Lost(_) | CallError::Timeout(_) | CallError::Unreadable(_) => {
                Self::NoAnswer(error.to_string())
            }
        }
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        match refused.code() {
            Some(client::Code::TopicNotFound | client::Code::ConsumerGroupNotFound) => {
                Self::NotFound(refused.to_string())
            }
            _ => Self::Refused(refused.to_string()),
        }
    }
}

impl From<AskError> for Failure {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Call(error) => error.into(),
            AskError::Refused(refused) => refused.into(),
            AskError::NoQueue(_) => Self::NotFound(error.to_string()),
        }
    }
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        match error {
            SendError::Empty | SendError::Mixed | SendError::Undeclared(_) | SendError::TooLarge { .. } => {
                Self::Usage(error.to_string())
            }
            SendError::Refused(refused) => refused.into(),
            SendError::NotSent(error) => error.into(),
            SendError::Unknown(_) => Self::NoAnswer(error.to_string()),
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Config(error) => error.into(),
            StartError::Dial(error) => error.into(),
            StartError::Session(source) | StartError::Route { source, .. } => source.into(),
        }
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Unreachable { .. } | AdminError::Timeout { .. } | AdminError::Protocol { .. } => {
                Self::NoAnswer(error.to_string())
            }
            AdminError::Refused(_) if error.is_not_found() => Self::NotFound(error.to_string()),
            AdminError::Refused(_) => Self::Refused(error.to_string()),
        }
    }
}
