//! The official SDKs on a broker of its own.

use e2e::broker::Broker;
use e2e::matrix::{self, Outcome};
use e2e::sdk::{Call, Mode, Scenario, Sdk};
use e2e::verify;

fn failures(outcomes: &[Outcome]) -> Vec<String> {
    let failed = outcomes.iter().filter(|outcome| !outcome.problems.is_empty());
    failed
        .map(|outcome| format!("{}: {}", outcome.cell.call.topic, outcome.problems.join("\n    ")))
        .collect()
}

#[test]
fn every_official_sdk_sees_what_the_protocol_promises() {
    let cells = matrix::cells("", &Sdk::ALL, &Mode::ALL, &Scenario::MATRIX);
    let broker = Broker::start(&matrix::manifests(&cells, "local"));
    let cells = matrix::cells(&broker.endpoint(), &Sdk::ALL, &Mode::ALL, &Scenario::MATRIX);
    let outcomes = matrix::run(cells, 4, &|_| ());
    println!("{}", matrix::table(&outcomes));
    let failures = failures(&outcomes);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn what_one_sdk_sends_every_other_reads_unharmed() {
    let mut yaml = String::new();
    for from in Sdk::ALL {
        matrix::object(
            &mut yaml,
            "Topic",
            &format!("from-{}", from.word()),
            "local",
            "queues: {perGroup: 4}",
        );
        for to in Sdk::ALL {
            matrix::object(
                &mut yaml,
                "ConsumerGroup",
                &format!("{}-to-{}", from.word(), to.word()),
                "local",
                "consumeFrom: Earliest",
            );
        }
    }
    let broker = Broker::start(&yaml);
    let mut wrong = Vec::new();
    for from in Sdk::ALL {
        let topic = format!("from-{}", from.word());
        // Node sends a body that every SDK can receive; the receivers' rules expect that size of it
        let sender = Call::new(Sdk::Node, Mode::Simple, &broker.endpoint(), &topic, "unused");
        let sent = Call { sdk: from, ..sender.clone() }
            .run_as(Scenario::Send, matrix::COUNT, Sdk::Node)
            .expect("a report");
        wrong.extend(verify::problems(&sender, Scenario::Send, matrix::COUNT, &sent));
        for to in Sdk::ALL {
            let group = format!("{}-to-{}", from.word(), to.word());
            let call = Call::new(to, Mode::Simple, &broker.endpoint(), &topic, &group);
            let report = call.run(Scenario::Receive, matrix::COUNT).expect("a report");
            let rules = Call { sdk: Sdk::Node, ..call };
            let problems = verify::problems(&rules, Scenario::Receive, matrix::COUNT, &report);
            wrong.extend(problems.into_iter().map(|text| format!("{group}: {text}")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn tls_and_plaintext_share_one_port() {
    let folder = tempfile::tempdir().expect("a folder");
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("cert.pem"), made.cert.pem()).expect("written");
    std::fs::write(path("key.pem"), made.signing_key.serialize_pem()).expect("written");
    let config = format!("tls: {{certFile: {:?}, keyFile: {:?}}}\n", path("cert.pem"), path("key.pem"));
    std::fs::write(path("broker.yaml"), config).expect("written");
    let cells = matrix::cells("", &Sdk::ALL, &[Mode::Simple], &[Scenario::Roundtrip]);
    let flags = ["--config".to_owned(), path("broker.yaml").display().to_string()];
    let broker = Broker::start_with(&matrix::manifests(&cells, "local"), &flags);
    let endpoint = broker.endpoint().replace("127.0.0.1", "localhost");
    let plain = matrix::cells(&broker.endpoint(), &[Sdk::Go], &[Mode::Simple], &[Scenario::Roundtrip]);
    let mut secured = matrix::cells(&endpoint, &Sdk::ALL, &[Mode::Simple], &[Scenario::Roundtrip]);
    for cell in &mut secured {
        cell.call.tls = Some(path("cert.pem"));
    }
    let outcomes = matrix::run([plain, secured].concat(), 1, &|_| ());
    let failures = failures(&outcomes);
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
