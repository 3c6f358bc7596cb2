//! What `millpond trace` tells of messages that went all the ways there are, also after `kill -9`.

use std::process::{Command, Output};
use std::time::Duration;

use e2e::broker::Broker;
use e2e::{matrix, place, wait};
use serde_json::Value;

fn broker() -> Broker {
    let mut yaml = String::new();
    matrix::object(&mut yaml, "Topic", "orders", "local", "type: NORMAL");
    matrix::object(&mut yaml, "Topic", "later", "local", "type: DELAY");
    let spec = "trace: true\n  retry: {maxAttempts: 2}";
    matrix::object(&mut yaml, "ConsumerGroup", "billing", "local", spec);
    matrix::object(&mut yaml, "ConsumerGroup", "audit", "local", "consumeFrom: Earliest");
    Broker::start(&yaml)
}

fn millpond(broker: &Broker, args: &[&str]) -> Output {
    Command::new(place::program("millpond"))
        .args(["--endpoint", &broker.endpoint(), "--admin", &broker.admin()])
        .args(args)
        .output()
        .expect("millpond starts")
}

fn ok(broker: &Broker, args: &[&str]) -> String {
    let output = millpond(broker, args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

/// Sends a message and returns its id.
fn send(broker: &Broker, args: &[&str]) -> String {
    let sent: Value =
        serde_json::from_str(&ok(broker, &[&["send", "-o", "json"], args].concat())).expect("JSON");
    sent["messageId"].as_str().expect("an id").to_owned()
}

/// The only message with this id.
fn trace(broker: &Broker, id: &str) -> Value {
    let all: Value = serde_json::from_str(&ok(broker, &["trace", id, "-o", "json"])).expect("JSON");
    let [story] = all.as_array().expect("an array").as_slice() else { panic!("{all}") };
    assert_eq!(story["message"]["messageId"], id);
    story.clone()
}

/// What happened, to which consumer group, which time.
fn told(story: &Value) -> Vec<(String, String, u64)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let events = story["history"].as_array().expect("an array").iter();
    events
        .map(|event| {
            (text(&event["what"]), text(&event["consumerGroup"]), event["attempt"].as_u64().unwrap_or(0))
        })
        .collect()
}

fn event(what: &str, group: &str, attempt: u64) -> (String, String, u64) {
    (what.to_owned(), group.to_owned(), attempt)
}

#[test]
fn a_message_is_traced_from_its_send_to_its_dead_letter() {
    let mut broker = broker();
    let id = send(&broker, &["orders", "hello", "--key", "4711"]);
    let other = send(&broker, &["orders", "other"]);
    let receive = ["receive", "orders", "--group", "billing", "--max", "2", "--no-ack", "--invisible", "10s"];
    ok(&broker, &receive);
    ok(&broker, &["receive", "orders", "--group", "audit", "--max", "2"]);
    let again = [
        "receive",
        "orders",
        "--group",
        "billing",
        "--max",
        "2",
        "--no-ack",
        "--invisible",
        "10s",
        "--wait",
        "15s",
    ];
    ok(&broker, &again);
    assert_eq!(trace(&broker, &id)["now"][0]["state"], "held");
    // The third receive finds no attempt left.
    let last = millpond(&broker, &["receive", "orders", "--group", "billing", "--wait", "15s"]);
    assert_eq!(last.status.code(), Some(4), "{}", String::from_utf8_lossy(&last.stderr));
    let wanted = [
        event("stored", "", 0),
        event("delivered", "billing", 1),
        event("done", "audit", 0),
        event("delivered", "billing", 2),
        event("dead-lettered", "billing", 2),
    ];
    for _ in 0..2 {
        let story = trace(&broker, &id);
        assert_eq!(told(&story), wanted);
        let clients: Vec<_> = [1, 3].map(|n| story["history"][n]["clientId"].as_str()).to_vec();
        assert!(clients[0].is_some() && clients[1].is_some() && clients[0] != clients[1], "{story}");
        assert_eq!(
            (&story["message"]["body"], &story["message"]["topic"]),
            (&"hello".into(), &"orders".into())
        );
        broker.kill_and_restart();
    }
    let by_key = ok(&broker, &["messages", "find", "--topic", "orders", "--key", "4711", "-o", "json"]);
    let by_key: Value = serde_json::from_str(&by_key).expect("JSON");
    assert_eq!((by_key.as_array().map(Vec::len), &by_key[0]["messageId"]), (Some(1), &id.clone().into()));
    let letters = ok(&broker, &["messages", "find", "--topic", "%DLQ%billing", "-o", "json"]);
    assert!(letters.contains(&id) && letters.contains(&other), "{letters}");
}

#[test]
fn a_delayed_message_is_traced_before_and_after_its_time() {
    let broker = broker();
    let id = send(&broker, &["later", "in a moment", "--delay", "2s"]);
    let table = ok(&broker, &["trace", &id]);
    assert!(table.contains("waits until"), "{table}");
    assert_eq!(told(&trace(&broker, &id)), [event("stored", "", 0)]);
    let visible = wait::until("the message is visible", Duration::from_secs(20), || {
        let story = trace(&broker, &id);
        (told(&story).len() == 2).then_some(story)
    });
    assert_eq!(told(&visible)[1], event("visible", "", 0));
    let at_ms = |n: usize| visible["history"][n]["atMs"].as_u64().expect("a time");
    assert!(at_ms(1) >= at_ms(0) + 1900, "{visible}");
    assert!(at_ms(1) >= visible["message"]["dueMs"].as_u64().expect("a time"), "{visible}");
}

#[test]
fn what_is_not_there_has_its_text_and_its_exit_code() {
    let broker = broker();
    let id = send(&broker, &["orders", "hello"]);
    let cases: [(&[&str], i32, &str); 5] = [
        (&["trace", "01000000000000000000000000000000FF"], 4, "the log is kept since 20"),
        (&["trace", &id, "--topic", "later"], 4, "in topic `later`"),
        (&["messages", "find", "--topic", "nowhere"], 4, "`nowhere` does not exist"),
        (&["messages", "find", "--since", "1s", "--until", "1h"], 2, "is not before --until"),
        (&["messages", "find", "--since", "yesterday"], 2, "`yesterday` is no time: write 20"),
    ];
    for (args, code, text) in cases {
        let output = millpond(&broker, args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(code) && said.contains(text), "{args:?}: {said}");
    }
}

#[test]
fn a_search_shows_no_more_than_was_asked_for_although_messages_share_a_record() {
    let broker = broker();
    ok(&broker, &["send", "orders", "twenty of them", "--count", "20", "--batch", "20"]);
    let find = |limit: &str| {
        let found = ok(&broker, &["messages", "find", "--topic", "orders", "--limit", limit, "-o", "json"]);
        let found: Value = serde_json::from_str(&found).expect("JSON");
        found.as_array().expect("an array").len()
    };
    assert_eq!([find("5"), find("20"), find("64")], [5, 20, 20]);
}
