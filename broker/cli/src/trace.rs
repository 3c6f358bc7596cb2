//! `millpond trace`: what happened to a message.

use base64::{Engine, engine::general_purpose::STANDARD};
use client::admin::{
    AdminClient, StoredKind, StoredMessage, TraceEvent, TraceMessageRequest, TraceMessageResponse,
    TraceStanding, TraceState, TraceWhat,
};
use serde_json::{Value, json};

use crate::connect::Connect;
use crate::failure::Failure;
use crate::messages::{Window, find_id, kind, message_json, place, topic};
use crate::output::{Format, Table, print};
use crate::values::show_time;

/// Messages of one id that are told of; more are no accident.
const MESSAGES_MAX: usize = 16;
/// Of a body, so many characters are shown.
const SHOWN_MAX: usize = 200;

const EXAMPLES: &str = "\
Examples:
  millpond trace 01F46E83C1A5EC7B4A0B1D0F9900000000
  millpond trace 01F46E83C1A5EC7B4A0B1D0F9900000000 -o json | jq '.[].history'
  millpond trace my-own-id --topic orders --since 1h

First deliveries, and to which client a message went, are known of consumer groups with `trace`:
  millpond groups apply billing --trace";

/// Tell what happened to a message: stored, delivered, acknowledged, retried, given up
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Id of the message, as its sender and its receivers know it
    id: String,
    #[command(flatten)]
    window: Window,
}

/// A message and what happened to it.
struct Story {
    message: StoredMessage,
    told: TraceMessageResponse,
}

pub(crate) async fn run(args: Args, connect: &Connect, format: Format) -> Result<(), Failure> {
    let admin = connect.admin()?;
    let mut found = find_id(&admin, &args.id, &args.window, MESSAGES_MAX).await?;
    found.warn();
    if found.messages.is_empty() {
        let searched =
            args.window.topic.as_ref().map(|topic| format!(" in topic `{topic}`")).unwrap_or_default();
        return Err(found.nothing(&format!("no message with id `{}`{searched}", args.id)));
    }
    // A dead letter is told of with the message that it is of, if that is still there.
    if found.messages.iter().any(|message| message.dead_letter_of.is_empty()) {
        found.messages.retain(|message| message.dead_letter_of.is_empty());
    }
    let mut stories = Vec::new();
    for message in found.messages.into_iter().rev() {
        let told = follow(&admin, &message).await?;
        stories.push(Story { message: told.message.clone().unwrap_or(message), told });
    }
    let values: Vec<Value> = stories.iter().map(Story::json).collect();
    if format == Format::Json {
        print(format, &values, || Table::new(&[]))?;
        return Ok(());
    }
    for (number, story) in stories.iter().enumerate() {
        if number > 0 {
            println!();
        }
        print(format, &(), || story.facts())?;
        println!();
        print(format, &(), || story.history())?;
    }
    Ok(())
}

/// Asks until the history is whole.
async fn follow(admin: &AdminClient, message: &StoredMessage) -> Result<TraceMessageResponse, Failure> {
    let (position, bytes, number) = (message.position, message.bytes, message.number);
    let mut request = TraceMessageRequest { position, bytes, number, ..Default::default() };
    let mut told = admin.trace_message(request.clone()).await?;
    while !told.scroll.is_empty() {
        request.scroll = std::mem::take(&mut told.scroll);
        let more = admin.trace_message(request.clone()).await?;
        told.events.extend(more.events);
        told.damaged += more.damaged;
        (told.standings, told.scroll) = (more.standings, more.scroll);
    }
    if told.damaged > 0 {
        eprintln!("millpond: {} parts of the log do not verify and were passed over", told.damaged);
    }
    Ok(told)
}

impl Story {
    fn json(&self) -> Value {
        let mut message = message_json(&self.message);
        match std::str::from_utf8(&self.told.body) {
            Ok(text) => message["body"] = text.into(),
            Err(_) => message["bodyBase64"] = STANDARD.encode(&self.told.body).into(),
        }
        let history: Vec<Value> = self.told.events.iter().map(event_json).collect();
        let now: Vec<Value> = self.told.standings.iter().map(standing_json).collect();
        json!({"message": message, "history": history, "now": now})
    }

    fn facts(&self) -> Table {
        let message = &self.message;
        let mut table = Table::new(&["MESSAGE", &message.message_id]);
        let mut fact = |name: &str, value: String| {
            if !value.is_empty() {
                table.row([name.to_owned(), value]);
            }
        };
        fact("topic", topic(&message.topic));
        fact("place", place(message.queue, message.offset));
        fact("kind", kind(message));
        fact("tag", message.tag.clone().unwrap_or_default());
        fact("keys", message.keys.join(" "));
        let mut properties: Vec<_> =
            message.properties.iter().map(|(key, value)| format!("{key}={value}")).collect();
        properties.sort_unstable();
        fact("properties", properties.join(" "));
        fact("message group", message.message_group.clone().unwrap_or_default());
        fact("priority", message.priority.map(|priority| priority.to_string()).unwrap_or_default());
        fact("made", format!("{} at {}", show_time(message.born_ms), message.born_host));
        fact("body", shown(&self.told.body));
        table
    }

