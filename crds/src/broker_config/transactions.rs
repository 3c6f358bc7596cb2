//! When senders are asked about transactions that they neither commit nor roll back.

use serde::{Deserialize, Serialize};

use super::{ConfigError, check_range};

/// Default time until the first question.
pub const CHECK_AFTER_MS_DEFAULT: u64 = 6000;
/// Default time between two questions.
pub const CHECK_INTERVAL_MS_DEFAULT: u64 = 30_000;
/// Default number of questions.
pub const MAX_CHECKS_DEFAULT: u32 = 15;
/// The longest of these times: one hour.
pub const CHECK_MS_MAX: u64 = 3600 * 1000;
/// The shortest of these times.
pub const CHECK_MS_MIN: u64 = 1000;
/// The most questions.
pub const MAX_CHECKS_MAX: u32 = 1000;

/// Questions about undecided transactions. Only those count that a producer was there to hear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct TransactionConfig {
    /// Milliseconds until the first question, if the message itself says no other time.
    pub check_after_ms: u64,
    /// Milliseconds between two questions.
    pub check_interval_ms: u64,
    /// After so many the message is put aside, in `TRANS_CHECK_MAX_TIME_TOPIC`.
    pub max_checks: u32,
}

impl Default for TransactionConfig {
    fn default() -> Self {
        Self {
            check_after_ms: CHECK_AFTER_MS_DEFAULT,
            check_interval_ms: CHECK_INTERVAL_MS_DEFAULT,
            max_checks: MAX_CHECKS_DEFAULT,
        }
    }
}

impl TransactionConfig {
    /// Left out of the file then: brokers that do not know the key refuse it.
    pub(super) fn is_usual(&self) -> bool {
        *self == Self::default()
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        check_range("transactions.checkAfterMs", self.check_after_ms, CHECK_MS_MIN, CHECK_MS_MAX)?;
        check_range("transactions.checkIntervalMs", self.check_interval_ms, CHECK_MS_MIN, CHECK_MS_MAX)?;
        check_range("transactions.maxChecks", self.max_checks.into(), 1, MAX_CHECKS_MAX.into())
    }
}
