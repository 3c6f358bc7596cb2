use prost::Message as _;

use super::*;
use crate::stored::scan;
use crate::v2::{self, Code};

const LIMITS: MessageLimits = MessageLimits { body_bytes_max: BODY_BYTES_MAX, delay_ms_max: DELAY_MS_MAX };
const NOW_MS: u64 = 1_700_000_000_000;

fn fair() -> v2::Message {
    v2::Message {
        topic: Some(v2::Resource { resource_namespace: String::new(), name: "orders".into() }),
        user_properties: [("a".to_owned(), "b".to_owned())].into(),
        system_properties: Some(v2::SystemProperties { message_id: "01".into(), ..Default::default() }),
        body: "hello".into(),
    }
}

fn code_after(change: impl FnOnce(&mut v2::Message)) -> Code {
    let mut fields = fair();
    change(&mut fields);
    let raw = fields.encode_to_vec();
    message(&scan(&raw).unwrap(), &LIMITS, NOW_MS).map_or_else(|violation| violation.code(), |()| Code::Ok)
}

fn code_after_system(change: impl FnOnce(&mut v2::SystemProperties)) -> Code {
    code_after(|message| change(message.system_properties.as_mut().unwrap()))
}

fn named(name: &str) -> v2::Resource {
    v2::Resource { resource_namespace: String::new(), name: name.into() }
}

#[test]
fn a_fair_message_is_let_through() {
    assert_eq!(code_after(|_| {}), Code::Ok);
}

#[test]
fn topics_over_their_limits_are_illegal() {
    for name in ["", " ", "a b", "ü", "TBW102", "rmq_sys_x", "%DLQ%g", "%RETRY%g"] {
        assert_eq!(code_after(|m| m.topic = Some(named(name))), Code::IllegalTopic, "{name}");
    }
    assert_eq!(code_after(|m| m.topic = Some(named(&"a".repeat(127)))), Code::Ok);
    assert_eq!(code_after(|m| m.topic = Some(named(&"a".repeat(128)))), Code::IllegalTopic);
}

#[test]
fn a_dead_letter_topic_may_be_read() {
    assert_eq!(topic("%DLQ%billing"), Ok(()));
}

#[test]
fn groups_over_their_limits_are_illegal() {
    for name in ["", "a.b", "CID_RMQ_SYS_X"] {
        assert_eq!(group(name).unwrap_err().code(), Code::IllegalConsumerGroup, "{name}");
    }
    assert_eq!(group(&"g".repeat(120)), Ok(()));
    assert_eq!(group(&"g".repeat(121)).unwrap_err().code(), Code::IllegalConsumerGroup);
}

#[test]
fn each_field_of_a_message_has_its_own_code() {
    assert_eq!(code_after_system(|s| s.message_id = " ".into()), Code::IllegalMessageId);
    assert_eq!(code_after_system(|s| s.tag = Some("a|b".into())), Code::IllegalMessageTag);
    assert_eq!(code_after_system(|s| s.keys = vec!["\u{85}".into()]), Code::IllegalMessageKey);
    assert_eq!(code_after_system(|s| s.message_group = Some("g".repeat(64))), Code::IllegalMessageGroup);
    assert_eq!(code_after_system(|s| s.message_group = Some("g".repeat(63))), Code::Ok);
    assert_eq!(code_after_system(|s| s.lite_topic = Some("a$".into())), Code::IllegalLiteTopic);
    assert_eq!(code_after_system(|s| s.priority = Some(-1)), Code::BadRequest);
}

#[test]
fn a_delivery_time_is_bounded_ahead_and_free_behind() {
    let at = |ms: u64| {
        Some(prost_types::Timestamp {
            seconds: (ms / 1000).cast_signed(),
            nanos: (ms % 1000 * 1_000_000) as i32,
        })
    };
    assert_eq!(code_after_system(|s| s.delivery_timestamp = at(NOW_MS + DELAY_MS_MAX)), Code::Ok);
    assert_eq!(
        code_after_system(|s| s.delivery_timestamp = at(NOW_MS + DELAY_MS_MAX + 1)),
        Code::IllegalDeliveryTime
    );
    assert_eq!(code_after_system(|s| s.delivery_timestamp = at(0)), Code::Ok);
}

#[test]
fn bodies_are_bounded_on_both_sides() {
    assert_eq!(code_after(|m| m.body = bytes::Bytes::new()), Code::MessageBodyEmpty);
    assert_eq!(code_after(|m| m.body = vec![0; BODY_BYTES_MAX].into()), Code::Ok);
    assert_eq!(code_after(|m| m.body = vec![0; BODY_BYTES_MAX + 1].into()), Code::MessageBodyTooLarge);
}

#[test]
fn user_properties_are_bounded_and_not_the_systems() {
    let many = |n: usize| (0..n).map(|i| (format!("k{i}"), "v".to_owned())).collect();
    assert_eq!(code_after(|m| m.user_properties = many(128)), Code::Ok);
    assert_eq!(code_after(|m| m.user_properties = many(129)), Code::MessagePropertiesTooLarge);
    let large = |n: usize| [("k".to_owned(), "v".repeat(n - 1))].into();
    assert_eq!(code_after(|m| m.user_properties = large(16_384)), Code::Ok);
    assert_eq!(code_after(|m| m.user_properties = large(16_385)), Code::MessagePropertiesTooLarge);
    let one = |key: &str, value: &str| [(key.to_owned(), value.to_owned())].into();
    assert_eq!(code_after(|m| m.user_properties = one("UNIQ_KEY", "x")), Code::IllegalMessagePropertyKey);
    assert_eq!(code_after(|m| m.user_properties = one("k", "\u{2}")), Code::IllegalMessagePropertyKey);
}

#[test]
fn invisible_times_have_one_range_for_receiving_and_one_for_changing() {
    assert_eq!(invisible_on_receive(10_000), Ok(10_000));
    assert_eq!(invisible_on_receive(9_999).unwrap_err().code(), Code::IllegalInvisibleTime);
    assert_eq!(invisible_on_change(0), Ok(0));
    assert_eq!(invisible_on_change(43_200_000), Ok(43_200_000));
    assert_eq!(invisible_on_change(43_200_001).unwrap_err().code(), Code::IllegalInvisibleTime);
    assert_eq!(invisible_on_change(-1).unwrap_err().code(), Code::IllegalInvisibleTime);
}

#[test]
fn a_refusal_names_value_and_limit_and_stays_short() {
    let text = topic(&"x".repeat(5000)).unwrap_err().to_string();
    assert!(text.contains("5000") && text.contains("127") && text.len() < 200, "{text}");
    let text = body(5_000_000, &LIMITS).unwrap_err().to_string();
    assert!(text.contains("5000000") && text.contains("4194304"), "{text}");
}
