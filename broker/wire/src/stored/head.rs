//! The head of a stored message, read in place.

use super::system::System;
use crate::fields::{Fields, Malformed};
use crate::traceparent::{self, TraceParent};

const LENGTH_BYTES: usize = 4;

/// A stored head. Parsing looks at the length only; the accessors walk the bytes they need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head<'a> {
    user: &'a [u8],
    system: &'a [u8],
}

/// One user property.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair<'a> {
    /// Its name.
    pub key: &'a str,
    /// Its value.
    pub value: &'a str,
}

/// The user properties of a head in the order they were sent; skips what does not decode.
#[derive(Debug, Clone)]
pub struct UserProperties<'a>(Fields<'a>);

impl<'a> Head<'a> {
    /// Reads the layout of a head.
    pub fn parse(head: &'a [u8]) -> Result<Self, Malformed> {
        let (length, rest) = head.split_first_chunk::<LENGTH_BYTES>().ok_or(Malformed::CutOff)?;
        let user_bytes = u32::from_le_bytes(*length) as usize;
        let (user, system) = rest.split_at_checked(user_bytes).ok_or(Malformed::CutOff)?;
        Ok(Self { user, system })
    }

    /// All system properties at once.
    pub fn system(&self) -> Result<System<'a>, Malformed> {
        System::read(self.system)
    }

    /// The sender's id of the message; empty if there is none.
    pub fn message_id(&self) -> &'a str {
        self.text(3).unwrap_or_default()
    }

    /// What consumers filter by.
    pub fn tag(&self) -> Option<&'a str> {
        self.text(1)
    }

    /// The keys in the order they were sent.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        Fields::of(self.system)
            .flatten()
            .filter(|field| field.number == 2)
            .filter_map(|f| f.text("keys").ok())
    }

    /// The user properties in the order they were sent.
    pub fn user_properties(&self) -> UserProperties<'a> {
        UserProperties(Fields::of(self.user))
    }

    /// The value of a user property.
    pub fn user_property(&self, key: &str) -> Option<&'a str> {
        self.user_properties().filter(|pair| pair.key == key).last().map(|pair| pair.value)
    }

    /// The context of its trace, if that is sampled.
    pub fn sampled(&self) -> Option<TraceParent> {
        TraceParent::sampled(self.text(18), self.user_property(traceparent::PROPERTY))
    }

    pub(crate) fn user_bytes(&self) -> &'a [u8] {
        self.user
    }

    pub(crate) fn system_bytes(&self) -> &'a [u8] {
        self.system
    }

    fn text(&self, number: u32) -> Option<&'a str> {
        Fields::of(self.system)
            .flatten()
            .filter(|f| f.number == number)
            .last()
            .and_then(|f| f.text("text").ok())
    }
}

impl<'a> Pair<'a> {
    /// Reads one entry of the map.
    pub(crate) fn read(entry: &'a [u8]) -> Result<Self, Malformed> {
        let mut pair = Pair { key: "", value: "" };
        for field in Fields::of(entry) {
            let field = field?;
            match field.number {
                1 => pair.key = field.text("user_properties.key")?,
                2 => pair.value = field.text("user_properties.value")?,
                _ => {}
            }
        }
        Ok(pair)
    }
}

impl<'a> Iterator for UserProperties<'a> {
    type Item = Pair<'a>;

    fn next(&mut self) -> Option<Pair<'a>> {
        self.0.by_ref().flatten().find_map(|field| Pair::read(field.bytes("user_properties").ok()?).ok())
    }
}
