//! A short text that changes when another text does. FNV-1a with 64 bits: not against attackers, and the same in every
//! version of the operator, which the standard library's hash does not promise.

/// The fingerprint of a text.
pub fn of(text: &str) -> String {
    format!("{:016x}", number(text))
}

/// The fingerprint of a text as a number.
pub fn number(text: &str) -> u64 {
    text.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    #[test]
    fn fingerprints_never_change_between_versions() {
        assert_eq!(super::of(""), "cbf29ce484222325");
        assert_eq!(super::of("a"), "af63dc4c8601ec8c");
        assert_eq!(super::of("foobar"), "85944171f73967e8");
    }
}
