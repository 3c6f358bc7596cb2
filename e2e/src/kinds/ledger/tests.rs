use super::*;

const ALL: Reader = Reader::Of(Kind::InBatches);

/// Sixteen messages of a batch, each acknowledged at the offset of its number.
fn batch() -> Ledger {
    let mut ledger = Ledger::default();
    for number in 0..BATCH {
        send(&mut ledger, Kind::InBatches, number);
    }
    ledger
}

fn send(ledger: &mut Ledger, kind: Kind, number: u64) {
    let receipt = Receipt { id: format!("id{number}"), offset: number.cast_signed() };
    ledger.acknowledge(kind, &number.to_string(), Fate::Comes, receipt);
}

fn arrival(reader: Reader, number: u64) -> Arrival {
    let (name, offset) = (number.to_string(), number.cast_signed());
    Arrival { reader, name, queue: 0, offset, at_ms: 0, is_done: false }
}

fn arrive(ledger: &mut Ledger, reader: Reader, numbers: impl IntoIterator<Item = u64>) {
    let arrivals = numbers.into_iter().map(|number| arrival(reader, number));
    ledger.arrive(arrivals.collect());
}

#[test]
fn each_reader_is_owed_what_it_wants() {
    let mut ledger = batch();
    arrive(&mut ledger, ALL, 0..15);
    arrive(&mut ledger, Reader::Chosen, [5, 6, 8, 9]);
    assert_eq!(
        (ledger.owed(ALL), ledger.owed(Reader::Chosen)),
        (vec!["15".to_owned()], vec!["15".to_owned()])
    );
    assert_eq!(ledger.owed(Reader::Tagged).len(), 10);
    assert_eq!(ledger.problems(), Vec::<String>::new());
}

#[test]
fn a_member_is_owed_what_was_sent_after_it_joined() {
    let mut ledger = batch();
    assert_eq!(ledger.owed(Reader::AtHome), Vec::<String>::new());
    arrive(&mut ledger, Reader::AtHome, 7..15);
    assert_eq!(ledger.owed(Reader::AtHome), ["15"]);
}

#[test]
fn a_batch_of_which_one_came_comes() {
    let mut ledger = Ledger::default();
    for number in 0..2 * BATCH {
        ledger.note(Kind::InBatches, &number.to_string(), Fate::MayCome);
    }
    assert_eq!(ledger.owed(ALL), Vec::<String>::new());
    arrive(&mut ledger, ALL, [BATCH + 3]);
    assert_eq!(ledger.owed(ALL).len() as u64, BATCH - 1);
}

#[test]
fn what_nobody_sent_and_what_a_filter_turns_down_is_unwanted() {
    let mut ledger = batch();
    arrive(&mut ledger, ALL, [BATCH]);
    arrive(&mut ledger, Reader::Tagged, [1, 2, 3]);
    ledger.note(Kind::InTransaction, "2", Fate::Never);
    arrive(&mut ledger, Reader::Of(Kind::InTransaction), [2]);
    assert_eq!(ledger.problems().len(), 3, "{:?}", ledger.problems());
}

#[test]
fn a_message_lies_in_one_place_and_a_place_holds_one_message() {
    let mut ledger = batch();
    arrive(&mut ledger, ALL, [1, 2]);
    assert_eq!(ledger.problems(), Vec::<String>::new());
    let moved = Arrival { offset: 4, ..arrival(ALL, 3) };
    ledger.arrive(vec![moved, arrival(Reader::Again, 4)]);
    // Not where it was told, and then another one in its place.
    assert_eq!(ledger.problems().len(), 2, "{:?}", ledger.problems());
}

#[test]
fn what_was_done_before_it_left_comes_again_to_nobody_who_came_back() {
    let mut ledger = batch();
    arrive(&mut ledger, Reader::AtHome, 0..3);
    ledger.done(1);
    ledger.left();
    arrive(&mut ledger, Reader::AtHome, [0, 2]);
    assert_eq!(ledger.problems(), Vec::<String>::new());
    arrive(&mut ledger, ALL, [1]);
    arrive(&mut ledger, Reader::AtHome, [1]);
    assert_eq!(ledger.problems().len(), 1, "{:?}", ledger.problems());
}

#[test]
fn a_backlog_comes_from_the_highest_level_down() {
    let mut numbers: Vec<u64> = (0..20).collect();
    numbers.sort_by_key(|number| (std::cmp::Reverse(kind::level(*number)), *number));
    let problems = |numbers: &[u64]| {
        let mut ledger = Ledger::default();
        for number in 0..20 {
            ledger.note(Kind::ByPriority, &number.to_string(), Fate::MayCome);
        }
        arrive(&mut ledger, Reader::Afterwards, numbers.iter().copied());
        ledger.problems().len()
    };
    assert_eq!(problems(&numbers), 0);
    numbers.swap(5, 6);
    assert_eq!(problems(&numbers), 1);
}

#[test]
fn order_and_time_are_kept() {
    let problems = |kind, names: &[&str]| {
        let mut ledger = Ledger::default();
        let arrivals = names.iter().zip(0..).map(|(name, offset)| {
            ledger.note(kind, name, Fate::MayCome);
            Arrival { name: (*name).to_owned(), offset, at_ms: 10, ..arrival(Reader::Of(kind), 0) }
        });
        let arrivals = arrivals.collect();
        ledger.arrive(arrivals);
        ledger.problems().len()
    };
    assert_eq!(problems(Kind::InOrder, &["0.0", "1.0", "0.0", "0.1"]), 0);
    assert_eq!(problems(Kind::InOrder, &["0.0", "0.2"]), 1);
    assert_eq!(problems(Kind::ForLater, &["9.0", "10.1"]), 0);
    assert_eq!(problems(Kind::ForLater, &["9.0", "11.1"]), 1);
}
