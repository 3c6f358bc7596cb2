//! SQL filters: exactly the messages that one matches come.

use anyhow::Result;

use crate::scenarios::Stage;

/// Messages of a round; `price` is the number in it, `weight` half more, `region` is eu, us and none in turn.
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

pub(super) fn play(stage: &Stage<'_>) -> Result<Vec<String>> {
    let (sdk, mode) = stage.play.cell;
    let (expression, wants) = CASES[(sdk as usize + 2 * mode as usize) % CASES.len()];
    assert!(wants(COUNT - 1), "{expression}");
    let expect = (0..COUNT).filter(|index| wants(*index)).count();
    let (count, expect) = (COUNT.to_string(), expect.to_string());
    let options = ["--expression", expression, "--expect", &expect, "--count", &count];
    let (report, blows) = stage.run("sqlfilter", &options, "100")?;
    let wanted: Vec<usize> = (0..report.sent.len()).filter(|index| wants(index % COUNT)).collect();
    let mut got: Vec<usize> = report.received.iter().map(|delivery| delivery.index).collect();
    got.sort_unstable();
    if !blows.is_none() {
        got.dedup();
    }
    let said = || format!("{expression}: got {got:?}, not {wanted:?}; {:?}", report.errors);
    Ok((!report.ok || got != wanted).then(said).into_iter().collect())
}
