//! One bit per timer of a run.

/// Which timers of a run are no longer pending there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
}

impl Bits {
    /// None of `count` is set.
    pub(crate) fn none_of(count: usize) -> Self {
        Self { words: vec![0; count.div_ceil(64)] }
    }

    pub(crate) fn has(&self, ordinal: usize) -> bool {
        self.words[ordinal / 64] & (1 << (ordinal % 64)) != 0
    }

    /// Whether it was not set before.
    pub(crate) fn set(&mut self, ordinal: usize) -> bool {
        let before = self.has(ordinal);
        self.words[ordinal / 64] |= 1 << (ordinal % 64);
        !before
    }

    /// How many from `ordinal` on are set.
    pub(crate) fn count_from(&self, ordinal: usize) -> usize {
        let Some((first, rest)) = self.words.get(ordinal / 64..).and_then(<[u64]>::split_first) else {
            return 0;
        };
        let rest: u32 = rest.iter().map(|word| word.count_ones()).sum();
        ((first >> (ordinal % 64)).count_ones() + rest) as usize
    }

    /// The words that are not zero, with their places.
    pub(crate) fn words(&self) -> impl Iterator<Item = (usize, u64)> {
        self.words.iter().copied().enumerate().filter(|(_, word)| *word != 0)
    }

    /// Sets a word as `words` told it; false if there is no such place.
    pub(crate) fn put_word(&mut self, place: usize, word: u64) -> bool {
        self.words.get_mut(place).map(|old| *old = word).is_some()
    }

    pub(crate) fn memory_bytes(&self) -> u64 {
        (self.words.capacity() * 8) as u64
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::Bits;

    proptest! {
        #[test]
        fn bits_are_a_set(ordinals in prop::collection::vec(0..200_usize, 0..100), from in 0..200_usize) {
            let mut bits = Bits::none_of(200);
            let mut set = BTreeSet::new();
            for ordinal in ordinals {
                prop_assert_eq!(bits.set(ordinal), set.insert(ordinal));
            }
            prop_assert!((0..200).all(|ordinal| bits.has(ordinal) == set.contains(&ordinal)));
            prop_assert_eq!(bits.count_from(from), set.range(from..).count());
            let mut again = Bits::none_of(200);
            prop_assert!(bits.words().all(|(place, word)| again.put_word(place, word)));
            prop_assert_eq!(again, bits);
        }
    }
}
