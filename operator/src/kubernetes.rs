//! Calls to the Kubernetes API: each ends within a time, and errors are told apart by what to do about them.

use std::time::Duration;

use kube::core::Status;

/// Field manager of everything the operator applies.
pub const MANAGER: &str = "millpond-operator";
/// Field manager of status: another one, so that applying a spec never takes a status away.
pub const STATUS_MANAGER: &str = "millpond-operator-status";
/// The longest a call may take. The client itself neither retries nor gives up.
const CALL_TIME_MAX: Duration = Duration::from_secs(15);

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Kubernetes answered, and said no.
    #[error("Kubernetes answered {}: {}", .0.code, .0.message)]
    Refused(Box<Status>),
    /// No answer that can be read; what was asked for may have happened.
    #[error("Kubernetes could not be reached: {0}")]
    Unreachable(kube::Error),
    /// No answer in time; what was asked for may still happen.
    #[error("Kubernetes did not answer within {} s", CALL_TIME_MAX.as_secs())]
    Timeout,
}

impl CallError {
    /// Somebody else was faster: look again and try at once.
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Refused(status) if status.is_conflict())
    }

    /// There is no such object.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused(status) if status.is_not_found())
    }

    /// One word, for metrics.
    pub fn class(&self) -> &'static str {
        match self {
            Self::Refused(status) if status.is_conflict() => "conflict",
            Self::Refused(status) if status.is_forbidden() => "forbidden",
            Self::Refused(_) => "refused",
            Self::Unreachable(_) => "unreachable",
            Self::Timeout => "timeout",
        }
    }
}

/// Waits for a call, but not for ever.
pub async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(CALL_TIME_MAX, call).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(kube::Error::Api(status))) => Err(CallError::Refused(status)),
        Ok(Err(error)) => Err(CallError::Unreachable(error)),
        Err(_) => Err(CallError::Timeout),
    }
}
