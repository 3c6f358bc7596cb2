//! The digest of a body that a consumer checks before it hands the message on.
//!
//! A CRC-32 of every body is computed once, when it is stored; MD5 would cost more than all else in a delivery. But the
//! clients spell a CRC-32 differently, and take a message whose digest they cannot confirm for corrupt. What each one,
//! in every release there was until August 2026, compares with:
//!
//! | client (`x-mq-language`) | CRC-32 | we send |
//! |---|---|---|
//! | Java (`JAVA`), C# (`DOTNET`) | upper-case hex without leading zeros | that |
//! | Go (`GO`) | the same from 5.1.3 on; before in lower case, and 5.1.3 still says it is 5.0.1 | that from 5.1.4 on, else MD5 |
//! | Python (`PYTHON`), C++ (`CPP`) | 8 digits of upper-case hex | that |
//! | Rust (`RUST`) | does not look | 8 digits |
//! | Node.js (`HTTP`) | a decimal number, which looks like an oversight | MD5 |
//! | any other | | MD5 in upper-case hex, as the reference server sends it |

use std::fmt::Write;

use md5::{Digest, Md5};

use crate::v2::DigestType;

/// How a client wants the digest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DigestForm {
    /// CRC-32 in upper-case hex without leading zeros.
    Crc32,
    /// CRC-32 in 8 digits of upper-case hex.
    Crc32Padded,
    /// MD5 in 32 digits of upper-case hex.
    Md5,
}

/// The digest of one body as a delivery carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyDigest {
    kind: DigestType,
    text: [u8; 32],
    length: u8,
}

impl DigestForm {
    /// The form for a client that states this language and version in its headers.
    pub fn of_client(language: &str, version: &str) -> Self {
        let is = |name: &str| language.eq_ignore_ascii_case(name);
        if is("JAVA") || is("DOTNET") || is("DOT_NET") {
            Self::Crc32
        } else if is("PYTHON") || is("CPP") || is("RUST") {
            Self::Crc32Padded
        } else if (is("GO") || is("GOLANG")) && at_least(version, [5, 1, 4]) {
            Self::Crc32
        } else {
            Self::Md5
        }
    }

    /// The digest of a body whose CRC-32 (ISO-HDLC) is known. Only MD5 reads the body.
    pub fn digest(self, crc32: u32, body: &[u8]) -> BodyDigest {
        let mut digest = BodyDigest { kind: DigestType::Crc32, text: [0; 32], length: 0 };
        let written = match self {
            Self::Crc32 => write!(digest, "{crc32:X}"),
            Self::Crc32Padded => write!(digest, "{crc32:08X}"),
            Self::Md5 => {
                digest.kind = DigestType::Md5;
                Md5::digest(body).iter().try_for_each(|byte| write!(digest, "{byte:02X}"))
            }
        };
        written.expect("32 digits are enough for each form");
        digest
    }
}

impl BodyDigest {
    /// Which digest it is.
    pub fn kind(&self) -> DigestType {
        self.kind
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.text[..usize::from(self.length)]).expect("digits are ASCII")
    }
}

impl Write for BodyDigest {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let at = usize::from(self.length);
        let room = self.text.get_mut(at..at + text.len()).ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length += text.len() as u8;
        Ok(())
    }
}

/// Compares the numbers of a dotted version; what follows them, such as `-rc1`, does not count.
fn at_least(version: &str, wanted: [u32; 3]) -> bool {
    let mut parts =
        version.trim_start_matches('v').split(['.', '-']).map(|part| part.parse::<u32>().unwrap_or(0));
    let found = [(); 3].map(|()| parts.next().unwrap_or(0));
    found >= wanted
}

#[cfg(test)]
mod tests {
    use super::*;

    const HELLO_CRC: u32 = 0x3610_A686;

    #[test]
    fn texts_are_the_ones_clients_compare_with() {
        assert_eq!(DigestForm::Crc32.digest(HELLO_CRC, b"hello").as_str(), "3610A686");
        assert_eq!(DigestForm::Crc32.digest(0x00AB_CDEF, b"").as_str(), "ABCDEF");
        assert_eq!(DigestForm::Crc32Padded.digest(0x00AB_CDEF, b"").as_str(), "00ABCDEF");
        let md5 = DigestForm::Md5.digest(HELLO_CRC, b"hello");
        assert_eq!((md5.kind(), md5.as_str()), (DigestType::Md5, "5D41402ABC4B2A76B9719D911017C592"));
    }

    #[test]
    fn a_client_that_could_read_the_crc_in_two_ways_gets_md5() {
        assert_eq!(DigestForm::of_client("GO", "5.0.1-rc1"), DigestForm::Md5);
        assert_eq!(DigestForm::of_client("GO", "5.1.4"), DigestForm::Crc32);
        assert_eq!(DigestForm::of_client("HTTP", "1.0.7"), DigestForm::Md5);
        assert_eq!(DigestForm::of_client("", ""), DigestForm::Md5);
    }

    #[test]
    fn java_and_python_get_their_own_spelling() {
        assert_eq!(DigestForm::of_client("JAVA", "5.2.0"), DigestForm::Crc32);
        assert_eq!(DigestForm::of_client("PYTHON", "5.1.1"), DigestForm::Crc32Padded);
    }
}
