use bytes::{Bytes, BytesMut};
use prop::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use prost::Message as _;
use prost_types::{Duration, Timestamp};

use super::*;
use crate::digest::DigestForm;
use crate::{frame, v2};

const DEFAULTS: Defaults<'_> = Defaults { born_ms: 1_234_567, born_host: "10.1.2.3:4", message_type: 1 };

fn time() -> impl Strategy<Value = Timestamp> {
    (0i64..=4_000_000_000, 0i32..1_000_000_000).prop_map(|(seconds, nanos)| Timestamp { seconds, nanos })
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,12}"
}

/// Fields a client owns.
fn own() -> impl Strategy<Value = v2::SystemProperties> {
    let first = (option::of(text()), vec(text(), 0..4), text(), 0..3i32, 0..7i32, option::of(time()), text());
    let second = (
        option::of(time()),
        option::of(text()),
        option::of(text()),
        option::of(text()),
        any::<Option<i32>>(),
    );
    (first, second).prop_map(|(first, second)| {
        let (tag, keys, message_id, body_encoding, message_type, born_timestamp, born_host) = first;
        let (delivery_timestamp, message_group, trace_context, lite_topic, priority) = second;
        v2::SystemProperties {
            tag,
            keys,
            message_id,
            body_encoding,
            message_type,
            born_timestamp,
            born_host,
            delivery_timestamp,
            message_group,
            trace_context,
            lite_topic,
            priority,
            orphaned_transaction_recovery_duration: priority
                .map(|n| Duration { seconds: n.into(), nanos: 0 }),
            ..Default::default()
        }
    })
}

