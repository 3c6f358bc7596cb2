//! Sends a message together with a change of its own data: consumers get it if the change was made.
//!
//! `cargo run -p client --example transactional -- localhost:8081`, with topic `transfers` (TRANSACTION).

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use client::{Checker, Message, Producer, Resolution};

/// Stands for a database.
#[derive(Default)]
struct Ledger(Mutex<BTreeSet<String>>);

impl Ledger {
    fn book(&self, transfer: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(transfer.to_owned())
    }

    fn has(&self, transfer: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(transfer)
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "localhost:8081".to_owned());
    let ledger = Arc::new(Ledger::default());

    // Asked about messages whose sender did not come to decide, those of other producers of the topic as well.
    let known = ledger.clone();
    let checker = Checker::new(move |undecided| {
        let is_booked = undecided.message.keys.first().is_some_and(|transfer| known.has(transfer));
        async move { if is_booked { Resolution::Commit } else { Resolution::RollBack } }
    });
    let producer = Producer::builder(endpoint).topic("transfers").checker(checker).start().await?;

    for transfer in ["a", "b", "a"] {
        let message = Message::new("transfers", format!("transfer {transfer}")).key(transfer);
        let transaction = producer.begin(message).await?;
        if ledger.book(transfer) {
            transaction.commit().await?;
            println!("{transfer}: booked, consumers get it");
        } else {
            transaction.roll_back().await?;
            println!("{transfer}: was booked before, nobody gets it");
        }
    }
    producer.close().await;
    Ok(())
}
