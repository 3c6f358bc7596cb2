//! CRC-32 of bytes at the place where they belong: bytes that lie elsewhere do not verify.

use crc_fast::{CrcAlgorithm, Digest};

/// Checksum of `bytes`, seeded with the file's number and the place in it.
pub(crate) fn seeded(file: u64, at: u64, bytes: &[u8]) -> u32 {
    let mut digest = Digest::new(CrcAlgorithm::Crc32IsoHdlc);
    digest.update(&file.to_le_bytes());
    digest.update(&at.to_le_bytes());
    digest.update(bytes);
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::seeded;

    #[test]
    fn the_same_bytes_elsewhere_do_not_verify() {
        let here = seeded(1, 64, b"bytes");
        assert_eq!(here, seeded(1, 64, b"bytes"));
        assert_ne!(here, seeded(1, 72, b"bytes"));
        assert_ne!(here, seeded(2, 64, b"bytes"));
        assert_ne!(here, seeded(1, 64, b"byteS"));
    }
}
