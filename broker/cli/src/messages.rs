//! `millpond messages`: stored messages, whoever has or had them.

use client::admin::{AdminClient, FindMessagesRequest, StoredKind, StoredMessage};
use client::made_ms;
use serde_json::{Value, json};

use crate::connect::Connect;
use crate::failure::Failure;
use crate::output::{Format, Table, print};
use crate::progress::Progress;
use crate::values::{show_bytes, show_time, time_ms};

/// Messages that one request asks for at most.
const PAGE: usize = 1000;
/// A message is looked for first around the time that its id tells: clocks differ, and a send may be tried for a while.
const AROUND_ID_MS: u64 = 3_600_000;

const EXAMPLES: &str = "\
Examples:
  millpond messages find --topic orders --key 4711
  millpond messages find --topic orders --since 10m --limit 500
  millpond messages find --since 2026-01-31T12:00:00Z --until 2026-01-31T12:05:00Z -o json";

/// Find stored messages, delivered or not, without taking them from anybody
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Show messages by id, key or time, newest first
    #[command(after_help = EXAMPLES)]
    Find(FindArgs),
}

#[derive(Debug, clap::Args)]
pub(crate) struct FindArgs {
    /// Only messages with this id
    #[arg(long)]
    id: Option<String>,
    /// Only messages with this key
    #[arg(long, conflicts_with = "id")]
    key: Option<String>,
    #[command(flatten)]
    window: Window,
    /// At most so many
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..))]
    limit: u32,
}

/// Where to look.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Window {
    /// Only in this topic [default: all]
    #[arg(long)]
    pub(crate) topic: Option<String>,
    /// Stored then or later: how long ago (10m), or a time in UTC (2026-01-31T12:30:00Z) [default: all that is kept]
    #[arg(long, value_parser = time_ms)]
    since: Option<u64>,
    /// Stored before then [default: now]
    #[arg(long, value_parser = time_ms)]
    until: Option<u64>,
}

/// What a search found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) messages: Vec<StoredMessage>,
    damaged: u64,
    kept_from_ms: u64,
}

pub(crate) async fn run(command: Command, connect: &Connect, format: Format) -> Result<(), Failure> {
    let Command::Find(args) = command;
    let admin = connect.admin()?;
    let found = if let Some(id) = &args.id {
        find_id(&admin, id, &args.window, args.limit as usize).await?
    } else {
        let key = args.key.clone().unwrap_or_default();
        let request = FindMessagesRequest { key, ..args.window.request()? };
        search(&admin, request, args.limit as usize).await?
    };
    found.warn();
    if found.messages.is_empty() {
        return Err(found.nothing("no such message"));
    }
    let values: Vec<Value> = found.messages.iter().map(message_json).collect();
    print(format, &values, || table(&found.messages))?;
    Ok(())
}

/// Messages with this id. Without a time, those near the time that the id tells, and if there are none, all that are kept.
pub(crate) async fn find_id(
    admin: &AdminClient,
    id: &str,
    window: &Window,
    limit: usize,
) -> Result<Found, Failure> {
    let whole = FindMessagesRequest { message_id: id.to_owned(), ..window.request()? };
    if window.since.is_none()
        && window.until.is_none()
        && let Some(made_ms) = made_ms(id)
    {
        let (from_ms, to_ms) = (made_ms.saturating_sub(AROUND_ID_MS), made_ms + AROUND_ID_MS);
        let near = search(admin, FindMessagesRequest { from_ms, to_ms, ..whole.clone() }, limit).await?;
        if !near.messages.is_empty() {
            return Ok(near);
        }
    }
    search(admin, whole, limit).await
}

