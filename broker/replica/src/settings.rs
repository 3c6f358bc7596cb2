//! How a group is kept, and the rules that a model checker may take away one by one.

/// How a group is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Settings {
    /// Only what a power cut leaves counts as held.
    pub flush_sync: bool,
    /// The leader does not wait for the others; they may lack what was acknowledged when it dies.
    pub is_async: bool,
    /// A member that lacks more than this of the leader's log is not taken into the set yet.
    pub lag_bytes_max: u64,
    /// All of them, except under the model checker.
    pub rules: Rules,
}

/// The rules that keep the promise; the model checker shows for each of them what happens without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "each is a rule that can be taken away by itself")]
pub struct Rules {
    /// R1: a proposed set counts beside the record's until the outcome is known.
    pub union: bool,
    /// R1: nothing is committed with fewer than `minInSync`.
    pub min_in_sync: bool,
    /// R2: a smaller set does not count before the record holds it.
    pub shrink_waits: bool,
    /// R3: who joins the set has the leader's start.
    pub expand_from_start: bool,
    /// R4: only who is in sync may lead.
    pub candidate_in_sync: bool,
    /// R5: lower epochs are refused.
    pub reject_lower: bool,
    /// R5: the promise is on the disk.
    pub durable_promise: bool,
    /// R5: a promise is taken back only when the candidacy has certainly failed.
    pub retract_late: bool,
    /// R3: what a leader alone has committed is known exactly before another one joins the set.
    pub solo_ends_first: bool,
    /// R6: who finds itself the leader of the record after a restart campaigns again.
    pub new_term: bool,
    /// R8: who may have lost its tail does not lead.
    pub dirty_waits: bool,
    /// R8: it stays so until a leader that does not count it has taken it up.
    pub dirty_until_aligned: bool,
    /// An answer to an earlier `Hello` does not cut a log that has grown since.
    pub answers_match: bool,
    /// Acknowledgements of an earlier stream to the same member do not count.
    pub session_acks: bool,
    /// R3: a member whose log is of no use leaves the set before it starts anew.
    pub outdated_leaves: bool,
    /// `minInSync` goes up once enough are in sync.
    pub raise_waits: bool,
    /// What a leader has written is known exactly before it follows.
    pub closing_waits: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            union: true,
            min_in_sync: true,
            shrink_waits: true,
            expand_from_start: true,
            candidate_in_sync: true,
            reject_lower: true,
            durable_promise: true,
            retract_late: true,
            solo_ends_first: true,
            new_term: true,
            dirty_waits: true,
            dirty_until_aligned: true,
            answers_match: true,
            session_acks: true,
            outdated_leaves: true,
            raise_waits: true,
            closing_waits: true,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { flush_sync: false, is_async: false, lag_bytes_max: 4 << 20, rules: Rules::default() }
    }
}
