//! The fields of `system_properties` that a broker looks at, as slices of the encoded bytes.

use crate::fields::{Field, Fields, Malformed, millis};

/// System properties of one message, as sent; of a field that came twice the last one counts.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct System<'a> {
    /// The sender's id of the message; empty if it sent none.
    pub message_id: &'a str,
    /// What consumers filter by.
    pub tag: Option<&'a str>,
    /// How many keys there are.
    pub key_count: u32,
    /// Bytes of all keys.
    pub key_bytes: u32,
    /// Number of the message type, 0 if not stated.
    pub message_type: i32,
    /// Messages of one group are in order.
    pub message_group: Option<&'a str>,
    /// Not to be delivered before, in milliseconds since 1970.
    pub delivery_ms: Option<i64>,
    /// Higher goes first.
    pub priority: Option<i32>,
    /// The lite topic below the topic.
    pub lite_topic: Option<&'a str>,
    /// When the sender made it, in milliseconds since 1970.
    pub born_ms: Option<i64>,
    /// Where the sender made it; empty if not stated.
    pub born_host: &'a str,
    /// The trace that the sender made it in, as it wrote it.
    pub trace_context: Option<&'a str>,
    /// Number of the body's encoding, 0 if not stated.
    pub body_encoding: i32,
    /// How long a transaction may stay undecided before the sender is asked.
    pub recovery_ms: Option<i64>,
    /// Whether the sender filled in fields that the server owns; those are not kept.
    pub(crate) forged: bool,
}

/// Fields of `system_properties` that only the server fills in.
pub(crate) fn is_owned_by_server(number: u32) -> bool {
    // body digest, store time and host, receipt, queue, offset, invisible time, attempt, dead letter
    matches!(number, 4 | 9 | 10 | 12..=16 | 20)
}

impl<'a> System<'a> {
    /// Reads the content of one `system_properties` field.
    pub(crate) fn read(content: &'a [u8]) -> Result<Self, Malformed> {
        let mut system = Self::default();
        system.absorb(content)?;
        Ok(system)
    }

    pub(crate) fn absorb(&mut self, content: &'a [u8]) -> Result<(), Malformed> {
        for field in Fields::of(content) {
            self.absorb_field(&field?)?;
        }
        Ok(())
    }

    fn absorb_field(&mut self, field: &Field<'a>) -> Result<(), Malformed> {
        match field.number {
            1 => self.tag = Some(field.text("tag")?),
            2 => {
                self.key_bytes = self.key_bytes.saturating_add(field.text("keys")?.len() as u32);
                self.key_count += 1;
            }
            3 => self.message_id = field.text("message_id")?,
            5 => self.body_encoding = int32(field, "body_encoding")?,
            6 => self.message_type = int32(field, "message_type")?,
            7 => self.born_ms = Some(millis(field.bytes("born_timestamp")?, "born_timestamp")?),
            8 => self.born_host = field.text("born_host")?,
            11 => self.delivery_ms = Some(millis(field.bytes("delivery_timestamp")?, "delivery_timestamp")?),
            17 => self.message_group = Some(field.text("message_group")?),
            18 => self.trace_context = Some(field.text("trace_context")?),
            19 => {
                let name = "orphaned_transaction_recovery_duration";
                self.recovery_ms = Some(millis(field.bytes(name)?, name)?);
            }
            21 => self.lite_topic = Some(field.text("lite_topic")?),
            22 => self.priority = Some(int32(field, "priority")?),
            number => self.forged |= is_owned_by_server(number),
        }
        Ok(())
    }
}

fn int32(field: &Field<'_>, name: &'static str) -> Result<i32, Malformed> {
    Ok((field.number(name)? as u32).cast_signed())
}
