//! Receives messages when it wants to, and says itself what is done.
//!
//! `cargo run -p client --example simple -- localhost:8081`, with topic `orders` and consumer group `audit`.

use std::time::Duration;

use client::{Filter, SimpleConsumer};

const INVISIBLE: Duration = Duration::from_secs(30);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "localhost:8081".to_owned());
    let consumer = SimpleConsumer::builder(endpoint, "audit")
        .subscribe("orders", Filter::Sql("region IS NULL OR region = 'north'".to_owned()))
        .wait(Duration::from_secs(5))
        .start()
        .await?;

    loop {
        let mut messages = consumer.receive(16, INVISIBLE).await?;
        if messages.is_empty() {
            break;
        }
        for message in &mut messages {
            println!("{} {:?}", message.message_id, message.body);
            // A little more time for a message that needs it.
            consumer.change_invisible(message, INVISIBLE * 2).await?;
        }
        for (message, result) in messages.iter().zip(consumer.ack_all(&messages).await?) {
            if let Err(refused) = result {
                println!("{} comes again: {refused}", message.message_id);
            }
        }
    }
    consumer.close().await;
    Ok(())
}
