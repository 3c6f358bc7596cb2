//! Finding stored messages in the log.

use bytes::Bytes;
use engine::catalog::TopicType;
use engine::group::{Search, Sighting, Wanted};
use store::Position;
use store::log::{Draft, Kind};

use crate::harness::{Broker, config, message, topic_spec};

const ALL: Wanted<'static> = Wanted { topic: None, from_ms: 0, to_ms: u64::MAX, before: None, max: 1000 };

/// A message whose head is its name.
fn named(name: &str) -> Draft {
    Draft { head: Bytes::copy_from_slice(name.as_bytes()), ..message(&"x".repeat(500), 0) }
}

/// So many messages, one a second, in several segments.
fn filled(count: usize) -> Broker {
    let mut broker = Broker::with_small_segments(2);
    for number in 0..count {
        broker.now_ms = 1_000_000 + 1000 * number as u64;
        broker.send_drafts(vec![named(&format!("m{number}"))]).unwrap();
    }
    broker
}

fn names(found: &[Sighting]) -> Vec<String> {
    found.iter().map(|sighting| String::from_utf8(sighting.head.to_vec()).unwrap()).collect()
}

fn newest_first(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.rev().map(|number| format!("m{number}")).collect()
}

fn search(broker: &Broker, wanted: &Wanted<'_>, meant: impl Fn(&[u8]) -> bool) -> Search {
    let mut search = broker.group.search(wanted).unwrap();
    while broker.group.search_on(&mut search, &mut |_, head| meant(head)).unwrap() {}
    search
}

#[test]
fn messages_of_a_time_are_found_newest_first() {
    let broker = filled(400);
    assert!(broker.group.written().0 > 3 * (64 << 10), "several segments");
    let window = Wanted { from_ms: 1_100_000, to_ms: 1_300_000, ..ALL };
    let found = search(&broker, &window, |_| true);
    assert_eq!(names(found.found()), newest_first(100..300));
    assert_eq!((found.scroll(), found.damaged()), (None, 0));
    assert_eq!(names(search(&broker, &ALL, |head| head == b"m17").found()), ["m17"]);
    assert_eq!(names(search(&broker, &ALL, |_| true).found()), newest_first(0..400));
    let before_all = Wanted { to_ms: 1_000_000, ..ALL };
    assert_eq!(names(search(&broker, &before_all, |_| true).found()), Vec::<String>::new());
}

#[test]
fn pages_of_any_size_add_up_to_the_whole() {
    let broker = filled(200);
    for max in [1, 7, 64, 199, 200, 201] {
        let (mut all, mut before) = (Vec::new(), None);
        loop {
            let page = search(&broker, &Wanted { before, max, ..ALL }, |_| true);
            all.extend(names(page.found()));
            before = page.scroll();
            if before.is_none() {
                break;
            }
        }
        assert_eq!(all, newest_first(0..200), "pages of {max}");
    }
}

#[test]
fn a_search_that_is_left_early_goes_on_where_it_was() {
    let broker = filled(300);
    let (mut all, mut before, mut calls) = (Vec::new(), None, 0);
    loop {
        let mut search = broker.group.search(&Wanted { before, ..ALL }).unwrap();
        broker.group.search_on(&mut search, &mut |_, _| true).unwrap();
        all.extend(names(search.found()));
        before = search.scroll();
        calls += 1;
        if before.is_none() {
            break;
        }
    }
    assert!(calls > 2, "one for each segment at least");
    assert_eq!(all, newest_first(0..300));
}

