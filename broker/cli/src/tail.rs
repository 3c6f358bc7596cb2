//! `millpond tail`: watches a topic through a consumer group of its own, which goes when it ends.

use std::io::Read;
use std::time::Duration;

use client::admin::{Adopt, ConsumeFrom};
use client::{RECEIVE_MAX, SimpleConsumer};
use tokio::sync::oneshot;

use crate::connect::Connect;
use crate::failure::Failure;
use crate::groups::{group, policy};
use crate::output::Format;
use crate::receive::print_message;

const WAIT: Duration = Duration::from_secs(10);
const INVISIBLE: Duration = Duration::from_mins(1);

/// Watch what arrives in a topic, without taking it from anybody; ends with Ctrl-C
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The topic
    topic: String,
    /// Which tags: `*`, or tags with `||` between them
    #[arg(long, default_value = "*")]
    filter: String,
    /// Begin with the oldest message that is kept
    #[arg(long)]
    from_start: bool,
    /// End after this many messages
    #[arg(long)]
    max: Option<usize>,
    /// End when standard input ends: for a caller far away who may be cut off without a word
    #[arg(long, hide = true)]
    end_with_input: bool,
}

pub(crate) async fn run(args: Args, connect: &Connect, format: Format) -> Result<(), Failure> {
    let from = if args.from_start { ConsumeFrom::Earliest } else { ConsumeFrom::Latest };
    let stop = async {
        if !args.end_with_input {
            std::future::pending::<()>().await;
        }
        end_of(std::io::stdin()).await;
    };
    with_own_group(connect, from, stop, async |group| watch(&args, group, connect, format).await).await
}

/// Waits until nothing more can be read. The thread is left behind, because a read cannot be taken back.
async fn end_of(mut input: impl Read + Send + 'static) {
    let (ended, end) = oneshot::channel();
    std::thread::spawn(move || {
        // An input that cannot be read has ended as well.
        let _ = std::io::copy(&mut input, &mut std::io::sink());
        let _ = ended.send(());
    });
    let _ = end.await;
}

/// Does something as a consumer group that nobody else is in, until it ends, is stopped, or Ctrl-C.
pub(crate) async fn with_own_group(
    connect: &Connect,
    from: ConsumeFrom,
    stop: impl Future<Output = ()>,
    act: impl AsyncFnOnce(&str) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let admin = connect.admin()?;
    let name = format!("millpond-tail-{:x}-{}", std::process::id(), unique());
    let own = group(name.clone(), policy(16, &[]), from);
    for outcome in admin.apply_consumer_groups(vec![own], Adopt::IfCompatible).await? {
        outcome.result.map_err(|refusal| Failure::Refused(format!("consumer group `{name}`: {refusal}")))?;
    }
    let ended = tokio::select! {
        ended = act(&name) => ended,
        () = stop => Ok(()),
        signal = tokio::signal::ctrl_c() => signal.map_err(Failure::from),
    };
    admin.delete_consumer_groups(vec![name], None).await?;
    ended
}

async fn watch(args: &Args, group: &str, connect: &Connect, format: Format) -> Result<(), Failure> {
    let consumer = SimpleConsumer::builder(connect.messaging()?, group)
        .subscribe(&args.topic, args.filter.as_str())
        .wait(WAIT)
        .start()
        .await?;
    let mut left = args.max.unwrap_or(usize::MAX);
    while left > 0 {
        let delivered = consumer.receive(left.min(RECEIVE_MAX), INVISIBLE).await?;
        left = left.saturating_sub(delivered.len());
        for message in &delivered {
            print_message(message, format)?;
        }
        consumer.ack_all(&delivered).await?;
    }
    consumer.close().await;
    Ok(())
}

/// Two runs with one process number, as in two containers, must not share a group.
fn unique() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    format!("{:08x}", RandomState::new().build_hasher().finish() as u32)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[tokio::test]
    async fn the_end_of_the_input_is_noticed_and_nothing_before_it() {
        let (reader, mut writer) = std::io::pipe().unwrap();
        let end = end_of(reader);
        tokio::pin!(end);
        writer.write_all(b"still there").unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut end).await.is_err());
        drop(writer);
        end.await;
    }
}
