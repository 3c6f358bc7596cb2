//! Topics of type PRIORITY, seen by the official SDKs.

use e2e::cells;
use e2e::scenarios::site::Site;
use e2e::scenarios::{self, Feature};

#[test]
fn a_backlog_is_read_from_the_highest_priority_down() {
    let plays = scenarios::plays(&[Feature::Priority], &cells::all());
    scenarios::assert_kept(&mut Site::standalone(&plays), &plays, 0);
}
