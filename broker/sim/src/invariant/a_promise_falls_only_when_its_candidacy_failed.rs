//! What a member promised it keeps, over every crash; only the promise of a candidacy is taken back, once its
//! compare-and-swap can no longer succeed. Nothing is taken from a leader of a lower epoch than is promised on the disk.

use crds::group_record::Version;
use peer::vow::MemberFile;
use replica::event::{Message, Vow};
use store::Epoch;

/// What may be on each disk: one file, or two while one takes the place of the other.
pub(crate) struct Promises {
    files: Vec<Vec<MemberFile>>,
}

impl Promises {
    pub(crate) fn new(machines: usize) -> Self {
        Self { files: vec![Vec::new(); machines] }
    }

    pub(crate) fn saves(&mut self, at: usize, file: &MemberFile) {
        self.files[at].push(file.clone());
    }

    pub(crate) fn saved(&mut self, at: usize, file: &MemberFile) {
        self.files[at] = vec![file.clone()];
    }

    pub(crate) fn wiped(&mut self, at: usize) {
        self.files[at].clear();
    }

    /// A process starts with what it found.
    pub(crate) fn loaded(&mut self, at: usize, found: Option<&MemberFile>) -> Result<(), String> {
        let known = &self.files[at];
        match found {
            None if known.iter().all(|file| file.vow == Vow::default()) => {}
            Some(found) if known.contains(found) => self.files[at] = vec![found.clone()],
            _ => return Err(format!("machine {at} finds {found:?}, it saved {known:?}")),
        }
        Ok(())
    }

    /// `latest` is the version that the object has now.
    pub(crate) fn changes(at: usize, before: &Vow, after: &Vow, latest: Version) -> Result<(), String> {
        if after.promised >= before.promised {
            return Ok(());
        }
        let is_allowed = before.candidacy.is_some_and(|candidacy| {
            after.candidacy.is_none()
                && candidacy.base < latest
                && after.promised >= candidacy.promised_before
        });
        if is_allowed {
            Ok(())
        } else {
            Err(format!("member {at} takes a promise back: {before:?}, {after:?}"))
        }
    }

    /// A member says something that an epoch depends on.
    pub(crate) fn says(&self, at: usize, message: &Message) -> Result<(), String> {
        let Message::Ack { epoch, .. } = message else { return Ok(()) };
        let promised = self.files[at].iter().map(|file| file.vow.promised).min().unwrap_or(Epoch(0));
        if *epoch >= promised && self.files[at].len() == 1 {
            return Ok(());
        }
        Err(format!("member {at} promised {promised} and acknowledges epoch {epoch}"))
    }
}
