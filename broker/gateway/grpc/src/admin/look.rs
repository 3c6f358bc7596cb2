//! Calls that look through the log: on a thread that may wait for the disk, few at a time, and not for longer than the
//! caller waits.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::{Request, Status};

use super::AdminService;
use crate::call;
use crate::gateway::Gateway;

/// Calls that look through the log at the same time; the others wait.
pub(super) const LOOKS_MAX: usize = 2;
/// For a caller who does not say how long he waits.
const BUDGET_MS: u64 = 5000;
/// Whoever wants more goes on with another call.
const BUDGET_MS_MAX: u64 = 30_000;
/// The answer leaves this long before the caller's deadline, or a quarter of his time.
const RESERVE_MS: u64 = 500;

/// For how long a call may look on.
pub(super) struct Patience {
    until_ms: u64,
    gateway: Arc<Gateway>,
    /// Cancelled when the caller is gone.
    left: CancellationToken,
}

impl Patience {
    /// Asked between two stretches: the first one is always looked through.
    pub(super) fn is_over(&self) -> bool {
        let gateway = &self.gateway;
        gateway.now_ms() >= self.until_ms || gateway.ended.is_cancelled() || self.left.is_cancelled()
    }
}

impl AdminService {
    /// Runs `work` while this broker leads.
    pub(super) async fn look<Q, R: Send + 'static>(
        &self,
        request: Request<Q>,
        work: impl FnOnce(&Gateway, &Q, &Patience) -> R + Send + 'static,
    ) -> Result<R, Status>
    where
        Q: Send + 'static,
    {
        let gateway = self.gateway()?;
        let budget_ms = budget_ms(call::timeout_of(request.metadata().as_ref()));
        let until_ms = gateway.now_ms().saturating_add(budget_ms);
        let turn = Arc::clone(&self.looks).acquire_owned();
        let Ok(Ok(turn)) = tokio::time::timeout(Duration::from_millis(budget_ms), turn).await else {
            let text =
                format!("{LOOKS_MAX} calls look through the log already, which is the limit; try again");
            return Err(Status::resource_exhausted(text));
        };
        let left = CancellationToken::new();
        let _guard = left.clone().drop_guard();
        let looking = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let patience = Patience { until_ms, gateway: Arc::clone(&gateway), left };
            work(&gateway, request.get_ref(), &patience)
        });
        looking.await.map_err(|error| Status::internal(error.to_string()))
    }
}

fn budget_ms(timeout_ms: Option<u64>) -> u64 {
    let budget_ms = timeout_ms.map_or(BUDGET_MS, |ms| ms - RESERVE_MS.min(ms / 4));
    budget_ms.min(BUDGET_MS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_leaves_before_the_deadline() {
        assert_eq!(budget_ms(Some(10_000)), 9500);
        assert_eq!(budget_ms(Some(400)), 300);
        assert_eq!(budget_ms(Some(0)), 0);
        assert_eq!(budget_ms(Some(3_600_000)), 30_000);
        assert_eq!(budget_ms(None), 5000);
    }
}
