//! With all rules: every state within the bounds is visited, and nothing is wrong in any; from every one of them, or one of
//! 64, a run without faults ends with a leader and the full set.

use crate::check::exhaust;
use crate::world::Config;

macro_rules! holds {
    ($($name:ident: $config:expr, heals $every:expr;)*) => {
        $(#[test] fn $name() { exhaust($config, $every); })*
    };
}

holds! {
    nothing_is_lost_in_a_crash: Config::crash(), heals 64;
    nothing_is_lost_when_commits_are_forgotten: Config::forgetful(), heals 64;
    nothing_is_lost_with_a_broken_link: Config::broken_link(), heals 64;
    nothing_is_lost_with_a_slow_engine: Config::slow(), heals 64;
    nothing_is_lost_in_a_power_cut: Config::power(), heals 64;
    nothing_is_lost_in_a_power_cut_while_members_stall: Config::power_and_stall(), heals 64;
    the_longest_log_leads_after_power_cuts_everywhere: Config::power_everywhere(), heals 64;
    nothing_synced_is_lost_in_power_cuts: Config::power_synced(), heals 64;
    nothing_is_lost_by_three: Config::three(), heals 64;
    nothing_is_lost_by_three_in_a_crash: Config::three_crash(), heals 64;
    nothing_is_lost_with_a_learner: Config::learner(), heals 64;
    nothing_is_lost_with_late_acknowledgements: Config::late_acks(), heals 64;
    nothing_is_lost_when_both_are_needed: Config::too_few(), heals 64;
    nothing_is_lost_in_a_hand_over: Config::hand_over(), heals 1;
    nothing_is_lost_with_a_replaced_volume: Config::wipe(), heals 64;
    nothing_is_lost_with_other_numbers_of_copies: Config::requests(), heals 64;
    nothing_is_lost_from_one_copy_to_two: Config::growing(), heals 64;
}