#[test]
fn a_topic_has_its_own_messages_and_those_that_wait_are_found_as_well() {
    let mut broker = Broker::of_type(config(), TopicType::Mixed);
    broker.apply_topic(&topic_spec("others", 1));
    let due_ms = broker.now_ms + 5000;
    let waits = Draft { kind: Kind::Timed, due_ms, ..named("waits") };
    let open = Draft { kind: Kind::Half, due_ms, ..named("open") };
    broker.send_drafts(vec![named("plain"), waits, open]).unwrap();
    let others = broker.group.topic("others").unwrap();
    let ticket = broker.group.send(&others, vec![named("other")], &broker.mailbox).unwrap();
    broker.settle(Some(ticket));
    let orders = broker.topic();
    let of_orders = Wanted { topic: Some(&orders), ..ALL };
    let found = search(&broker, &of_orders, |_| true);
    assert_eq!(names(found.found()), ["open", "waits", "plain"]);
    assert_eq!(
        found.found().iter().map(|one| one.due_ms).collect::<Vec<_>>(),
        [Some(due_ms), Some(due_ms), None]
    );
    // Once it is an entry, it is still one message.
    broker.now_ms = due_ms;
    broker.step();
    assert_eq!(names(search(&broker, &of_orders, |_| true).found()), ["open", "waits", "plain"]);
    assert_eq!(names(search(&broker, &ALL, |_| true).found()), ["other", "open", "waits", "plain"]);
}

#[test]
fn a_dead_letter_is_found_in_its_topic_and_shows_its_message() {
    let mut broker = Broker::new(1);
    let sent = broker.send_drafts(vec![named("bad"), named("good")]).unwrap()[0];
    let receipt = broker.receive(1).deliveries[0].receipt;
    let ticket = broker.group.dead_letter(&receipt, broker.now_ms, &broker.mailbox).unwrap();
    broker.settle(Some(ticket));
    let letters = broker.group.topic("%DLQ%billing").unwrap();
    let found = search(&broker, &Wanted { topic: Some(&letters), ..ALL }, |_| true);
    assert_eq!(names(found.found()), ["bad"]);
    let letter = &found.found()[0];
    assert_eq!((letter.queue, letter.message), (letters.queues[0], (sent.position, sent.bytes)));
    assert_eq!(letter.origin.as_ref().unwrap().topic, "orders");
    assert_eq!(
        names(search(&broker, &ALL, |_| true).found()),
        ["good", "bad"],
        "a pointer is no second message"
    );
}

/// As `filled`, with 8 messages of another topic and one dead letter among the others, whose name is told.
fn mixed() -> (Broker, String) {
    let mut broker = filled(200);
    broker.apply_topic(&topic_spec("few", 3));
    for number in 0..8 {
        let few = broker.group.topic("few").unwrap();
        let ticket = broker.group.send(&few, vec![named(&format!("f{number}"))], &broker.mailbox).unwrap();
        broker.settle(Some(ticket));
        for filler in 0..20 {
            broker.now_ms += 10;
            broker.send_drafts(vec![named(&format!("filler{filler}"))]).unwrap();
        }
    }
    let delivery = broker.receive(1).deliveries.remove(0);
    let ticket = broker.group.dead_letter(&delivery.receipt, broker.now_ms, &broker.mailbox).unwrap();
    broker.settle(Some(ticket));
    (broker, String::from_utf8(delivery.record.unwrap().head().to_vec()).unwrap())
}

#[test]
fn a_small_topic_is_searched_without_looking_at_the_others() {
    let (broker, _) = mixed();
    let few = broker.group.topic("few").unwrap();
    let of_few = Wanted { topic: Some(&few), ..ALL };
    let place = search(&broker, &ALL, |head| head == b"m50").found()[0].position;
    let start = place.0 / (64 << 10) * (64 << 10);
    assert!(broker.disk.flip_bit(&format!("log/{start:020}.log"), place.0 - start, 1));
    assert_eq!(search(&broker, &ALL, |_| true).damaged(), 1);
    let all: Vec<_> = (0..8).rev().map(|number| format!("f{number}")).collect();
    let found = search(&broker, &of_few, |_| true);
    assert_eq!((names(found.found()), found.damaged(), found.scroll()), (all.clone(), 0, None));
    assert_eq!(names(search(&broker, &of_few, |head| head == b"f3").found()), ["f3"]);
    let [second, sixth] = [6, 2].map(|at: usize| found.found()[at].stored_ms);
    let window = Wanted { from_ms: second, to_ms: sixth, ..of_few };
    assert_eq!(names(search(&broker, &window, |_| true).found()), ["f4", "f3", "f2", "f1"]);
    for max in [1, 3, 8] {
        let (mut pages, mut before) = (Vec::new(), None);
        loop {
            let page = search(&broker, &Wanted { before, max, ..of_few }, |_| true);
            pages.extend(names(page.found()));
            before = page.scroll();
            if before.is_none() {
                break;
            }
        }
        assert_eq!(pages, all, "pages of {max}");
    }
}

