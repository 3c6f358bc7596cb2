//! Sends messages of several accounts, and works on those of each account in order.
//!
//! `cargo run -p client --example ordered -- localhost:8081`, with topic `payments` (FIFO) and consumer group `cashier`
//! (ordered).

use client::{Consumed, Message, Producer, PushConsumer};
use tokio::sync::mpsc;

const ACCOUNTS: usize = 3;
const BOOKINGS: usize = 4;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let endpoint = std::env::args().nth(1).unwrap_or_else(|| "localhost:8081".to_owned());

    // One after the other, each when the one before is stored: what is sent at the same time has no order.
    let producer = Producer::builder(endpoint.as_str()).topic("payments").start().await?;
    for number in 0..BOOKINGS {
        for account in 0..ACCOUNTS {
            let message = Message::new("payments", format!("booking {number}"));
            producer.send(message.message_group(format!("account-{account}"))).await?;
        }
    }
    producer.close().await;

    let (tell, mut booked) = mpsc::channel(16);
    let consumer = PushConsumer::builder(endpoint.as_str(), "cashier")
        .subscribe("payments", "*")
        .listener(move |message| {
            let tell = tell.clone();
            async move {
                // A booking that fails is tried again, and the next one of its account waits for it.
                if message.attempt == 1 && message.body.ends_with(b"2") {
                    return Consumed::Retry;
                }
                println!("{}: {:?}", message.message_group.as_deref().unwrap_or("-"), message.body);
                let _ = tell.send(()).await;
                Consumed::Done
            }
        })
        .start()
        .await?;
    for _ in 0..ACCOUNTS * BOOKINGS {
        booked.recv().await;
    }
    consumer.close().await;
    Ok(())
}
