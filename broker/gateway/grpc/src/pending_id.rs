//! The text that names a stored message which is no entry of its queue yet: a recall handle, or a transaction id.
//!
//! ```text
//!   1-<time in ms, hex>-<position in the log, hex>-<message id>
//! ```
//!
//! Any broker that leads the group can resolve it, without a memory of its own: position and time are of the record.

use store::Position;

/// Begins every text.
const VERSION: &str = "1";

/// The text of a message.
pub(crate) fn text(ms: u64, position: Position, message_id: &str) -> String {
    format!("{VERSION}-{ms:x}-{:x}-{message_id}", position.0)
}

/// Time, position and message id; none if the text is not one of ours.
pub(crate) fn read(text: &str) -> Option<(u64, Position, &str)> {
    let mut parts = text.splitn(4, '-');
    let version = parts.next()?;
    let ms = u64::from_str_radix(parts.next()?, 16).ok()?;
    let position = u64::from_str_radix(parts.next()?, 16).ok()?;
    let message_id = parts.next()?;
    (version == VERSION).then_some((ms, Position(position), message_id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_comes_back_whatever_the_message_id() {
        for id in ["01AB", "a-b-c", "", "é"] {
            let text = text(1_763_000_123_456, Position(1 << 40), id);
            assert_eq!(read(&text), Some((1_763_000_123_456, Position(1 << 40), id)));
        }
        for foreign in ["", "1", "1-2", "1-2-3", "2-2-3-4", "1-x-3-4", "1-2--4"] {
            assert_eq!(read(foreign), None, "{foreign}");
        }
    }
}
