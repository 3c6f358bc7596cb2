//! What the admin API knows of the member that this broker is. The member itself is elsewhere: it is asked through
//! functions.

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use wire::admin::{self, HandOverOutcome};

/// The member that this broker is, in a group with several copies.
#[derive(Clone)]
pub struct Membership {
    /// How it is now.
    pub view: Arc<dyn Fn() -> admin::Member + Send + Sync>,
    /// Lets that member lead, or the best one; ends when it is known who leads. Must end by itself.
    pub hand_over: HandOver,
}

/// A hand-over to a member, or to the best one.
pub type HandOver =
    Arc<dyn Fn(Option<u32>) -> BoxFuture<'static, Result<Successor, HandOverError>> + Send + Sync>;

/// Number of the member that leads after a hand-over.
pub type Successor = u32;

/// Why the leader is not who it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandOverError {
    /// No member has this number.
    #[error("the group has no member {0}")]
    NoSuchMember(u32),
    /// The member may lack something that was acknowledged.
    #[error("member {0} is not in sync: it may lack acknowledged messages")]
    NotInSync(u32),
    /// Nobody could take over.
    #[error("no other member is in sync")]
    NobodyInSync,
    /// The member does not lead any more.
    #[error("member {0} does not lead; ask again")]
    NotLeading(u32),
    /// Nobody took over.
    #[error("no other member led after {waited_ms} ms")]
    TimedOut {
        /// How long it was waited.
        waited_ms: u64,
    },
}

/// Answers the call; there must be a leader here, or nobody else.
pub(super) async fn hand_over(membership: Option<&Membership>, to: Option<u32>) -> admin::HandOverResponse {
    let Some(membership) = membership else {
        let message = "the group has one copy, there is no other member".to_owned();
        let outcome = HandOverOutcome::Alone.into();
        return admin::HandOverResponse { outcome, message, ..Default::default() };
    };
    match (membership.hand_over)(to).await {
        Ok(leader) => {
            let outcome = HandOverOutcome::Leads.into();
            admin::HandOverResponse { outcome, leader, ..Default::default() }
        }
        Err(error) => admin::HandOverResponse {
            outcome: outcome(&error).into(),
            message: error.to_string(),
            ..Default::default()
        },
    }
}

fn outcome(error: &HandOverError) -> HandOverOutcome {
    match error {
        HandOverError::NoSuchMember(_) => HandOverOutcome::NoSuchMember,
        HandOverError::NotInSync(_) | HandOverError::NobodyInSync => HandOverOutcome::NotInSync,
        HandOverError::NotLeading(_) => HandOverOutcome::NotLeading,
        HandOverError::TimedOut { .. } => HandOverOutcome::TimedOut,
    }
}

impl fmt::Debug for Membership {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Membership").finish_non_exhaustive()
    }
}