    fn history(&self) -> Table {
        let mut table = Table::new(&["TIME", "WHAT", "GROUP", "TOPIC", "PLACE", "DETAIL"]);
        for event in &self.told.events {
            let what = word(event.what()).replace('-', " ");
            let entry = if event.offset.is_some() {
                (topic(&event.topic), place(event.queue, event.offset))
            } else {
                Default::default()
            };
            table.row([
                show_time(event.at_ms),
                what,
                event.consumer_group.clone(),
                entry.0,
                entry.1,
                detail(event),
            ]);
        }
        if let Some(waits) = self.waits() {
            table.row(["now".to_owned(), waits, String::new(), String::new(), String::new(), String::new()]);
        }
        for standing in &self.told.standings {
            table.row([
                "now".to_owned(),
                state(standing.state()).to_owned(),
                standing.consumer_group.clone(),
                topic(&standing.topic),
                place(standing.queue, Some(standing.offset)),
                standing_detail(standing),
            ]);
        }
        table
    }

    /// What a message waits for that is no entry of its queue yet.
    fn waits(&self) -> Option<String> {
        let is_settled = self.told.events.iter().any(|event| event.what() != TraceWhat::Stored);
        match self.message.kind() {
            StoredKind::Delayed if !is_settled => {
                Some(format!("waits until {}", show_time(self.message.due_ms)))
            }
            StoredKind::Transactional if !is_settled => Some("undecided".to_owned()),
            StoredKind::Ordinary | StoredKind::Delayed | StoredKind::Transactional => None,
        }
    }
}

fn word(what: TraceWhat) -> &'static str {
    match what {
        TraceWhat::Unspecified => "unknown",
        TraceWhat::Stored => "stored",
        TraceWhat::Visible => "visible",
        TraceWhat::Recalled => "recalled",
        TraceWhat::Committed => "committed",
        TraceWhat::RolledBack => "rolled-back",
        TraceWhat::GivenUp => "given-up",
        TraceWhat::Delivered => "delivered",
        TraceWhat::Done => "done",
        TraceWhat::DeadLettered => "dead-lettered",
        TraceWhat::PassedOver => "passed-over",
        TraceWhat::AgainUnread => "again-unread",
    }
}

fn state(state: TraceState) -> &'static str {
    match state {
        TraceState::Unspecified => "unknown",
        TraceState::Unread => "unread",
        TraceState::Ready => "ready",
        TraceState::Held => "held",
        TraceState::Leaving => "leaving",
        TraceState::Finished => "done",
    }
}

fn detail(event: &TraceEvent) -> String {
    let attempts = match event.what() {
        TraceWhat::Delivered => format!("attempt {}", event.attempt),
        TraceWhat::DeadLettered => format!("after {} deliveries", event.attempt),
        TraceWhat::Unspecified
        | TraceWhat::Stored
        | TraceWhat::Visible
        | TraceWhat::Recalled
        | TraceWhat::Committed
        | TraceWhat::RolledBack
        | TraceWhat::GivenUp
        | TraceWhat::PassedOver
        | TraceWhat::AgainUnread
        | TraceWhat::Done => String::new(),
    };
    if event.client_id.is_empty() { attempts } else { format!("{attempts}, to {}", event.client_id) }
}

fn standing_detail(standing: &TraceStanding) -> String {
    let mut parts = Vec::new();
    if standing.state() == TraceState::Held {
        parts.push(format!("until {}", show_time(standing.until_ms)));
    }
    if standing.attempts > 0 {
        parts.push(format!("attempt {}", standing.attempts));
    }
    parts.join(", ")
}

fn event_json(event: &TraceEvent) -> Value {
    let mut value = json!({"atMs": event.at_ms, "what": word(event.what())});
    if let Some(offset) = event.offset {
        value["topic"] = event.topic.as_str().into();
        value["queue"] = event.queue.into();
        value["offset"] = offset.into();
    }
    if !event.consumer_group.is_empty() {
        value["consumerGroup"] = event.consumer_group.as_str().into();
    }
    if event.attempt > 0 {
        value["attempt"] = event.attempt.into();
    }
    if !event.client_id.is_empty() {
        value["clientId"] = event.client_id.as_str().into();
    }
    value
}

fn standing_json(standing: &TraceStanding) -> Value {
    let mut value = json!({
        "consumerGroup": standing.consumer_group, "topic": standing.topic, "queue": standing.queue,
        "offset": standing.offset, "state": state(standing.state()), "attempts": standing.attempts,
    });
    if standing.state() == TraceState::Held {
        value["untilMs"] = standing.until_ms.into();
    }
    value
}

/// The beginning of a body on one line.
fn shown(body: &[u8]) -> String {
    let Ok(text) = std::str::from_utf8(body) else { return format!("<{} bytes>", body.len()) };
    let line: String = text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(SHOWN_MAX).is_some() { format!("{line}... ({} bytes)", body.len()) } else { line }
}
