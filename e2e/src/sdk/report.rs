//! What an SDK's program says at its end: one JSON object.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// A message that the SDK sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sent {
    /// Message id of the receipt.
    pub id: String,
    /// Number of the message in this run.
    pub index: usize,
    /// Transaction id of the receipt.
    #[serde(default)]
    pub transaction: Option<String>,
    /// When it shall be delivered, in milliseconds since 1970.
    #[serde(default)]
    pub due_ms: Option<u64>,
    /// When the send began, in milliseconds since the program did.
    #[serde(default)]
    pub at_ms: u64,
    /// When it was acknowledged.
    #[serde(default)]
    pub acked_ms: u64,
}

/// An acknowledgement of a simple consumer that the broker answered, in a scenario with message groups.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Confirmed {
    /// Number of the message in its run.
    pub index: usize,
    /// Where it lies in its queue, if the SDK tells.
    pub offset: Option<u64>,
    /// When the answer came, in milliseconds since the program began.
    pub at_ms: u64,
}

/// What the program did with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Acknowledged it.
    Ack,
    /// Let it fail (push) or left it alone (simple).
    Fail,
    /// Changed how long it stays invisible.
    Hide,
    /// The checker of a transaction committed it.
    Commit,
    /// The checker of a transaction rolled it back.
    Rollback,
    /// The checker of a transaction does not know.
    Unknown,
}

/// One delivery.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Received {
    /// Message id.
    pub id: String,
    /// Topic as the SDK shows it.
    pub topic: String,
    /// Number of the message in its run.
    pub index: usize,
    /// Its tag.
    pub tag: Option<String>,
    /// Its keys; their order may be lost.
    pub keys: Vec<String>,
    /// Its user properties.
    pub properties: BTreeMap<String, String>,
    /// Its message group.
    pub group: Option<String>,
    /// Its priority, if the SDK tells.
    #[serde(default)]
    pub priority: Option<usize>,
    /// Where it lies in its queue, if the SDK tells.
    pub offset: Option<u64>,
    /// Which of the program's consumers got it.
    #[serde(default)]
    pub consumer: usize,
    /// Which delivery of the message this was, from 1.
    pub attempt: u32,
    /// Length of the body.
    pub bytes: usize,
    /// SHA-256 of the body, in lower case hexadecimal digits.
    pub sha256: String,
    /// What the program did with it.
    pub verdict: Verdict,
    /// Milliseconds since the program began.
    pub at_ms: u64,
    /// When it came, in milliseconds since 1970.
    #[serde(default)]
    pub came_ms: u64,
    /// The delivery time that the SDK shows, in milliseconds since 1970.
    #[serde(default)]
    pub due_ms: Option<u64>,
    /// The number of its message type, if the SDK tells.
    #[serde(default, rename = "type")]
    pub message_type: Option<u32>,
}

/// What one call of a program saw.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The SDK's name.
    pub sdk: String,
    /// Its version.
    pub version: String,
    /// Mark of the messages of this run.
    pub run: String,
    /// Whether the scenario came to its end.
    pub ok: bool,
    /// The first failures that the SDK reported.
    #[serde(default, deserialize_with = "nothing_is_empty")]
    pub errors: Vec<String>,
    /// How many there were.
    pub failures: u64,
    /// When the program began, in milliseconds since 1970.
    #[serde(default)]
    pub began_ms: u64,
    /// Milliseconds of the whole run.
    pub elapsed_ms: u64,
    /// What was sent.
    #[serde(default, deserialize_with = "nothing_is_empty")]
    pub sent: Vec<Sent>,
    /// What was delivered, in the order of arrival.
    #[serde(default, deserialize_with = "nothing_is_empty")]
    pub received: Vec<Received>,
    /// What was acknowledged, as far as the program knows.
    #[serde(default, deserialize_with = "nothing_is_empty")]
    pub confirmed: Vec<Confirmed>,
    /// Delayed messages that were taken back.
    #[serde(default, deserialize_with = "nothing_is_empty")]
    pub recalled: Vec<usize>,
    /// Why the SDK says that they cannot be taken back again.
    #[serde(default, deserialize_with = "nothing_is_empty")]
    pub refusals: Vec<String>,
    /// Messages that their sender committed or rolled back, and the broker answered.
    #[serde(default, deserialize_with = "nothing_is_empty")]
    pub decided: Vec<usize>,
    /// The questions about transactions; the verdict is the answer.
    #[serde(default, deserialize_with = "nothing_is_empty")]
    pub checks: Vec<Received>,
    /// `stream`: sends that the broker acknowledged.
    #[serde(default)]
    pub acknowledged: u64,
    /// `stream`: different messages received.
    #[serde(default)]
    pub distinct: u64,
    /// `stream`: deliveries of a message that had been delivered before.
    #[serde(default)]
    pub copies: u64,
    /// `stream`: numbers of messages that were acknowledged and never received.
    #[serde(default)]
    pub missing: Vec<u64>,
    /// `stream`: longest time without an acknowledged send.
    #[serde(default)]
    pub longest_gap_ms: u64,
}

impl Report {
    /// Reads the last line of a program's output.
    pub fn parse(output: &[u8]) -> Result<Self> {
        let text = String::from_utf8_lossy(output);
        let line = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or_default();
        ensure!(!line.is_empty(), "the program printed nothing");
        serde_json::from_str(line).with_context(|| format!("not a report: {line:.200}"))
    }
}

/// Go prints an empty list as `null`.
fn nothing_is_empty<'de, D, T>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
