//! SQL filters, seen by the official SDKs.

use e2e::cells::{self, Cell};
use e2e::scenarios::site::Site;
use e2e::scenarios::{self, Feature};
use e2e::sdk::{Mode, Sdk};

#[test]
fn an_sql_filter_gets_exactly_the_messages_that_it_matches() {
    let plays = scenarios::plays(&[Feature::Sql], &cells::all());
    scenarios::assert_kept(&mut Site::standalone(&plays), &plays, 0);
}

/// What shows a consumer that its filter is none, or nothing where the SDK shows only that it cannot start.
fn shown(cell: Cell) -> Option<&'static str> {
    match cell {
        (Sdk::Go, _) | (_, Mode::Simple) => Some("expected a value at character 9, found `>`"),
        (Sdk::Java | Sdk::Python | Sdk::Node, Mode::Push) => None,
    }
}

/// Node's push consumer waits for its settings for ever, so it is left out.
#[test]
fn a_filter_that_is_none_is_an_error_and_no_silence() {
    let cells: Vec<Cell> = cells::all().into_iter().filter(|cell| *cell != (Sdk::Node, Mode::Push)).collect();
    let site = Site::standalone(&scenarios::plays(&[Feature::Sql], &cells));
    cells::play(&cells, |cell| {
        let options = ["--expression", "price > > 10", "--expect", "1", "--count", "1", "--timeout", "3"];
        match Feature::Sql.by(cell).call(&site.endpoint(0)).play("sqlfilter", &options) {
            Ok(report) => {
                let is_shown =
                    report.errors.iter().any(|text| shown(cell).is_none_or(|why| text.contains(why)));
                let said = || format!("ok: {}, errors {:?}", report.ok, report.errors);
                (report.ok || !is_shown).then(said).into_iter().collect()
            }
            Err(error) => vec![format!("{error:#}")],
        }
    });
}
