//! Topics of type DELAY, seen by the official SDKs.

use std::time::Duration;

use e2e::blows::Blows;
use e2e::cells;
use e2e::scenarios::delay::{self, COUNT};
use e2e::scenarios::site::Site;
use e2e::scenarios::{self, Feature, Play};
use e2e::sdk::stream::Stream;

/// Until all programs have started and sent.
const START: Duration = Duration::from_mins(1);

#[test]
fn each_message_comes_once_and_not_before_its_time_unless_it_was_taken_back() {
    let plays = scenarios::plays(&[Feature::Delay], &cells::all());
    scenarios::assert_kept(&mut Site::standalone(&plays), &plays, 0);
}

#[test]
fn killed_broker_delivers_at_their_times_what_waited() {
    let plays = scenarios::plays(&[Feature::Delay], &cells::one_each());
    let mut site = Site::standalone(&plays);
    let start = |play: Play| {
        let options = ["--count", &COUNT.to_string(), "--seconds", "6"];
        (play, play.call(&site.endpoint(0)).start("delay", &options).expect("the program starts"))
    };
    let running: Vec<(Play, Stream)> = plays.into_iter().map(start).collect();
    for (_, stream) in &running {
        stream.sends(COUNT as u64, START);
    }
    let mut blows = Blows::default();
    blows.add(site.strike());
    let mut wrong = Vec::new();
    for (play, mut stream) in running {
        let report = stream.join().expect("a report");
        println!("{}: at most {} ms late", play.name(), delay::latest_ms(&report));
        let found = delay::problems(&report, COUNT, &blows);
        wrong.extend(found.into_iter().map(|text| format!("{}: {text}", play.name())));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
