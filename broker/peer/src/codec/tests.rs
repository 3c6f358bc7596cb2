use proptest::prelude::*;
use replica::event::{Beat, Hello};
use replica::history::{EpochStart, History, Tip};
use store::{Epoch, Position};

use super::*;

fn any_member() -> impl Strategy<Value = MemberId> {
    (any::<u32>(), any::<u64>()).prop_map(|(ordinal, store)| MemberId { ordinal, store })
}

fn any_epoch() -> impl Strategy<Value = Epoch> {
    any::<u32>().prop_map(Epoch)
}

fn any_position() -> impl Strategy<Value = Position> {
    any::<u64>().prop_map(Position)
}

fn any_history() -> impl Strategy<Value = History> {
    (prop::collection::btree_map(any::<u32>(), any::<u64>(), 0..5), any_position()).prop_map(
        |(epochs, written)| {
            let mut starts: Vec<u64> = epochs.values().copied().collect();
            starts.sort_unstable();
            let began = |(&epoch, start)| EpochStart { epoch: Epoch(epoch), start: Position(start) };
            History { epochs: epochs.keys().zip(starts).map(began).collect(), written }
        },
    )
}

prop_compose! {
    fn any_beat()(
        promised in any_epoch(), leads in prop::option::of(any_epoch()), hears in prop::option::of(any_member()),
        is_dirty in any::<bool>(), is_leaving in any::<bool>(),
        last_epoch in any_epoch(), written in any_position(), committed in any_position(),
    ) -> Beat {
        Beat { promised, leads, hears, is_leaving, is_dirty, last_epoch, written, committed }
    }
}

fn any_tip() -> impl Strategy<Value = Tip> {
    (any_epoch(), any_position()).prop_map(|(epoch, written)| Tip { epoch, written })
}

fn any_message() -> impl Strategy<Value = Message> {
    let session = any::<u64>;
    prop_oneof![
        any_beat().prop_map(Message::Beat),
        (any_epoch(), prop::option::of(any_history()), any::<bool>())
            .prop_map(|(epoch, history, is_dirty)| Message::Hello(Hello { epoch, history, is_dirty })),
        (any_epoch(), session(), any_position(), any_tip())
            .prop_map(|(epoch, session, to, of)| Message::Align { epoch, session, to, of }),
        (any_epoch(), session(), any_tip()).prop_map(|(epoch, session, of)| Message::Seed {
            epoch,
            session,
            of
        }),
        (any_epoch(), session(), any_position(), any_position()).prop_map(
            |(epoch, session, from, committed)| Message::Append { epoch, session, from, committed }
        ),
        (any_epoch(), session(), any_position(), any_position())
            .prop_map(|(epoch, session, written, durable)| Message::Ack { epoch, session, written, durable }),
        any_epoch().prop_map(|promised| Message::Reject { promised }),
        any_epoch().prop_map(|epoch| Message::TakeOver { epoch }),
    ]
}

fn any_body() -> impl Strategy<Value = Body> {
    let bytes = || prop::collection::vec(any::<u8>(), 0..200).prop_map(Bytes::from);
    let epochs = prop::collection::vec(any::<(u32, u64)>(), 0..4);
    prop_oneof![
        Just(Body::None),
        (any::<[u64; 4]>(), bytes()).prop_map(|([segment_start, segment_bytes, start, end], bytes)| {
            Body::Span(Span { segment_start, segment_bytes, start, end, bytes })
        }),
        (any::<[u8; 16]>(), any::<u64>(), any::<u64>(), epochs, bytes()).prop_map(
            |(log_id, start, segment_bytes, epochs, state)| {
                Body::Seed(SeedBody { log_id, start, segment_bytes, epochs, state })
            }
        ),
    ]
}

fn any_frame() -> impl Strategy<Value = Frame> {
    prop_oneof![
        ("[a-z/0-9]{1,20}", any_member()).prop_map(|(group, from)| Frame::Greeting(Greeting { group, from })),
        (any_message(), any_body()).prop_map(|(message, body)| Frame::Message { message, body }),
        (any::<u64>(), ".{0,40}").prop_map(|(base, record)| Frame::Relay { base: Version(base), record }),
        Just(Frame::Ask),
        ".{0,40}".prop_map(Frame::Seen),
    ]
}

fn read(bytes: &[u8]) -> Result<Frame, FrameError> {
    let prefix: [u8; PREFIX_BYTES] = bytes[..PREFIX_BYTES].try_into().expect("a prefix");
    let (head, body) = Frame::lengths(&prefix)?;
    let rest = &bytes[PREFIX_BYTES..];
    if rest.len() != head + body {
        return Err(FrameError::Damaged);
    }
    Frame::decode(&prefix, &rest[..head], Bytes::copy_from_slice(&rest[head..]))
}

proptest! {
    #[test]
    fn a_frame_comes_back(frame in any_frame()) {
        let (mut bytes, body) = frame.encode();
        bytes.extend_from_slice(&body);
        prop_assert_eq!(read(&bytes), Ok(frame));
    }

    #[test]
    fn damage_before_the_body_is_seen(frame in any_frame(), bit in any::<prop::sample::Index>()) {
        let (mut bytes, body) = frame.encode();
        let bit = bit.index(bytes.len() * 8);
        bytes.extend_from_slice(&body);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(read(&bytes).is_err());
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), PREFIX_BYTES..300)) {
        let _ = read(&bytes);
        // Past the checksum, too.
        let head = &bytes[PREFIX_BYTES..];
        let mut prefix = [0; PREFIX_BYTES];
        prefix[4..8].copy_from_slice(&crc32(head).to_le_bytes());
        let _ = Frame::decode(&prefix, head, Bytes::new());
    }
}
