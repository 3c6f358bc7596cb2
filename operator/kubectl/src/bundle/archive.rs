//! A `.tar.gz` that grows file by file, and the list of what is not in it.

use std::fmt::Display;
use std::io::{self, Write};

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use tar::{Builder, Header};

/// What is written so far.
pub(crate) struct Archive<W: Write> {
    tar: Builder<GzEncoder<W>>,
    /// Everything lies in a folder of this name, so that unpacking litters nothing.
    folder: String,
    now: Timestamp,
    missing: Vec<String>,
}

impl<W: Write> Archive<W> {
    /// Into `out`; the files have the time `now`.
    pub(crate) fn new(out: W, folder: &str, now: Timestamp) -> Self {
        let tar = Builder::new(GzEncoder::new(out, Compression::default()));
        Self { tar, folder: folder.to_owned(), now, missing: Vec::new() }
    }

    /// Adds a file.
    pub(crate) fn add(&mut self, path: &str, content: &[u8]) -> io::Result<()> {
        let mut header = Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(u64::try_from(self.now.as_second()).unwrap_or(0));
        self.tar.append_data(&mut header, format!("{}/{path}", self.folder), content)
    }

    /// Notes that something could not be had.
    pub(crate) fn miss(&mut self, what: &str, why: impl Display) {
        self.missing.push(format!("{what}: {why}\n"));
    }

    /// How many things could not be had.
    pub(crate) fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Writes the list of what is missing, and the end.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if !self.missing.is_empty() {
            let missing = self.missing.concat();
            self.add("missing.txt", missing.as_bytes())?;
        }
        self.tar.into_inner()?.finish()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::collections::BTreeMap;
    use std::io::Read;

    use flate2::read::GzDecoder;

    use super::*;

    /// The files of an archive with their text.
    pub(crate) fn unpack(bytes: &[u8]) -> BTreeMap<String, String> {
        let mut tar = tar::Archive::new(GzDecoder::new(bytes));
        let file = |entry: io::Result<tar::Entry<'_, GzDecoder<&[u8]>>>| {
            let mut entry = entry.unwrap();
            let mut text = String::new();
            entry.read_to_string(&mut text).unwrap();
            (entry.path().unwrap().display().to_string(), text)
        };
        tar.entries().unwrap().map(file).collect()
    }

    #[test]
    fn what_is_added_is_read_back_and_what_is_missing_is_listed() {
        let mut archive = Archive::new(Vec::new(), "bundle", Timestamp::UNIX_EPOCH);
        let long = format!("logs/{}/broker.log", "n".repeat(200));
        archive.add(&long, b"hello").unwrap();
        archive.miss("pods", "not allowed");
        let files = unpack(&archive.finish().unwrap());
        let expected = [
            ("bundle/missing.txt".to_owned(), "pods: not allowed\n".to_owned()),
            (format!("bundle/{long}"), "hello".to_owned()),
        ];
        assert_eq!(files, expected.into());
    }

    #[test]
    fn a_bundle_that_lacks_nothing_has_no_list() {
        let archive = Archive::new(Vec::new(), "bundle", Timestamp::UNIX_EPOCH);
        assert_eq!(archive.missing(), 0);
        assert_eq!(unpack(&archive.finish().unwrap()), BTreeMap::new());
    }
}
