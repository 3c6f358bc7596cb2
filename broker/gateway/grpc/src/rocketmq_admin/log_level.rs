//! Changing what the program logs while it runs.
//!
//! Promise: the level holds for the broker that was dialled, leading or not, until it is changed again or restarted.

use std::fmt;
use std::sync::Arc;

use wire::v2::change_log_level_request::Level;
use wire::v2::{ChangeLogLevelRequest, ChangeLogLevelResponse};

use crate::call::GrpcError;

/// Sets a level by its name and returns what was logged before, or why it could not be set.
type Change = dyn Fn(&str) -> Result<String, String> + Send + Sync;

/// The way to the program's log.
#[derive(Clone)]
pub struct LogLevel(Arc<Change>);

impl LogLevel {
    /// `change` sets `trace`, `debug`, `info`, `warn` or `error`, and returns what was set before.
    pub fn new(change: impl Fn(&str) -> Result<String, String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(change))
    }
}

impl fmt::Debug for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogLevel").finish_non_exhaustive()
    }
}

pub(super) fn change(
    level: Option<&LogLevel>,
    asked: ChangeLogLevelRequest,
) -> Result<ChangeLogLevelResponse, GrpcError> {
    let name = match Level::try_from(asked.level) {
        Ok(Level::Trace) => "trace",
        Ok(Level::Debug) => "debug",
        Ok(Level::Info) => "info",
        Ok(Level::Warn) => "warn",
        Ok(Level::Error) => "error",
        Err(_) => {
            let text = format!("level {} is not known, TRACE is 0 and ERROR is 4", asked.level);
            return Err(GrpcError::invalid_argument(text));
        }
    };
    let Some(LogLevel(change)) = level else {
        return Err(GrpcError::unimplemented("the log level of this program cannot be changed"));
    };
    let before = change(name).map_err(GrpcError::internal)?;
    tracing::info!(%before, now = name, "log level");
    Ok(ChangeLogLevelResponse { remark: format!("log level was `{before}`, is `{name}`") })
}
