//! `millpond promote`: lets another member of the group lead.

use std::time::Duration;

use client::admin::HandOverOutcome;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::{Format, Table, print};

/// A new leader that does not serve by then is not waited for.
const SERVES_MAX: Duration = Duration::from_secs(3);
const ASK_AGAIN: Duration = Duration::from_millis(25);

/// Let another member of the group lead; no message is lost, sends wait for a moment
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Number of the member that shall lead [default: the one in sync that has most of the log]
    ordinal: Option<u32>,
}

pub(crate) async fn run(args: Args, connect: &Connect, format: Format) -> Result<(), Failure> {
    let admin = connect.admin()?;
    let before = admin.broker().await?;
    let answer = admin.hand_over(args.ordinal).await?;
    match answer.outcome() {
        HandOverOutcome::Leads => {}
        HandOverOutcome::NoSuchMember => return Err(Failure::NotFound(answer.message)),
        HandOverOutcome::NotInSync
        | HandOverOutcome::TimedOut
        | HandOverOutcome::NotLeading
        | HandOverOutcome::Alone
        | HandOverOutcome::Unspecified => return Err(Failure::Refused(answer.message)),
    }
    let addresses = before.member.map(|member| member.addresses).unwrap_or_default();
    let address = addresses.into_iter().find(|address| address.ordinal == answer.leader);
    let gap_ms = match address {
        Some(address) => gap_ms(connect, &address.admin).await,
        None => None,
    };
    let (name, gap) = (
        format!("{}-{}-{}", before.cluster, before.group, answer.leader),
        gap_ms.map_or_else(|| "not known here".to_owned(), |ms| format!("{ms} ms")),
    );
    print(format, &json!({ "leader": answer.leader, "name": name, "gapMs": gap_ms }), || {
        let mut table = Table::new(&["LEADER", "GAP"]);
        table.row([name.clone(), gap]);
        table
    })?;
    Ok(())
}

/// How long nobody served, as the new leader measured it. It may be known to lead before it serves.
async fn gap_ms(connect: &Connect, admin: &str) -> Option<u64> {
    let client = connect.admin_at(admin).ok()?;
    let until = Instant::now() + SERVES_MAX;
    loop {
        let broker = client.broker().await.ok()?;
        if matches!(&*broker.state, "serving" | "disk-full") {
            return broker.member?.transition.map(|transition| transition.gap_ms);
        }
        if Instant::now() >= until {
            return None;
        }
        sleep(ASK_AGAIN).await;
    }
}
