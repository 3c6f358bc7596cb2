//! A fixed set of stories, and that a story is the same each time it is told.

const LINES: usize = 40;

#[test]
fn promises_hold_in_every_story() {
    for seed in 0..40 {
        if let Err(failure) = sim::run(seed, LINES) {
            panic!("seed {seed}: {}\n{}", failure.why, failure.last_lines.join("\n"));
        }
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    for seed in 0..5 {
        let told =
            [sim::run(seed, LINES), sim::run(seed, LINES)].map(|told| told.map_err(|failure| failure.why));
        assert_eq!(told[0], told[1], "seed {seed}");
    }
    let traces: std::collections::BTreeSet<_> =
        (0..5).filter_map(|seed| sim::run(seed, LINES).ok()).map(|figures| figures.trace).collect();
    assert_eq!(traces.len(), 5);
}