#[test]
fn the_few_dead_letters_of_a_group_are_found_by_their_rows() {
    let (broker, letter) = mixed();
    let letters = broker.group.topic("%DLQ%billing").unwrap();
    let found = search(&broker, &Wanted { topic: Some(&letters), ..ALL }, |_| true);
    assert_eq!((names(found.found()), found.damaged()), (vec![letter], 0));
    assert_eq!(found.found()[0].origin.as_ref().unwrap().topic, "orders");
}

#[test]
fn damage_is_told_and_passed_over() {
    let broker = filled(200);
    let place = |name: &str| search(&broker, &ALL, |head| head == name.as_bytes()).found()[0].position;
    let (first, second) = (place("m50"), place("m120"));
    for at in [first, second] {
        let start = at.0 / (64 << 10) * (64 << 10);
        assert!(broker.disk.flip_bit(&format!("log/{start:020}.log"), at.0 - start, 1));
    }
    let found = search(&broker, &ALL, |_| true);
    let mut left = newest_first(0..200);
    left.retain(|name| name != "m50" && name != "m120");
    assert_eq!((names(found.found()), found.damaged()), (left, 2));
}

#[test]
fn a_search_ends_where_retention_was_faster() {
    let mut broker = filled(400);
    let mut search = broker.group.search(&ALL).unwrap();
    assert!(broker.group.search_on(&mut search, &mut |_, _| true).unwrap());
    let newest = search.found().len();
    // What the older one of two checkpoints needs is kept.
    for _ in 0..2 {
        broker.group.checkpoint().unwrap();
    }
    broker.writer.retain(broker.now_ms + 1_000_000_000).unwrap();
    assert!(broker.group.head() > Position(0));
    while broker.group.search_on(&mut search, &mut |_, _| true).unwrap() {}
    assert_eq!((search.scroll(), search.damaged()), (None, 0));
    assert!(search.found().len() < 400 && search.found().len() >= newest);
}

/// As `filled`, in requests of 1 to 9 messages, which share records.
fn filled_with_batches(count: usize) -> Broker {
    let mut broker = Broker::with_small_segments(2);
    let mut number = 0;
    while number < count {
        broker.now_ms += 1000;
        let to = (number + 1 + number % 9).min(count);
        broker.send_drafts((number..to).map(|number| named(&format!("m{number}"))).collect()).unwrap();
        number = to;
    }
    broker
}

#[test]
fn messages_that_share_a_record_are_found_one_by_one_by_log_and_by_row() {
    let broker = filled_with_batches(200);
    let orders = broker.topic();
    let by_row = Wanted { topic: Some(&orders), ..ALL };
    for wanted in [ALL, by_row] {
        assert_eq!(names(search(&broker, &wanted, |_| true).found()), newest_first(0..200));
        let lone = search(&broker, &wanted, |head| head == b"m123");
        let [found] = lone.found() else { panic!("{lone:?}") };
        let record = broker.group.log_reader().read(found.message.0, found.message.1).unwrap();
        assert_eq!(record.message(found.number).unwrap().head(), found.head);
        for max in [1, 5, 50] {
            let (mut all, mut before) = (Vec::new(), None);
            loop {
                let page = search(&broker, &Wanted { before, max, ..wanted }, |_| true);
                assert!(page.found().len() < max + 9, "a record more at most");
                all.extend(names(page.found()));
                before = page.scroll();
                if before.is_none() {
                    break;
                }
            }
            assert_eq!(all, newest_first(0..200), "pages of {max}");
        }
    }
}
