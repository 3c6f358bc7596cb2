//! A sent message: whatever `scan` takes can be stored, delivered, and decoded by a client as the same message.
#![no_main]

use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use prost::Message;
use wire::digest::DigestForm;
use wire::stored::{Defaults, DeliveryParts, Head, encode_delivery, scan};
use wire::validate::{self, MessageLimits};
use wire::{frame, v2};

fuzz_target!(|bytes: &[u8]| {
    let Ok(scanned) = scan(bytes) else { return };
    let _ = validate::message(&scanned, &MessageLimits::default(), 1_700_000_000_000);
    let head = scanned.head(&Defaults { born_ms: 1, born_host: "a", message_type: 1 });
    let digest = DigestForm::Crc32.digest(7, scanned.body);
    let mut delivery = BytesMut::new();
    encode_delivery(
        &mut delivery,
        &DeliveryParts {
            topic: scanned.topic,
            namespace: scanned.namespace,
            head: Head::parse(&head).expect("a head that was just made"),
            body: scanned.body,
            digest: &digest,
            receipt: Some("r"),
            queue: 1,
            offset: 2,
            stored_ms: 3,
            store_host: "h",
            attempt: 1,
            invisible_ms: None,
            dead_letter: None,
            transaction_id: None,
        },
    );
    let response =
        v2::ReceiveMessageResponse::decode(&delivery[frame::PREFIX_BYTES..]).expect("a client decodes it");
    let Some(v2::receive_message_response::Content::Message(delivered)) = response.content else {
        unreachable!()
    };
    // A scan passes over what only the server may fill in, and does not keep it; a decoder may stumble there.
    let Ok(sent) = v2::Message::decode(bytes) else { return };
    assert_eq!(delivered.body, sent.body);
    assert_eq!(delivered.user_properties, sent.user_properties);
    let (delivered, sent) =
        (delivered.system_properties.unwrap_or_default(), sent.system_properties.unwrap_or_default());
    assert_eq!((delivered.message_id, delivered.tag, delivered.keys), (sent.message_id, sent.tag, sent.keys));
    assert_eq!(delivered.receipt_handle.as_deref(), Some("r"));
});
