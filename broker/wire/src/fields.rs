//! A walker over the fields of an encoded protobuf message, without decoding it into an owned value.
//!
//! Promise: reads every byte at most once per level, allocates nothing, never panics. Stricter than the format asks
//! for: groups (removed from the language before this protocol existed) are refused.

/// Bytes that are no message of this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// A field claims more bytes than there are.
    #[error("message is cut off within a field")]
    CutOff,
    /// A number longer than 64 bits.
    #[error("number is longer than 64 bits")]
    Varint,
    /// Field number 0 or above the format's limit, or an unknown kind of field.
    #[error("{0:#x} is not a field tag")]
    Tag(u64),
    /// A known field with another kind of value.
    #[error("field `{0}` has the wrong wire type")]
    WireType(&'static str),
    /// Text that is not UTF-8.
    #[error("field `{0}` is not UTF-8")]
    Utf8(&'static str),
    /// More than a length prefix of the log can hold.
    #[error("message of {0} B is over 4294967295 B")]
    TooLong(usize),
}

/// The value of one field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64,
    Bytes(&'a [u8]),
    Fixed32,
}

/// One field as found; `raw` is all of it, its tag included.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Field<'a> {
    pub(crate) number: u32,
    pub(crate) value: Value<'a>,
    pub(crate) raw: &'a [u8],
}

impl<'a> Field<'a> {
    pub(crate) fn bytes(&self, name: &'static str) -> Result<&'a [u8], Malformed> {
        match self.value {
            Value::Bytes(bytes) => Ok(bytes),
            Value::Varint(_) | Value::Fixed64 | Value::Fixed32 => Err(Malformed::WireType(name)),
        }
    }

    pub(crate) fn text(&self, name: &'static str) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.bytes(name)?).map_err(|_| Malformed::Utf8(name))
    }

    /// A number; 32-bit ones are cut off as every protobuf library does.
    pub(crate) fn number(&self, name: &'static str) -> Result<u64, Malformed> {
        match self.value {
            Value::Varint(number) => Ok(number),
            Value::Bytes(_) | Value::Fixed64 | Value::Fixed32 => Err(Malformed::WireType(name)),
        }
    }
}

/// The fields of one message, in the order they were sent.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    fn take(&mut self, bytes: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(bytes).ok_or(Malformed::CutOff)?;
        self.rest = rest;
        Ok(taken)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut number = 0u64;
        for (at, &byte) in self.rest.iter().enumerate().take(10) {
            // The tenth byte holds the 64th bit only.
            if at == 9 && byte > 1 {
                return Err(Malformed::Varint);
            }
            number |= u64::from(byte & 0x7f) << (7 * at);
            if byte < 0x80 {
                self.rest = &self.rest[at + 1..];
                return Ok(number);
            }
        }
        Err(if self.rest.len() < 10 { Malformed::CutOff } else { Malformed::Varint })
    }

    fn field(&mut self) -> Result<Field<'a>, Malformed> {
        let before = self.rest;
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).ok().filter(|n| (1..=0x1fff_ffff).contains(n));
        let number = number.ok_or(Malformed::Tag(tag))?;
        let value = match tag & 7 {
            0 => Value::Varint(self.varint()?),
            1 => {
                self.take(8)?;
                Value::Fixed64
            }
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(usize::try_from(length).map_err(|_| Malformed::CutOff)?)?)
            }
            5 => {
                self.take(4)?;
                Value::Fixed32
            }
            _ => return Err(Malformed::Tag(tag)),
        };
        Ok(Field { number, value, raw: &before[..before.len() - self.rest.len()] })
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.rest = &[];
        }
        Some(field)
    }
}

/// Milliseconds of an encoded `Timestamp` or `Duration`; both are {1 seconds, 2 nanoseconds}.
pub(crate) fn millis(message: &[u8], name: &'static str) -> Result<i64, Malformed> {
    let (mut seconds, mut nanos) = (0i64, 0i32);
    for field in Fields::of(message) {
        let field = field?;
        match field.number {
            1 => seconds = field.number(name)?.cast_signed(),
            2 => nanos = (field.number(name)? as u32).cast_signed(),
            _ => {}
        }
    }
    Ok(seconds.saturating_mul(1000).saturating_add(i64::from(nanos / 1_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_of_more_than_64_bits_is_refused() {
        let long = [0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02];
        assert_eq!(Fields::of(&long).next().unwrap().unwrap_err(), Malformed::Varint);
    }

    #[test]
    fn an_error_ends_the_walk() {
        let mut fields = Fields::of(&[0x0a, 0x05, 0x00]);
        assert_eq!(fields.next().unwrap().unwrap_err(), Malformed::CutOff);
        assert!(fields.next().is_none());
    }

    #[test]
    fn groups_and_field_zero_are_refused() {
        assert!(matches!(Fields::of(&[0x0b]).next().unwrap(), Err(Malformed::Tag(0x0b))));
        assert!(matches!(Fields::of(&[0x00, 0x00]).next().unwrap(), Err(Malformed::Tag(0))));
    }
}
