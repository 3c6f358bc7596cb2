//! A send request: splitting finds the messages that a full decoder finds.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use prost::Message;
use wire::stored::{scan, split_messages};
use wire::v2;

fuzz_target!(|bytes: &[u8]| {
    let request = Bytes::copy_from_slice(bytes);
    let Ok(messages) = split_messages(&request).collect::<Result<Vec<_>, _>>() else { return };
    let Ok(decoded) = v2::SendMessageRequest::decode(request) else { return };
    assert_eq!(decoded.messages.len(), messages.len());
    for (message, decoded) in messages.iter().zip(decoded.messages) {
        if let Ok(scanned) = scan(message) {
            assert_eq!(scanned.body, decoded.body);
        }
    }
});