/// Fields a client must not own, as a client that lies would fill them.
fn forge(system: &mut v2::SystemProperties) {
    system.receipt_handle = Some("mine".into());
    system.store_host = "evil".into();
    system.store_timestamp = Some(Timestamp { seconds: 1, nanos: 1 });
    system.queue_id = 7;
    system.queue_offset = Some(7);
    system.invisible_duration = Some(Duration { seconds: 7, nanos: 0 });
    system.delivery_attempt = Some(7);
    system.dead_letter_queue = Some(v2::DeadLetterQueue { topic: "t".into(), message_id: "m".into() });
    system.body_digest = Some(v2::Digest { r#type: 2, checksum: "0".into() });
}

fn any_message() -> impl Strategy<Value = v2::Message> {
    let user = btree_map(text(), text(), 0..6);
    (text(), text(), user, option::of((own(), any::<bool>())), vec(any::<u8>(), 0..200)).prop_map(
        |(resource_namespace, name, user, system, body)| v2::Message {
            topic: Some(v2::Resource { resource_namespace, name }),
            user_properties: user.into_iter().collect(),
            system_properties: system.map(|(mut system, forged)| {
                if forged {
                    forge(&mut system);
                }
                system
            }),
            body: body.into(),
        },
    )
}

/// What a consumer must get for a message that was sent.
fn expected(sent: &v2::Message, parts: &DeliveryParts<'_>) -> v2::Message {
    let mut message = sent.clone();
    message.topic =
        Some(v2::Resource { resource_namespace: parts.namespace.into(), name: parts.topic.into() });
    if let Some(id) = parts.transaction_id {
        message.user_properties.insert("__transactionId__".into(), id.into());
    }
    let system = message.system_properties.get_or_insert_default();
    system.body_digest =
        Some(v2::Digest { r#type: parts.digest.kind().into(), checksum: parts.digest.as_str().into() });
    system.store_timestamp = Some(timestamp(parts.stored_ms));
    system.store_host = parts.store_host.into();
    system.receipt_handle = parts.receipt.map(Into::into);
    system.queue_id = parts.queue.cast_signed();
    system.queue_offset = Some(parts.offset.cast_signed());
    system.invisible_duration = parts
        .invisible_ms
        .map(|ms| Duration { seconds: (ms / 1000).cast_signed(), nanos: (ms % 1000 * 1_000_000) as i32 });
    system.delivery_attempt = Some(parts.attempt.cast_signed());
    system.dead_letter_queue = parts.dead_letter.map(|origin| v2::DeadLetterQueue {
        topic: origin.topic.into(),
        message_id: origin.message_id.into(),
    });
    system.born_timestamp.get_or_insert_with(|| timestamp(DEFAULTS.born_ms));
    if system.born_host.is_empty() {
        system.born_host = DEFAULTS.born_host.into();
    }
    if system.body_encoding == 0 {
        system.body_encoding = v2::Encoding::Identity.into();
    }
    if system.message_type == 0 {
        system.message_type = DEFAULTS.message_type;
    }
    message
}

fn timestamp(ms: u64) -> Timestamp {
    Timestamp { seconds: (ms / 1000).cast_signed(), nanos: (ms % 1000 * 1_000_000) as i32 }
}

fn deliver(parts: &DeliveryParts<'_>) -> v2::Message {
    let mut frame = BytesMut::new();
    encode_delivery(&mut frame, parts);
    let (prefix, response) = frame.split_at(frame::PREFIX_BYTES);
    assert_eq!(prefix[0], 0);
    assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize, response.len());
    match v2::ReceiveMessageResponse::decode(response).unwrap().content {
        Some(v2::receive_message_response::Content::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

/// What a producer reads of a check.
fn ask(parts: &DeliveryParts<'_>, transaction_id: &str) -> (v2::Message, String) {
    let mut frame = BytesMut::new();
    encode_check(&mut frame, parts, transaction_id);
    let (prefix, command) = frame.split_at(frame::PREFIX_BYTES);
    assert_eq!(u32::from_be_bytes(prefix[1..].try_into().unwrap()) as usize, command.len());
    match v2::TelemetryCommand::decode(command).unwrap().command {
        Some(v2::telemetry_command::Command::RecoverOrphanedTransactionCommand(check)) => {
            (check.message.unwrap(), check.transaction_id)
        }
        other => panic!("{other:?}"),
    }
}

proptest! {
    #[test]
    fn a_message_comes_back_as_it_was_sent(
        sent in any_message(), numbers in any::<(u32, u32, u32, bool)>(), host in text(), receipt in option::of("[a-z]{1,60}"),
    ) {
        let (queue, offset, attempt, dead) = numbers;
        let raw = sent.encode_to_vec();
        let head = scan(&raw).unwrap().head(&DEFAULTS);
        let digest = DigestForm::Md5.digest(0, &sent.body);
        let parts = DeliveryParts {
            topic: "orders", namespace: &host, head: Head::parse(&head).unwrap(), body: &sent.body, digest: &digest,
            receipt: receipt.as_deref(), queue, offset: u64::from(offset) << 20, stored_ms: u64::from(offset) * 999,
            store_host: &host, attempt, invisible_ms: dead.then_some(61_001),
            dead_letter: dead.then_some(DeadLetter { topic: "origin", message_id: &host }),
            transaction_id: receipt.as_deref(),
        };
        prop_assert_eq!(deliver(&parts), expected(&sent, &parts));
        prop_assert_eq!(ask(&parts, &host), (expected(&sent, &parts), host.clone()));
    }

    #[test]
    fn a_scan_sees_what_a_full_decode_sees(sent in any_message()) {
        let raw = sent.encode_to_vec();
        let seen = scan(&raw).unwrap();
        let system = sent.system_properties.clone().unwrap_or_default();
        let topic = sent.topic.clone().unwrap();
        prop_assert_eq!((seen.topic, seen.namespace), (&*topic.name, &*topic.resource_namespace));
        prop_assert_eq!(seen.body, &sent.body[..]);
        prop_assert_eq!(seen.property_count as usize, sent.user_properties.len());
        prop_assert_eq!(
            seen.property_bytes as usize,
            sent.user_properties.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>()
        );
        prop_assert_eq!(seen.system.key_bytes as usize, system.keys.concat().len());
        prop_assert_eq!(seen.keys().collect::<Vec<_>>(), system.keys);
        prop_assert_eq!(seen.system.tag, system.tag.as_deref());
        prop_assert_eq!(seen.system.message_group, system.message_group.as_deref());
        prop_assert_eq!(seen.system.lite_topic, system.lite_topic.as_deref());
        prop_assert_eq!(seen.system.priority, system.priority);
        prop_assert_eq!(seen.system.trace_context, system.trace_context.as_deref());
        let ms = |time: &Timestamp| time.seconds * 1000 + i64::from(time.nanos / 1_000_000);
        prop_assert_eq!(seen.system.delivery_ms, system.delivery_timestamp.as_ref().map(ms));
        prop_assert_eq!(seen.system.born_ms, system.born_timestamp.as_ref().map(ms));
    }

    #[test]
    fn a_head_shows_what_was_sent(sent in any_message()) {
        let raw = sent.encode_to_vec();
        let bytes = scan(&raw).unwrap().head(&DEFAULTS);
        let head = Head::parse(&bytes).unwrap();
        let system = sent.system_properties.unwrap_or_default();
        prop_assert_eq!(head.message_id(), system.message_id);
        prop_assert_eq!(head.tag(), system.tag.as_deref());
        prop_assert_eq!(head.keys().collect::<Vec<_>>(), system.keys);
        let user = head.user_properties().map(|pair| (pair.key.to_owned(), pair.value.to_owned()));
        prop_assert_eq!(user.collect::<std::collections::HashMap<_, _>>(), sent.user_properties);
    }

    #[test]
    fn any_bytes_are_answered(bytes in vec(any::<u8>(), 0..300)) {
        if let Ok(seen) = scan(&bytes) {
            let head = seen.head(&DEFAULTS);
            prop_assert!(Head::parse(&head).is_ok());
        }
        if let Ok(head) = Head::parse(&bytes) {
            let _ = (head.system(), head.message_id(), head.keys().count(), head.user_properties().count());
        }
        prop_assert!(split_messages(&Bytes::from(bytes)).count() < 300);
    }

    #[test]
    fn what_scan_takes_a_client_can_decode(mut raw in any_message().prop_map(|m| m.encode_to_vec()), at in any::<prop::sample::Index>(), byte: u8) {
        if !raw.is_empty() {
            let at = at.index(raw.len());
            raw[at] = byte;
        }
        if let Ok(seen) = scan(&raw) {
            let head = seen.head(&DEFAULTS);
            let digest = DigestForm::Crc32.digest(1, seen.body);
            deliver(&DeliveryParts {
                topic: "t", namespace: "", head: Head::parse(&head).unwrap(), body: seen.body, digest: &digest, receipt: None,
                queue: 0, offset: 0, stored_ms: 0, store_host: "", attempt: 1, invisible_ms: None, dead_letter: None,
                transaction_id: None,
            });
        }
    }
}

#[test]
fn fields_of_the_future_survive() {
    let raw = [&[0x1a, 0x05][..], &[0x92, 0x0f, 0x02, b'h', b'i']].concat();
    let head = scan(&raw).unwrap().head(&DEFAULTS);
    assert!(head.windows(5).any(|window| window == [0x92, 0x0f, 0x02, b'h', b'i']));
}

#[test]
fn a_sampled_trace_is_found_where_sdks_and_instrumentations_put_it() {
    let context = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let sent = |field: Option<&str>, property: Option<&str>| v2::Message {
        user_properties: property
            .map(|text| ("traceparent".to_owned(), text.to_owned()))
            .into_iter()
            .collect(),
        system_properties: Some(v2::SystemProperties {
            trace_context: field.map(Into::into),
            ..Default::default()
        }),
        ..Default::default()
    };
    for (field, property, is_found) in [
        (Some(context), None, true),
        (None, Some(context), true),
        (Some("noise"), Some(context), true),
        (Some(unsampled), Some(context), false),
        (None, Some(unsampled), false),
        (None, None, false),
    ] {
        let raw = sent(field, property).encode_to_vec();
        let seen = scan(&raw).unwrap();
        let head = seen.head(&DEFAULTS);
        let found = (seen.sampled(), Head::parse(&head).unwrap().sampled());
        assert_eq!((found.0.is_some(), found.0), (is_found, found.1), "{field:?} {property:?}");
    }
}

#[test]
fn system_properties_in_two_parts_are_one() {
    let part = |system: v2::SystemProperties| {
        v2::Message { system_properties: Some(system), ..Default::default() }.encode_to_vec()
    };
    let raw = [
        part(v2::SystemProperties { message_id: "id".into(), keys: vec!["a".into()], ..Default::default() }),
        part(v2::SystemProperties { tag: Some("t".into()), keys: vec!["b".into()], ..Default::default() }),
    ]
    .concat();
    let bytes = scan(&raw).unwrap().head(&DEFAULTS);
    let head = Head::parse(&bytes).unwrap();
    assert_eq!(
        (head.message_id(), head.tag(), head.keys().collect::<Vec<_>>()),
        ("id", Some("t"), vec!["a", "b"])
    );
}

#[test]
fn a_request_splits_into_the_bytes_of_its_messages() {
    let messages: Vec<_> =
        ["a", "b", "c"].map(|body| v2::Message { body: body.into(), ..Default::default() }).into();
    let request = Bytes::from(v2::SendMessageRequest { messages: messages.clone() }.encode_to_vec());
    let split: Vec<_> =
        split_messages(&request).map(|raw| v2::Message::decode(raw.unwrap()).unwrap()).collect();
    assert_eq!(split, messages);
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let system = [0x0a, 0x01, 0xff];
    let raw = [&[0x1a, 0x03][..], &system].concat();
    assert_eq!(scan(&raw).unwrap_err(), crate::Malformed::Utf8("tag"));
}
