//! Reads a topic by offset from its beginning, and goes on where it was the next time.
//!
//! `cargo run -p client --example pull -- localhost:8081`, with topic `orders` and consumer group `report`.

use std::time::Duration;

use client::{Place, PullConsumer};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "localhost:8081".to_owned());
    let consumer = PullConsumer::builder(endpoint, "report").subscribe("orders", "*").start().await?;

    let queues = consumer.queues("orders").await?;
    let mut reader = consumer.reader(queues, Place::Beginning).await?;
    loop {
        let messages = reader.next(32, Duration::from_secs(5)).await?;
        if messages.is_empty() {
            break;
        }
        for message in &messages {
            println!("queue {} offset {}: {:?}", message.queue, message.offset, message.body);
        }
        // After the work: what is not committed is read again.
        reader.commit().await?;
    }
    for (queue, position) in reader.positions() {
        println!("{queue:?} is read up to {position}");
    }
    consumer.close().await;
    Ok(())
}
