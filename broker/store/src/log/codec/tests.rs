//! What is encoded comes back, and nothing else does.

use proptest::prelude::*;

use super::*;

const SEAL: Seal = Seal(0x1234_5678);

fn kinds() -> impl Strategy<Value = Kind> {
    prop::sample::select(vec![
        Kind::Message,
        Kind::Link,
        Kind::Acks,
        Kind::Attempts,
        Kind::Meta,
        Kind::Epoch,
        Kind::Pad,
        Kind::Timed,
        Kind::Settled,
        Kind::Half,
        Kind::Decided,
        Kind::Floors,
    ])
}

prop_compose! {
    fn batches()(
        start in any::<u64>(), bytes in any::<u32>(), count in any::<u32>(), durable in any::<u64>(),
        committed in any::<u64>(), epoch in any::<u32>(), previous_crc in any::<u32>(), written_ms in any::<u64>(),
    ) -> BatchHeader {
        BatchHeader {
            start: Position(start), bytes, count, durable: Position(durable), committed: Position(committed),
            epoch: Epoch(epoch), previous_crc, written_ms,
        }
    }
}

prop_compose! {
    fn records()(
        ids in any::<(u64, u32, u64, u64, u32)>(), kind in kinds(), rocketmq in any::<bool>(),
        numbers in any::<(u16, u16, u32, u32)>(),
        head in prop::collection::vec(any::<u8>(), 0..300), body in prop::collection::vec(any::<u8>(), 0..300),
    ) -> (RecordHeader, Vec<u8>, Vec<u8>) {
        let (position, queue, offset, stored_ms, epoch) = ids;
        let (count, attempt, tag_hash, lane) = numbers;
        let header = RecordHeader {
            position: Position(position), kind,
            encoding: if rocketmq { Encoding::RocketmqV2 } else { Encoding::None },
            queue: QueueId(queue), offset: Offset(offset), count, attempt, tag_hash, lane, stored_ms,
            epoch: Epoch(epoch), body_crc: crc32(&body), head_bytes: head.len() as u32,
            body_bytes: body.len() as u32,
        };
        (header, head, body)
    }
}

fn encoded(header: &RecordHeader, head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    header.encode(SEAL, head, &mut bytes);
    bytes.extend_from_slice(body);
    bytes.resize(header.bytes() as usize, 0);
    bytes
}

proptest! {
    #[test]
    fn a_batch_header_comes_back(header in batches()) {
        let (bytes, crc) = header.encode(SEAL);
        prop_assert_eq!(BatchHeader::decode(&bytes, header.start, SEAL), Ok((header, crc)));
    }

    #[test]
    fn a_batch_header_with_a_flipped_bit_is_refused(header in batches(), bit in 0..512usize) {
        let (mut bytes, _) = header.encode(SEAL);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(BatchHeader::decode(&bytes, header.start, SEAL), Err(DecodeError::Invalid));
    }

    #[test]
    fn a_batch_header_of_another_place_or_log_is_refused(header in batches(), at in any::<u64>(), id in any::<[u8; 16]>()) {
        let (bytes, _) = header.encode(SEAL);
        prop_assume!(at != header.start.0 && Seal::new(&id) != SEAL);
        prop_assert_eq!(BatchHeader::decode(&bytes, Position(at), SEAL), Err(DecodeError::Invalid));
        prop_assert_eq!(BatchHeader::decode(&bytes, header.start, Seal::new(&id)), Err(DecodeError::Invalid));
    }

    #[test]
    fn a_record_comes_back((header, head, body) in records()) {
        let bytes = encoded(&header, &head, &body);
        prop_assert_eq!(RecordHeader::decode(&bytes, header.position, SEAL), Ok(header));
        prop_assert!(header.verifies(&bytes));
        prop_assert_eq!(&bytes[HEADER_BYTES as usize..header.body_at()], &head[..]);
        let shown: &[u8] = if header.kind.shows_payload() { &body } else { &[] };
        prop_assert_eq!(header.entry_in(&bytes).body, shown);
    }

    #[test]
    fn a_record_with_a_flipped_bit_is_refused((header, head, body) in records(), at in any::<prop::sample::Index>()) {
        let mut bytes = encoded(&header, &head, &body);
        let bit = at.index(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        let decoded = RecordHeader::decode(&bytes, header.position, SEAL);
        prop_assert!(decoded.is_err() || !header.verifies(&bytes));
    }

    #[test]
    fn any_bytes_are_refused_or_decoded(bytes in prop::collection::vec(any::<u8>(), 0..200), at in any::<u64>()) {
        prop_assert!(BatchHeader::decode(&bytes, Position(at), SEAL).is_err());
        prop_assert!(RecordHeader::decode(&bytes, Position(at), SEAL).is_err());
    }
}

#[test]
fn an_intact_record_of_an_unknown_kind_is_told_from_a_damaged_one() {
    let mut bytes = vec![0; 64];
    bytes[56] = 200;
    let crc = SEAL.of(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(
        RecordHeader::decode(&bytes, Position(0), SEAL),
        Err(DecodeError::Unsupported("record of kind 200".to_owned()))
    );
}
