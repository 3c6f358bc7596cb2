//! Ids that a client makes up: its own, and those of its messages.

use std::fmt::Write;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::process;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::clock::now_ms;

/// 2021-01-01T00:00:00Z.
const ID_EPOCH_S: u64 = 1_609_459_200;
const ID_VERSION: u8 = 1;

/// Makes message ids: version ‖ 6 random bytes ‖ process ‖ seconds since 2021 ‖ number, in upper-case hex.
pub(crate) struct MessageIds {
    prefix: [u8; 9],
    next: AtomicU32,
}

impl MessageIds {
    pub(crate) fn new() -> Self {
        let mut prefix = [ID_VERSION; 9];
        prefix[1..7].copy_from_slice(&random().to_be_bytes()[2..]);
        prefix[7..].copy_from_slice(&(process::id() as u16).to_be_bytes());
        Self { prefix, next: AtomicU32::new(0) }
    }

    pub(crate) fn next(&self, now_ms: u64) -> String {
        let seconds = (now_ms / 1000).saturating_sub(ID_EPOCH_S) as u32;
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = String::with_capacity(34);
        let parts = [&self.prefix[..], &seconds.to_be_bytes(), &number.to_be_bytes()];
        for byte in parts.into_iter().flatten() {
            id.push(hex(byte >> 4));
            id.push(hex(byte & 0xf));
        }
        id
    }
}

/// When a message with this id was made, as far as ids of this form tell; clocks may be wrong.
pub fn made_ms(message_id: &str) -> Option<u64> {
    let is_ours = message_id.len() == 34 && message_id.starts_with("01") && message_id.is_ascii();
    let seconds = u32::from_str_radix(message_id.get(18..26).filter(|_| is_ours)?, 16).ok()?;
    Some((ID_EPOCH_S + u64::from(seconds)) * 1000)
}

/// `host@process@number@random`, the way servers of this protocol expect it.
pub(crate) fn client_id() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let mut id = format!("{}@{}@{number}@", host_name(), process::id());
    // Writing to a string cannot fail.
    let _ = write!(id, "{:x}{:08x}", now_ms(), random() as u32);
    id
}

/// Names one try of a receive.
pub(crate) fn attempt_id() -> String {
    format!("{:016x}{:016x}", random(), random())
}

/// The machine's name, in characters that a header may have.
pub(crate) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name: String = name.trim().chars().filter(char::is_ascii_graphic).collect();
    if name.is_empty() { "localhost".to_owned() } else { name }
}

fn hex(digit: u8) -> char {
    char::from(b"0123456789ABCDEF"[usize::from(digit)])
}

/// The standard library's hash maps are keyed with random numbers; that is random enough to tell clients apart.
fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_has_34_hex_digits_and_counts() {
        let ids = MessageIds::new();
        let (first, second) = (ids.next(1_609_459_201_000), ids.next(1_609_459_201_000));
        assert_eq!(first.len(), 34);
        assert!(first.starts_with("01") && first.ends_with("0000000100000000"), "{first}");
        assert!(second.ends_with("0000000100000001"), "{second}");
        assert_eq!(made_ms(&second), Some(1_609_459_201_000));
        assert_eq!((made_ms("order-1"), made_ms(&second[1..])), (None, None));
    }

    #[test]
    fn two_clients_of_one_process_have_different_ids() {
        assert_ne!(client_id(), client_id());
    }
}
