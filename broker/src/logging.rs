//! Log lines on standard error, and the level that may be changed while the broker runs.
//!
//! Promise: what `RUST_LOG` says holds until somebody sets a level, which then holds for everything.

use std::io::IsTerminal;

use gateway_grpc::rocketmq_admin::LogLevel;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::reload::Handle;

/// Begins to log; returns the way to change the level.
pub(crate) fn start_logging(json: bool) -> LogLevel {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr);
    if json {
        let lines = lines.json().with_filter_reloading();
        let handle = lines.reload_handle();
        lines.init();
        LogLevel::new(move |level| set(&handle, level))
    } else {
        let lines = lines.with_filter_reloading();
        let handle = lines.reload_handle();
        lines.init();
        LogLevel::new(move |level| set(&handle, level))
    }
}

/// Returns what was logged before.
fn set<S>(handle: &Handle<EnvFilter, S>, level: &str) -> Result<String, String> {
    let filter = EnvFilter::try_new(level).map_err(|error| error.to_string())?;
    let mut before = String::new();
    let swapped = handle.modify(|current| {
        before = current.to_string();
        *current = filter;
    });
    swapped.map(|()| before).map_err(|error| error.to_string())
}
