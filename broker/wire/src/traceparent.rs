//! The W3C trace context of a message: which trace it belongs to, and who caused it.
//!
//! ```text
//!   00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01
//!      trace id                         span id          flags, 1: sampled
//! ```
//!
//! Promise: what is read is what the W3C's `traceparent` allows, nothing more; a text that is none counts as absent, because a
//! message is not refused for its trace. Only read: a message keeps the text as it was sent.

/// The user property that instrumentations put the context in.
pub const PROPERTY: &str = "traceparent";

/// A context that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; not all zero.
    pub trace_id: [u8; 16],
    /// The span that the message comes from; not all zero.
    pub span_id: [u8; 8],
    /// Whether spans of this trace are recorded.
    pub sampled: bool,
}

impl TraceParent {
    /// Reads a `traceparent`. Later versions may be longer, and begin in the same way.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (head, rest) = bytes.split_at_checked(55)?;
        let [version] = hex(&head[..2])?;
        let is_apart = head[2] == b'-' && head[35] == b'-' && head[52] == b'-';
        let ends_well = rest.is_empty() || (version > 0 && rest[0] == b'-');
        if version == 0xff || !is_apart || !ends_well {
            return None;
        }
        let (trace_id, span_id) = (hex(&head[3..35])?, hex(&head[36..52])?);
        let [flags] = hex(&head[53..55])?;
        let is_real = trace_id != [0; 16] && span_id != [0; 8];
        is_real.then_some(Self { trace_id, span_id, sampled: flags & 1 == 1 })
    }

    /// The context to go by of the two places where a message may have one: the protocol's own field first. Only one that is
    /// sampled is of use.
    pub fn sampled(field: Option<&str>, property: Option<&str>) -> Option<Self> {
        let read = |text: Option<&str>| Self::parse(text?);
        read(field).or_else(|| read(property)).filter(|context| context.sampled)
    }
}

/// Lower case digits only, as the standard says.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

fn digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    const UNSAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

    #[test]
    fn a_context_is_read() {
        let read = TraceParent::parse(SAMPLED).unwrap();
        assert_eq!(u128::from_be_bytes(read.trace_id), 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
        assert_eq!(u64::from_be_bytes(read.span_id), 0xb7ad_6b71_6920_3331);
        assert!(read.sampled && !TraceParent::parse(UNSAMPLED).unwrap().sampled);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("cc{}-what-will-come", &SAMPLED[2..]);
        assert_eq!(TraceParent::parse(&later), TraceParent::parse(SAMPLED));
        assert_eq!(TraceParent::parse(&format!("cc{}.", &SAMPLED[2..])), None);
    }

    #[test]
    fn what_is_no_context_counts_as_absent() {
        let longer = format!("{SAMPLED}-00");
        for bad in [
            "",
            "00",
            &longer,
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
            "00-0af7651916cd43dd8448eb211c80319-b7ad6b71692033311--01",
        ] {
            assert_eq!(TraceParent::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_field_goes_before_the_property_and_an_unreadable_one_is_passed_over() {
        let other = "00-1af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let of = |field, property| TraceParent::sampled(field, property).map(|context| context.trace_id[0]);
        assert_eq!(of(Some(SAMPLED), Some(other)), Some(0x0a));
        assert_eq!(of(Some("noise"), Some(other)), Some(0x1a));
        assert_eq!(of(None, Some(other)), Some(0x1a));
        assert_eq!(of(Some(UNSAMPLED), Some(other)), None);
        assert_eq!(of(None, None), None);
    }

    proptest! {
        #[test]
        fn every_context_is_read_as_it_was_written(trace in 1u128.., span in 1u64.., flags: u8) {
            let text = format!("00-{trace:032x}-{span:016x}-{flags:02x}");
            let read = TraceParent {
                trace_id: trace.to_be_bytes(),
                span_id: span.to_be_bytes(),
                sampled: flags & 1 == 1,
            };
            prop_assert_eq!(TraceParent::parse(&text), Some(read));
        }

        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,80}") {
            let _ = TraceParent::parse(&text);
        }
    }
}
