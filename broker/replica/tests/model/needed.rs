//! Each rule is needed: without it the checker finds how the promise is broken.

use crate::check::broken;
use crate::world::Config;

macro_rules! needed {
    ($($rule:ident: $config:expr;)*) => {
        $(#[test] fn $rule() { broken($config.without(stringify!($rule), |rules| rules.$rule = false)); })*
    };
}

needed! {
    union: Config::growing();
    min_in_sync: Config::too_few();
    shrink_waits: Config::broken_link();
    expand_from_start: Config::learner();
    candidate_in_sync: Config::broken_link();
    reject_lower: Config::crash();
    durable_promise: Config::crash();
    retract_late: Config::crash();
    solo_ends_first: Config::slow();
    new_term: Config::crash();
    dirty_waits: Config::power();
    dirty_until_aligned: Config::power();
    session_acks: Config::late_acks();
    outdated_leaves: Config::power();
    raise_waits: Config::growing();
    closing_waits: Config::slow();
}
