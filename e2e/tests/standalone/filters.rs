//! SQL filters, seen by the official SDKs.

use e2e::broker::Broker;
use e2e::matrix;
use e2e::sdk::{Mode, Sdk};

use crate::cells::{self, Cell};

/// Messages per cell; `price` is the number of the message, `weight` half more, `region` is eu, us and none in turn.
const COUNT: usize = 29;

/// A filter, and whether a message shall come by its number.
type Case = (&'static str, fn(usize) -> bool);

/// The last message is wanted by each: the topic has one queue, so all before it were looked at when it comes.
const CASES: [Case; 4] = [
    ("price > 10 AND region IS NOT NULL", |n| n > 10 && n % 3 < 2),
    ("region IN ('us', 'ap') OR price BETWEEN 4 AND 6", |n| n % 3 == 1 || (4..=6).contains(&n)),
    ("weight >= 12.5 AND NOT (region = 'eu')", |n| n >= 12 && n % 3 == 1),
    ("TAGS = 't1' OR region IS NULL AND price < 9", |n| n % 3 == 1 || (n % 3 == 2 && n < 9)),
];

fn topics() -> String {
    let mut yaml = String::new();
    for cell in cells::all() {
        matrix::object(&mut yaml, "Topic", &cells::name(cell), "local", "queues: {perGroup: 1}");
        matrix::object(&mut yaml, "ConsumerGroup", &cells::name(cell), "local", "consumeFrom: Earliest");
    }
    yaml
}

#[test]
fn an_sql_filter_gets_exactly_the_messages_that_it_matches() {
    let broker = Broker::start(&topics());
    cells::play(&cells::all(), |cell| {
        let case = cell.0 as usize + 2 * cell.1 as usize;
        let (expression, wants) = CASES[case % CASES.len()];
        let wanted: Vec<usize> = (0..COUNT).filter(|index| wants(*index)).collect();
        assert_eq!(wanted.last(), Some(&(COUNT - 1)), "{expression}");
        let (count, expect) = (COUNT.to_string(), wanted.len().to_string());
        let options = ["--expression", expression, "--expect", &expect, "--count", &count];
        match cells::call(cell, &broker.endpoint()).play("sqlfilter", &options) {
            Ok(report) => {
                let mut got: Vec<usize> = report.received.iter().map(|delivery| delivery.index).collect();
                got.sort_unstable();
                let said = || format!("{expression}: got {got:?}, not {wanted:?}; {:?}", report.errors);
                (!report.ok || got != wanted).then(said).into_iter().collect()
            }
            Err(error) => vec![format!("{error:#}")],
        }
    });
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
    let broker = Broker::start(&topics());
    let cells: Vec<Cell> = cells::all().into_iter().filter(|cell| *cell != (Sdk::Node, Mode::Push)).collect();
    cells::play(&cells, |cell| {
        let options = ["--expression", "price > > 10", "--expect", "1", "--count", "1", "--timeout", "3"];
        match cells::call(cell, &broker.endpoint()).play("sqlfilter", &options) {
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