/// Asks until everything was looked at, or there are enough.
async fn search(
    admin: &AdminClient,
    mut request: FindMessagesRequest,
    limit: usize,
) -> Result<Found, Failure> {
    let (mut found, mut progress) = (Found::default(), Progress::new());
    loop {
        request.limit = (limit - found.messages.len()).min(PAGE) as u32;
        let answer = admin.find_messages(request.clone()).await?;
        found.messages.extend(answer.messages);
        found.damaged += answer.damaged;
        found.kept_from_ms = answer.kept_from_ms;
        request.before = answer.next_before;
        if answer.next_before == 0 || found.messages.len() >= limit {
            // Messages that share a record come together.
            found.messages.truncate(limit);
            return Ok(found);
        }
        let (count, at) = (found.messages.len(), show_bytes(answer.next_before));
        progress.show(|| format!("{count} found, looking through the log below {at}"));
    }
}

impl Window {
    fn request(&self) -> Result<FindMessagesRequest, Failure> {
        let (from_ms, to_ms) = (self.since.unwrap_or(0), self.until.unwrap_or(0));
        if self.until.is_some() && from_ms >= to_ms {
            let (from, to) = (show_time(from_ms), show_time(to_ms));
            return Err(Failure::Usage(format!("--since is {from}, which is not before --until, {to}")));
        }
        let topic = self.topic.clone().unwrap_or_default();
        Ok(FindMessagesRequest { topic, from_ms, to_ms, ..Default::default() })
    }
}

impl Found {
    /// Says what a search could not look at.
    pub(crate) fn warn(&self) {
        if self.damaged > 0 {
            eprintln!("millpond: {} parts of the log do not verify and were passed over", self.damaged);
        }
    }

    /// There is none.
    pub(crate) fn nothing(&self, what: &str) -> Failure {
        let kept = match self.kept_from_ms {
            0 => String::new(),
            ms => format!("; the log is kept since {}", show_time(ms)),
        };
        Failure::NotFound(format!("{what}{kept}"))
    }
}

fn table(messages: &[StoredMessage]) -> Table {
    let mut table = Table::new(&["STORED", "TOPIC", "PLACE", "ID", "TAG", "KEYS", "KIND"]);
    for message in messages {
        table.row([
            show_time(message.stored_ms),
            topic(&message.topic),
            place(message.queue, message.offset),
            message.message_id.clone(),
            message.tag.clone().unwrap_or_else(|| "-".to_owned()),
            message.keys.join(" "),
            kind(message),
        ]);
    }
    table
}

/// A topic by name.
pub(crate) fn topic(name: &str) -> String {
    if name.is_empty() { "(deleted)".to_owned() } else { name.to_owned() }
}

/// Queue and offset, as `millpond receive` writes them.
pub(crate) fn place(queue: u32, offset: Option<u64>) -> String {
    offset.map_or_else(|| format!("{queue}/-"), |offset| format!("{queue}/{offset}"))
}

/// What a message was stored as.
pub(crate) fn kind(message: &StoredMessage) -> String {
    match message.kind() {
        StoredKind::Ordinary if message.dead_letter_of.is_empty() => "message".to_owned(),
        StoredKind::Ordinary => format!("dead letter of {}", message.dead_letter_of),
        StoredKind::Delayed => format!("delayed until {}", show_time(message.due_ms)),
        StoredKind::Transactional => "transaction".to_owned(),
    }
}

/// A message for programs; what it has none of is left out.
pub(crate) fn message_json(message: &StoredMessage) -> Value {
    let kind = match message.kind() {
        StoredKind::Ordinary => "message",
        StoredKind::Delayed => "delayed",
        StoredKind::Transactional => "transaction",
    };
    let mut value = json!({
        "messageId": message.message_id, "topic": message.topic, "queue": message.queue, "offset": message.offset,
        "storedMs": message.stored_ms, "kind": kind, "tag": message.tag, "keys": message.keys,
        "properties": message.properties, "bornMs": message.born_ms, "bornHost": message.born_host,
        "position": message.position, "recordBytes": message.bytes,
    });
    if let Some(group) = &message.message_group {
        value["messageGroup"] = group.as_str().into();
    }
    if let Some(priority) = message.priority {
        value["priority"] = priority.into();
    }
    if message.kind() == StoredKind::Delayed {
        value["dueMs"] = message.due_ms.into();
    }
    if !message.dead_letter_of.is_empty() {
        value["deadLetterOf"] = message.dead_letter_of.as_str().into();
    }
    value
}
