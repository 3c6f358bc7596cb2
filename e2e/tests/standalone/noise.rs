//! What is not gRPC on the client port: an answer or a closed connection, never a crash, never a leak.

use std::io::{ErrorKind, Read, Write};

use e2e::broker::Broker;
use e2e::matrix;
use e2e::sdk::{Call, Mode, Scenario, Sdk};
use e2e::verify;

/// Sends bytes and reads until the broker closes; a client that waits for an answer gets an end, not silence.
fn answer(broker: &Broker, bytes: &[u8]) -> Vec<u8> {
    let mut stream = broker.connect();
    // The broker may close before it has read everything: then writing fails, and reading tells the end.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => {}
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::ConnectionReset, "neither answered nor closed: {error}");
        }
    }
    answer
}

fn noise(seed: u32, bytes: usize) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    })
    .take(bytes)
    .collect()
}

#[test]
fn noise_and_other_protocols_leave_the_broker_serving() {
    let cells = matrix::cells("", &[Sdk::Go], &[Mode::Simple], &[Scenario::Roundtrip]);
    let mut broker = Broker::start(&matrix::manifests(&cells, "local"));
    let before = broker.resident_bytes();
    answer(&broker, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    answer(&broker, b"\x16\x03\x01\xff\xff");
    answer(&broker, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x00\x00\x00\x00\x00\x00");
    for seed in 0..200 {
        answer(&broker, &noise(seed, 4096));
    }
    let half_open: Vec<_> = (0..200).map(|_| broker.connect()).collect();
    assert!(broker.runs(), "the broker ended: {}", broker.log());
    let call =
        Call::new(Sdk::Go, Mode::Simple, &broker.endpoint(), &cells[0].call.topic, &cells[0].call.group);
    let report = call.run(Scenario::Roundtrip, 8).expect("a report");
    let problems = verify::problems(&call, Scenario::Roundtrip, 8, &report);
    drop(half_open);
    let grown = broker.resident_bytes().saturating_sub(before);
    assert!(problems.is_empty(), "{problems:?}");
    assert!(grown < 64 << 20, "resident memory grew by {} MiB", grown >> 20);
}

#[test]
fn http_1_on_the_client_port_is_closed_and_never_served() {
    let broker = Broker::start("");
    let said = answer(&broker, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(!said.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&said));
}
