//! Which messages a consumer wants: by tag, or by an SQL condition on properties.
//!
//! Tags are sorted out by their hash before records are read, and compared here; conditions need the record. A message that
//! is not wanted is done for the consumer group.

use std::borrow::Cow;

use wire::stored::Head;
use wire::tag::TagFilter;
use wire::v2::{Code, FilterExpression, FilterType};

use crate::refusal::Refusal;

/// A filter expression, understood.
#[derive(Debug)]
pub(crate) enum Filter {
    Tags(TagFilter),
    Sql(::filter::Filter),
}

impl Filter {
    /// What a client wrote; nothing means all.
    pub(crate) fn of(expression: Option<&FilterExpression>) -> Result<Self, Refusal> {
        let Some(expression) = expression else { return Ok(Self::Tags(TagFilter::All)) };
        let illegal = |text: String| Refusal::new(Code::IllegalFilterExpression, text);
        let text = &expression.expression;
        match FilterType::try_from(expression.r#type) {
            Ok(FilterType::Unspecified | FilterType::Tag) => {
                TagFilter::parse(text).map(Self::Tags).map_err(|error| illegal(error.to_string()))
            }
            Ok(FilterType::Sql) if text.trim().is_empty() => {
                Err(illegal("SQL filter expression is blank".to_owned()))
            }
            Ok(FilterType::Sql) => ::filter::Filter::parse(text)
                .map(Self::Sql)
                .map_err(|error| illegal(format!("SQL filter expression: {error}"))),
            Err(_) => Err(illegal(format!("filter type {} is neither TAG nor SQL", expression.r#type))),
        }
    }

    /// Hashes of the wanted tags; none means all.
    pub(crate) fn tag_hashes(&self) -> Option<Vec<u32>> {
        match self {
            Self::Tags(tags) => tags.hashes(),
            Self::Sql(_) => None,
        }
    }

    /// Whether the consumer wants a message with this head.
    pub(crate) fn matches(&self, head: Head<'_>) -> bool {
        match self {
            Self::Tags(TagFilter::All) => true,
            Self::Tags(tags) => tags.matches(head.tag()),
            Self::Sql(filter) => filter.matches(|name| property(head, name)),
        }
    }
}

/// A property by the name that conditions know it by.
fn property<'a>(head: Head<'a>, name: &str) -> Option<Cow<'a, str>> {
    match name {
        "TAGS" => head.tag().map(Cow::Borrowed),
        "KEYS" => {
            let keys: Vec<&str> = head.keys().collect();
            (!keys.is_empty()).then(|| Cow::Owned(keys.join(" ")))
        }
        _ => head.user_property(name).map(Cow::Borrowed),
    }
}
