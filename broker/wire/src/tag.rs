//! Tags: the hash that an index keeps of them, and the expression that a consumer filters by.
//!
//! Promise: `may_match` never turns away a tag that `matches` takes; two tags with one hash (`Aa` and `BB`) are told apart
//! by `matches`.

/// `String.hashCode` of Java: 31-fold sum over the UTF-16 units. No tag and the empty tag are 0.
pub fn hash(tag: &str) -> u32 {
    tag.encode_utf16().fold(0u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// Which messages a consumer wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagFilter {
    /// All, with a tag or without.
    All,
    /// Those with one of these tags.
    Any(Vec<WantedTag>),
}

/// One tag of an expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedTag {
    hash: u32,
    tag: String,
}

/// An expression that names no tag.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("filter expression `{0}` names no tag; write `*` for all, or tags with `||` between them")]
pub struct NoTag(String);

impl TagFilter {
    /// Reads `*` or nothing (all), or `a || b || c`; blanks around a tag do not count.
    pub fn parse(expression: &str) -> Result<Self, NoTag> {
        let expression = expression.trim();
        if expression.is_empty() || expression == "*" {
            return Ok(Self::All);
        }
        let mut wanted: Vec<WantedTag> = Vec::new();
        for tag in expression.split("||").map(str::trim).filter(|tag| !tag.is_empty()) {
            if !wanted.iter().any(|known| known.tag == tag) {
                wanted.push(WantedTag { hash: hash(tag), tag: tag.to_owned() });
            }
        }
        if wanted.is_empty() { Err(NoTag(expression.to_owned())) } else { Ok(Self::Any(wanted)) }
    }

    /// Hashes of the wanted tags; none means all messages.
    pub fn hashes(&self) -> Option<Vec<u32>> {
        match self {
            Self::All => None,
            Self::Any(wanted) => Some(wanted.iter().map(|want| want.hash).collect()),
        }
    }

    /// Whether a message with this hash of its tag can be wanted.
    pub fn may_match(&self, tag_hash: u32) -> bool {
        match self {
            Self::All => true,
            Self::Any(wanted) => wanted.iter().any(|want| want.hash == tag_hash),
        }
    }

    /// Whether a message with this tag is wanted.
    pub fn matches(&self, tag: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Any(wanted) => tag.is_some_and(|tag| wanted.iter().any(|want| want.tag == tag)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_hash_is_javas() {
        assert_eq!(hash("group").cast_signed(), 98_629_247);
        assert_eq!(hash("fifoMessageGroup").cast_signed(), -535_074_396);
        assert_eq!(hash("Aa"), hash("BB"));
        assert_eq!(hash(""), 0);
        assert_eq!(hash("\u{1F600}"), 0xD83D * 31 + 0xDE00);
    }

    #[test]
    fn tags_with_one_hash_are_told_apart() {
        let filter = TagFilter::parse("Aa").unwrap();
        assert!(filter.may_match(hash("BB")) && !filter.matches(Some("BB")) && filter.matches(Some("Aa")));
    }

    #[test]
    fn blanks_and_empty_parts_do_not_count() {
        let filter = TagFilter::parse("  a ||b|| || a").unwrap();
        assert!(filter.matches(Some("a")) && filter.matches(Some("b")));
        assert!(!filter.matches(Some("")) && !filter.matches(None));
    }

    #[test]
    fn star_and_nothing_mean_all() {
        for all in ["*", "", " "] {
            assert!(TagFilter::parse(all).unwrap().matches(None));
        }
    }

    #[test]
    fn an_expression_without_a_tag_is_refused() {
        assert_eq!(TagFilter::parse(" || "), Err(NoTag("||".to_owned())));
    }

    proptest! {
        #[test]
        fn the_hash_turns_nothing_away_that_matches(expression in "[ab|* ]{0,12}", tag in "[ab]{0,3}") {
            if let Ok(filter) = TagFilter::parse(&expression) {
                prop_assert!(!filter.matches(Some(&tag)) || filter.may_match(hash(&tag)));
            }
        }
    }
}
