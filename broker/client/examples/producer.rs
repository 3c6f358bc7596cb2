//! Sends messages: one, one with everything, one for later that is taken back.
//!
//! `cargo run -p client --example producer -- localhost:8081`, with topics `orders` (NORMAL) and `reminders` (DELAY).

use std::time::Duration;

use client::{Message, Producer, SendError};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "localhost:8081".to_owned());
    let producer = Producer::builder(endpoint).topic("orders").start().await?;

    let receipt = producer.send(Message::new("orders", "number 1")).await?;
    println!("stored {} at offset {}", receipt.message_id, receipt.offset);

    let message = Message::new("orders", "number 2").tag("new").key("2").property("region", "north");
    match producer.send(message).await {
        Ok(receipt) => println!("stored {}", receipt.message_id),
        // It is not stored, and would not be the next time.
        Err(SendError::Refused(refused)) if !refused.is_retryable() => println!("refused: {refused}"),
        // After all attempts: `NotSent` is not stored, `Unknown` may be.
        Err(error) => return Err(error.into()),
    }

    let later = Message::new("reminders", "call back").delay(Duration::from_hours(1));
    let receipt = producer.send(later).await?;
    let recalled = producer.recall("reminders", &receipt.recall_handle).await?;
    println!("took back {recalled}");

    producer.close().await;
    Ok(())
}
