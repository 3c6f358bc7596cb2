//! Works on messages as they come, until Ctrl-C or a number of them.
//!
//! `cargo run -p client --example push -- localhost:8081 2`, with topic `orders` and consumer group `billing`.

use client::{Consumed, Delivered, PushConsumer};
use tokio::sync::mpsc;

fn bill(message: &Delivered) -> Consumed {
    let Ok(text) = std::str::from_utf8(&message.body) else {
        // It will not be text the next time either: done, or it would come until the attempts are over.
        return Consumed::Done;
    };
    println!("{text} (delivery {})", message.attempt);
    Consumed::Done
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let endpoint = arguments.next().unwrap_or_else(|| "localhost:8081".to_owned());
    let mut left = arguments.next().map_or(Ok(usize::MAX), |number| number.parse())?;

    let (tell, mut billed) = mpsc::channel(16);
    let consumer = PushConsumer::builder(endpoint, "billing")
        .subscribe("orders", "*")
        .concurrency(8)
        .listener(move |message| {
            let tell = tell.clone();
            async move {
                let consumed = bill(&message);
                // Nobody counts any more at the end.
                let _ = tell.send(()).await;
                consumed
            }
        })
        .start()
        .await?;

    while left > 0 {
        tokio::select! {
            Some(()) = billed.recv() => left -= 1,
            signal = tokio::signal::ctrl_c() => { signal?; break }
        }
    }
    // Finishes what was begun, and gives the rest to the other members of the group.
    drop(billed);
    consumer.close().await;
    Ok(())
}
