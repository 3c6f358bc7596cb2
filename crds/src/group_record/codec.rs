//! Records and requests as the text of an annotation.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{FORMAT, GroupRecord, GroupRequest, MemberId};

/// Why a text is not a record, a request or a member's name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormatError {
    /// Not `ordinal-store`.
    #[error("`{0}` is not a member: expected its ordinal, `-` and 16 hexadecimal digits")]
    Member(String),
    /// Not JSON of this shape.
    #[error("not of the expected shape: {0}")]
    Shape(String),
    /// Written by a later version.
    #[error("format {0} is later than this version knows ({FORMAT}); upgrade this program")]
    Later(u32),
    /// Contradicts itself.
    #[error("contradicts itself: {0}")]
    Contradiction(&'static str),
}

/// Read before the rest, so that a later format is called by its name.
#[derive(Deserialize)]
struct Format {
    v: u32,
}

impl GroupRecord {
    /// The record of a group that nobody ever led.
    pub fn created(min_in_sync: u32) -> Self {
        Self { format: FORMAT, min_in_sync, ..Self::default() }
    }

    /// As the annotation holds it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a record is made of strings and numbers")
    }

    /// Reads an annotation.
    pub fn from_json(text: &str) -> Result<Self, FormatError> {
        let record: Self = read(text)?;
        record.check().map(|()| record)
    }

    /// What every record must hold, whoever wrote it.
    fn check(&self) -> Result<(), FormatError> {
        let contradiction = |what| Err(FormatError::Contradiction(what));
        match self.leader {
            None if self.epoch > 0 || !self.members.is_empty() => {
                contradiction("an epoch or members without a leader")
            }
            Some(_) if self.epoch == 0 => contradiction("a leader of epoch 0"),
            Some(leader) if !self.in_sync.contains(&leader) => contradiction("the leader is not in sync"),
            _ if !self.in_sync.is_subset(&self.members) => contradiction("in sync and not a member"),
            _ if self.min_in_sync == 0 => contradiction("minInSync is 0"),
            _ => Ok(()),
        }
    }
}

impl GroupRequest {
    /// As the annotation holds it.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a request is made of strings and numbers")
    }

    /// Reads an annotation.
    pub fn from_json(text: &str) -> Result<Self, FormatError> {
        read(text)
    }
}

fn read<T: for<'a> Deserialize<'a>>(text: &str) -> Result<T, FormatError> {
    let shape = |error: serde_json::Error| FormatError::Shape(error.to_string());
    match serde_json::from_str::<Format>(text).map_err(shape)?.v {
        FORMAT => serde_json::from_str(text).map_err(shape),
        later => Err(FormatError::Later(later)),
    }
}

impl Serialize for MemberId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MemberId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}
