//! Numbers in as few bytes as they need (LEB128): seven bits a byte, the lowest first.

#[derive(Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn number(&mut self, number: u64) -> &mut Self {
        let mut rest = number;
        while rest >= 0x80 {
            self.bytes.push(rest as u8 | 0x80);
            rest >>= 7;
        }
        self.bytes.push(rest as u8);
        self
    }

    /// A number told by its distance from one that the reader knows, up or down.
    pub(crate) fn near(&mut self, number: u64, known: u64) -> &mut Self {
        let difference = number.wrapping_sub(known).cast_signed();
        self.number(((difference << 1) ^ (difference >> 63)).cast_unsigned())
    }
}

/// Reads what `Writer` wrote; an error is the place of the first byte that makes no sense.
pub(crate) struct Parser<'a> {
    pub(crate) bytes: &'a [u8],
    pub(crate) at: usize,
}

impl Parser<'_> {
    pub(crate) fn number(&mut self) -> Result<u64, usize> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(self.at)?;
            self.at += 1;
            let bits = u64::from(byte & 0x7F);
            if bits << shift >> shift != bits {
                return Err(self.at);
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(self.at)
    }

    pub(crate) fn near(&mut self, known: u64) -> Result<u64, usize> {
        let folded = self.number()?;
        Ok(known.wrapping_add((folded >> 1) ^ (folded & 1).wrapping_neg()))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, usize> {
        u32::try_from(self.number()?).map_err(|_| self.at)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Parser, Writer};

    proptest! {
        #[test]
        fn numbers_come_back(numbers in prop::collection::vec(any::<u64>(), 0..20)) {
            let mut out = Writer::default();
            for number in &numbers {
                out.number(*number);
            }
            let mut parser = Parser { bytes: &out.bytes, at: 0 };
            for number in numbers {
                prop_assert_eq!(parser.number(), Ok(number));
            }
            prop_assert_eq!(parser.number(), Err(out.bytes.len()));
        }

        #[test]
        fn near_numbers_come_back_and_small_differences_are_short(number: u64, known: u64, step in 0..64_u64) {
            let mut out = Writer::default();
            out.near(number, known).near(known.wrapping_add(step), known).near(known.wrapping_sub(step), known);
            let mut parser = Parser { bytes: &out.bytes, at: 0 };
            prop_assert_eq!(parser.near(known), Ok(number));
            let long = parser.at;
            prop_assert_eq!(parser.near(known), Ok(known.wrapping_add(step)));
            prop_assert_eq!(parser.near(known), Ok(known.wrapping_sub(step)));
            prop_assert!(parser.at <= long + 4);
        }
    }
}
