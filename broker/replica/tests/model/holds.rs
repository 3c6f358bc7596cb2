//! With all rules: every state within the bounds is visited, and nothing is wrong in any.

use crate::check::exhaust;
use crate::world::Config;

macro_rules! holds {
    ($($name:ident: $config:expr;)*) => {
        $(#[test] fn $name() { exhaust($config); })*
    };
}

holds! {
    nothing_is_lost_in_a_crash: Config::crash();
    nothing_is_lost_when_commits_are_forgotten: Config::forgetful();
    nothing_is_lost_with_a_broken_link: Config::broken_link();
    nothing_is_lost_with_a_slow_engine: Config::slow();
    nothing_is_lost_in_a_power_cut: Config::power();
    nothing_is_lost_in_a_power_cut_while_members_stall: Config::power_and_stall();
    the_longest_log_leads_after_power_cuts_everywhere: Config::power_everywhere();
    nothing_synced_is_lost_in_power_cuts: Config::power_synced();
    nothing_is_lost_by_three: Config::three();
    nothing_is_lost_by_three_in_a_crash: Config::three_crash();
    nothing_is_lost_in_a_hand_over: Config::hand_over();
    nothing_is_lost_with_a_replaced_volume: Config::wipe();
    nothing_is_lost_with_other_numbers_of_copies: Config::requests();
    nothing_is_lost_from_one_copy_to_two: Config::growing();
}
